// Clause N-14: conversions between float32 and the 16-bit formats, element by element.
#include "bf16.hpp"
#include "pool.hpp"

namespace sb {
namespace {

constexpr double LEAST_SHARE = 1 << 15;

// binary16 has its exponent's bias lower by 112: the product with 2^112 is exact, for subnormals too. All-ones
// exponents stay all ones; a NaN becomes quiet.
SB_INLINE f32v from_f16(i32v x) {
  i32v magnitude = (x & 0x7fff) << 13;
  i32v finite = bits_of(from_bits(magnitude) * splat(0x1p112f));
  i32v special = magnitude | 0x7f800000 | select(magnitude > 0x0f800000, splat((int32_t)0x400000), i32v{});
  return from_bits(select(magnitude >= 0x0f800000, special, finite) | (x & 0x8000) << 16);
}

// Below 2^-14 the sum with 0.5 rounds to multiples of 2^-24 and leaves their count in its last bits. From there on the
// last 13 bits are rounded away by integers; a carry out of the greatest exponent gives an infinity.
SB_INLINE i32v to_f16(f32v x) {
  i32v bits = bits_of(x), magnitude = bits & 0x7fffffff;
  i32v small = bits_of(from_bits(magnitude) + splat(0.5f)) - 0x3f000000;
  i32v rebiased = magnitude - (112 << 23);
  i32v rounded = (rebiased + 0xfff + (rebiased >> 13 & 1)) >> 13;
  i32v finite = select(magnitude < 0x38800000, small, select(magnitude < 0x47800000, rounded, splat((int32_t)0x7c00)));
  i32v nan = 0x7e00 | (magnitude >> 13 & 0x3ff);
  return select(magnitude > 0x7f800000, nan, finite) | (bits >> 16 & 0x8000);
}

SB_INLINE f32v load_any(const float* from) { return load(from); }
SB_INLINE i32v load_any(const uint16_t* from) { return load_16(from); }
SB_INLINE void store_any(float* to, f32v x) { store(to, x); }
SB_INLINE void store_any(uint16_t* to, i32v x) { store_16(to, x); }

struct Conversion {
  void (*range)(const Conversion&, int64_t, int64_t);
  int64_t n;
  const void* x;
  void* out;
};

void conversion_part(const void* given, int i, int n_parts) {
  const Conversion& job = *(const Conversion*)given;
  job.range(job, part_start(job.n, 64, i, n_parts), part_start(job.n, 64, i + 1, n_parts));
}

// The last part of a vector goes through memory of its own: the same arithmetic, and nothing past the end is touched.
template <class From, class To, class Convert>
SB_INLINE void each(const Conversion& job, int64_t start, int64_t end, Convert convert) {
  const From* x = (const From*)job.x;
  To* out = (To*)job.out;
  int64_t i = start;
  for (; i + WIDTH <= end; i += WIDTH) store_any(out + i, convert(load_any(x + i)));
  if (i < end) {
    From last[WIDTH] = {};
    To converted[WIDTH];
    memcpy(last, x + i, (size_t)(end - i) * sizeof(From));
    store_any(converted, convert(load_any(last)));
    memcpy(out + i, converted, (size_t)(end - i) * sizeof(To));
  }
}

void f32_bf16_range(const Conversion& job, int64_t start, int64_t end) {
  each<float, uint16_t>(job, start, end, [](f32v x) { return to_bf16(x); });
}
void bf16_f32_range(const Conversion& job, int64_t start, int64_t end) {
  each<uint16_t, float>(job, start, end, [](i32v x) { return from_bf16(x); });
}
void f16_f32_range(const Conversion& job, int64_t start, int64_t end) {
  each<uint16_t, float>(job, start, end, [](i32v x) { return from_f16(x); });
}
void f32_f16_range(const Conversion& job, int64_t start, int64_t end) {
  each<float, uint16_t>(job, start, end, [](f32v x) { return to_f16(x); });
}

int32_t run_conversion(const Conversion& job, int n_threads) {
  Crew crew(n_threads);
  crew.run(fine_parts_for(n_threads, (double)job.n, LEAST_SHARE), conversion_part, &job);
  return 0;
}

}  // namespace
}  // namespace sb

SB_EXPORT int32_t sb_convert_f32_bf16(int64_t n, const float* x, uint16_t* out, int32_t n_threads) {
  return sb::run_conversion({sb::f32_bf16_range, n, x, out}, n_threads);
}
SB_EXPORT int32_t sb_convert_bf16_f32(int64_t n, const uint16_t* x, float* out, int32_t n_threads) {
  return sb::run_conversion({sb::bf16_f32_range, n, x, out}, n_threads);
}
SB_EXPORT int32_t sb_convert_f16_f32(int64_t n, const uint16_t* x, float* out, int32_t n_threads) {
  return sb::run_conversion({sb::f16_f32_range, n, x, out}, n_threads);
}
SB_EXPORT int32_t sb_convert_f32_f16(int64_t n, const float* x, uint16_t* out, int32_t n_threads) {
  return sb::run_conversion({sb::f32_f16_range, n, x, out}, n_threads);
}
