// Clause N-14 on vectors and on single elements: 16-bit formats and float32, by integers.
#pragma once
#include "vec.hpp"

namespace sb {

typedef uint16_t u16v __attribute__((vector_size(WIDTH * 2)));

SB_INLINE i32v load_16(const uint16_t* from) {
  u16v x;
  memcpy(&x, from, sizeof x);
  return (i32v)__builtin_convertvector(x, u32v);
}
SB_INLINE void store_16(uint16_t* to, i32v x) {
  u16v low = __builtin_convertvector((u32v)x, u16v);
  memcpy(to, &low, sizeof low);
}

// bfloat16 is float32's upper half: to nearest, ties to even, carrying into the exponent; a NaN only becomes quiet.
SB_INLINE i32v to_bf16(f32v x) {
  i32v bits = bits_of(x);
  i32v upper = (i32v)((u32v)bits >> 16);
  i32v rounded = (i32v)((u32v)(bits + 0x7fff + (upper & 1)) >> 16);
  return select((bits & 0x7fffffff) > 0x7f800000, upper | 0x40, rounded);
}
SB_INLINE f32v from_bf16(i32v x) { return from_bits((i32v)((u32v)x << 16)); }

SB_INLINE uint16_t to_bf16(float x) {
  uint32_t bits;
  memcpy(&bits, &x, 4);
  if ((bits & 0x7fffffff) > 0x7f800000) return (uint16_t)(bits >> 16 | 0x40);
  return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

}  // namespace sb
