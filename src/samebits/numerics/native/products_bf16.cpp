// Clause N-05: per block of 32 steps of k two chains of fma, even and odd steps; their sum onto C; then, in N-01's
// state, one add of the bias and, where asked for, one add to what C held. `engine` is AMX where this library has it, else a
// replay.
#include "blocks.hpp"
#include "pool.hpp"
#if SB_AMX
#include "amx.hpp"
#else
#include "replay.hpp"
#endif

namespace sb {
namespace {

constexpr double LEAST_SHARE = 1 << 16;
constexpr int64_t LONG_C = 1 << 19;  // elements: as much as the second cache holds
constexpr int64_t MANY_RUNS = 6;  // a longer left operand is worth fewer readings, though more sums wait
constexpr int64_t STRETCH_WORDS = 8 << 20;  // of a transposed weight, packed at once

struct Product {
  int64_t m, n, k;
  Operand a;
  const uint32_t* panels;
  const uint32_t* transposed;  // or the panels of B's own transpose; then `panels` is not read
  float* c;
  int64_t c_row, c_n;
  const float* bias;
  bool accumulate;
  bool past_caches;  // C is so long that storing it around the caches pays
};

int64_t least_of(int64_t x, int64_t y) { return x < y ? x : y; }
int64_t pieces(int64_t n, int64_t most) { return n <= most ? 1 : (n + most - 1) / most; }
int64_t lines(int64_t bytes) { return (bytes + 63) / 64 * 64; }

// Everything that shape decides.
struct Plan {
  int64_t n_panels, n_blocks, n_runs, block_rows, most_tiles, chunk_panels;
  int64_t left_bytes, acc_bytes, unpacked_bytes, turned_bytes, tiny_bytes;

  explicit Plan(const Product& p) {
    n_panels = panels_of(p.n), n_blocks = blocks_of(p.k);
    n_runs = pieces(n_blocks, (p.m > engine::ONCE_ROWS ? engine::RUN_BLOCKS : engine::LONG_RUN_BLOCKS) * 3 / 2);
    block_rows = least_of(p.m, engine::BLOCK_ROWS);
    most_tiles = engine::n_tiles(block_rows);
    chunk_panels = least_of(n_panels, n_runs > MANY_RUNS ? 2 * engine::CHUNK_PANELS : engine::CHUNK_PANELS);
    left_bytes = lines(most_tiles * n_blocks * engine::LEFT_OF_BLOCK * sizeof(engine::Left));
    acc_bytes = lines(chunk_panels * acc_panel() * 4);
    unpacked_bytes = lines(engine::UNPACKED_FLOATS * 4);
    turned_bytes = p.transposed ? lines(chunk_panels * turned_panel() * 4) : 0;
    tiny_bytes = lines(most_tiles * (int64_t)sizeof(int));
  }
  int64_t acc_panel() const { return most_tiles * engine::TILE_ROWS * PANEL; }
  // A transposed B is packed by runs of a chunk's panels, just before their only use.
  int64_t turned_panel() const { return (n_blocks / n_runs + 1) * BLOCK_WORDS + 16; }
  int64_t run_start(int64_t run) const { return n_blocks * run / n_runs; }
  int64_t scratch_bytes() const { return left_bytes + acc_bytes + unpacked_bytes + turned_bytes + tiny_bytes; }
};

// One row's 32 finished sums, of which `n` exist: bias, then what C held.
void finish_row(const Product& p, const float* sums, int64_t row, int64_t column, int n) {
  float* c = p.c + row * p.c_row + column * p.c_n;
  if (p.c_n != 1) {
    for (int j = 0; j < n; j++) {
      float y = sums[j];
      if (p.bias) y = y + p.bias[column + j];
      if (p.accumulate) y = c[j * p.c_n] + y;
      c[j * p.c_n] = y;
    }
    return;
  }
  for (int j = 0; j < n; j += WIDTH) {
    const int here = shorter(n - j, WIDTH);
    f32v y = load(sums + j);
    if (p.bias) y = y + load_first(p.bias + column + j, here);
    if (p.accumulate) y = load_first(c + j, here) + y;
    if (here == WIDTH) store(c + j, y);
    else store_first(c + j, y, here);
  }
}

struct Worker {
  const Product& p;
  const Plan& plan;
  engine::Left* left;
  float *acc, *room;
  Emission pending = {};
  int turn = 0;
  alignas(64) float finished[2][engine::EMITS ? engine::TILE_ROWS * PANEL : 1];
  uint32_t* turned;
  int* least_exponents;  // of each tile's rows
  int transposed_exponent;

  Worker(const Product& p, const Plan& plan, char* scratch) : p(p), plan(plan) {
    left = (engine::Left*)scratch, scratch += plan.left_bytes;
    acc = (float*)scratch, scratch += plan.acc_bytes;
    room = (float*)scratch, scratch += plan.unpacked_bytes;
    turned = (uint32_t*)scratch, scratch += plan.turned_bytes;
    least_exponents = (int*)scratch;
    transposed_exponent = p.transposed ? (int)least_exponent(p.transposed, p.n, p.k) : NO_EXPONENT;
  }

  void multiply(int64_t row0, int64_t row1, int64_t panel0, int64_t panel1) {
    if (row0 == row1) return;  // with few rows there are fewer tiles than threads
    const int64_t n_blocks = pieces(row1 - row0, engine::BLOCK_ROWS / engine::TILE_ROWS * engine::TILE_ROWS);
    for (int64_t block = 0; block < n_blocks; block++) {
      const int64_t first = part_start(row1 - row0, engine::TILE_ROWS, (int)block, (int)n_blocks);
      const int64_t end = part_start(row1 - row0, engine::TILE_ROWS, (int)block + 1, (int)n_blocks);
      const Rows rows{row0 + first, end - first, engine::n_tiles(end - first)};
      pack(rows);
      for (int64_t panel = panel0; panel < panel1; panel += plan.chunk_panels)
        multiply_chunk(rows, panel, least_of(panel + plan.chunk_panels, panel1));
    }
    pending.advance(pending.n_rows);
  }

  struct Rows {
    int64_t first, n, n_tiles;
    int64_t start(int64_t tile) const { return engine::tile_start(n, tile); }
    int size(int64_t tile) const { return (int)(start(tile + 1) - start(tile)); }
  };

  engine::Left* left_at(const Rows& rows, int64_t run, int64_t tile) const {
    const int64_t n_blocks = plan.run_start(run + 1) - plan.run_start(run);
    return left + (plan.run_start(run) * rows.n_tiles + tile * n_blocks) * engine::LEFT_OF_BLOCK;
  }

  void pack(const Rows& rows) {
    for (int64_t tile = 0; tile < rows.n_tiles; tile++) {
      least_exponents[tile] = NO_EXPONENT;
      for (int64_t run = 0; run < plan.n_runs; run++) {
        const int64_t k0 = plan.run_start(run) * BLOCK_K, k1 = least_of(plan.run_start(run + 1) * BLOCK_K, p.k);
        engine::pack_left(p.a, rows.first + rows.start(tile), rows.size(tile), k0, k1 - k0, left_at(rows, run, tile),
                          least_exponents[tile]);
      }
    }
  }

  void multiply_chunk(const Rows& rows, int64_t panel0, int64_t panel1) {
    const int together = rows.n <= engine::FEW_ROWS ? 2 : 1;
    const int64_t b_panel = p.transposed ? plan.turned_panel() : panel_words(p.k);
    for (int64_t run = 0; run < plan.n_runs; run++) {
      const int64_t block0 = plan.run_start(run), block1 = plan.run_start(run + 1);
      const uint32_t* b = turned;
      if (p.transposed) transpose_blocks(p.transposed, p.n, block0, block1, panel0, panel1 - panel0, turned, b_panel);
      else b = p.panels + panel0 * b_panel + block0 * BLOCK_WORDS;
      for (int64_t panel = panel0; panel < panel1; panel += together, b += together * b_panel) {
        Step s;
        s.n_blocks = block1 - block0, s.fresh = run == 0;
        s.b = b, s.b_panel = b_panel, s.n_panels = shorter(panel1 - panel, together);
        s.acc_panel = plan.acc_panel();
        s.ahead = nullptr;
        if (!p.transposed) {
          const bool last = panel + together >= panel1;
          s.ahead = (const char*)(!last ? b + together * b_panel
                                  : run + 1 < plan.n_runs ? p.panels + panel0 * b_panel + block1 * BLOCK_WORDS
                                                          : p.panels + panel1 * b_panel);
        }
        // Sums that need not wait for another run all pass through the same memory.
        multiply_panels(s, rows, run, panel, plan.n_runs == 1 ? acc : acc + (panel - panel0) * plan.acc_panel());
      }
    }
  }

  int exponent_of(int64_t panel) const {
    if (p.transposed) return transposed_exponent;
    return (int)p.panels[panel * panel_words(p.k) + plan.n_blocks * BLOCK_WORDS];
  }

  // One or two panels' run, on all rows of a block.
  void multiply_panels(Step& s, const Rows& rows, int64_t run, int64_t panel, float* acc) {
    const int exponent = least_of(exponent_of(panel), exponent_of(panel + s.n_panels - 1));
    const bool last = run + 1 == plan.n_runs;
    const char* ahead = s.ahead;
    s.emission = &pending;
    s.ahead_bytes = BLOCK_WORDS * 4 / least_of(rows.n_tiles, BLOCK_WORDS / 16);
    s.unpacked = engine::unpacked(s.b, s.n_blocks, rows.n_tiles, room);
    if (s.n_blocks == 0) memset(acc, 0, (size_t)(s.n_panels * s.acc_panel) * 4);
    for (int64_t first = 0; first < rows.n_tiles; first += engine::TILES_TOGETHER) {
      const int64_t end = least_of(first + engine::TILES_TOGETHER, rows.n_tiles);
      const bool emits = engine::EMITS && last && plain(panel) && rows.size(first) == engine::TILE_ROWS;
      {
        engine::ChainState state;
        for (int64_t tile = first; tile < end; tile++) {
          s.ahead = ahead && tile < BLOCK_WORDS / 16 ? ahead + s.ahead_bytes * tile : nullptr;
          s.a = left_at(rows, run, tile), s.n_rows = rows.size(tile), s.acc = acc + rows.start(tile) * PANEL;
          s.tiny = least_exponents[tile] + exponent < NOTHING_TINY;
          s.result = emits ? finished[turn ^= 1] : s.acc;
          engine::multiply(s);
          if (emits) pending = emission(rows.first + rows.start(tile), panel, s.result);
        }
      }
      if (last && !emits)
        for (int i = 0; i < s.n_panels; i++) finish(rows, first, end, panel + i, acc + i * plan.acc_panel());
    }
  }

  // Whole vectors of neighbours, nothing to add but a bias.
  bool plain(int64_t panel) const { return p.c_n == 1 && !p.accumulate && (panel + 1) * PANEL <= p.n; }

  Emission emission(int64_t row, int64_t panel, const float* sums) const {
    float* c = p.c + row * p.c_row + panel * PANEL;
    const bool aligned = (((uintptr_t)c | (uintptr_t)p.c_row * 4) & (sizeof(f32v) - 1)) == 0;
    const float* bias = p.bias ? p.bias + panel * PANEL : nullptr;
    return {sums, c, p.c_row, bias, aligned && p.past_caches, engine::TILE_ROWS};
  }

  void finish(const Rows& rows, int64_t first, int64_t end, int64_t panel, const float* sums) {
    if (plain(panel)) {
      Emission all = emission(rows.first + rows.start(first), panel, sums + rows.start(first) * PANEL);
      all.n_rows = (int)(rows.start(end) - rows.start(first));
      all.advance(all.n_rows);
      return;
    }
    const int n = shorter(p.n - panel * PANEL, PANEL);
    for (int64_t i = rows.start(first); i < rows.start(end); i++)
      finish_row(p, sums + i * PANEL, rows.first + i, panel * PANEL, n);
  }
};

struct Job {
  const Product& p;
  const Plan& plan;
  char* scratch;
  bool by_rows;
};

void multiply_part(const void* given, int i, int n_parts) {
  const Job& job = *(const Job*)given;
  Worker worker(job.p, job.plan, job.scratch + i * job.plan.scratch_bytes());
  engine::PartState state;
  if (job.by_rows)
    worker.multiply(part_start(job.p.m, engine::TILE_ROWS, i, n_parts),
                    part_start(job.p.m, engine::TILE_ROWS, i + 1, n_parts), 0, job.plan.n_panels);
  else
    worker.multiply(0, job.p.m, part_start(job.plan.n_panels, 2, i, n_parts),
                    part_start(job.plan.n_panels, 2, i + 1, n_parts));
}

struct Packing {
  Operand b;               // or, where `panels` is not null, the transpose of what lies there
  const uint32_t* panels;
  int64_t k, n;            // of `b`, or of what lies in panels
  int64_t panel0, n_panels;
  uint32_t* out;
  int64_t out_panel;
};

void pack_part(const void* given, int i, int n_parts) {
  const Packing& job = *(const Packing*)given;
  const int64_t first = part_start(job.n_panels, 1, i, n_parts), end = part_start(job.n_panels, 1, i + 1, n_parts);
  uint32_t* out = job.out + first * job.out_panel;
  if (!job.panels) {
    for (int64_t panel = first; panel < end; panel++, out += job.out_panel)
      pack_panel_16(job.b, job.k, job.n, job.panel0 + panel, out);
    return;
  }
  const int64_t n_blocks = panels_of(job.n);
  const uint32_t least = least_exponent(job.panels, job.k, job.n);
  transpose_blocks(job.panels, job.k, 0, n_blocks, job.panel0 + first, end - first, out, job.out_panel);
  for (int64_t panel = first; panel < end; panel++, out += job.out_panel)
    for (int line = 0; line < 16; line++) out[n_blocks * BLOCK_WORDS + line] = least;
}

int32_t multiply(Crew& crew, const Product& p, int n_threads, char* own_scratch) {
  const Plan plan(p);
  const int n_parts = parts_for(n_threads, (double)p.m * p.n * p.k, LEAST_SHARE);
  char* scratch = own_scratch ? own_scratch : crew.memory((size_t)(n_parts * plan.scratch_bytes()));
  if (!scratch) return 1;
  const bool many_rows = p.m >= n_parts * 64 || p.m > p.n;
  const Job job{p, plan, scratch, many_rows && !(p.transposed && plan.n_panels >= 2 * n_parts)};
  crew.run(n_parts, multiply_part, &job);
  return 0;
}

// C = A times the transpose of a weight in panels: a stretch of that transpose is packed, then used.
int32_t multiply_transposed(const Product& whole, int64_t weight_k, int64_t weight_n, int n_threads) {
  Crew crew(n_threads);
  if (whole.m <= engine::BLOCK_ROWS) return multiply(crew, whole, n_threads, nullptr);
  Product p = whole;
  p.transposed = nullptr;
  const int64_t out_panel = panel_words(p.k), n_panels = panels_of(p.n);
  const int64_t stretch = least_of(n_panels, STRETCH_WORDS / out_panel + 1);
  p.n = least_of(stretch * PANEL, whole.n);
  const int64_t n_parts = parts_for(n_threads, (double)p.m * p.n * p.k, LEAST_SHARE);
  const int64_t panel_bytes = lines(stretch * out_panel * 4);
  char* memory = crew.memory((size_t)(panel_bytes + n_parts * Plan(p).scratch_bytes()));
  if (!memory) return 1;
  for (int64_t panel = 0; panel < n_panels; panel += stretch) {
    const int64_t here = least_of(stretch, n_panels - panel), column = panel * PANEL;
    const Packing packing{{}, whole.transposed, weight_k, weight_n, panel, here, (uint32_t*)memory, out_panel};
    crew.run(parts_for(n_threads, (double)here * p.k * 4, LEAST_SHARE), pack_part, &packing);
    p.n = least_of(here * PANEL, whole.n - column), p.panels = (const uint32_t*)memory;
    p.c = whole.c + column * whole.c_n;
    if (int32_t status = multiply(crew, p, n_threads, memory + panel_bytes)) return status;
  }
  return 0;
}

}  // namespace
}  // namespace sb

// Operands are float32, rounded to bfloat16 as they are read (N-14), or bfloat16 already. Strides are in elements; of
// each operand's two, one is 1. Products return 0, or 1 where there was no memory.
SB_EXPORT int32_t sb_linear_bf16(int64_t m, int64_t n, int64_t k, const void* a, int32_t a_is_f32, int64_t a_row,
                                 int64_t a_k, const uint32_t* panels, float* c, int64_t c_row, int64_t c_n,
                                 const float* bias, int32_t accumulate, int32_t n_threads) {
  if (m == 0 || n == 0) return 0;
  const sb::Operand left{a, a_is_f32 != 0, a_row, a_k};
  const sb::Product p{m, n, k, left, panels, nullptr, c, c_row, c_n, bias, accumulate != 0, m * n >= sb::LONG_C};
  sb::Crew crew(n_threads);
  return sb::multiply(crew, p, n_threads, nullptr);
}

// The same panels serve the product with their operand's transpose: n counts their rows here, k their columns.
SB_EXPORT int32_t sb_linear_backward_bf16(int64_t m, int64_t n, int64_t k, const void* a, int32_t a_is_f32,
                                          int64_t a_row, int64_t a_k, const uint32_t* panels, float* c, int64_t c_row,
                                          int64_t c_n, int32_t accumulate, int32_t n_threads) {
  if (m == 0 || n == 0) return 0;
  const sb::Operand left{a, a_is_f32 != 0, a_row, a_k};
  const sb::Product p{m, n, k, left, nullptr, panels, c, c_row, c_n, nullptr, accumulate != 0, m * n >= sb::LONG_C};
  return sb::multiply_transposed(p, n, k, n_threads);
}

// How many 32-bit words `sb_pack_bf16` writes for a right operand of k rows and n columns.
SB_EXPORT int64_t sb_packed_size_bf16(int64_t n, int64_t k) { return sb::panels_of(n) * sb::panel_words(k); }

SB_EXPORT int32_t sb_pack_bf16(int64_t n, int64_t k, const void* b, int32_t b_is_f32, int64_t b_k, int64_t b_n,
                               uint32_t* out, int32_t n_threads) {
  const sb::Packing packing{{b, b_is_f32 != 0, b_k, b_n}, nullptr, k, n, 0, sb::panels_of(n), out, sb::panel_words(k)};
  sb::Crew crew(n_threads);
  crew.run(sb::parts_for(n_threads, (double)n * k, sb::LEAST_SHARE), sb::pack_part, &packing);
  return 0;
}
