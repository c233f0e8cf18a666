// The order in which the bfloat16 product (clause N-05) reads its right operand: the order of AMX's tiles, on every
// processor. Panels of 32 columns; a panel has blocks of 32 steps of k; a block two halves of 16 columns; a half has
// for each pair of steps and each column one word, the even step's bits low, the odd one's high. What is missing is +0.
#pragma once
#include "bf16.hpp"
#include "state.hpp"

namespace sb {

constexpr int BLOCK_K = 32, PANEL = 32, HALF = 16;
constexpr int READ_AHEAD = 8 * BLOCK_K;  // elements: about the run that is packed next
constexpr int HALF_WORDS = HALF * BLOCK_K / 2, BLOCK_WORDS = 2 * HALF_WORDS;

SB_INLINE int64_t blocks_of(int64_t k) { return (k + BLOCK_K - 1) / BLOCK_K; }
SB_INLINE int64_t panels_of(int64_t n) { return (n + PANEL - 1) / PANEL; }
// A panel ends with one line more: its least exponent, and panels never share one set of a cache.
SB_INLINE int64_t panel_words(int64_t k) { return blocks_of(k) * BLOCK_WORDS + 16; }

// An operand, float32 (rounded as it is read, N-14) or bfloat16: element (row, column) at row * row_stride + ...
struct Operand {
  const void* at;
  bool is_f32;
  int64_t row, column;

  uint16_t bits(int64_t i, int64_t j) const {
    const int64_t place = i * row + j * column;
    return is_f32 ? to_bf16(((const float*)at)[place]) : ((const uint16_t*)at)[place];
  }
};

// Finished sums, [rows][32], on their way to C, with the bias if there is one.
struct Emission {
  const float* from;
  float* to;
  int64_t to_row;
  const float* bias;
  bool past_caches;  // `to` and its rows are aligned, and C is long
  int n_rows;

  // Writes the next rows, at most `most`.
  __attribute__((always_inline)) void advance(int most) {
    const int n = most < n_rows ? most : n_rows;
    for (int i = 0; i < n; i++, from += PANEL, to += to_row)
      for (int j = 0; j < PANEL; j += WIDTH) {
        f32v y = load(from + j);
        if (bias) y = y + load(bias + j);
        if (past_caches) store_past_caches(to + j, y);
        else store(to + j, y);
      }
    n_rows -= n;
  }
};

// What an engine is asked: a tile of rows times one or two panels, over a run of blocks.
struct Step {
  const void* a;  // the engine's packed rows
  int n_rows;
  int64_t n_blocks;
  const uint32_t* b;      // the first panel's first block
  const float* unpacked;  // the same as float32, or null
  int64_t b_panel;        // words from panel to panel
  int n_panels;
  float* acc;         // [rows][32], what waits between runs
  int64_t acc_panel;  // floats from panel to panel
  float* result;      // where the sums go: `acc`, or, after the last run, elsewhere
  bool fresh;         // start from +0, without reading `acc`
  bool tiny;          // partial sums may have to be flushed, and no state does it
  Emission* emission;  // may be written out meanwhile
  const char* ahead;   // this tile's share of each block that is needed next, or null
  int64_t ahead_bytes;
};

// --- which sums of products can need flushing (only where no state does it) ---
//
// A bfloat16 with biased exponent x is a multiple of 2^(x - 134). With one of y it makes multiples of 2^(x + y - 268), and
// so is every partial sum, rounded or not. From x + y = 142 on that is 2^-126 or more: only zero lies below.
constexpr int NOTHING_TINY = 142;
constexpr int NO_EXPONENT = 255;

// Subnormal operands are zeros of their sign (N-05).
SB_INLINE uint16_t without_subnormal(uint16_t bits) { return bits & 0x7f80 ? bits : bits & 0x8000; }
SB_INLINE void take_exponent(int& least, uint16_t bits) {
  int exponent = bits >> 7 & 0xff;
  if (exponent && exponent < least) least = exponent;
}

// `n` elements (at most 32) of row i from column j on, where `by_rows`, or of column i from row j on; then zeros.
// The lowest exponent goes into `least` where somebody wants it.
SB_INLINE void read_line(const Operand& from, bool by_rows, int64_t i, int64_t j, int n, uint16_t* out, int& least) {
  const int64_t step = by_rows ? from.column : from.row;
  const int64_t start = by_rows ? i * from.row + j * step : j * step + i * from.column;
  if (STATE_FLUSHES && step == 1 && n == BLOCK_K) {
    if (!from.is_f32) {
      __builtin_prefetch((const uint16_t*)from.at + start + READ_AHEAD);
      memcpy(out, (const uint16_t*)from.at + start, BLOCK_K * 2);
      return;
    }
    const float* x = (const float*)from.at + start;
    __builtin_prefetch(x + READ_AHEAD);
    __builtin_prefetch(x + READ_AHEAD + 16);
    for (int c = 0; c < BLOCK_K; c += WIDTH) store_16(out + c, to_bf16(load(x + c)));
    return;
  }
  int c = 0;
  if (step == 1 && from.is_f32) {
    const float* x = (const float*)from.at + start;
    for (; c + WIDTH <= n; c += WIDTH) store_16(out + c, to_bf16(load(x + c)));
    for (; c < n; c++) out[c] = to_bf16(x[c]);
  } else if (step == 1) {
    memcpy(out, (const uint16_t*)from.at + start, (size_t)n * 2);
    c = n;
  }
  for (; c < n; c++) out[c] = by_rows ? from.bits(i, j + c) : from.bits(j + c, i);
  for (; c < BLOCK_K; c++) out[c] = 0;
  if (STATE_FLUSHES) return;
  for (c = 0; c < n; c++) {
    out[c] = without_subnormal(out[c]);
    take_exponent(least, out[c]);
  }
}

// One block from step k0 and column n0 on.
static inline void pack_block(const Operand& b, int64_t k0, int n_k, int64_t n0, int n, uint32_t* out, int& least) {
  uint16_t lines[BLOCK_K][PANEL] = {};
  const bool by_rows = b.column == 1;  // lines are steps of k, else columns
  if (by_rows)
    for (int k = 0; k < n_k; k++) read_line(b, true, k0 + k, n0, n, lines[k], least);
  else
    for (int j = 0; j < n; j++) read_line(b, false, n0 + j, k0, n_k, lines[j], least);
  for (int half = 0; half < 2; half++)
    for (int pair = 0; pair < BLOCK_K / 2; pair++)
      for (int c = 0; c < HALF; c++) {
        const int j = half * HALF + c;
        const uint32_t even = by_rows ? lines[2 * pair][j] : lines[j][2 * pair];
        const uint32_t odd = by_rows ? lines[2 * pair + 1][j] : lines[j][2 * pair + 1];
        *out++ = even | odd << 16;
      }
}

static inline int shorter(int64_t n, int most) { return n < most ? (int)n : most; }

// Panel `panel` of a right operand of k rows and n columns.
static inline void pack_panel_16(const Operand& b, int64_t k, int64_t n, int64_t panel, uint32_t* out) {
  int least = NO_EXPONENT;
  const int n_columns = shorter(n - panel * PANEL, PANEL);
  for (int64_t k0 = 0; k0 < k; k0 += BLOCK_K, out += BLOCK_WORDS)
    pack_block(b, k0, shorter(k - k0, BLOCK_K), panel * PANEL, n_columns, out, least);
  for (int i = 0; i < 16; i++) out[i] = (uint32_t)least;
}

SB_INLINE i32v load_words(const uint32_t* from) {
  i32v x;
  memcpy(&x, from, sizeof x);
  return x;
}
SB_INLINE void store_words(uint32_t* to, i32v x) { memcpy(to, &x, sizeof x); }

// The same block of the transposed operand: columns become steps of k.
static inline void transpose_block(const uint32_t* from, uint32_t* out) {
  for (int half = 0; half < 2; half++)
    for (int i = 0; i < HALF; i += WIDTH)
      for (int j = 0; j < HALF; j += WIDTH) {
        f32v rows[WIDTH];
        for (int r = 0; r < WIDTH; r++)
          rows[r] = from_bits(load_words(from + half * HALF_WORDS + (i + r) * HALF + j));
        transpose(rows);
        // rows[r]: column j + r at pairs i to i + WIDTH - 1. Two neighbouring columns make a pair of steps.
        for (int r = 0; r < WIDTH; r += 2) {
          const i32v one = bits_of(rows[r]), other = bits_of(rows[r + 1]);
          const i32v even = (one & 0xffff) | other << 16;
          const i32v odd = (i32v)((u32v)one >> 16) | (other & (int32_t)0xffff0000);
          const i32v low = __builtin_shufflevector(even, odd, SB_INTERLEAVE_LOW);
          const i32v high = __builtin_shufflevector(even, odd, SB_INTERLEAVE_HIGH);
          const int pair = half * (HALF / 2) + (j + r) / 2, column = 2 * i, next = column + WIDTH;
          store_words(out + column / HALF * HALF_WORDS + pair * HALF + column % HALF, low);
          store_words(out + next / HALF * HALF_WORDS + pair * HALF + next % HALF, high);
        }
      }
}

// The least exponent of an operand of k rows and n columns that lies in panels.
static inline uint32_t least_exponent(const uint32_t* panels, int64_t k, int64_t n) {
  uint32_t least = NO_EXPONENT;
  for (int64_t panel = 0; panel < panels_of(n); panel++) {
    const uint32_t own = panels[panel * panel_words(k) + blocks_of(k) * BLOCK_WORDS];
    if (own < least) least = own;
  }
  return least;
}

// Blocks `block0` to `block1` of `n_panels` panels, from `panel0` on, of the transpose of an operand of k rows that
// lies in panels itself. Neighbours are read together: they lie side by side.
static inline void transpose_blocks(const uint32_t* panels, int64_t k, int64_t block0, int64_t block1, int64_t panel0,
                                    int64_t n_panels, uint32_t* out, int64_t out_panel) {
  for (int64_t block = block0; block < block1; block++) {
    const uint32_t* from = panels + block * panel_words(k) + panel0 * BLOCK_WORDS;
    for (int64_t panel = 0; panel < n_panels; panel++)
      transpose_block(from + panel * BLOCK_WORDS, out + panel * out_panel + (block - block0) * BLOCK_WORDS);
  }
}

}  // namespace sb
