// Clause N-16, forward. A tile of query rows goes through scores, softmax and value chains by itself, over all keys that
// its rows see; the tile's size reaches no bit.
#include "attention.hpp"

#include "functions.hpp"

namespace sb {
namespace {

struct Forward {
  Shape shape;
  Heads q, k, v;
  OutputHeads out;
  float* statistics;  // maxima [n_heads][n_queries], then sums; or null
  Dropout dropout;
  int64_t n_chunks;  // stretches of rows that one head is cut into
};

struct Scratch {
  int64_t key_floats, value_floats, score_floats, query_floats;
  Scratch(const Shape& s)
      : key_floats(up(s.n_keys, WIDTH) / WIDTH * panel_stride(s.d)),
        value_floats(up(s.n_keys * s.padded(), 16)),
        score_floats(ROWS * row_floats(s.n_keys)),
        query_floats(up(ROWS * s.d + 4 * WIDTH, 16)) {}
  int64_t floats() const { return up(key_floats, 16) + value_floats + 2 * score_floats + query_floats; }
};

struct Normalizer {
  float maximum, sum;
};

// Turns a row of products into exp(s - m). Keys `begin` to `end` - 1 are seen; those before are masked, and lie here only
// so that the lanes fall where they must: as -inf they take part in a maximum, and as +0 in a sum that holds a 1,
// without a trace.
Normalizer exponentials(float* row, int64_t begin, int64_t end, float scale) {
  for (int64_t j = 0; j < begin; j++) row[j] = EMPTY_MAXIMUM;
  const f32v factor = splat(scale);
  Normalizer r;
  r.maximum = fold_lanes(
      end, EMPTY_MAXIMUM,
      [=](f32v lanes, Elements e) {
        const f32v s = e.load(row) * factor;
        e.store(row, s);
        return maximum(lanes, s);
      },
      Maximum());
  const f32v greatest_score = splat(r.maximum);
  r.sum = fold_lanes(
      end, EMPTY_SUM,
      [=](f32v lanes, Elements e) {
        const f32v x = exp(e.load(row) - greatest_score);
        e.store(row, x);
        return lanes + x;
      },
      Add());
  return r;
}

// Products over d of one query with keys `begin` to `end` - 1 where they lie; a last vector is filled with its last key.
void score_in_place(const float* q, const float* k, int64_t k_row, int64_t d, int64_t begin, int64_t end, float* out) {
  for (int64_t j = begin; j < end; j += WIDTH, out += WIDTH) {
    f32v chains{};
    for (int64_t c = 0; c < d; c += WIDTH) {
      f32v keys[WIDTH];
      for (int i = 0; i < WIDTH; i++) {
        const float* at = k + least(j + i, end - 1) * k_row + c;
        __builtin_prefetch(at + WIDTH * k_row);
        keys[i] = load(at);
      }
      transpose(keys);
#pragma GCC unroll 16
      for (int i = 0; i < WIDTH; i++) chains = fma(splat(q[c + i]), keys[i], chains);
    }
    store(out, chains);
  }
}

struct Worker {
  const Forward& job;
  const Shape& s;
  Scratch sizes;
  float *keys, *values, *scores, *weights, *queries;  // weights: scores of one row of keys side by side
  int64_t packed;  // the head whose keys and values lie there
  bool in_place;   // one query is not worth packing: keys and values are read where they lie

  Worker(const Forward& job, float* scratch)
      : job(job), s(job.shape), sizes(s), keys(scratch), values(keys + up(sizes.key_floats, 16)),
        scores(values + sizes.value_floats), weights(scores + sizes.score_floats),
        queries(weights + sizes.score_floats), packed(-1),
        in_place(s.n_queries == 1 && s.n_heads <= 2 * s.n_kv_heads && s.d % WIDTH == 0) {}

  void attend(int64_t head, int64_t row0, int64_t row1) {
    if (row0 == row1) return;  // with few rows a head is cut into fewer stretches than there are
    const int64_t shared = head / (s.n_heads / s.n_kv_heads);
    if (!in_place && shared != packed) pack(shared);
    for (int64_t row = row0; row < row1; row += ROWS) tile_of_rows(head, row, (int)least(ROWS, row1 - row));
  }

  void pack(int64_t head) {
    pack_panels(job.k.of(head), 1, job.k.row, s.n_keys, s.d, keys);
    copy_rows(job.v.of(head), job.v.row, s.n_keys, s.d, s.padded(), values);
    packed = head;
  }

  void tile_of_rows(int64_t head, int64_t row, int n_rows) {
    const int64_t p = s.first + row;
    const Steps seen = keys_of(s, p, n_rows);
    const Rounds rounds(seen);
    const int64_t apart = row_floats(rounds.n());
    const int64_t from = down(seen.begin, WIDTH);
    if (in_place) {
      const int64_t shared = head / (s.n_heads / s.n_kv_heads);
      score_in_place(job.q.of(head), job.k.of(shared), job.k.row, s.d, from, seen.end, scores + from - rounds.begin);
    } else {
      pack_rows(job.q.of(head) + row * job.q.row, job.q.row, 1, n_rows, s.d, queries);
      score_tile(queries, n_rows, keys, panel_stride(s.d), s.d, from / WIDTH, up(seen.end, WIDTH) / WIDTH,
                 scores + from - rounds.begin, apart);
    }
    float sums[ROWS];
    for (int r = 0; r < n_rows; r++) {
      float* x = scores + r * apart;
      const int64_t begin = s.low(p + r) - rounds.begin, end = s.high(p + r) - rounds.begin;
      const Normalizer n = exponentials(x, begin, end, s.scale);
      sums[r] = n.sum;
      if (job.statistics) {
        float* kept = job.statistics + head * s.n_queries + row + r;
        kept[0] = n.maximum, kept[s.n_heads * s.n_queries] = n.sum;
      }
      if (job.dropout.threshold) drop(x, head, p + r, rounds.begin, begin, end);
    }
    const Steps steps = seen.within(rounds.begin, rounds.end);
    if (n_rows > 1) pack_rows(scores, apart, 1, n_rows, steps.end, weights);
    Chains c{n_rows > 1 ? weights : scores, n_rows, nullptr, in_place ? job.v.row : s.padded(), n_rows};
    int64_t panel = 0;
    for (; n_rows == 1 && panel + 4 <= s.n_panels(); panel += 4)
      weigh<4>(c, steps, rounds.begin, panel, sums, head, row);
    for (; panel + 2 <= s.n_panels(); panel += 2) weigh<2>(c, steps, rounds.begin, panel, sums, head, row);
    if (panel < s.n_panels()) weigh<1>(c, steps, rounds.begin, panel, sums, head, row);
  }

  void drop(float* x, int64_t head, int64_t i, int64_t origin, int64_t begin, int64_t end) {
    const Dropout& d = job.dropout;
    for (int64_t j = down(begin, LANES); j < end; j += LANES) {
      u32v words[LANE_VECTORS];
      random_words<LANE_VECTORS / 2>(d.stream, d.element(head, i, origin + j) / BLOCK_ELEMENTS, words);
      for (int v = 0; v < LANE_VECTORS; v++) {
        float* at = x + j + v * WIDTH;
        store(at, from_bits(bits_of(load(at)) & kept(words[v], d.threshold)));
      }
    }
  }

  // The value chains of NV vectors of the head's width, divided by the sums of their rows.
  template <int NV>
  void weigh(Chains& c, const Steps& steps, int64_t origin, int64_t panel, const float* sums, int64_t head,
             int64_t row) {
    float chains[ROWS * NV * WIDTH] = {};
    const float* v = in_place ? job.v.of(head / (s.n_heads / s.n_kv_heads)) : values;
    c.b = v + origin * c.b_step + panel * WIDTH;
    take<NV>(c, steps, chains);
    for (int r = 0; r < c.n_rows; r++) {
      float* out = job.out.of(head) + (row + r) * job.out.row + panel * WIDTH;
      const f32v sum = splat(sums[r]);
      for (int v = 0; v < NV; v++) {
        f32v x = load(chains + (r * NV + v) * WIDTH) / sum;
        if (job.dropout.threshold) x = x * splat(job.dropout.scale);
        const int64_t left = s.d - (panel + v) * WIDTH;
        if (left >= WIDTH) store(out + v * WIDTH, x);
        else store_first(out + v * WIDTH, x, (int)left);
      }
    }
  }
};

struct Parts {
  const Forward& job;
  float* scratch;
  int64_t scratch_floats;
};

// Where stretch `chunk` of a head's rows starts: later rows see more keys, so that the stretches shorten.
int64_t chunk_start(const Forward& job, int64_t chunk) {
  const Shape& s = job.shape;
  if (chunk == job.n_chunks) return s.n_queries;
  double all = 0, before = 0;
  for (int64_t row = 0; row < s.n_queries; row++) all += (double)(s.high(s.first + row) - s.low(s.first + row));
  int64_t row = 0;
  for (; before < all * (double)chunk / (double)job.n_chunks; row++)
    before += (double)(s.high(s.first + row) - s.low(s.first + row));
  return least(up(row, ROWS), s.n_queries);
}

void attend_part(const void* given, int i, int n_parts) {
  const Parts& parts = *(const Parts*)given;
  const Forward& job = parts.job;
  Worker worker(job, parts.scratch + i * parts.scratch_floats);
  const int64_t n_units = job.shape.n_heads * job.n_chunks;
  for (int64_t unit = part_start(n_units, 1, i, n_parts); unit < part_start(n_units, 1, i + 1, n_parts); unit++) {
    const int64_t chunk = unit % job.n_chunks;
    worker.attend(unit / job.n_chunks, chunk_start(job, chunk), chunk_start(job, chunk + 1));
  }
}

int32_t attend(Forward& job, int n_threads) {
  const Shape& s = job.shape;
  const int n_parts = parts_for(n_threads, s.n_operations(), ATTENTION_SHARE);
  job.n_chunks = s.n_heads % n_parts ? pieces(4 * n_parts, s.n_heads) : 1;
  Crew crew(n_threads);
  const int64_t floats = Scratch(s).floats();
  float* scratch = (float*)crew.memory(n_parts * floats * sizeof(float));
  if (!scratch) return 1;
  Parts parts{job, scratch, floats};
  crew.run(n_parts, attend_part, &parts);
  return 0;
}

}  // namespace
}  // namespace sb

// q, out: [n_queries, n_heads, d]; k, v: [n_keys, n_kv_heads, d]; the distances between rows and heads follow each.
// `window` keys are seen by each query, its own the last; 0: all. `statistics` may be null.
SB_EXPORT int32_t sb_attention_f32(int64_t n_queries, int64_t n_keys, int64_t n_heads, int64_t n_kv_heads, int64_t d,
                                   int64_t first, int64_t window, float scale, const float* q, int64_t q_row,
                                   int64_t q_head, const float* k, int64_t k_row, int64_t k_head, const float* v,
                                   int64_t v_row, int64_t v_head, const sb::Stream* stream, int64_t threshold,
                                   float keep_scale, float* out, int64_t out_row, int64_t out_head, float* statistics,
                                   int32_t n_threads) {
  if (!n_queries) return 0;
  sb::Dropout dropout{};
  if (threshold) dropout = sb::Dropout{*stream, (uint32_t)threshold, keep_scale};
  sb::Forward job{{n_queries, n_keys, n_heads, n_kv_heads, d, first, window, scale},
                  {q, q_row, q_head},
                  {k, k_row, k_head},
                  {v, v_row, v_head},
                  {out, out_row, out_head},
                  statistics,
                  dropout,
                  1};
  return sb::attend(job, n_threads);
}
