// Clause N-01: round to nearest even, subnormals kept, exceptions masked. Another library may have left this thread
// otherwise, so every task of every kernel runs inside a FloatState, and the caller's state is given back after it.
#pragma once
#include <stdint.h>

namespace sb {

class FloatState {
 public:
  FloatState() : saved_(read()) { write(WANTED); }
  ~FloatState() { write(saved_); }
  FloatState(const FloatState&) = delete;
  FloatState& operator=(const FloatState&) = delete;

 private:
  // The memory clobbers keep loads before and stores after from crossing the change of state.
#if defined(__x86_64__)
  typedef uint32_t Word;
  static constexpr Word WANTED = 0x1f80;  // MXCSR: all exceptions masked, nothing else set
  static Word read() {
    Word word;
    asm volatile("stmxcsr %0" : "=m"(word)::"memory");
    return word;
  }
  static void write(Word word) { asm volatile("ldmxcsr %0" ::"m"(word) : "memory"); }
#elif defined(__aarch64__)
  typedef uint64_t Word;
  static constexpr Word WANTED = 0;  // FPCR: RNE, no FZ, no FZ16, no DN, no AH, no FIZ, no traps
  static Word read() {
    Word word;
    asm volatile("mrs %0, fpcr" : "=r"(word)::"memory");
    return word;
  }
  static void write(Word word) { asm volatile("msr fpcr, %0" ::"r"(word) : "memory"); }
#elif defined(__riscv)
  typedef unsigned long Word;
  static constexpr Word WANTED = 0;  // frm: RNE; RISC-V always keeps subnormals and never traps
  static Word read() {
    Word word;
    asm volatile("frrm %0" : "=r"(word)::"memory");
    return word;
  }
  static void write(Word word) { asm volatile("fsrm %0" ::"r"(word) : "memory"); }
#elif defined(__s390x__)
  typedef uint32_t Word;
  static constexpr Word WANTED = 0;  // FPC: no traps, RNE; z/Architecture always keeps subnormals in binary formats
  static Word read() {
    Word word;
    asm volatile("efpc %0" : "=d"(word)::"memory");
    return word;
  }
  static void write(Word word) { asm volatile("sfpc %0" ::"d"(word) : "memory"); }
#else
#error "the floating-point state of this architecture is not known (clause N-01)"
#endif

  Word saved_;
};

// Clause N-05's flushing, inside a FloatState. x86-64 can do it by its state: it decides after rounding what is too
// small, as that clause does. Elsewhere nothing is set and kernels flush by hand; SB_FLUSH_BY_HAND tests that here.
#if defined(__x86_64__) && !defined(SB_FLUSH_BY_HAND)
constexpr bool STATE_FLUSHES = true;
class FlushState {
 public:
  FlushState() { write(0x9fc0); }   // MXCSR: FTZ and DAZ, all exceptions masked
  ~FlushState() { write(0x1f80); }  // N-01

 private:
  static void write(uint32_t word) { asm volatile("ldmxcsr %0" ::"m"(word) : "memory"); }
};
#else
constexpr bool STATE_FLUSHES = false;
class FlushState {
 public:
  FlushState() {}
  ~FlushState() {}
};
#endif

}  // namespace sb
