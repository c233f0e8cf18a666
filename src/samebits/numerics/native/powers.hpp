// Clause N-15 on vectors: x to the power of y. By way of binary64, whose every operation here is rounded on its own: the
// plainest x86-64 has no fma of binary64.
#pragma once
#include "functions.hpp"

namespace sb {

// log2(m) = s (c[0] + c[1] s^2 + ...), s = (m - 1) / (m + 1); tools/fit_functions.py pow_log2
constexpr double POW_LOG2[] = {
    0x1.71547652b8251p+1, 0x1.ec709dc53c2f7p-1, 0x1.2776c29383376p-1, 0x1.a61a2e8fba350p-2,
    0x1.47956011798fap-2, 0x1.21b056328980ap-2};
// 2^f = c[0] + c[1] f + ...; tools/fit_functions.py pow_exp2
constexpr double POW_EXP2[] = {
    0x1p+0, 0x1.62e42fef7a795p-1, 0x1.ebfbdff7c5aebp-3, 0x1.c6b08defc1442p-5,
    0x1.3b2ab7f3aa9cfp-7, 0x1.5d872976d7abep-10, 0x1.4306c1237fb5cp-13, 0x1.00ee068235cbep-16,
    0x1.66347a706919dp-20};
constexpr int64_t SQRT_HALF_BITS_64 = 0x3fe6a09e667f3bcd;
// Adding it leaves no bit for a fraction.
constexpr double ROUNDING_SHIFT_64 = 0x1.8p52;
constexpr int64_t ROUNDING_SHIFT_64_BITS = 0x4338000000000000;
// Where |x| is 0 or infinite its logarithm is past every bound; an infinite y is finite and even here.
constexpr double POW_FAR = 0x1p400, POW_GREATEST_Y = 0x1p130, POW_GREATEST = 200.0;

template <int N>
SB_INLINE f64v polynomial_64(f64v x, const double (&c)[N]) {
  f64v sum = f64v{} + c[N - 1];
#pragma GCC unroll 16
  for (int i = N - 2; i >= 0; i--) sum = sum * x + c[i];
  return sum;
}
SB_INLINE f64v nearest_64(f64v x) { return (x + ROUNDING_SHIFT_64) - ROUNDING_SHIFT_64; }
SB_INLINE f64v within(f64v x, double bound) {
  x = x > bound ? f64v{} + bound : x;
  return x < -bound ? f64v{} - bound : x;
}

// log2 of a positive binary64; anything for 0 and infinity.
SB_INLINE f64v log2_64(f64v x) {
  // The exponent, 1024 too great, so that a logical shift and an addition to the rounding shift's bits will do.
  u64v exponent = ((u64v)x - (uint64_t)(SQRT_HALF_BITS_64 - (1024ll << 52))) >> 52;
  f64v m = (f64v)((u64v)x - ((exponent - 1024) << 52));
  f64v e = (f64v)(exponent + (uint64_t)ROUNDING_SHIFT_64_BITS) - (ROUNDING_SHIFT_64 + 1024.0);
  f64v s = (m - 1.0) / (m + 1.0);
  return e + s * polynomial_64(s * s, POW_LOG2);
}

SB_INLINE f32v pow(f32v x, f32v y) {
  const f64v size = to_f64(absolute(x)), power = within(to_f64(y), POW_GREATEST_Y);
  f64v logarithm = log2_64(size);
  logarithm = size == 0.0 ? f64v{} - POW_FAR : logarithm;
  logarithm = size == (double)INFINITE ? f64v{} + POW_FAR : logarithm;
  const f64v w = within(power * logarithm, POW_GREATEST);
  const f64v shifted = w + (ROUNDING_SHIFT_64 + 1023.0), f = w - (shifted - (ROUNDING_SHIFT_64 + 1023.0));
  f32v result = to_f32(polynomial_64(f, POW_EXP2) * (f64v)((u64v)shifted << 52));
  // A negative x: the sign is that of an odd y; a y that is no integer has no answer, but for x = -0 and -infinity.
  if (any_lane(bits_of(x) < 0)) {
    const f64v whole = within(power, 0x1p40), half = whole * 0.5;
    const f64v one = f64v{} + 1.0;
    const f32v is_whole = to_f32(nearest_64(whole) == whole ? one : f64v{});
    const f32v is_odd = to_f32(nearest_64(half) == half ? f64v{} : one) * is_whole;
    i32v sign = bits_of(x) & INT32_MIN & (is_odd > f32v{});
    result = from_bits(bits_of(result) | sign);
    i32v unanswered = (x < f32v{}) & (x > splat(-INFINITE)) & (is_whole == f32v{});
    result = select(unanswered, splat(__builtin_nanf("")), result);
  }
  result = select(y == splat(2.0f), x * x, result);
  return select((x == x) & (y == y), result, splat(__builtin_nanf("")));
}

}  // namespace sb
