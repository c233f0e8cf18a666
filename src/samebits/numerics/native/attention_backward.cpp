// Clause N-16, backward. Scores are computed again, block by block, from the kept maxima and sums. A chain waits in memory
// between two blocks; queries and keys are gone through in ascending order, so that blocks reach no bit.
#include "attention.hpp"
#include "functions.hpp"

namespace sb {
namespace {

// Rows and keys of a block of scores. Two such blocks and a block's operands stay in a second-level cache.
constexpr int64_t BLOCK_ROWS = up(64, ROWS), BLOCK_KEYS = 512;
constexpr int64_t APART = BLOCK_KEYS + 16;

struct Backward {
  Shape shape;
  Heads q, k, v, out, d_out;
  const float* statistics;
  OutputHeads dq, dk, dv;
  Dropout dropout;
  float* chains;  // of every head where the heads of a group are in different parts; else null
};

struct Scratch {
  int64_t padded, panel_floats, key_floats, row_floats, block_floats;
  int64_t chain_rows, chain_floats;  // a tile's last rows may lie past the last key
  Scratch(const Shape& s)
      : padded(s.padded()),
        panel_floats(up(up(s.n_keys, WIDTH) / WIDTH * panel_stride(s.d), 16)),
        key_floats(up(s.n_keys * padded, 16)),
        row_floats(BLOCK_ROWS * padded),
        block_floats(BLOCK_ROWS * APART),
        chain_rows(s.n_keys + ROWS),
        chain_floats(up(chain_rows * padded, 16)) {}
  int64_t pack_floats() const { return up(ROWS * padded + 4 * WIDTH, 16); }
  int64_t floats(bool with_chains) const {
    return 2 * panel_floats + key_floats + 3 * row_floats + 2 * block_floats + 2 * pack_floats() +
           ROWS * APART + (with_chains ? 2 : 0) * chain_floats;
  }
};

struct Worker {
  const Backward& job;
  const Shape& s;
  Scratch sizes;
  float *key_panels, *value_panels, *keys;
  float *queries, *gradients, *dq_chains;  // of a block's rows: q, d_out / sum and what comes of dq
  float *weights, *ds;                     // the block: exp(s - m) without what is dropped, gradients of scores
  float *packed_q, *packed_gradients, *packed_ds;  // of a tile's rows, side by side
  float *dk_chains, *dv_chains;
  int64_t packed;

  Worker(const Backward& job, float* scratch) : job(job), s(job.shape), sizes(s), packed(-1) {
    auto take_floats = [&](int64_t n) {
      float* from = scratch;
      scratch += n;
      return from;
    };
    key_panels = take_floats(sizes.panel_floats), value_panels = take_floats(sizes.panel_floats);
    keys = take_floats(sizes.key_floats);
    queries = take_floats(sizes.row_floats), gradients = take_floats(sizes.row_floats);
    dq_chains = take_floats(sizes.row_floats);
    weights = take_floats(sizes.block_floats), ds = take_floats(sizes.block_floats);
    packed_q = take_floats(sizes.pack_floats()), packed_gradients = take_floats(sizes.pack_floats());
    packed_ds = take_floats(ROWS * APART);
    dk_chains = scratch, dv_chains = scratch + sizes.chain_floats;
  }

  void pack(int64_t head) {
    pack_panels(job.k.of(head), 1, job.k.row, s.n_keys, s.d, key_panels);
    pack_panels(job.v.of(head), 1, job.v.row, s.n_keys, s.d, value_panels);
    copy_rows(job.k.of(head), job.k.row, s.n_keys, s.d, sizes.padded, keys);
    packed = head;
  }

  void head(int64_t head) {
    const int64_t shared = head / (s.n_heads / s.n_kv_heads);
    if (shared != packed) pack(shared);
    if (job.chains) dk_chains = job.chains + 2 * head * sizes.chain_floats, dv_chains = dk_chains + sizes.chain_floats;
    memset(dk_chains, 0, (size_t)sizes.chain_floats * sizeof(float));
    memset(dv_chains, 0, (size_t)sizes.chain_floats * sizeof(float));
    for (int64_t row = 0; row < s.n_queries; row += BLOCK_ROWS) rows(head, row, least(BLOCK_ROWS, s.n_queries - row));
  }

  void rows(int64_t head, int64_t row, int64_t n) {
    float terms[BLOCK_ROWS];
    copy_rows(job.q.of(head) + row * job.q.row, job.q.row, n, s.d, sizes.padded, queries);
    copy_rows(job.d_out.of(head) + row * job.d_out.row, job.d_out.row, n, s.d, sizes.padded, gradients);
    for (int64_t r = 0; r < n; r++) terms[r] = divide(head, row + r, gradients + r * sizes.padded);
    memset(dq_chains, 0, (size_t)sizes.row_floats * sizeof(float));
    const Steps seen = keys_of(s, s.first + row, n);
    for (int64_t j = down(seen.begin, LANES); j < seen.end; j += BLOCK_KEYS)
      block(head, row, n, j, least(j + BLOCK_KEYS, seen.end), terms);
    for (int64_t r = 0; r < n; r++)
      for (int64_t panel = 0; panel < s.n_panels(); panel++) {
        const f32v x = load(chain_of(dq_chains, BLOCK_ROWS, r, panel));
        write(job.dq.of(head) + (row + r) * job.dq.row, panel, x * splat(s.scale));
      }
  }

  // Divides the row of gradients by its sum; returns the product of output and gradient, divided likewise.
  float divide(int64_t head, int64_t row, float* gradient) {
    const float* out = job.out.of(head) + row * job.out.row;
    const float product = fold_lanes(
        s.d, EMPTY_SUM, [=](f32v lanes, Elements e) { return fma(e.load(gradient), e.load(out), lanes); }, Add());
    const float sum = job.statistics[(s.n_heads + head) * s.n_queries + row];
    for (int64_t c = 0; c < sizes.padded; c += WIDTH) {
      f32v x = load(gradient + c) / splat(sum);
      if (job.dropout.threshold) x = x * splat(job.dropout.scale);
      store(gradient + c, x);
    }
    return product / sum;
  }

  // Chains lie by groups of two vectors (a last one may stand alone), [rows][group].
  float* chain_of(float* chains, int64_t n_rows, int64_t row, int64_t panel) const {
    const int64_t group = down(panel, 2), wide = least(s.n_panels() - group, 2);
    return chains + (group * n_rows + row * wide + panel - group) * WIDTH;
  }
  void write(float* row, int64_t panel, f32v x) const {
    const int64_t left = s.d - panel * WIDTH;
    if (left >= WIDTH) store(row + panel * WIDTH, x);
    else store_first(row + panel * WIDTH, x, (int)left);
  }

  // Rows `row` to `row + n - 1` and keys `j` to `j_end - 1`.
  void block(int64_t head, int64_t row, int64_t n, int64_t j, int64_t j_end, const float* terms) {
    const int64_t p = s.first + row;
    for (int64_t r = 0; r < n; r += ROWS) {
      const int n_rows = (int)least(ROWS, n - r);
      const Steps steps = keys_of(s, p + r, n_rows).within(j, j_end);
      if (steps.begin >= steps.end) continue;
      scores(r, n_rows, steps, j);
      for (int64_t i = r; i < r + n_rows; i++) score_gradients(head, row + i, i, j, steps, terms[i]);
      pack_rows(ds + r * APART, APART, 1, n_rows, steps.end, packed_ds);
      Chains c{packed_ds, n_rows, keys + j * sizes.padded, sizes.padded, n_rows};
      take_all(c, steps, dq_chains, BLOCK_ROWS, r);
    }
    for (int64_t key = j; key < j_end; key += ROWS) {
      const int n_keys = (int)least(ROWS, j_end - key);
      const Steps steps = queries_of(s, key, n_keys).within(p, p + n);
      if (steps.begin >= steps.end) continue;
      Chains c{weights + (key - j), APART, gradients, sizes.padded, n_keys};
      take_all(c, steps, dv_chains, sizes.chain_rows, key);
      c.a = ds + (key - j), c.b = queries;
      take_all(c, steps, dk_chains, sizes.chain_rows, key);
    }
  }

  void take_all(Chains c, const Steps& steps, float* chains, int64_t n_rows, int64_t row) {
    int64_t panel = 0;
    for (; panel + 2 <= s.n_panels(); panel += 2, c.b += 2 * WIDTH)
      take<2>(c, steps, chain_of(chains, n_rows, row, panel));
    if (panel < s.n_panels()) take<1>(c, steps, chain_of(chains, n_rows, row, panel));
  }

  void scores(int64_t r, int n_rows, const Steps& steps, int64_t j) {
    const int64_t begin = down(steps.begin, WIDTH), panel = (j + begin) / WIDTH;
    const int64_t panel_end = up(j + steps.end, WIDTH) / WIDTH;
    pack_rows(queries + r * sizes.padded, sizes.padded, 1, n_rows, s.d, packed_q);
    pack_rows(gradients + r * sizes.padded, sizes.padded, 1, n_rows, s.d, packed_gradients);
    score_tile(packed_q, n_rows, key_panels, panel_stride(s.d), s.d, panel, panel_end,
               weights + r * APART + begin, APART);
    score_tile(packed_gradients, n_rows, value_panels, panel_stride(s.d), s.d, panel,
               panel_end, ds + r * APART + begin, APART);
  }

  // Turns a row of products of q and k, and one of gradients and v, into weights and gradients of scores. What lies
  // beside the keys that the row sees is computed too, and looked at by no chain.
  void score_gradients(int64_t head, int64_t row, int64_t r, int64_t j, const Steps& steps, float term) {
    float *w = weights + r * APART, *g = ds + r * APART;
    const f32v factor = splat(s.scale), greatest_score = splat(job.statistics[head * s.n_queries + row]);
    const f32v subtrahend = splat(term);
    const int64_t end = up(steps.end, WIDTH);
    if (!job.dropout.threshold) {
      for (int64_t x = down(steps.begin, WIDTH); x < end; x += WIDTH) {
        const f32v e = exp(load(w + x) * factor - greatest_score);
        store(w + x, e);
        store(g + x, e * (load(g + x) - subtrahend));
      }
      return;
    }
    constexpr int VECTORS = 2 * (16 / WIDTH);  // whose words are made together
    for (int64_t x = down(steps.begin, VECTORS * WIDTH); x < end; x += VECTORS * WIDTH) {
      u32v words[VECTORS];
      const uint64_t element = job.dropout.element(head, s.first + row, j + x);
      random_words<VECTORS / 2>(job.dropout.stream, element / BLOCK_ELEMENTS, words);
      for (int v = 0; v < VECTORS; v++) {
        float *at = w + x + v * WIDTH, *from = g + x + v * WIDTH;
        const i32v keep = kept(words[v], job.dropout.threshold);
        const f32v e = exp(load(at) * factor - greatest_score);
        store(at, from_bits(bits_of(e) & keep));
        store(from, e * (from_bits(bits_of(load(from)) & keep) - subtrahend));
      }
    }
  }

  // Puts the chains of one head, or adds them, into its group's gradients; after the last head, dk is scaled.
  void gather(int64_t head, int64_t key0, int64_t key1) {
    const int64_t group = s.n_heads / s.n_kv_heads, shared = head / group, place = head % group;
    float* dk_from = job.chains ? job.chains + 2 * head * sizes.chain_floats : dk_chains;
    float* dv_from = dk_from + sizes.chain_floats;
    for (int64_t key = key0; key < key1; key++) {
      float *dk = job.dk.of(shared) + key * job.dk.row, *dv = job.dv.of(shared) + key * job.dv.row;
      for (int64_t panel = 0; panel < s.n_panels(); panel++) {
        f32v dk_x = load(chain_of(dk_from, sizes.chain_rows, key, panel));
        f32v dv_x = load(chain_of(dv_from, sizes.chain_rows, key, panel));
        if (place) {
          const int n = (int)least(WIDTH, s.d - panel * WIDTH);
          dk_x = load_first(dk + panel * WIDTH, n) + dk_x, dv_x = load_first(dv + panel * WIDTH, n) + dv_x;
        }
        if (place + 1 == group) dk_x = dk_x * splat(s.scale);
        write(dk, panel, dk_x), write(dv, panel, dv_x);
      }
    }
  }
};

struct Parts {
  const Backward& job;
  float* scratch;
  int64_t scratch_floats;
};

void whole_groups(const void* given, int i, int n_parts) {
  const Parts& parts = *(const Parts*)given;
  const Shape& s = parts.job.shape;
  Worker worker(parts.job, parts.scratch + i * parts.scratch_floats);
  const int64_t group = s.n_heads / s.n_kv_heads, end = part_start(s.n_kv_heads, 1, i + 1, n_parts) * group;
  for (int64_t head = part_start(s.n_kv_heads, 1, i, n_parts) * group; head < end; head++)
    worker.head(head), worker.gather(head, 0, s.n_keys);
}
void single_heads(const void* given, int i, int n_parts) {
  const Parts& parts = *(const Parts*)given;
  Worker worker(parts.job, parts.scratch + i * parts.scratch_floats);
  const int64_t n_heads = parts.job.shape.n_heads, end = part_start(n_heads, 1, i + 1, n_parts);
  for (int64_t head = part_start(n_heads, 1, i, n_parts); head < end; head++) worker.head(head);
}
void gather_keys(const void* given, int i, int n_parts) {
  const Parts& parts = *(const Parts*)given;
  const Shape& s = parts.job.shape;
  Worker worker(parts.job, parts.scratch);
  for (int64_t head = 0; head < s.n_heads; head++)
    worker.gather(head, part_start(s.n_keys, 1, i, n_parts), part_start(s.n_keys, 1, i + 1, n_parts));
}

// Groups are shared out while they go round; else single heads are, and each keeps chains of its own until all are done.
int32_t propagate(Backward& job, int n_threads) {
  const Shape& s = job.shape;
  const Scratch sizes(s);
  const int n_parts = parts_for(n_threads, 2.5 * s.n_operations(), ATTENTION_SHARE);
  const bool by_groups = s.n_kv_heads == s.n_heads || s.n_kv_heads % n_parts == 0;
  const int64_t floats = sizes.floats(by_groups), chains = by_groups ? 0 : 2 * s.n_heads * sizes.chain_floats;
  Crew crew(n_threads);
  float* scratch = (float*)crew.memory((n_parts * floats + chains) * sizeof(float));
  if (!scratch) return 1;
  job.chains = by_groups ? nullptr : scratch + n_parts * floats;
  Parts parts{job, scratch, floats};
  crew.run(n_parts, by_groups ? whole_groups : single_heads, &parts);
  if (!by_groups) crew.run(n_parts, gather_keys, &parts);
  return 0;
}

}  // namespace
}  // namespace sb

// Shapes as in `sb_attention_f32`: out and d_out like q, dq like q, dk and dv like k.
SB_EXPORT int32_t sb_attention_backward_f32(
    int64_t n_queries, int64_t n_keys, int64_t n_heads, int64_t n_kv_heads, int64_t d, int64_t first, int64_t window,
    float scale, const float* q, int64_t q_row, int64_t q_head, const float* k, int64_t k_row, int64_t k_head,
    const float* v, int64_t v_row, int64_t v_head, const sb::Stream* stream, int64_t threshold, float keep_scale,
    const float* out, int64_t out_row, int64_t out_head, const float* statistics, const float* d_out,
    int64_t d_out_row, int64_t d_out_head, float* dq, int64_t dq_row, int64_t dq_head, float* dk, int64_t dk_row,
    int64_t dk_head, float* dv, int64_t dv_row, int64_t dv_head, int32_t n_threads) {
  sb::Dropout dropout{};
  if (threshold) dropout = sb::Dropout{*stream, (uint32_t)threshold, keep_scale};
  sb::Backward job{{n_queries, n_keys, n_heads, n_kv_heads, d, first, window, scale},
                   {q, q_row, q_head},
                   {k, k_row, k_head},
                   {v, v_row, v_head},
                   {out, out_row, out_head},
                   {d_out, d_out_row, d_out_head},
                   statistics,
                   {dq, dq_row, dq_head},
                   {dk, dk_row, dk_head},
                   {dv, dv_row, dv_head},
                   dropout,
                   nullptr};
  return sb::propagate(job, n_threads);
}
