// The innermost part of a matrix product: MR rows by NV vectors of outputs, held in registers over a run of k. Each
// output is one chain of fma over ascending k (clause N-04); a tile's shape only says how many chains run side by side.
#pragma once
#include "vec.hpp"

namespace sb {

struct Tile {
  const float* a;  // element (row, k) at a[row * a_row + k * a_k]
  int64_t a_row, a_k;
  const float* b;  // WIDTH columns of panel p at step k at b[p * b_panel + k * b_k]
  int64_t b_k, b_panel;
  int64_t n_k;
  const float* start;  // accumulators where the run before this one left them, [MR][NV * WIDTH]; null: +0
  float* out;          // [MR], rows `out_row` apart
  int64_t out_row;
  const float* bias;  // [NV * WIDTH] or null; added once, after the chain
  bool accumulate;    // `out` is read, and the finished product added to it
  int n_groups;       // tiles side by side, NV panels and NV * WIDTH columns of `out` and `bias` apart; `start` has one
};

typedef void TileKernel(const Tile&);

// The most rows for each number of vectors: accumulators, one row of b and one broadcast fit in the registers.
constexpr int most_rows(int n_vectors) {
#if SB_WIDTH == 16
  return n_vectors == 1 ? 16 : n_vectors == 2 ? 12 : n_vectors == 4 ? 6 : 3;
#elif SB_WIDTH == 8
  return n_vectors == 1 ? 12 : n_vectors == 2 ? 6 : n_vectors == 4 ? 3 : 1;
#elif defined(__aarch64__)
  return n_vectors == 1 ? 16 : n_vectors == 2 ? 12 : n_vectors == 4 ? 6 : 3;
#else
  return n_vectors == 1 ? 4 : n_vectors == 2 ? 2 : 1;
#endif
}
// Rows of an operand that was not packed may all meet in one set of the nearest cache: then few can wait there.
constexpr int PREFETCH_STEPS = 24, PREFETCH_ROWS = 8;
constexpr int MOST_ROWS = most_rows(1);
constexpr int MOST_VECTORS = 8;

// ADJACENT: a_row is 1; otherwise a_k is 1.
template <int MR, int NV, bool ADJACENT>
void tile(const Tile& t) {
  const int64_t a_row = ADJACENT ? 1 : t.a_row, a_k = ADJACENT ? t.a_k : 1, b_k = t.b_k, b_panel = t.b_panel;
  [[maybe_unused]] const int64_t ahead = b_k * (b_k == WIDTH ? PREFETCH_STEPS : PREFETCH_ROWS);
  for (int group = 0; group < t.n_groups; group++) {
    float* out = t.out + group * NV * WIDTH;
    f32v acc[MR][NV];
#pragma GCC unroll 16
    for (int i = 0; i < MR; i++)
#pragma GCC unroll 8
      for (int v = 0; v < NV; v++) acc[i][v] = t.start ? load(t.start + (i * NV + v) * WIDTH) : f32v{};
    if (t.accumulate)
#pragma GCC unroll 16
      for (int i = 0; i < MR; i++)
#pragma GCC unroll 4
        for (int v = 0; v < NV; v += 16 / WIDTH) __builtin_prefetch(out + i * t.out_row + v * WIDTH, 1);
    const float *a = t.a, *b = t.b + group * NV * b_panel;
#pragma GCC unroll 2
    for (int64_t k = t.n_k; k > 0; k--) {
      f32v row[NV];
#pragma GCC unroll 8
      for (int v = 0; v < NV; v++) {
        row[v] = load(b + v * b_panel);
#if SB_WIDTH == 16
        // A step takes no longer than its line from the second cache: asked for early, it is there.
        __builtin_prefetch(b + v * b_panel + ahead);
#endif
      }
#pragma GCC unroll 16
      for (int i = 0; i < MR; i++) {
        f32v x = splat(a[i * a_row]);
#if SB_WIDTH == 16
        if (NV > 1) asm("" : "+v"(x));  // one broadcast for all vectors, not one folded into each fma
#endif
#pragma GCC unroll 8
        for (int v = 0; v < NV; v++) acc[i][v] = fma(x, row[v], acc[i][v]);
      }
      a += a_k;
      b += b_k;
    }
    if (t.bias)
#pragma GCC unroll 8
      for (int v = 0; v < NV; v++) {
        f32v bias = load(t.bias + (group * NV + v) * WIDTH);
#pragma GCC unroll 16
        for (int i = 0; i < MR; i++) acc[i][v] = acc[i][v] + bias;
      }
    if (t.accumulate)
#pragma GCC unroll 16
      for (int i = 0; i < MR; i++)
#pragma GCC unroll 8
        for (int v = 0; v < NV; v++) acc[i][v] = load(out + i * t.out_row + v * WIDTH) + acc[i][v];
#pragma GCC unroll 16
    for (int i = 0; i < MR; i++)
#pragma GCC unroll 8
      for (int v = 0; v < NV; v++) store(out + i * t.out_row + v * WIDTH, acc[i][v]);
  }
}

// The kernels for NV vectors by number of rows, 1 to most_rows(NV).
template <int NV, bool ADJACENT>
struct TileKernels {
  TileKernel* by_rows[MOST_ROWS + 1] = {};
  template <int MR = most_rows(NV)>
  constexpr void fill() {
    by_rows[MR] = tile<MR, NV, ADJACENT>;
    if constexpr (MR > 1) fill<MR - 1>();
  }
  constexpr TileKernels() { fill(); }
};
template <int NV, bool ADJACENT>
constexpr TileKernels<NV, ADJACENT> TILE_KERNELS;

// The kernels for `n_vectors` vectors, 1, 2, 4 or 8, by number of rows.
SB_INLINE TileKernel* const* tile_kernels(int n_vectors, bool adjacent) {
  switch (n_vectors) {
    case 1: return adjacent ? TILE_KERNELS<1, true>.by_rows : TILE_KERNELS<1, false>.by_rows;
    case 2: return adjacent ? TILE_KERNELS<2, true>.by_rows : TILE_KERNELS<2, false>.by_rows;
    case 4: return adjacent ? TILE_KERNELS<4, true>.by_rows : TILE_KERNELS<4, false>.by_rows;
    default: return adjacent ? TILE_KERNELS<8, true>.by_rows : TILE_KERNELS<8, false>.by_rows;
  }
}

}  // namespace sb
