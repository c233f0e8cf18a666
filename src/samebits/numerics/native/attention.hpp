// What both directions of attention (clause N-16) share: who sees whom, operands brought into the order of tiles, and
// chains that skip what is masked.
#pragma once
#include "lanes.hpp"
#include "panels.hpp"
#include "philox.hpp"
#include "pool.hpp"
#include "tile.hpp"

namespace sb {

// Of a tile of two vectors. The pinned compiler spills the accumulators of 14 rows by two vectors of 16.
constexpr int ROWS = WIDTH == 16 ? 12 : most_rows(2);
constexpr double ATTENTION_SHARE = 1 << 15;  // fma that are worth waking a thread

struct Shape {
  int64_t n_queries, n_keys, n_heads, n_kv_heads, d;
  int64_t first;   // the position of the first query
  int64_t window;  // how many keys a query sees, its own the last; 0: all keys, later ones too
  float scale;

  // Keys low(i) to high(i) - 1 are seen by the query at position i; neither falls as i rises.
  int64_t low(int64_t i) const { return window && i >= window ? i - window + 1 : 0; }
  int64_t high(int64_t i) const { return window ? i + 1 : n_keys; }
  int64_t n_panels() const { return (d + WIDTH - 1) / WIDTH; }
  int64_t padded() const { return n_panels() * WIDTH; }
  double n_operations() const {
    double keys = (double)(high(first + n_queries - 1) - low(first + n_queries - 1));
    return (double)n_heads * n_queries * keys * d;
  }
};

// [n, heads, d]: rows and heads any distance apart, each head's numbers side by side.
struct Heads {
  const float* data;
  int64_t row, head;
  const float* of(int64_t h) const { return data + h * head; }
};
struct OutputHeads {
  float* data;
  int64_t row, head;
  float* of(int64_t h) const { return data + h * head; }
};

// Dropout of weights (N-21); element (h * 2^16 + i) * 2^16 + j.
struct Dropout {
  Stream stream;
  uint32_t threshold;  // 0: none
  float scale;
  uint64_t element(int64_t head, int64_t i, int64_t j) const {
    return ((uint64_t)head << 16 | (uint64_t)i) << 16 | (uint64_t)j;
  }
};

SB_INLINE int64_t pieces(int64_t n, int64_t most) { return (n + most - 1) / most; }
SB_INLINE int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
SB_INLINE int64_t greatest(int64_t a, int64_t b) { return a > b ? a : b; }
SB_INLINE int64_t down(int64_t n, int64_t unit) { return n / unit * unit; }
SB_INLINE constexpr int64_t up(int64_t n, int64_t unit) { return (n + unit - 1) / unit * unit; }
// Rows of a buffer never lie a power of two apart: they would meet in one set of a cache.
SB_INLINE int64_t row_floats(int64_t n) { return up(n, LANES) + 16; }

// `n` rows of `d` numbers, `padded` apart, +0 behind them.
static inline void copy_rows(const float* from, int64_t row, int64_t n, int64_t d, int64_t padded, float* out) {
  for (int64_t i = 0; i < n; i++, from += row, out += padded) {
    int64_t c = 0;
    for (; c + WIDTH <= d; c += WIDTH) store(out + c, load(from + c));
    if (c < d) store(out + c, load_first(from + c, (int)(d - c)));
  }
}

// The steps of a tile's chains. Each row takes part in a run of them, and the runs of neighbouring rows are one step apart
// (or, without a mask, the same): what is masked is skipped, never added as a zero.
struct Steps {
  int64_t begin, end;       // of any row
  int64_t all, all_end;     // of every row; none where all >= all_end
  int64_t first, last;      // rows `first` + k to `last` + k take part in step k, where not all do

  // Those from `from` to `to` - 1, counted from `from`.
  Steps within(int64_t from, int64_t to) const {
    Steps s{greatest(begin, from) - from, least(end, to) - from, greatest(all, from) - from, least(all_end, to) - from,
            first + from, last + from};
    return s;
  }
};

// The keys that queries at positions p to p + n - 1 see.
static inline Steps keys_of(const Shape& s, int64_t p, int64_t n) {
  return {s.low(p), s.high(p + n - 1), s.low(p + n - 1), s.high(p), -p, s.window - 1 - p};
}
// The positions of the queries that see keys j to j + n - 1.
static inline Steps queries_of(const Shape& s, int64_t j, int64_t n) {
  const int64_t from = s.first, to = s.first + s.n_queries;
  if (!s.window) return {from, to, from, to, 0, 0};
  return {greatest(j, from), least(j + n - 1 + s.window, to), greatest(j + n - 1, from), least(j + s.window, to),
          1 - s.window - j, -j};
}

// Chains of a tile, [ROWS][NV * WIDTH] in memory between the runs of their steps.
struct Chains {
  const float* a;  // element (row, step) at a[row + step * a_step]
  int64_t a_step;
  const float* b;  // step k's vectors at b[k * b_step]
  int64_t b_step;
  int n_rows;
};

template <int NV>
__attribute__((noinline)) void take_edge(const Chains& c, const Steps& s, int64_t begin, int64_t end, float* chains) {
  f32v acc[ROWS][NV];
#pragma GCC unroll 16
  for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 2
    for (int v = 0; v < NV; v++) acc[i][v] = load(chains + (i * NV + v) * WIDTH);
  const float *a = c.a + begin * c.a_step, *b = c.b + begin * c.b_step;
  for (int64_t k = begin; k < end; k++, a += c.a_step, b += c.b_step) {
    const int first = (int)greatest(s.first + k, 0), last = (int)least(s.last + k, c.n_rows - 1);
    f32v row[NV];
#pragma GCC unroll 2
    for (int v = 0; v < NV; v++) row[v] = load(b + v * WIDTH);
#pragma GCC unroll 16
    for (int i = 0; i < ROWS; i++) {
      if (i < first || i > last) continue;
      const f32v x = splat(a[i]);
#pragma GCC unroll 2
      for (int v = 0; v < NV; v++) acc[i][v] = fma(x, row[v], acc[i][v]);
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < ROWS; i++)
#pragma GCC unroll 2
    for (int v = 0; v < NV; v++) store(chains + (i * NV + v) * WIDTH, acc[i][v]);
}

template <int NV>
void take_whole(const Chains& c, int64_t begin, int64_t end, float* chains) {
  Tile t;
  t.a = c.a + begin * c.a_step, t.a_row = 1, t.a_k = c.a_step;
  t.b = c.b + begin * c.b_step, t.b_k = c.b_step, t.b_panel = WIDTH;
  t.n_k = end - begin, t.start = chains, t.out = chains, t.out_row = NV * WIDTH;
  t.bias = nullptr, t.accumulate = false, t.n_groups = 1;
  TILE_KERNELS<NV, true>.by_rows[c.n_rows](t);
}

// Takes the chains of a tile through all their steps.
template <int NV>
void take(const Chains& c, const Steps& s, float* chains) {
  if (s.all >= s.all_end) {
    if (s.begin < s.end) take_edge<NV>(c, s, s.begin, s.end, chains);
    return;
  }
  if (s.begin < s.all) take_edge<NV>(c, s, s.begin, s.all, chains);
  take_whole<NV>(c, s.all, s.all_end, chains);
  if (s.all_end < s.end) take_edge<NV>(c, s, s.all_end, s.end, chains);
}

// One tile of products over d for keys in panels `panel` to `panel_end` - 1: rows packed side by side at `a`.
static inline void score_tile(const float* a, int n_rows, const float* b, int64_t b_panel, int64_t d, int64_t panel,
                              int64_t panel_end, float* out, int64_t out_row) {
  Tile t;
  t.a = a, t.a_row = 1, t.a_k = n_rows, t.b_k = WIDTH, t.b_panel = b_panel, t.n_k = d;
  t.start = nullptr, t.bias = nullptr, t.accumulate = false;
  t.out = out, t.out_row = out_row, t.b = b + panel * b_panel;
  const int64_t n_pairs = (panel_end - panel) / 2;
  if (n_pairs) {
    t.n_groups = (int)n_pairs;
    TILE_KERNELS<2, true>.by_rows[n_rows](t);
  }
  if ((panel_end - panel) % 2) {
    t.n_groups = 1, t.b += 2 * n_pairs * b_panel, t.out += 2 * n_pairs * WIDTH;
    TILE_KERNELS<1, true>.by_rows[n_rows](t);
  }
}

// Where the rows that a tile of queries sees begin and end in a buffer of scores, by whole rounds of the lanes.
struct Rounds {
  int64_t begin, end;
  Rounds(const Steps& s) : begin(down(s.begin, LANES)), end(up(s.end, LANES)) {}
  int64_t n() const { return end - begin; }
};

}  // namespace sb
