// One vector type for every instruction set. Every operation here is a correctly rounded IEEE 754 operation on binary32
// (or an exact one on bits), so that the width reaches no result. +, -, *, / and comparisons are the compiler's own on
// its vector types; what those lack stands below. A comparison gives an i32v of all ones or zeros.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__)
#include <immintrin.h>
#if defined(__AMX_BF16__)
#define SB_ISA "amx"
#define SB_AMX 1
#else
#define SB_ISA "avx512"
#endif
#define SB_WIDTH 16
#elif defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
#define SB_ISA "avx2"
#define SB_WIDTH 8
#elif defined(__aarch64__)
#include <arm_neon.h>
#define SB_ISA "neon"
#define SB_WIDTH 4
#else
#if defined(__x86_64__)
#include <emmintrin.h>
#endif
#define SB_ISA "baseline"
#define SB_WIDTH 4
#endif

#if !defined(SB_AMX)
#define SB_AMX 0
#endif

// Baseline x86-64 has no fma instruction, and a libm's would reach the hardware behind our back.
#if defined(__x86_64__) && !defined(__FMA__)
#define SB_SOFTWARE_FMA 1
#else
#define SB_SOFTWARE_FMA 0
#endif

#define SB_INLINE static inline __attribute__((always_inline))
#if defined(_WIN32)
#define SB_EXPORT extern "C" __declspec(dllexport)
#else
#define SB_EXPORT extern "C" __attribute__((visibility("default")))
#endif

namespace sb {

constexpr int WIDTH = SB_WIDTH;
typedef float f32v __attribute__((vector_size(WIDTH * 4)));
typedef int32_t i32v __attribute__((vector_size(WIDTH * 4)));
typedef uint32_t u32v __attribute__((vector_size(WIDTH * 4)));
typedef double f64v __attribute__((vector_size(WIDTH * 8)));
typedef int64_t i64v __attribute__((vector_size(WIDTH * 8)));
typedef uint64_t u64v __attribute__((vector_size(WIDTH * 8)));

// --- bits, exact ---

SB_INLINE i32v bits_of(f32v x) { return (i32v)x; }
SB_INLINE f32v from_bits(i32v x) { return (f32v)x; }
SB_INLINE f32v select(i32v mask, f32v yes, f32v no) { return mask ? yes : no; }
SB_INLINE i32v select(i32v mask, i32v yes, i32v no) { return mask ? yes : no; }
SB_INLINE f32v absolute(f32v x) { return from_bits(bits_of(x) & 0x7fffffff); }

// Not `x + f32v{}`: that would turn -0 into +0.
SB_INLINE f32v splat(float x) {
#if SB_WIDTH == 16
  return (f32v)_mm512_set1_ps(x);
#elif SB_WIDTH == 8
  return (f32v)_mm256_set1_ps(x);
#elif defined(__aarch64__)
  return (f32v)vdupq_n_f32(x);
#else
  return f32v{x, x, x, x};
#endif
}
SB_INLINE i32v splat(int32_t x) { return i32v{} + x; }

SB_INLINE i32v lane_numbers() {
  i32v lanes;
  for (int i = 0; i < WIDTH; i++) lanes[i] = i;
  return lanes;
}
// All ones in the first `n` lanes.
SB_INLINE i32v first_lanes(int n) { return lane_numbers() < splat((int32_t)n); }

// --- memory, at any alignment ---

SB_INLINE f32v load(const float* from) {
  f32v x;
  memcpy(&x, from, sizeof x);
  return x;
}
SB_INLINE void store(float* to, f32v x) { memcpy(to, &x, sizeof x); }

// At an address that is a multiple of the vector's size: without first reading the lines that it fills.
SB_INLINE void store_past_caches(float* to, f32v x) {
#if SB_WIDTH == 16
  _mm512_stream_ps(to, (__m512)x);
#elif SB_WIDTH == 8
  _mm256_stream_ps(to, (__m256)x);
#elif defined(__x86_64__)
  _mm_stream_ps(to, (__m128)x);
#else
  store(to, x);
#endif
}

// `n` elements, 0 <= n <= WIDTH; the other lanes are +0. Memory past them is not touched.
SB_INLINE f32v load_first(const float* from, int n) {
#if SB_WIDTH == 16
  return (f32v)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), from);
#elif SB_WIDTH == 8
  return (f32v)_mm256_maskload_ps(from, (__m256i)first_lanes(n));
#else
  f32v x{};
  for (int i = 0; i < WIDTH; i++)
    if (i < n) x[i] = from[i];
  return x;
#endif
}
SB_INLINE void store_first(float* to, f32v x, int n) {
#if SB_WIDTH == 16
  _mm512_mask_storeu_ps(to, (__mmask16)((1u << n) - 1), (__m512)x);
#elif SB_WIDTH == 8
  _mm256_maskstore_ps(to, (__m256i)first_lanes(n), (__m256)x);
#else
  for (int i = 0; i < WIDTH; i++)
    if (i < n) to[i] = x[i];
#endif
}

// --- rounding operations ---

SB_INLINE f64v to_f64(f32v x) { return __builtin_convertvector(x, f64v); }
SB_INLINE f32v to_f32(f64v x) { return __builtin_convertvector(x, f32v); }

#if SB_SOFTWARE_FMA
// fma of binary32 by binary64 without fma. The product is exact (48 bits of 53, exponent in range). The sum's rounding
// error is exact too (TwoSum), so that the sum can be rounded to odd: if it was inexact and its last bit is 0, the
// neighbour on the error's side has the odd bit. 53 bits rounded to odd round to 24 or fewer as the exact sum would.
// An infinite or NaN sum has a NaN error, which compares false and leaves it alone.
SB_INLINE f32v software_fma(f32v a, f32v b, f32v c) {
  f64v p = to_f64(a) * to_f64(b), w = to_f64(c);
  f64v sum = p + w;
  f64v w_part = sum - p;
  f64v error = (p - (sum - w_part)) + (w - w_part);
  i64v bits = (i64v)sum;
  i64v inexact = (error > f64v{}) | (error < f64v{});
  i64v even = (bits & 1) - 1;
  // +1 away from zero where sum and error have one sign, -1 towards it where they differ.
  i64v step = 1 - 2 * (i64v)((u64v)(bits ^ (i64v)error) >> 63);
  return to_f32((f64v)(bits + (step & inexact & even)));
}
#endif

// a * b + c, rounded once.
SB_INLINE f32v fma(f32v a, f32v b, f32v c) {
#if SB_SOFTWARE_FMA
  return software_fma(a, b, c);
#elif SB_WIDTH == 16
  return (f32v)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif SB_WIDTH == 8
  return (f32v)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#elif defined(__aarch64__)
  return (f32v)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#else
  f32v r;
  for (int i = 0; i < WIDTH; i++) r[i] = __builtin_fmaf(a[i], b[i], c[i]);
  return r;
#endif
}

SB_INLINE f32v sqrt(f32v x) {
#if SB_WIDTH == 16
  return (f32v)_mm512_sqrt_ps((__m512)x);
#elif SB_WIDTH == 8
  return (f32v)_mm256_sqrt_ps((__m256)x);
#elif defined(__x86_64__)
  return (f32v)_mm_sqrt_ps((__m128)x);
#elif defined(__aarch64__)
  return (f32v)vsqrtq_f32((float32x4_t)x);
#else
  f32v r;
  for (int i = 0; i < WIDTH; i++) r[i] = __builtin_sqrtf(x[i]);
  return r;
#endif
}

// The maximum of N-07: `a` is the accumulator; where neither is greater (equal zeros, NaN), `b` is taken.
SB_INLINE f32v maximum(f32v a, f32v b) { return select(a > b, a, b); }

// Nearest integer, ties to even, for |x| < 2^22: adding 1.5 * 2^23 leaves no bit for a fraction.
constexpr float ROUNDING_SHIFT = 0x1.8p23f;
SB_INLINE f32v nearest(f32v x) { return (x + splat(ROUNDING_SHIFT)) - splat(ROUNDING_SHIFT); }
SB_INLINE i32v nearest_integer(f32v x) { return bits_of(x + splat(ROUNDING_SHIFT)) - bits_of(splat(ROUNDING_SHIFT)); }

// --- shuffles ---

#if SB_WIDTH == 16
#define SB_INTERLEAVE_LOW 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define SB_INTERLEAVE_HIGH 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#elif SB_WIDTH == 8
#define SB_INTERLEAVE_LOW 0, 8, 1, 9, 2, 10, 3, 11
#define SB_INTERLEAVE_HIGH 4, 12, 5, 13, 6, 14, 7, 15
#else
#define SB_INTERLEAVE_LOW 0, 4, 1, 5
#define SB_INTERLEAVE_HIGH 2, 6, 3, 7
#endif

// Lane l gets what lane (l + BY) mod WIDTH held.
template <int BY>
SB_INLINE f32v rotated(f32v x) {
#if SB_WIDTH == 16
  return __builtin_shufflevector(x, x, BY, BY + 1, BY + 2, BY + 3, BY + 4, BY + 5, BY + 6, BY + 7, BY + 8, BY + 9,
                                 BY + 10, BY + 11, BY + 12, BY + 13, BY + 14, BY + 15);
#elif SB_WIDTH == 8
  return __builtin_shufflevector(x, x, BY, BY + 1, BY + 2, BY + 3, BY + 4, BY + 5, BY + 6, BY + 7);
#else
  return __builtin_shufflevector(x, x, BY, BY + 1, BY + 2, BY + 3);
#endif
}

// Transposes WIDTH x WIDTH in registers. One stage turns the address bits (row, column) left by one; after
// log2(WIDTH) stages rows and columns have changed places.
SB_INLINE void transpose(f32v (&rows)[WIDTH]) {
  for (int stage = 1; stage < WIDTH; stage *= 2) {
    f32v turned[WIDTH];
    for (int i = 0; i < WIDTH / 2; i++) {
      turned[2 * i] = __builtin_shufflevector(rows[i], rows[i + WIDTH / 2], SB_INTERLEAVE_LOW);
      turned[2 * i + 1] = __builtin_shufflevector(rows[i], rows[i + WIDTH / 2], SB_INTERLEAVE_HIGH);
    }
    for (int i = 0; i < WIDTH; i++) rows[i] = turned[i];
  }
}

}  // namespace sb
