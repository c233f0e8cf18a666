// Clause N-04: C[m, n] = the chain over ascending k of fma(A[m, k], B[k, n], .) from +0, then one add of the bias, then,
// where asked for, one add to what C held. Blocking, packing, orientation and threads choose which chains run when;
// an accumulator that waits between two runs of k waits in scratch, as it is.
#include "panels.hpp"
#include "pool.hpp"
#include "tile.hpp"

namespace sb {
namespace {

constexpr int64_t RUN_K = 512;          // steps of k between two stops: one panel's run stays in the nearest cache
constexpr int64_t UNIT_K = 16;          // runs start at its multiples
constexpr int64_t BLOCK_ROWS = 384;     // rows whose run stays in the second
constexpr int64_t CHUNK_COLUMNS = 256;  // columns whose accumulators wait together, or that are packed together
constexpr int64_t FEW_ROWS = 8;         // more rows of one power of two apart push one another out of the nearest cache
constexpr int64_t FEW_K = 64;           // with so few, reading and writing C is most of the work
constexpr double LEAST_SHARE = 1 << 16;

struct Product {
  int64_t m, n, k;
  const float* a;
  int64_t a_row, a_k;
  const float* b;  // plain: element (k, n) at b[k * b_k + n * b_n]
  int64_t b_k, b_n;
  int64_t b_panels;     // or, where not 0, `b` holds the panels of its own transpose, so far apart
  const float* packed;  // or panels; then `b` is not read
  float* c;
  int64_t c_row, c_n;
  const float* bias;
  bool accumulate;
};

int64_t least(int64_t x, int64_t y) { return x < y ? x : y; }
int64_t whole_lines(int64_t n_floats) { return (n_floats + 15) / 16 * 16; }
int64_t pieces(int64_t n, int64_t most) { return n <= most ? 1 : (n + most - 1) / most; }

// Packs steps `k0`, a multiple of UNIT_K, to `k1` of columns `n0` to `n1` of a right operand that is not packed yet.
void pack_columns(const Product& p, int64_t n0, int64_t n1, int64_t k0, int64_t k1, float* out) {
  if (!p.b_panels) return pack_panels(p.b + n0 * p.b_n + k0 * p.b_k, p.b_k, p.b_n, n1 - n0, k1 - k0, out);
  const float* from = p.b + k0 / WIDTH * p.b_panels;
  for (int64_t n = n0; n < n1; n += WIDTH, out += panel_stride(k1 - k0))
    pack_panel_of_panels(from + n * WIDTH, p.b_panels, (int)least(WIDTH, n1 - n), k1 - k0, out);
}

// Everything that shape decides.
struct Plan {
  int64_t n_panels;
  int rows_of_tile;
  int64_t n_runs;
  int64_t block_rows;  // most rows of a block
  bool pack_a;
  bool direct_b;       // tiles read B where it lies; its last, partial panel is packed
  bool chunk_b;        // each run of each chunk of columns is packed just before its only use
  int64_t chunk_panels;
  int64_t a_floats, b_floats, waiting_floats;

  explicit Plan(const Product& p) {
    n_panels = (p.n + WIDTH - 1) / WIDTH;
    rows_of_tile = most_rows(n_panels == 1 ? 1 : 2);
    n_runs = pieces(p.k, RUN_K + RUN_K / 2);
    block_rows = least(p.m, BLOCK_ROWS);
    // As many rows as two tiles of one vector have pay for no packing.
    direct_b = !p.packed && !p.b_panels && p.b_n == 1 && p.m <= 2 * most_rows(1);
    chunk_b = !p.packed && !direct_b;
    pack_a = p.m > rows_of_tile && n_panels > 8 && !(direct_b && p.a_row == 1);
    if (direct_b && p.m > rows_of_tile) rows_of_tile = most_rows(1);
    if (!pack_a && p.a_row != 1) rows_of_tile = (int)least(rows_of_tile, FEW_ROWS);
    if (p.k <= FEW_K && n_panels >= 4 && !direct_b) rows_of_tile = (int)least(rows_of_tile, FEW_ROWS);
    chunk_panels = (p.k <= FEW_K ? 2 : 1) * CHUNK_COLUMNS / WIDTH;
    if (n_runs == 1 && !chunk_b && p.k > FEW_K) chunk_panels = n_panels;
    a_floats = pack_a ? whole_lines(block_rows * p.k + 4 * WIDTH) : 0;
    const int64_t longest = least(p.k, (p.k + n_runs - 1) / n_runs + UNIT_K);
    b_floats = chunk_b ? least(chunk_panels, n_panels) * panel_stride(longest) : direct_b ? panel_stride(p.k) : 0;
    waiting_floats = n_runs > 1 ? whole_lines(block_rows * least(chunk_panels, n_panels) * WIDTH) : 0;
  }
  int64_t scratch_floats() const { return a_floats + b_floats + waiting_floats + 16; }
};

// A block of rows, cut evenly into tiles.
struct Rows {
  int64_t first, n;
  int64_t n_tiles;
  Rows(int64_t first, int64_t n, int rows_of_tile) : first(first), n(n), n_tiles(pieces(n, rows_of_tile)) {}
  int64_t start(int64_t tile) const { return n * tile / n_tiles; }
  int most() const { return (int)((n + n_tiles - 1) / n_tiles); }
};

// Vectors side by side for tiles of `n_rows` rows: enough chains to hide an fma's latency.
int vectors_for(int n_rows, int64_t n_panels) {
  int n_vectors = n_rows <= most_rows(8) ? 8 : n_rows <= most_rows(4) ? 4 : n_rows <= most_rows(2) ? 2 : 1;
  while (n_vectors > n_panels) n_vectors /= 2;
  return n_vectors;
}

// The same where C lies along its columns: WIDTH rows and columns are turned over at once.
void write_turned(const Product& p, const float* tile, int64_t row, int n_rows, int64_t column, int n_columns) {
  const int64_t end = least(n_columns, p.n - column);
  for (int i = 0; i < n_rows; i += WIDTH) {
    const int count = (int)least(n_rows - i, WIDTH);
    for (int64_t j = 0; j < end; j += WIDTH) {
      f32v block[WIDTH];
      for (int r = 0; r < WIDTH; r++) block[r] = r < count ? load(tile + (i + r) * n_columns + j) : f32v{};
      transpose(block);
      float* c = p.c + row + i + (column + j) * p.c_n;
      for (int64_t v = 0; v < least(WIDTH, end - j); v++, c += p.c_n)
        store_first(c, p.accumulate ? load_first(c, count) + block[v] : block[v], count);
    }
  }
}

void write_edge(const Product& p, const float* tile, int64_t row, int n_rows, int64_t column, int n_columns) {
  if (p.c_row == 1 && p.c_n != 1 && !p.bias) return write_turned(p, tile, row, n_rows, column, n_columns);
  int64_t n = least(n_columns, p.n - column);
  for (int i = 0; i < n_rows; i++)
    for (int64_t j = 0; j < n; j++) {
      float* c = p.c + (row + i) * p.c_row + (column + j) * p.c_n;
      float y = tile[i * n_columns + j];
      if (p.bias) y = y + p.bias[column + j];
      if (p.accumulate) y = *c + y;
      *c = y;
    }
}

struct Worker {
  const Product& p;
  const Plan& plan;
  float *packed_a, *packed_b, *waiting;

  Worker(const Product& p, const Plan& plan, float* scratch)
      : p(p), plan(plan), packed_a(scratch), packed_b(packed_a + plan.a_floats), waiting(packed_b + plan.b_floats) {}

  int64_t run_start(int64_t run) const {
    return run == plan.n_runs ? p.k : p.k * run / plan.n_runs / UNIT_K * UNIT_K;
  }

  void multiply(int64_t row0, int64_t row1, int64_t panel0, int64_t panel1) {
    if (row0 == row1) return;  // with few rows there are fewer tiles than threads
    int64_t n_blocks = pieces(row1 - row0, BLOCK_ROWS);
    for (int64_t block = 0; block < n_blocks; block++) {
      int64_t first = row0 + (row1 - row0) * block / n_blocks, end = row0 + (row1 - row0) * (block + 1) / n_blocks;
      Rows rows(first, end - first, plan.rows_of_tile);
      if (plan.pack_a) pack_block(rows);
      for (int64_t panel = panel0; panel < panel1; panel += plan.chunk_panels)
        multiply_chunk(rows, panel, least(panel + plan.chunk_panels, panel1));
    }
  }

  void pack_block(const Rows& rows) {
    for (int64_t run = 0; run < plan.n_runs; run++) {
      int64_t k0 = run_start(run), n_k = run_start(run + 1) - k0;
      for (int64_t q = 0; q < rows.n_tiles; q++) {
        int64_t i = rows.start(q);
        pack_rows(p.a + (rows.first + i) * p.a_row + k0 * p.a_k, p.a_row, p.a_k, (int)(rows.start(q + 1) - i), n_k,
                  packed_a + rows.n * k0 + i * n_k);
      }
    }
  }

  void multiply_chunk(const Rows& rows, int64_t panel0, int64_t panel1) {
    const int64_t n0 = panel0 * WIDTH, n1 = least(panel1 * WIDTH, p.n);
    if (plan.direct_b) {
      int64_t n_whole = (n1 - n0) / WIDTH;
      multiply_panels(rows, panel0, panel0 + n_whole, p.b + n0, p.b_k, WIDTH, panel0);
      if (panel0 + n_whole == panel1) return;
      int64_t n = (panel0 + n_whole) * WIDTH;
      pack_panels(p.b + n, p.b_k, 1, n1 - n, p.k, packed_b);
      multiply_panels(rows, panel1 - 1, panel1, packed_b, WIDTH, 0, panel0);
      return;
    }
    if (!plan.chunk_b)
      return multiply_panels(rows, panel0, panel1, p.packed + panel0 * panel_stride(p.k), WIDTH, panel_stride(p.k),
                             panel0);
    for (int64_t run = 0; run < plan.n_runs; run++) {
      const int64_t k0 = run_start(run), k1 = run_start(run + 1);
      pack_columns(p, n0, n1, k0, k1, packed_b);
      multiply_run(rows, run, panel0, panel1, packed_b, WIDTH, panel_stride(k1 - k0), panel0);
    }
  }

  void multiply_panels(const Rows& rows, int64_t panel0, int64_t panel1, const float* b, int64_t b_k, int64_t b_panel,
                       int64_t origin) {
    for (int64_t run = 0; run < plan.n_runs; run++)
      multiply_run(rows, run, panel0, panel1, b + run_start(run) * b_k, b_k, b_panel, origin);
  }

  // One run of panels `panel0` to `panel1`, whose first begins at `b`; accumulators of panel `origin` wait first.
  void multiply_run(const Rows& rows, int64_t run, int64_t panel0, int64_t panel1, const float* b, int64_t b_k,
                    int64_t b_panel, int64_t origin) {
    // With few k, C is gone through along its rows. With many, a panel's run is used while it is near.
    const int64_t tiles_together = p.k <= FEW_K && !plan.direct_b ? 1 : rows.n_tiles;
    Tile t;
    const int64_t k0 = run_start(run);
    t.n_k = run_start(run + 1) - k0, t.b_k = b_k, t.b_panel = b_panel;
    for (int64_t q0 = 0; q0 < rows.n_tiles; q0 += tiles_together) {
      int n_vectors = vectors_for(rows.most(), panel1 - panel0), n_groups;
      for (int64_t panel = panel0; panel < panel1; panel += n_groups * n_vectors) {
        while (n_vectors > panel1 - panel) n_vectors /= 2;
        n_groups = groups(panel, panel1, n_vectors);
        t.b = b + (panel - panel0) * b_panel, t.n_groups = n_groups;
        for (int64_t q = q0; q < q0 + tiles_together; q++) {
          int64_t i = rows.start(q);
          float* waits = waiting + ((panel - origin) * rows.n + i * n_vectors) * WIDTH;
          t.start = run ? waits : nullptr;
          multiply_tile(t, rows.first + i, (int)(rows.start(q + 1) - i), panel * WIDTH, n_vectors,
                        packed_a + rows.n * k0 + i * t.n_k, k0, run + 1 < plan.n_runs ? waits : nullptr);
        }
      }
    }
  }

  // With few k a tile is short: those with whole columns are done in one call.
  int groups(int64_t panel, int64_t panel1, int n_vectors) const {
    if (p.k > FEW_K || p.c_n != 1) return 1;
    int64_t n_whole = (least(panel1 * WIDTH, p.n) / WIDTH - panel) / n_vectors;
    return n_whole > 1 ? (int)n_whole : 1;
  }

  void multiply_tile(Tile& t, int64_t row, int n_rows, int64_t column, int n_vectors, const float* packed_rows,
                     int64_t k0, float* waits) {
    const bool adjacent = plan.pack_a || p.a_row == 1;
    t.a = plan.pack_a ? packed_rows : p.a + row * p.a_row + k0 * p.a_k;
    t.a_row = p.a_row, t.a_k = plan.pack_a ? n_rows : p.a_k;
    const int n_columns = n_vectors * WIDTH;
    const bool whole = p.c_n == 1 && column + n_columns <= p.n;
    float edge[MOST_ROWS * MOST_VECTORS * WIDTH];
    t.bias = nullptr, t.accumulate = false;
    if (waits) {
      t.out = waits, t.out_row = n_columns;
    } else if (whole) {
      t.out = p.c + row * p.c_row + column, t.out_row = p.c_row;
      t.bias = p.bias ? p.bias + column : nullptr, t.accumulate = p.accumulate;
    } else {
      t.out = edge, t.out_row = n_columns;
    }
    tile_kernels(n_vectors, adjacent)[n_rows](t);
    if (!waits && !whole) write_edge(p, edge, row, n_rows, column, n_columns);
  }
};

struct Job {
  const Product& p;
  const Plan& plan;
  float* scratch;
  bool by_rows;
};

void multiply_part(const void* given, int i, int n_parts) {
  const Job& job = *(const Job*)given;
  Worker worker(job.p, job.plan, job.scratch + i * job.plan.scratch_floats());
  if (job.by_rows) {
    int64_t unit = job.plan.rows_of_tile;
    worker.multiply(part_start(job.p.m, unit, i, n_parts), part_start(job.p.m, unit, i + 1, n_parts), 0,
                    job.plan.n_panels);
  } else {
    worker.multiply(0, job.p.m, part_start(job.plan.n_panels, 2, i, n_parts),
                    part_start(job.plan.n_panels, 2, i + 1, n_parts));
  }
}

struct Packing {
  const Product& p;
  int64_t n0, n;
  float* out;
};

void pack_part(const void* given, int i, int n_parts) {
  const Packing& job = *(const Packing*)given;
  int64_t n0 = part_start(job.n, 64, i, n_parts), n1 = part_start(job.n, 64, i + 1, n_parts);
  pack_columns(job.p, job.n0 + n0, job.n0 + n1, 0, job.p.k, job.out + n0 / WIDTH * panel_stride(job.p.k));
}

int32_t multiply(Crew& crew, const Product& p, int n_threads, float* own_scratch) {
  Plan plan(p);
  int n_parts = parts_for(n_threads, (double)p.m * p.n * p.k, LEAST_SHARE);
  float* scratch = own_scratch;
  if (!scratch) scratch = (float*)crew.memory(n_parts * plan.scratch_floats() * sizeof(float));
  if (!scratch) return 1;
  bool many_rows = p.m >= n_parts * (plan.chunk_b ? BLOCK_ROWS : 64), many_columns = plan.n_panels >= 4 * n_parts;
  Job job{p, plan, scratch, many_rows || (!many_columns && p.m > p.n)};
  crew.run(n_parts, multiply_part, &job);
  return 0;
}

// A B that several blocks of rows use is packed whole first, a bounded stretch of columns at a time.
int32_t multiply_packing_first(Crew& crew, const Product& whole, int n_threads) {
  constexpr int64_t STRETCH_FLOATS = 16 << 20;
  int64_t stretch = STRETCH_FLOATS / panel_stride(whole.k) * WIDTH;
  stretch = least(stretch < 64 ? 64 : stretch / 64 * 64, (whole.n + 63) / 64 * 64);
  int64_t panel_floats = stretch / WIDTH * panel_stride(whole.k);
  Product p = whole;
  p.n = least(stretch, whole.n), p.packed = whole.a;
  Plan plan(p);
  int64_t n_parts = parts_for(n_threads, (double)p.m * p.n * p.k, LEAST_SHARE);
  float* panels = (float*)crew.memory((panel_floats + n_parts * plan.scratch_floats()) * sizeof(float));
  if (!panels) return 1;
  for (int64_t n0 = 0; n0 < whole.n; n0 += stretch) {
    p.n = least(stretch, whole.n - n0);
    Packing packing{whole, n0, p.n, panels};
    crew.run(parts_for(n_threads, (double)p.n * p.k, LEAST_SHARE), pack_part, &packing);
    p.packed = panels, p.c = whole.c + n0 * whole.c_n, p.bias = whole.bias ? whole.bias + n0 : nullptr;
    if (int32_t status = multiply(crew, p, n_threads, panels + panel_floats)) return status;
  }
  return 0;
}

int32_t multiply_unpacked(const Product& p, int n_threads) {
  Crew crew(n_threads);
  if (Plan(p).chunk_b && p.m > BLOCK_ROWS) return multiply_packing_first(crew, p, n_threads);
  return multiply(crew, p, n_threads, nullptr);
}

}  // namespace
}  // namespace sb

// Every product returns 0, or 1 where there was no memory. Strides are in elements; of a_row and a_k one is 1.
SB_EXPORT int32_t sb_mm_f32(int64_t m, int64_t n, int64_t k, const float* a, int64_t a_row, int64_t a_k,
                            const float* b, int64_t b_k, int64_t b_n, float* c, int64_t c_row, int64_t c_n,
                            const float* bias, int32_t accumulate, int32_t n_threads) {
  if (m == 0 || n == 0) return 0;
  sb::Product p{m, n, k, a, a_row, a_k, b, b_k, b_n, 0, nullptr, c, c_row, c_n, bias, accumulate != 0};
  // The transposed problem has the same chains. It is the better one where A lies along its rows and is the longer.
  if (a_row == 1 && m > n && !bias && (b_n == 1 || b_k == 1))
    p = sb::Product{n, m, k, b, b_n, b_k, a, a_k, a_row, 0, nullptr, c, c_n, c_row, nullptr, accumulate != 0};
  return sb::multiply_unpacked(p, n_threads);
}

SB_EXPORT int32_t sb_mm_packed_f32(int64_t m, int64_t n, int64_t k, const float* a, int64_t a_row, int64_t a_k,
                                   const float* packed, float* c, int64_t c_row, int64_t c_n, const float* bias,
                                   int32_t accumulate, int32_t n_threads) {
  if (m == 0 || n == 0) return 0;
  sb::Product p{m, n, k, a, a_row, a_k, nullptr, 0, 0, 0, packed, c, c_row, c_n, bias, accumulate != 0};
  sb::Crew crew(n_threads);
  return sb::multiply(crew, p, n_threads, nullptr);
}

// The same panels serve the product with their operand's transpose: n counts their rows here, k their columns.
SB_EXPORT int32_t sb_mm_packed_transposed_f32(int64_t m, int64_t n, int64_t k, const float* a, int64_t a_row,
                                              int64_t a_k, const float* packed, float* c, int64_t c_row, int64_t c_n,
                                              int32_t accumulate, int32_t n_threads) {
  if (m == 0 || n == 0) return 0;
  const int64_t b_panels = sb::panel_stride(n);
  sb::Product p{m, n, k, a, a_row, a_k, packed, 0, 0, b_panels, nullptr, c, c_row, c_n, nullptr, accumulate != 0};
  return sb::multiply_unpacked(p, n_threads);
}

// How many floats `sb_pack_f32` writes for a right operand of k rows and n columns.
SB_EXPORT int64_t sb_packed_size_f32(int64_t n, int64_t k) {
  return (n + sb::WIDTH - 1) / sb::WIDTH * sb::panel_stride(k);
}

SB_EXPORT int32_t sb_pack_f32(int64_t n, int64_t k, const float* b, int64_t b_k, int64_t b_n, float* out,
                              int32_t n_threads) {
  sb::Product p{0, n, k, nullptr, 0, 0, b, b_k, b_n, 0, nullptr, nullptr, 0, 0, nullptr, false};
  sb::Packing packing{p, 0, n, out};
  sb::Crew crew(n_threads);
  crew.run(sb::parts_for(n_threads, (double)n * k, sb::LEAST_SHARE), sb::pack_part, &packing);
  return 0;
}
