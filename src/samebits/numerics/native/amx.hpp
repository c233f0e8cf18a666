// Clause N-05 by the instruction that it describes: TDPBF16PS, on tiles of 16 rows by 16 columns by 32 steps of k. It
// takes no notice of MXCSR.
#pragma once
#include "blocks.hpp"

namespace sb {
namespace engine {

constexpr int TILE_ROWS = 32, FEW_ROWS = 16;
constexpr int64_t ONCE_ROWS = 64;         // with no more rows, a panel is read once and gone
constexpr int64_t LONG_RUN_BLOCKS = 128;
constexpr int64_t RUN_BLOCKS = 6;
constexpr int64_t BLOCK_ROWS = 384;
constexpr int64_t CHUNK_PANELS = 8;
constexpr int64_t TILES_TOGETHER = 1;
constexpr bool EMITS = true;  // tiles of TILE_ROWS rows write out what an earlier tile finished

typedef uint16_t Left;  // packed rows: [blocks][1 or 2 tiles][16 rows][32 steps]
constexpr int64_t LEFT_OF_BLOCK = TILE_ROWS * BLOCK_K;
constexpr int TILE_WORDS = 16 * BLOCK_K / 2;
constexpr int64_t UNPACKED_FLOATS = 0;

// Eight tiles of 16 rows of 64 bytes, for one part: what a thread loads it must release, or each switch of threads pays
// for 8 KB.
class PartState {
 public:
  PartState() {
    alignas(64) uint8_t palette[64] = {1};
    for (int tile = 0; tile < 8; tile++) palette[16 + 2 * tile] = 64, palette[48 + tile] = 16;
    _tile_loadconfig(palette);
  }
  ~PartState() { _tile_release(); }
  PartState(const PartState&) = delete;
  PartState& operator=(const PartState&) = delete;
};
struct ChainState {
  ChainState() {}
  ~ChainState() {}
};

constexpr int64_t ACC_BYTES = PANEL * 4;

// 32 rows by 32 columns.
static inline void two_by_two(const Step& s, const uint32_t* b, const float* acc, float* result) {
  const Left* a = (const Left*)s.a;
  if (s.fresh) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  } else {
    _tile_loadd(0, acc, ACC_BYTES);
    _tile_loadd(1, acc + HALF, ACC_BYTES);
    _tile_loadd(2, acc + 16 * PANEL, ACC_BYTES);
    _tile_loadd(3, acc + 16 * PANEL + HALF, ACC_BYTES);
  }
  const char* ahead = s.ahead;
  Emission emission = *s.emission;
  const int emitted = s.n_blocks == 0 ? 0 : (int)((emission.n_rows + s.n_blocks - 1) / s.n_blocks);
  for (int64_t block = s.n_blocks; block > 0; block--) {
    if (ahead) {
      for (int64_t i = 0; i < s.ahead_bytes; i += 64) _mm_prefetch(ahead + i, _MM_HINT_T1);
      ahead += BLOCK_WORDS * 4;
    }
    _tile_loadd(4, a, 64);
    _tile_loadd(6, b, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(7, b + HALF_WORDS, 64);
    _tile_dpbf16ps(1, 4, 7);
    _tile_loadd(5, a + 2 * TILE_WORDS, 64);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
    if (emitted) emission.advance(emitted);
    a += 4 * TILE_WORDS;
    b += BLOCK_WORDS;
  }
  *s.emission = emission;
  _tile_stored(0, result, ACC_BYTES);
  _tile_stored(1, result + HALF, ACC_BYTES);
  _tile_stored(2, result + 16 * PANEL, ACC_BYTES);
  _tile_stored(3, result + 16 * PANEL + HALF, ACC_BYTES);
}

// 16 rows by 32 columns, or, of two panels, by 64: enough sums side by side to hide the instruction's latency.
template <int N_PANELS>
static inline void one_by(const Step& s) {
  constexpr bool TWO = N_PANELS == 2;
  const Left* a = (const Left*)s.a;
  const uint32_t *b = s.b, *b2 = s.b + s.b_panel;
  float *acc = s.acc, *acc2 = acc + s.acc_panel;
  _tile_zero(0);
  _tile_zero(1);
  if (TWO) {
    _tile_zero(2);
    _tile_zero(3);
  }
  if (!s.fresh) {
    _tile_loadd(0, acc, ACC_BYTES);
    _tile_loadd(1, acc + HALF, ACC_BYTES);
    if (TWO) {
      _tile_loadd(2, acc2, ACC_BYTES);
      _tile_loadd(3, acc2 + HALF, ACC_BYTES);
    }
  }
  for (int64_t block = s.n_blocks; block > 0; block--) {
    _tile_loadd(4, a, 64);
    _tile_loadd(5, b, 64);
    _tile_dpbf16ps(0, 4, 5);
    _tile_loadd(6, b + HALF_WORDS, 64);
    _tile_dpbf16ps(1, 4, 6);
    if (TWO) {
      _tile_loadd(7, b2, 64);
      _tile_dpbf16ps(2, 4, 7);
      _tile_loadd(5, b2 + HALF_WORDS, 64);
      _tile_dpbf16ps(3, 4, 5);
    }
    a += 2 * TILE_WORDS;
    b += BLOCK_WORDS;
    b2 += BLOCK_WORDS;
  }
  _tile_stored(0, acc, ACC_BYTES);
  _tile_stored(1, acc + HALF, ACC_BYTES);
  if (TWO) {
    _tile_stored(2, acc2, ACC_BYTES);
    _tile_stored(3, acc2 + HALF, ACC_BYTES);
  }
}

static inline void multiply(const Step& s) {
  if (s.n_rows <= 16) {
    if (s.n_panels == 2) one_by<2>(s);
    else one_by<1>(s);
    return;
  }
  for (int panel = 0; panel < s.n_panels; panel++) {
    const bool here = s.result == s.acc;
    float* acc = s.acc + panel * s.acc_panel;
    two_by_two(s, s.b + panel * s.b_panel, acc, here ? acc : s.result);
  }
}

static inline int64_t n_tiles(int64_t n_rows) { return (n_rows + TILE_ROWS - 1) / TILE_ROWS; }
static inline int64_t tile_start(int64_t n_rows, int64_t tile) {
  return tile * TILE_ROWS < n_rows ? tile * TILE_ROWS : n_rows;
}

static inline void pack_left(const Operand& a, int64_t row, int n_rows, int64_t k0, int64_t n_k, Left* out,
                             int& least) {
  const int whole = n_rows <= 16 ? 16 : 32;
  for (int i = 0; i < whole; i++) {
    Left* line = out + i * BLOCK_K;
    for (int64_t k = 0; k < n_k; k += BLOCK_K, line += whole * BLOCK_K)
      read_line(a, true, row + i, k0 + k, i < n_rows ? shorter(n_k - k, BLOCK_K) : 0, line, least);
  }
}

static inline const float* unpacked(const uint32_t*, int64_t, int64_t, float*) { return nullptr; }

}  // namespace engine
}  // namespace sb
