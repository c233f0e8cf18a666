// Clause N-08 on vectors: exp and log. Every operation is one of vec.hpp's, so that the width reaches no bit; where an
// instruction set has a shorter way to the same bits, it stands beside the long one.
#pragma once
#include "vec.hpp"

namespace sb {

// c[0] + c[1] x + c[2] x^2 + ..., one fma per coefficient from the highest power down.
template <int N>
SB_INLINE f32v polynomial(f32v x, const float (&c)[N]) {
  f32v sum = splat(c[N - 1]);
#pragma GCC unroll 16
  for (int i = N - 2; i >= 0; i--) sum = fma(sum, x, splat(c[i]));
  return sum;
}

SB_INLINE bool any_lane(i32v mask) {
#if SB_WIDTH == 16
  return _mm512_test_epi32_mask((__m512i)mask, (__m512i)mask) != 0;
#elif SB_WIDTH == 8
  return _mm256_movemask_ps((__m256)mask) != 0;
#elif defined(__x86_64__)
  return _mm_movemask_ps((__m128)mask) != 0;
#elif defined(__aarch64__)
  return vmaxvq_u32((uint32x4_t)mask) != 0;
#else
  return (mask[0] | mask[1] | mask[2] | mask[3]) != 0;
#endif
}

// The least of x and `high`; a NaN stays.
SB_INLINE f32v at_most(f32v x, float high) { return select(splat(high) < x, splat(high), x); }
SB_INLINE f32v at_least(f32v x, float low) { return select(splat(low) > x, splat(low), x); }

// --- exp ---

constexpr float LOG2_E = 0x1.715476p+0f;
constexpr float LN2_HIGH = 0x1.62e430p-1f, LN2_LOW = -0x1.05c610p-29f;
// e^r = 1 + r + c[2] r^2 + ... on |r| <= ln(2) / 2; tools/fit_functions.py exp
constexpr float EXP[] = {1.0f,           1.0f,           0x1.fffffcp-2f, 0x1.555492p-3f,
                         0x1.5558f2p-5f, 0x1.123a20p-7f, 0x1.6a23c8p-10f};
// Past these the result is +0 or infinity, whatever x is.
constexpr float EXP_LOWEST = -104.0f, EXP_HIGHEST = 89.0f;

// e^x = fraction * 2^n, |x| <= 2^21.
struct Exponential {
  f32v fraction;
  f32v shifted;  // n + ROUNDING_SHIFT
  __attribute__((always_inline)) f32v n() const { return shifted - splat(ROUNDING_SHIFT); }
  __attribute__((always_inline)) i32v n_integer() const { return bits_of(shifted) - bits_of(splat(ROUNDING_SHIFT)); }
};
SB_INLINE Exponential exp_parts(f32v x) {
  f32v shifted = fma(x, splat(LOG2_E), splat(ROUNDING_SHIFT));
  f32v n = shifted - splat(ROUNDING_SHIFT);
  f32v r = fma(n, splat(-LN2_LOW), fma(n, splat(-LN2_HIGH), x));
  return {polynomial(r, EXP), shifted};
}

// fraction * 2^n, rounded once: the first of two factors leaves a normal number as it is.
SB_INLINE f32v scaled(const Exponential& e) {
#if SB_WIDTH == 16
  return (f32v)_mm512_scalef_ps((__m512)e.fraction, (__m512)e.n());
#else
  i32v n = e.n_integer(), half = n >> 1;
  return e.fraction * from_bits((half + 127) << 23) * from_bits((n - half + 127) << 23);
#endif
}

// fraction * 2^n where that is a normal number and so exact. The low bits of `shifted` are n's, its others shift out.
SB_INLINE f32v scaled_normal(const Exponential& e) {
  return from_bits(bits_of(e.fraction) + (bits_of(e.shifted) << 23));
}

SB_INLINE f32v exp(f32v x) {
#if SB_WIDTH < 16
  if (__builtin_expect(!any_lane(~(absolute(x) <= splat(87.0f))), 1)) return scaled_normal(exp_parts(x));
#endif
  return scaled(exp_parts(at_least(at_most(x, EXP_HIGHEST), EXP_LOWEST)));
}

// --- log ---

// log(1 + f) = f + f^2 (c[0] + c[1] f + ...) on sqrt(1/2) <= 1 + f < sqrt(2); tools/fit_functions.py log
constexpr float LOG[] = {-0.5f,          0x1.555554p-2f,  -0x1.000226p-2f, 0x1.99a008p-3f, -0x1.547246p-3f,
                         0x1.22da1ep-3f, -0x1.0d853ep-3f, 0x1.055b6ep-3f,  -0x1.38b5a2p-4f};
constexpr int32_t SQRT_HALF_BITS = 0x3f3504f3;  // of 0x1.6a09e6p-1
constexpr float LEAST_NORMAL = 0x1p-126f, INFINITE = __builtin_inff();

// log(x * 2^added) of a normal positive x.
SB_INLINE f32v log_of_normal(f32v x, i32v added) {
  i32v exponent = (bits_of(x) - SQRT_HALF_BITS) >> 23;
  f32v f = from_bits(bits_of(x) - (exponent << 23)) - splat(1.0f);
  f32v of_fraction = fma(f * f, polynomial(f, LOG), f);
  return fma(__builtin_convertvector(exponent + added, f32v), splat(LN2_HIGH), of_fraction);
}

SB_INLINE f32v log(f32v x) {
  // Below the least normal number, negative, infinite or NaN: all of them in one signed comparison.
  constexpr int32_t TO_LEAST = (int32_t)0x7f800000u, PAST_GREATEST = (int32_t)0xff000000u;
  if (__builtin_expect(!any_lane((i32v)((u32v)bits_of(x) + TO_LEAST) >= PAST_GREATEST), 1)) {
    return log_of_normal(x, i32v{});
  }
  i32v small = x < splat(LEAST_NORMAL);
  f32v result = log_of_normal(select(small, x * splat(0x1p24f), x), small & -24);
  result = select(x < splat(INFINITE), result, x);
  result = select(x < f32v{}, splat(__builtin_nanf("")), result);
  return select(x == f32v{}, splat(-INFINITE), result);
}

}  // namespace sb
