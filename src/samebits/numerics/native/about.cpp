// What this library is, and what the processor that it was loaded on can do.
#include "vec.hpp"
#if defined(__x86_64__)
#include <cpuid.h>
#endif
#if defined(__x86_64__) && defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif

#if !defined(SB_SOURCES)
#error "SB_SOURCES must hold the digest of the sources: build with samebits.numerics.build"
#endif

namespace {

const char SOURCES[] = SB_SOURCES;

#if defined(__x86_64__)
__attribute__((target("xsave"))) uint64_t enabled_by_the_system() {
  uint32_t low, high;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (uint64_t)high << 32 | low;
}

// Linux gives a process the 8 KB of tiles only on demand, and may refuse (a small signal stack, an old kernel): asking
// is the only way to know. What was granted holds for every thread, and for children that are forked.
bool system_grants_tiles() {
#if defined(__linux__)
  constexpr long REQUEST_PERMISSION = 0x1023, TILE_DATA = 18;
  return syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
#else
  return false;
#endif
}
#endif

}  // namespace

SB_EXPORT const char* sb_isa() { return SB_ISA; }
SB_EXPORT const char* sb_sources() { return SOURCES; }

[[maybe_unused]] constexpr uint32_t CAN_AVX2 = 1, CAN_AVX512 = 2, CAN_AMX = 4;

// Instruction sets beyond the baseline that processor and system both allow, as a sum of the constants above.
SB_EXPORT uint32_t sb_processor() {
  uint32_t can = 0;
#if defined(__x86_64__)
  uint32_t a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return 0;
  const uint32_t FMA = 1u << 12, MOVBE = 1u << 22, OSXSAVE = 1u << 27, F16C = 1u << 29;
  if ((c & (FMA | MOVBE | OSXSAVE | F16C)) != (FMA | MOVBE | OSXSAVE | F16C)) return 0;
  const uint64_t enabled = enabled_by_the_system();
  const bool ymm = (enabled & 0x6) == 0x6, zmm = (enabled & 0xe6) == 0xe6;
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 0;
  const uint32_t BMI1 = 1u << 3, AVX2 = 1u << 5, BMI2 = 1u << 8;
  const uint32_t F = 1u << 16, DQ = 1u << 17, CD = 1u << 28, BW = 1u << 30, VL = 1u << 31;
  const uint32_t leaf7 = b, AMX = 1u << 22 | 1u << 24;  // bfloat16 and tiles
  const bool amx = (d & AMX) == AMX && (enabled >> 17 & 3) == 3;
  const uint32_t LZCNT = 1u << 5;
  if (!__get_cpuid(0x80000001, &a, &b, &c, &d) || !(c & LZCNT)) return 0;
  const uint32_t v3 = BMI1 | AVX2 | BMI2, v4 = v3 | F | DQ | CD | BW | VL;
  if (ymm && (leaf7 & v3) == v3) can |= CAN_AVX2;
  if (zmm && (leaf7 & v4) == v4) can |= CAN_AVX512;
  if ((can & CAN_AVX512) && amx && system_grants_tiles()) can |= CAN_AMX;
#endif
  return can;
}
