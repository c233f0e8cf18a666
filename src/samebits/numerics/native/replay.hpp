// Clause N-05 by fma: the two chains of a block, then their sum onto what the blocks before it gave. Accumulators lie
// in memory, [rows][32] per panel; a kernel holds both chains of MR rows by NV vectors in registers.
#pragma once
#include "blocks.hpp"

namespace sb {
namespace engine {

#if SB_WIDTH == 16
constexpr int TILE_ROWS = 7, MIDDLE_VECTORS = 2, FEW_ROWS = 3, FEW_VECTORS = 4;
#elif SB_WIDTH == 8
constexpr int TILE_ROWS = 3, MIDDLE_VECTORS = 2, FEW_ROWS = 1, FEW_VECTORS = 4;
#elif defined(__aarch64__)
constexpr int TILE_ROWS = 6, MIDDLE_VECTORS = 2, FEW_ROWS = 3, FEW_VECTORS = 4;
#else
constexpr int TILE_ROWS = 2, MIDDLE_VECTORS = 2, FEW_ROWS = 1, FEW_VECTORS = 2;
#endif
constexpr int64_t RUN_BLOCKS = 4;     // a panel's run, unpacked, stays in the nearest cache
constexpr int64_t BLOCK_ROWS = 448;   // the left operand's run stays in the second
constexpr int64_t CHUNK_PANELS = 8;
constexpr int64_t TILES_TOGETHER = 1 << 20;
constexpr bool EMITS = false;
constexpr int64_t UNPACKING_TILES = 4;  // so many uses pay for unpacking a panel's run
// With no more rows than fewer tiles take, runs are long, for nothing is unpacked.
constexpr int64_t ONCE_ROWS = TILE_ROWS * (UNPACKING_TILES - 1);
constexpr int64_t LONG_RUN_BLOCKS = 128;

typedef float Left;  // packed rows: [k][rows of the tile], float32 that are bfloat16
typedef FlushState ChainState;
struct PartState {
  PartState() {}
  ~PartState() {}
};

// Vector `v` of a panel's row `step` of a block.
struct Packed {
  const uint32_t* at;
  int64_t panel;
  static constexpr int64_t BLOCK = BLOCK_WORDS;
  SB_INLINE f32v row(const Packed& b, int pair, bool odd, int v) {
    const int column = v * WIDTH % PANEL;
    const uint32_t* half = b.at + v * WIDTH / PANEL * b.panel + column / HALF * HALF_WORDS;
    i32v words = load_words(half + pair * HALF + column % HALF);
    return from_bits(odd ? words & (int32_t)0xffff0000 : words << 16);
  }
};
// [32 steps][32 columns] as float32, one panel.
struct Unpacked {
  const float* at;
  static constexpr int64_t BLOCK = BLOCK_K * PANEL;
  SB_INLINE f32v row(const Unpacked& b, int pair, bool odd, int v) {
    return load(b.at + (2 * pair + odd) * PANEL + v * WIDTH);
  }
};

struct ByState {
  SB_INLINE f32v fma(f32v a, f32v b, f32v c) { return sb::fma(a, b, c); }
  SB_INLINE f32v add(f32v a, f32v b) { return a + b; }
};
// Flushing where no state does it. A sum below 2^-126 is exact. An fma that was rounded to 2^-126 with subnormals
// around it is too small if 24 bits with any exponent would have stayed below: if it is less than 2^-126 - 2^-151, half a step
// of those. Binary64 can tell: so near to 2^-126 it holds product and sum exactly.
struct ByHand {
  SB_INLINE f32v zero_where_tiny(f32v x, i32v tiny) {
    return select(tiny, from_bits(bits_of(x) & (int32_t)0x80000000), x);
  }
  SB_INLINE f32v fma(f32v a, f32v b, f32v c) {
    const f32v rounded = sb::fma(a, b, c);
    const i32v magnitude = bits_of(absolute(rounded));
    const f64v sum = to_f64(a) * to_f64(b) + to_f64(c);
    const double limit = 0x1p-126 - 0x1p-151;
    const i32v below = __builtin_convertvector((sum < limit) & (sum > -limit), i32v);
    return zero_where_tiny(rounded, (magnitude < 0x00800000) | ((magnitude == 0x00800000) & below));
  }
  SB_INLINE f32v add(f32v a, f32v b) {
    const f32v sum = a + b;
    return zero_where_tiny(sum, bits_of(absolute(sum)) < 0x00800000);
  }
};

template <int MR, int NV, class B, class Flush>
SB_INLINE void step(const float* a, const B& b, int pair, bool odd, f32v (&sums)[MR][NV]) {
  f32v row[NV];
#pragma GCC unroll 8
  for (int v = 0; v < NV; v++) row[v] = B::row(b, pair, odd, v);
#pragma GCC unroll 8
  for (int i = 0; i < MR; i++) {
    f32v x = splat(a[i]);
#if SB_WIDTH == 16
    if (NV > 1) asm("" : "+v"(x));  // one broadcast for all vectors
#endif
#pragma GCC unroll 8
    for (int v = 0; v < NV; v++) sums[i][v] = Flush::fma(x, row[v], sums[i][v]);
  }
}

template <int MR, int NV, class B, class Flush>
__attribute__((noinline)) void chains(const Step& s, B b, float* acc, bool fresh) {
  const Left* a = (const Left*)s.a;
  const int64_t acc_panel = s.acc_panel;
  for (int64_t block = 0; block < s.n_blocks; block++) {
    f32v even[MR][NV] = {}, odd[MR][NV] = {};
#pragma GCC unroll 1
    for (int pair = 0; pair < BLOCK_K / 2; pair++) {
      step<MR, NV, B, Flush>(a, b, pair, false, even);
      step<MR, NV, B, Flush>(a + MR, b, pair, true, odd);
      a += 2 * MR;
    }
#pragma GCC unroll 8
    for (int i = 0; i < MR; i++)
#pragma GCC unroll 8
      for (int v = 0; v < NV; v++) {
        float* c = acc + v * WIDTH / PANEL * acc_panel + i * PANEL + v * WIDTH % PANEL;
        const f32v before = fresh ? f32v{} : load(c);
        store(c, Flush::add(before, Flush::add(even[i][v], odd[i][v])));
      }
    fresh = false;
    b.at += B::BLOCK;
  }
}

template <int MR, int NV, class Flush>
void over_columns(const Step& s) {
  if (s.unpacked) {
    for (int column = 0; column < PANEL; column += NV * WIDTH)
      chains<MR, NV, Unpacked, Flush>(s, Unpacked{s.unpacked + column}, s.acc + column, s.fresh);
    return;
  }
  if (NV * WIDTH > PANEL) return chains<MR, NV, Packed, Flush>(s, Packed{s.b, s.b_panel}, s.acc, s.fresh);
  for (int panel = 0; panel < s.n_panels; panel++)
    for (int column = 0; column < PANEL; column += NV * WIDTH) {
      const uint32_t* words = s.b + panel * s.b_panel + column / HALF * HALF_WORDS + column % HALF;
      chains<MR, NV, Packed, Flush>(s, Packed{words, 0}, s.acc + panel * s.acc_panel + column, s.fresh);
    }
}

// Few rows take more vectors, for chains enough to hide an fma's latency; on AVX-512 those are two panels.
template <int MR, class Flush>
void multiply_rows(const Step& s) {
  constexpr bool FEW = MR <= FEW_ROWS;
  if (FEW && (FEW_VECTORS * WIDTH <= PANEL || s.n_panels == 2) && !s.unpacked)
    over_columns<MR, FEW ? FEW_VECTORS : MIDDLE_VECTORS, Flush>(s);
  else
    over_columns<MR, MIDDLE_VECTORS, Flush>(s);
}

template <class Flush>
struct Kernels {
  void (*by_rows[TILE_ROWS + 1])(const Step&) = {};
  template <int MR = TILE_ROWS>
  constexpr void fill() {
    by_rows[MR] = multiply_rows<MR, Flush>;
    if constexpr (MR > 1) fill<MR - 1>();
  }
  constexpr Kernels() { fill(); }
};
constexpr Kernels<ByState> BY_STATE;
constexpr Kernels<ByHand> BY_HAND;

static inline void multiply(const Step& s) {
  if (!STATE_FLUSHES && s.tiny) return BY_HAND.by_rows[s.n_rows](s);
  BY_STATE.by_rows[s.n_rows](s);
}

static inline int64_t n_tiles(int64_t n_rows) { return (n_rows + TILE_ROWS - 1) / TILE_ROWS; }
static inline int64_t tile_start(int64_t n_rows, int64_t tile) { return n_rows * tile / n_tiles(n_rows); }
constexpr int64_t LEFT_OF_BLOCK = TILE_ROWS * BLOCK_K;  // elements of one tile's block

// Rows `row` to row + n_rows - 1, steps from k0 on.
static inline void pack_left(const Operand& a, int64_t row, int n_rows, int64_t k0, int64_t n_k, Left* out,
                             int& least) {
  for (int64_t k = 0; k < n_k; k += BLOCK_K, out += n_rows * BLOCK_K)
    for (int i = 0; i < n_rows; i++) {
      uint16_t line[BLOCK_K];
      read_line(a, true, row + i, k0 + k, shorter(n_k - k, BLOCK_K), line, least);
      for (int c = 0; c < BLOCK_K; c++) {
        const uint32_t bits = (uint32_t)line[c] << 16;
        memcpy(out + c * n_rows + i, &bits, 4);
      }
    }
}

constexpr int64_t UNPACKED_FLOATS = RUN_BLOCKS * 3 / 2 * BLOCK_K * PANEL;

// A panel's run as float32 in `room`, or null where too few tiles use it.
static inline const float* unpacked(const uint32_t* b, int64_t n_blocks, int64_t tiles, float* room) {
  if (tiles < UNPACKING_TILES) return nullptr;
  float* out = room;
  for (int64_t block = 0; block < n_blocks; block++, b += BLOCK_WORDS)
    for (int pair = 0; pair < BLOCK_K / 2; pair++, out += 2 * PANEL)
      for (int v = 0; v < PANEL / WIDTH; v++) {
        store(out + v * WIDTH, Packed::row(Packed{b, 0}, pair, false, v));
        store(out + PANEL + v * WIDTH, Packed::row(Packed{b, 0}, pair, true, v));
      }
  return room;
}

}  // namespace engine
}  // namespace sb
