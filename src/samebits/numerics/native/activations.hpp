// Clause N-08 on vectors: tanh, erf, sigmoid, silu, gelu and the factors of their gradients. None has branches: each
// is one formula over its whole range, over constants of functions.hpp and its own.
#pragma once
#include "functions.hpp"

namespace sb {

// c[i] * ratio^i * scale: exact, for ratio and scale are powers of two or their negatives.
template <int N>
struct Coefficients {
  float c[N] = {};
  constexpr Coefficients(const float (&from)[N], float ratio, float scale) {
    for (int i = 0; i < N; i++) {
      c[i] = from[i] * scale;
      scale *= ratio;
    }
  }
};

SB_INLINE f32v with_sign_of(f32v x, f32v sign) { return from_bits(bits_of(x) ^ (bits_of(sign) & INT32_MIN)); }
SB_INLINE f32v clamped(f32v x, float low, float high) { return at_least(at_most(x, high), low); }

// Added to a number, rounds it to an integer n whose biased exponent is in the sum's low bits.
constexpr float ROUNDING_POWER = ROUNDING_SHIFT + 127;
// 2^n of such a sum; it must be a normal number.
SB_INLINE f32v power_of_shifted(f32v shifted) { return from_bits(bits_of(shifted) << 23); }

// --- by expm1: tanh and erf ---

// (e^r - 1 - r) / r^2
constexpr float EXPM1[] = {EXP[2], EXP[3], EXP[4], EXP[5], EXP[6]};

constexpr float TANH_HIGHEST = 9.5f;
constexpr Coefficients<5> EXPM1_OF_TWICE{EXPM1, 2.0f, 2.0f};

// t / (t + 2) with t = e^(2 a) - 1, all of it halved: the same bits.
SB_INLINE f32v tanh(f32v x) {
  f32v a = at_most(absolute(x), TANH_HIGHEST);
  f32v shifted = fma(a, splat(2.0f * LOG2_E), splat(ROUNDING_POWER)), n = shifted - splat(ROUNDING_POWER);
  f32v r = fma(n, splat(-0.5f * LN2_LOW), fma(n, splat(-0.5f * LN2_HIGH), a));
  f32v q = fma(r * r, polynomial(r, EXPM1_OF_TWICE.c), r);
  f32v power = power_of_shifted(shifted);
  f32v t = fma(q, power, fma(power, splat(0.5f), splat(-0.5f)));
  return with_sign_of(t / (t + splat(1.0f)), x);
}

constexpr float ERF_HIGHEST = 4.0f;
// erf(a) = 1 - e^-z, z = a + a (c[0] + c[1] a + ...); tools/fit_functions.py erf
constexpr float ERF[] = {0x1.06eba8p-3f,   0x1.45f2fap-1f,  0x1.a4fa5ep-4f,   -0x1.39cdc6p-6f, -0x1.505fc0p-13f,
                         0x1.b50034p-10f, -0x1.4bc9b4p-11f, 0x1.ed6bacp-14f, -0x1.3695f6p-17f};
constexpr Coefficients<5> EXPM1_OF_MINUS{EXPM1, -1.0f, -1.0f};

SB_INLINE f32v erf(f32v x) {
  f32v a = at_most(absolute(x), ERF_HIGHEST);
  f32v z = fma(a, polynomial(a, ERF), a);
  f32v shifted = fma(z, splat(-LOG2_E), splat(ROUNDING_POWER)), n = shifted - splat(ROUNDING_POWER);
  f32v r = fma(n, splat(LN2_LOW), fma(n, splat(LN2_HIGH), z));  // minus the clause's r
  f32v q = fma(r * r, polynomial(r, EXPM1_OF_MINUS.c), r);
  f32v power = power_of_shifted(shifted);
  return with_sign_of(fma(q, power, splat(1.0f) - power), x);
}

// --- by 1 / (1 + e^-y): sigmoid, silu and gelu's tanh form ---

// Numerator and denominator are kept 2^34 times smaller than they are, so that e^-y stays finite until the result has
// vanished.
constexpr int LOGISTIC_SHIFT = -34;
constexpr float LOGISTIC_SCALE = 0x1p-34f;
constexpr float LOGISTIC_ROUNDING = ROUNDING_POWER + LOGISTIC_SHIFT;
constexpr float LOGISTIC_LOWEST = -110.0f, LOGISTIC_HIGHEST = 32.0f;
constexpr Coefficients<7> EXP_OF_MINUS{EXP, -1.0f, 1.0f};

// e^-y = fraction * power / LOGISTIC_SCALE.
struct Decay {
  f32v fraction, power;
  __attribute__((always_inline)) f32v denominator() const { return fma(fraction, power, splat(LOGISTIC_SCALE)); }
};
SB_INLINE Decay decay(f32v y) {
  f32v shifted = fma(y, splat(-LOG2_E), splat(LOGISTIC_ROUNDING)), n = shifted - splat(LOGISTIC_ROUNDING);
  f32v r = fma(n, splat(LN2_LOW), fma(n, splat(LN2_HIGH), y));
  return {polynomial(r, EXP_OF_MINUS.c), power_of_shifted(shifted)};
}

SB_INLINE f32v sigmoid(f32v x) {
  f32v q = splat(1.0f) / decay(clamped(x, LOGISTIC_LOWEST, LOGISTIC_HIGHEST)).denominator();
  return q * splat(LOGISTIC_SCALE);
}

SB_INLINE f32v silu(f32v x) {
  f32v m = clamped(x, LOGISTIC_LOWEST, LOGISTIC_HIGHEST);
  f32v result = m / decay(m).denominator() * splat(LOGISTIC_SCALE);
  return select(x > splat(LOGISTIC_HIGHEST), x, result);
}

// The derivative s + m s (1 - s) y' with s = 1 / (1 + e^-y).
SB_INLINE f32v logistic_slope(const Decay& d, f32v m, f32v slope_of_y) {
  f32v q = splat(1.0f) / d.denominator();
  f32v rest = d.fraction * d.power * q;  // 1 - s
  return q * fma(m * rest, slope_of_y, splat(1.0f)) * splat(LOGISTIC_SCALE);
}
SB_INLINE f32v silu_slope(f32v x) {
  f32v m = clamped(x, LOGISTIC_LOWEST, LOGISTIC_HIGHEST);
  return logistic_slope(decay(m), m, splat(1.0f));
}

constexpr float GELU_TANH_LOWEST = -0x1.5cccccp+3f, GELU_TANH_HIGHEST = 6.0f;
// y / ln 2 = x (k + l x^2), k = 2 sqrt(2 / pi) / ln 2, l = 0.044715 k, each in two parts.
constexpr float GELU_K_HIGH = 0x1.26aec0p+1f, GELU_K_LOW = 0x1.0de73ap-22f;
constexpr float GELU_L_HIGH = 0x1.a5a7d0p-4f, GELU_L_LOW = -0x1.151aaep-29f;
// y' = 2 sqrt(2 / pi) (1 + 3 * 0.044715 x^2)
constexpr float GELU_SLOPE[] = {0x1.988454p+0f, 0x1.b6676cp-3f};
// 2^r = 1 + c[1] r + ... on |r| <= 1/2; tools/fit_functions.py exp2
constexpr float EXP2[] = {1.0f,           LN2_HIGH,        0x1.ebfbdcp-3f, 0x1.c6af7ap-5f,
                          0x1.3b2dfap-7f, 0x1.5f0992p-10f, 0x1.415f6cp-13f};

// `m` is clamped, `square` is m * m.
SB_INLINE Decay gelu_tanh_decay(f32v m, f32v square) {
  f32v slope = fma(square, splat(GELU_L_HIGH), splat(GELU_K_HIGH));
  // What the last line rounded off, what the square did, and the low parts.
  f32v low = fma(square, splat(GELU_L_HIGH), splat(GELU_K_HIGH) - slope);
  low = fma(fma(m, m, -square), splat(GELU_L_HIGH), low);
  low = fma(square, splat(GELU_L_LOW), low) + splat(GELU_K_LOW);
  f32v shifted = fma(-m, slope, splat(LOGISTIC_ROUNDING)), n = shifted - splat(LOGISTIC_ROUNDING);
  f32v r = fma(-m, low, fma(-m, slope, -n));
  return {polynomial(r, EXP2), power_of_shifted(shifted)};
}
SB_INLINE f32v gelu_tanh(f32v x) {
  f32v m = clamped(x, GELU_TANH_LOWEST, GELU_TANH_HIGHEST);
  f32v result = m / gelu_tanh_decay(m, m * m).denominator() * splat(LOGISTIC_SCALE);
  return select(x > splat(GELU_TANH_HIGHEST), x, result);
}
SB_INLINE f32v gelu_tanh_slope(f32v x) {
  f32v m = clamped(x, GELU_TANH_LOWEST, GELU_TANH_HIGHEST), square = m * m;
  return logistic_slope(gelu_tanh_decay(m, square), m, polynomial(square, GELU_SLOPE));
}

// --- gelu's erf form: x Phi(x), Phi(-a) = e^(-a^2 / 2) P(a) / Q(a) ---

constexpr float GELU_HIGHEST = 15.0f;
// tools/fit_functions.py half_erfcx
constexpr float GELU_P[] = {0.5f, 0x1.c0d170p-2f, 0x1.774598p-3f, 0x1.4ce04ap-5f, 0x1.0dc700p-8f};
constexpr float GELU_Q[] = {1.0f,           0x1.acaae8p+0f, 0x1.33d812p+0f,
                            0x1.e0bf0ap-2f, 0x1.a1398ap-4f, 0x1.521ca2p-7f};
constexpr float ONE_OVER_SQRT_2PI = 0x1.988454p-2f;
// ln 2 again, its first part of 15 bits.
constexpr float LN2_SHORT = 0x1.62e400p-1f, LN2_REST = 0x1.7f7d1cp-20f;
constexpr Coefficients<7> EXP_OF_MINUS_HALF{EXP, -0.5f, 1.0f};

// e^(-a^2 / 2) = fraction * 2^n, -163 <= n <= 0; 2^n is in the low bits of `shifted` while it is a normal number.
struct GeluDecay {
  f32v fraction, shifted, n;
};
SB_INLINE GeluDecay gelu_decay(f32v a) {
  f32v shifted = fma(a * a, splat(-0.5f * LOG2_E), splat(ROUNDING_POWER)), n = shifted - splat(ROUNDING_POWER);
  // Minus twice the clause's r. The product with the short part is exact: a^2 + 2 n ln 2 is rounded twice, at its own size.
  f32v r = fma(n, splat(2.0f * LN2_REST), fma(a, a, n * splat(2.0f * LN2_SHORT)));
  return {polynomial(r, EXP_OF_MINUS_HALF.c), shifted, n};
}

// base - factor * 2^n, of which only a subnormal product is rounded before the difference; 0 <= a <= GELU_HIGHEST.
SB_INLINE f32v minus_scaled(f32v base, f32v factor, const GeluDecay& d, f32v a) {
#if SB_WIDTH == 16
  (void)a;
  return base - (f32v)_mm512_scalef_ps((__m512)factor, (__m512)d.n);
#else
  if (__builtin_expect(!any_lane(a > splat(13.0f)), 1)) return fma(-factor, power_of_shifted(d.shifted), base);
  return base - scaled(Exponential{factor, d.n + splat(ROUNDING_SHIFT)});
#endif
}
SB_INLINE f32v gelu(f32v x) {
#if SB_WIDTH == 16
  // Of |x| and the bound the smaller; of a NaN and the bound the bound: the NaN is in the last line's x, too.
  f32v a = (f32v)_mm512_range_ps((__m512)x, (__m512)splat(GELU_HIGHEST), 0b1010);
#else
  f32v a = at_most(absolute(x), GELU_HIGHEST);
#endif
  GeluDecay d = gelu_decay(a);
  f32v g = a * d.fraction * polynomial(a, GELU_P) / polynomial(a, GELU_Q);
  return minus_scaled(at_least(x, -0.0f), g, d, a);
}
SB_INLINE f32v gelu_slope(f32v x) {
  f32v a = at_most(absolute(x), GELU_HIGHEST);
  GeluDecay d = gelu_decay(a);
  f32v g = d.fraction * fma(a, splat(-ONE_OVER_SQRT_2PI), polynomial(a, GELU_P) / polynomial(a, GELU_Q));
  i32v positive = x > f32v{};
  return minus_scaled(select(positive, splat(1.0f), f32v{}), select(positive, g, -g), d, a);
}

// The other way round, x > 0 ? x : 0 would hide a NaN.
SB_INLINE f32v relu(f32v x) { return select(x <= f32v{}, f32v{}, x); }

}  // namespace sb
