// Repeats recorded kernel calls on this machine, real or emulated, and compares every byte that they could reach.
//
//     replayer RECORDING [LIBRARY]
//
// The kernels are linked in (REPLAY_LINKED) or are those of LIBRARY. calls.inc is made from ops.py; recorder.py says what a
// recording holds. Prints tab-separated lines; exit code 0 same, 1 different, 2 could not tell.
#include <fenv.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#elif !defined(REPLAY_LINKED)
#include <dlfcn.h>
#endif

namespace {

// What one argument is, as the caller of its type takes it.
struct Value {
  int64_t i;
  float f;
  double d;
  char* p;
};
typedef int64_t (*Caller)(void* function, const Value* v);
struct Kernel {
  const char* name;
  size_t n_arguments;
  Caller call;
  void* linked;
};

#include "calls.inc"

constexpr size_t N_KERNELS = sizeof KERNELS / sizeof *KERNELS;
constexpr size_t GUARD = 256, LINE = 64;
constexpr unsigned char GUARD_BYTE = 0xa5;

[[noreturn]] void give_up(const char* what, const char* which) {
  printf("error\t%s%s\n", what, which);
  exit(2);
}

void* required(void* found, const char* name) {
  if (!found) give_up("the library must hold ", name);
  return found;
}

#if !defined(REPLAY_LINKED)
#if defined(_WIN32)
void* symbol_of(void* library, const char* name) {
  return required((void*)GetProcAddress((HMODULE)library, name), name);
}
void* opened(const char* path) { return (void*)LoadLibraryA(path); }
#else
void* symbol_of(void* library, const char* name) { return required(dlsym(library, name), name); }
void* opened(const char* path) { return dlopen(path, RTLD_NOW); }
#endif
#endif

// --- N-01: a kernel must not mind the state that its caller was in, and must give it back ---

#if defined(__x86_64__)
typedef uint32_t State;
State state() {
  State word;
  asm volatile("stmxcsr %0" : "=m"(word)::"memory");
  return word & ~0x3fu;  // the flags of what happened are not promised
}
void set_state(State word) { asm volatile("ldmxcsr %0" ::"m"(word) : "memory"); }
const State STATES[] = {0x1f80, 0x1f80 | 0x8040, 0x1f80 | 0x2000, 0x1f80 | 0x4000, 0x1f80 | 0x6000 | 0x8040};
#elif defined(__aarch64__)
typedef uint64_t State;
State state() {
  State word;
  asm volatile("mrs %0, fpcr" : "=r"(word)::"memory");
  return word;
}
void set_state(State word) { asm volatile("msr fpcr, %0" ::"r"(word) : "memory"); }
const State STATES[] = {0, 1 << 24, 1 << 22, 2 << 22, 3 << 22 | 1 << 24};
#else
typedef int State;
State state() { return fegetround(); }
void set_state(State mode) { fesetround(mode); }
const State STATES[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
#endif
constexpr size_t N_STATES = sizeof STATES / sizeof *STATES;

// Where a result is flushed to zero, x86-64 asks whether it is too small once rounded. An emulator may ask before.
bool flushes_before_rounding() {
#if defined(__x86_64__)
  set_state(STATES[1]);
  volatile float a = 0x1p-63f * (1 + 0x1p-13f), b = 0x1p-63f * (1 - 0x1p-13f), product = a * b;
  set_state(STATES[0]);
  return product == 0;
#else
  return false;
#endif
}

// --- the recording ---

struct Reader {
  const unsigned char* at;
  const unsigned char* end;

  const unsigned char* bytes(uint64_t n) {
    if (n > (uint64_t)(end - at)) give_up("the recording must be whole", "");
    at += n;
    return at - n;
  }
  uint64_t number(int n_bytes) {
    const unsigned char* from = bytes(n_bytes);
    uint64_t value = 0;
    for (int i = n_bytes; i--;) value = value << 8 | from[i];
    return value;
  }
  uint32_t u32() { return (uint32_t)number(4); }
  int64_t i64() { return (int64_t)number(8); }
};

struct Blob {
  uint32_t item_bytes;
  uint64_t n;
  const unsigned char* bytes;
};

template <class T>
T* many(uint64_t n) {
  T* found = (T*)calloc(n + 1, sizeof(T));
  if (!found) give_up("there must be memory", "");
  return found;
}

// A blob in this machine's byte order.
void copy_blob(char* to, const Blob& blob) {
  if (blob.n) memcpy(to, blob.bytes, blob.n);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  for (uint64_t i = 0; i < blob.n; i += blob.item_bytes)
    for (uint32_t j = 0; j < blob.item_bytes; j++) to[i + j] = (char)blob.bytes[i + blob.item_bytes - 1 - j];
#endif
}

// Memory between two guards, at an address like the recorded one.
struct Room {
  char* raw;
  char* start;
  uint64_t n;

  void make(uint64_t n_bytes, uint32_t modulo) {
    n = n_bytes;
    raw = many<char>(n + 2 * GUARD + 2 * LINE);
    start = raw + GUARD + LINE;
    start += (modulo - (uintptr_t)start) & (LINE - 1);
    memset(start - GUARD, GUARD_BYTE, GUARD);
    memset(start + n, GUARD_BYTE, GUARD);
  }
  // Where the first byte was written outside, from the start; 0 where none was.
  int64_t written_outside() const {
    for (size_t i = 1; i <= GUARD; i++)
      if ((unsigned char)start[-(int64_t)i] != GUARD_BYTE) return -(int64_t)i;
    for (size_t i = 0; i < GUARD; i++)
      if ((unsigned char)start[n + i] != GUARD_BYTE) return (int64_t)(n + i);
    return 0;
  }
};

struct Region {
  uint32_t kind, item_bytes, after;
  Room room;
  int argument;  // the first that points here
};

uint64_t bits_at(const char* at, uint32_t item_bytes) {
  uint8_t b1;
  uint16_t b2;
  uint32_t b4;
  uint64_t b8 = 0;
  if (item_bytes == 1) return memcpy(&b1, at, 1), b1;
  if (item_bytes == 2) return memcpy(&b2, at, 2), b2;
  if (item_bytes == 4) return memcpy(&b4, at, 4), b4;
  return memcpy(&b8, at, 8), b8;
}

bool is_nan(uint64_t bits, uint32_t item_bytes) {
  if (item_bytes == 2) return (bits & 0x7fff) > 0x7c00;
  if (item_bytes == 4) return (bits & 0x7fffffff) > 0x7f800000;
  return item_bytes == 8 && (bits & INT64_MAX) > 0x7ff0000000000000;
}

struct Tally {
  uint64_t n_calls, n_elements, n_different;
};

struct Replay {
  Reader in;
  char** texts;
  Blob* blobs;
  Room* packed;
  void* functions[N_KERNELS];
  Tally tallies[N_KERNELS];
  uint32_t number;      // of the call in hand
  size_t kernel;        // its kernel
  const char* test;     // and where it was recorded
  bool same_so_far;     // within the call

  size_t kernel_named(const char* name) {
    for (size_t i = 0; i < N_KERNELS; i++)
      if (!strcmp(KERNELS[i].name, name)) return i;
    give_up("calls.inc must name ", name);
  }

  void read_tables() {
    if (memcmp(in.bytes(8), "SBCALLS1", 8)) give_up("the file must be a recording", "");
    uint32_t n_texts = in.u32();
    texts = many<char*>(n_texts);
    for (uint32_t i = 0; i < n_texts; i++) {
      uint32_t n = in.u32();
      texts[i] = many<char>(n);
      memcpy(texts[i], in.bytes(n), n);
    }
    uint32_t n_blobs = in.u32();
    blobs = many<Blob>(n_blobs);
    for (uint32_t i = 0; i < n_blobs; i++) {
      blobs[i].item_bytes = in.u32(), blobs[i].n = in.number(8);
      blobs[i].bytes = in.bytes(blobs[i].n);
    }
  }

  void differs() {
    if (same_so_far) tallies[kernel].n_different++;
    same_so_far = false;
  }
  bool is_first() const { return same_so_far && !tallies[kernel].n_different; }
  void name_call() const { printf("difference\t%s\tcall %u of %s: ", KERNELS[kernel].name, number, test); }

  Region read_region() {
    Region region{};
    region.kind = in.u32(), region.item_bytes = in.u32(), region.argument = -1;
    if (region.kind < 2) {
      uint32_t modulo = in.u32(), before = in.u32();
      region.after = in.u32();
      region.room.make(blobs[before].n, modulo);
      copy_blob(region.room.start, blobs[before]);
      return region;
    }
    Room& room = packed[in.u32()];
    if (region.kind == 2) {
      size_t sizes = kernel_named(texts[in.u32()]);
      uint32_t n = in.u32();
      if (n != KERNELS[sizes].n_arguments) give_up("the arguments must be as many as ops.py says: ", KERNELS[sizes].name);
      Value values[8] = {};
      for (uint32_t i = 0; i < n && i < 8; i++) values[i].i = in.i64();
      room.make((uint64_t)KERNELS[sizes].call(functions[sizes], values) * region.item_bytes, 0);
      tallies[sizes].n_calls++;
    }
    region.room = room;
    return region;
  }

  void read_arguments(Value* values, Region* regions) {
    uint32_t n = in.u32();
    if (n != KERNELS[kernel].n_arguments) give_up("the arguments must be as many as ops.py says: ", KERNELS[kernel].name);
    for (uint32_t i = 0; i < n; i++) {
      uint32_t type = in.u32();
      if (type == 0) values[i].i = in.i64();
      if (type == 1) {
        uint64_t bits = (uint64_t)in.i64();
        uint32_t low = (uint32_t)bits;
        memcpy(&values[i].f, &low, 4);
        memcpy(&values[i].d, &bits, 8);
      }
      if (type == 3) {
        Region& region = regions[in.u32()];
        if (region.argument < 0) region.argument = (int)i;
        values[i].p = region.room.start + in.i64();
      }
    }
  }

  void compare(const Region& region) {
    if (int64_t at = region.room.written_outside()) {
      if (is_first()) {
        name_call();
        printf("argument %d was written outside, at byte %lld of %lld\n", region.argument, (long long)at,
               (long long)region.room.n);
      }
      differs();
    }
    if (region.kind >= 2) return;
    const uint64_t n = region.room.n;
    const uint32_t size = region.item_bytes;
    tallies[kernel].n_elements += n / size;
    char* expected = many<char>(n);
    copy_blob(expected, blobs[region.after]);
    const bool equal = !memcmp(expected, region.room.start, n);
    for (uint64_t i = 0; !equal && i < n; i += size) {
      uint64_t e = bits_at(expected + i, size), a = bits_at(region.room.start + i, size);
      if (e == a || (region.kind == 1 && is_nan(e, size) && is_nan(a, size))) continue;
      if (is_first()) {
        name_call();
        printf("argument %d, element %llu of %llu: expected 0x%0*llx, got 0x%0*llx\n", region.argument,
               (unsigned long long)(i / size), (unsigned long long)(n / size), (int)size * 2, (unsigned long long)e,
               (int)size * 2, (unsigned long long)a);
      }
      differs();
      break;
    }
    free(expected);
  }

  void replay_call() {
    kernel = kernel_named(texts[in.u32()]), test = texts[in.u32()], same_so_far = true;
    uint32_t n_regions = in.u32();
    Region* regions = many<Region>(n_regions);
    for (uint32_t i = 0; i < n_regions; i++) regions[i] = read_region();
    Value* values = many<Value>(KERNELS[kernel].n_arguments);
    read_arguments(values, regions);
    const State before = STATES[number % N_STATES];
    set_state(before);
    const int64_t returned = KERNELS[kernel].call(functions[kernel], values);
    const State after = state();
    set_state(STATES[0]);
    tallies[kernel].n_calls++;
    if (returned || after != before) {
      if (is_first()) {
        name_call();
        if (returned) printf("returned %lld\n", (long long)returned);
        else printf("left the floating-point state 0x%llx as 0x%llx\n", (long long)before, (long long)after);
      }
      differs();
    }
    for (uint32_t i = 0; i < n_regions; i++) {
      compare(regions[i]);
      if (regions[i].kind < 2) free(regions[i].room.raw);
    }
    free(values);
    free(regions);
  }

  int run() {
    read_tables();
    uint32_t n_calls = in.u32();
    packed = many<Room>(n_calls);  // as many as could be
    for (number = 0; number < n_calls; number++) replay_call();
    int code = in.at == in.end ? 0 : 2;
    for (size_t i = 0; i < N_KERNELS; i++) {
      const Tally& tally = tallies[i];
      printf("kernel\t%s\t%llu\t%llu\t%llu\n", KERNELS[i].name, (unsigned long long)tally.n_calls,
             (unsigned long long)tally.n_elements, (unsigned long long)tally.n_different);
      if (tally.n_different) code = 1;
    }
    if (code == 2) give_up("the recording must end where its last call does", "");
    printf("end\n");
    return code;
  }
};

Reader read_file(const char* path) {
  FILE* file = fopen(path, "rb");
  if (!file) give_up("the recording must be readable: ", path);
  fseek(file, 0, SEEK_END);
  long n = ftell(file);
  fseek(file, 0, SEEK_SET);
  unsigned char* bytes = many<unsigned char>((uint64_t)n);
  if (fread(bytes, 1, (size_t)n, file) != (size_t)n) give_up("the recording must be readable: ", path);
  fclose(file);
  return Reader{bytes, bytes + n};
}

}  // namespace

int main(int n_words, char** words) {
  static Replay replay;
  if (n_words < 2) give_up("usage: replayer RECORDING [LIBRARY]", "");
  replay.in = read_file(words[1]);
#if defined(REPLAY_LINKED)
  for (size_t i = 0; i < N_KERNELS; i++) replay.functions[i] = KERNELS[i].linked;
  printf("isa\t%s\n", sb_isa());
#else
  if (n_words < 3) give_up("a library must be named", "");
  void* library = opened(words[2]);
  if (!library) give_up("the library must load: ", words[2]);
  for (size_t i = 0; i < N_KERNELS; i++) replay.functions[i] = symbol_of(library, KERNELS[i].name);
  printf("isa\t%s\n", ((const char* (*)())symbol_of(library, "sb_isa"))());
  // As whoever loads a library does: some registers must be asked for before they are used.
  ((uint32_t (*)())symbol_of(library, "sb_processor"))();
#endif
  if (flushes_before_rounding()) printf("flushes early\n");
  return replay.run();
}
