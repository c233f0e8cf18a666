// The fma peak of one core: enough independent chains in registers to fill every unit, no memory.
#include "vec.hpp"

using namespace sb;

// Runs `n` rounds of 12 vector fmas; returns how many floating-point operations that was.
SB_EXPORT int64_t sb_peak(int64_t n, float* sink) {
  f32v acc[12], x = splat(sink[0]), y = splat(sink[1]);
  for (int i = 0; i < 12; i++) acc[i] = splat((float)i);
  for (int64_t k = 0; k < n; k++)
#pragma GCC unroll 12
    for (int i = 0; i < 12; i++) acc[i] = fma(x, y, acc[i]);
  f32v sum = acc[0];
  for (int i = 1; i < 12; i++) sum = sum + acc[i];
  sink[2] = sum[0];
  return n * 12 * WIDTH * 2;
}
