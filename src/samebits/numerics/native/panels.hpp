// Packing: operands copied into the order in which tiles read them. Copies compute nothing.
//
// A panel holds WIDTH columns of the right operand, [K][WIDTH], missing columns as +0 (nobody reads their products).
// The left operand is packed by blocks of rows, [K][rows of the block].
#pragma once
#include "vec.hpp"

namespace sb {

// Panels lie one cache line further apart than they are long, so that several never share one set of a cache.
SB_INLINE int64_t panel_stride(int64_t n_k) { return (n_k * WIDTH + 15) / 16 * 16 + 16; }

SB_INLINE void pack_panel_scalar(const float* b, int64_t b_k, int64_t b_n, int n, int64_t k0, int64_t k1, float* out) {
  for (int64_t k = k0; k < k1; k++)
    for (int j = 0; j < WIDTH; j++) out[k * WIDTH + j] = j < n ? b[k * b_k + j * b_n] : 0.0f;
}

// One panel from element (k, n) at b[k * b_k + n * b_n]; `n` of its columns are there.
static inline void pack_panel(const float* b, int64_t b_k, int64_t b_n, int n, int64_t n_k, float* out) {
  int64_t k = 0;
  if (b_n == 1 && n == WIDTH) {
    for (; k < n_k; k++) {
      __builtin_prefetch(b + (k + 16) * b_k);
      store(out + k * WIDTH, load(b + k * b_k));
    }
  } else if (b_k == 1 && n == WIDTH) {
    for (; k + WIDTH <= n_k; k += WIDTH) {
      f32v rows[WIDTH];
      for (int j = 0; j < WIDTH; j++) rows[j] = load(b + j * b_n + k);
      transpose(rows);
      for (int i = 0; i < WIDTH; i++) store(out + (k + i) * WIDTH, rows[i]);
    }
  }
  pack_panel_scalar(b, b_k, b_n, n, k, n_k, out);
}

// One panel of the transpose of an operand that lies in panels itself, `from_stride` apart: WIDTH of its columns are
// WIDTH steps of k here, and lie side by side.
static inline void pack_panel_of_panels(const float* from, int64_t from_stride, int n, int64_t n_k, float* out) {
  for (int64_t k = 0; k < n_k; k += WIDTH)
    pack_panel(from + k / WIDTH * from_stride, 1, WIDTH, n, n_k - k < WIDTH ? n_k - k : WIDTH, out + k * WIDTH);
}

// `n_panels` neighbouring panels of `n` columns in all. Rows that lie side by side are read line by line.
static inline void pack_panels(const float* b, int64_t b_k, int64_t b_n, int64_t n, int64_t n_k, float* out) {
  const int64_t stride = panel_stride(n_k);
  constexpr int TOGETHER = 64 / WIDTH;
  for (int64_t j = 0; j < n;) {
    if (b_n == 1 && n - j >= TOGETHER * WIDTH) {
      for (int64_t k = 0; k < n_k; k++) {
        const float* row = b + k * b_k + j;
        for (int line = 0; line < 4; line++) __builtin_prefetch(row + 12 * b_k + line * 16);
        for (int p = 0; p < TOGETHER; p++) store(out + p * stride + k * WIDTH, load(row + p * WIDTH));
      }
      j += TOGETHER * WIDTH, out += TOGETHER * stride;
    } else {
      pack_panel(b + j * b_n, b_k, b_n, n - j < WIDTH ? (int)(n - j) : WIDTH, n_k, out);
      j += WIDTH, out += stride;
    }
  }
}

// A block of `n_rows` rows from element (row, k) at a[row * a_row + k * a_k]. Up to WIDTH - 1 floats past the block's
// end may be written: blocks are packed in ascending order, and the last has room behind it.
template <int GROUPS>
static inline void pack_rows_by_groups(const float* a, int64_t a_row, int n_rows, int64_t n_k, float* out) {
  for (int64_t k = 0; k < n_k; k += WIDTH) {
    f32v rows[GROUPS][WIDTH];
    for (int g = 0; g < GROUPS; g++) {
      for (int i = 0; i < WIDTH; i++)
        rows[g][i] = g * WIDTH + i < n_rows ? load(a + (g * WIDTH + i) * a_row + k) : f32v{};
      transpose(rows[g]);
    }
    for (int i = 0; i < WIDTH; i++)
      for (int g = 0; g < GROUPS; g++) store(out + (k + i) * n_rows + g * WIDTH, rows[g][i]);
  }
}
static inline void pack_rows(const float* a, int64_t a_row, int64_t a_k, int n_rows, int64_t n_k, float* out) {
  int64_t k = 0;
  if (a_k == 1) {
    k = n_k / WIDTH * WIDTH;
    if (n_rows <= WIDTH) pack_rows_by_groups<1>(a, a_row, n_rows, k, out);
    else if (n_rows <= 2 * WIDTH) pack_rows_by_groups<2>(a, a_row, n_rows, k, out);
    else if (n_rows <= 3 * WIDTH) pack_rows_by_groups<3>(a, a_row, n_rows, k, out);
    else pack_rows_by_groups<4>(a, a_row, n_rows, k, out);
  }
  for (; k < n_k; k++)
    for (int i = 0; i < n_rows; i++) out[k * n_rows + i] = a[i * a_row + k * a_k];
}

}  // namespace sb
