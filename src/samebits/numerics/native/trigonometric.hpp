// Clause N-08 on vectors: sine and cosine of any finite number.
#pragma once
#include "functions.hpp"

namespace sb {

constexpr float TWO_OVER_PI = 0x1.45f306p-1f;
constexpr float HALF_PI_1 = 0x1.921fb6p+0f, HALF_PI_2 = -0x1.777a5cp-25f, HALF_PI_3 = -0x1.ee59dap-50f;
// sin(r) = r + r^3 (c[0] + c[1] r^2 + ...), cos(r) = 1 - r^2 / 2 + c[2] r^4 + ... on |r| <= pi / 4;
// tools/fit_functions.py sin cos
constexpr float SIN[] = {-0x1.555546p-3f, 0x1.110736p-7f, -0x1.994222p-13f};
constexpr float COS[] = {1.0f, -0.5f, 0x1.55554ap-5f, -0x1.6c0c2ep-10f, 0x1.99ea04p-16f};
// Up to here three parts of pi / 2 are enough.
constexpr float FEW_QUADRANTS = 0x1p20f;

// |x| = r + n * pi / 2, |r| <= pi / 4 but for roundings; only the low two bits of n count.
struct Quadrant {
  f32v r;
  i32v n;
};

// The 32 bits of 2 / pi from `position` on, counted from 32 zeros before its binary point.
static inline uint64_t bits_of_two_over_pi(int position) {
  static const uint64_t WORDS[] = {0,          0xa2f9836e, 0x4e441529, 0xfc2757d1,
                                   0xf534ddc0, 0xdb629599, 0x3c439041, 0xfe5163ab, 0xdebbc561};
  const uint64_t* word = WORDS + position / 32;
  return (word[0] << 32 | word[1]) >> (32 - position % 32) & 0xffffffff;
}

// One finite number past FEW_QUADRANTS, in integers: x = mantissa * 2^exponent, of whose product with 2 / pi only the
// 96 bits from weight 2 down matter.
static inline void quadrant_of_large(float x, float* r, int32_t* n) {
  uint32_t word;
  memcpy(&word, &x, sizeof word);
  const uint64_t mantissa = (word & 0x7fffff) | 0x800000;
  const int position = (int)(word >> 23 & 0xff) - 150 + 30;
  const uint64_t high = bits_of_two_over_pi(position) << 32 | bits_of_two_over_pi(position + 32);
  const uint64_t product = mantissa * high + (mantissa * bits_of_two_over_pi(position + 64) >> 32);
  const uint64_t quadrants = (product + (1ull << 61)) >> 62;
  const int64_t rest = (int64_t)(product - (quadrants << 62));
  const uint64_t size = rest < 0 ? 0 - (uint64_t)rest : (uint64_t)rest;
  constexpr uint64_t HALF_PI = 0xc90fdaa22168c234;  // floor(pi / 2 * 2^63)
  const float magnitude = (float)(int64_t)((unsigned __int128)size * HALF_PI >> 64) * 0x1p-61f;
  *r = rest < 0 ? -magnitude : magnitude;
  *n = (int32_t)quadrants;
}

// `a` is |x|.
SB_INLINE Quadrant quadrant(f32v a) {
  f32v shifted = fma(a, splat(TWO_OVER_PI), splat(ROUNDING_SHIFT)), n = shifted - splat(ROUNDING_SHIFT);
  f32v r = fma(n, splat(-HALF_PI_3), fma(n, splat(-HALF_PI_2), fma(n, splat(-HALF_PI_1), a)));
  Quadrant found{r, bits_of(shifted)};
  if (__builtin_expect(any_lane(~(a <= splat(FEW_QUADRANTS))), 0)) {
    for (int i = 0; i < WIDTH; i++) {
      if (a[i] <= FEW_QUADRANTS) continue;
      float lane_r = a[i] - a[i];  // NaN of infinity
      int32_t lane_n = 0;
      if (a[i] < INFINITE) quadrant_of_large(a[i], &lane_r, &lane_n);
      found.r[i] = lane_r;
      found.n[i] = lane_n;
    }
  }
  return found;
}

SB_INLINE f32v with_sign_of_bit_31(f32v x, i32v word) { return from_bits(bits_of(x) ^ (word & INT32_MIN)); }

struct SinCos {
  f32v sin, cos;
};
SB_INLINE SinCos sin_cos(f32v x) {
  Quadrant q = quadrant(absolute(x));
  f32v square = q.r * q.r, c = polynomial(square, COS);
  f32v s = fma(q.r * square, polynomial(square, SIN), q.r);
  i32v odd = (q.n & 1) != 0;
  return {with_sign_of_bit_31(select(odd, c, s), (q.n << 30) ^ bits_of(x)),
          with_sign_of_bit_31(select(odd, s, c), (q.n + 1) << 30)};
}
SB_INLINE f32v sin(f32v x) { return sin_cos(x).sin; }
SB_INLINE f32v cos(f32v x) { return sin_cos(x).cos; }

}  // namespace sb
