// Clause N-18: layer norm and RMS norm over rows, forward and backward. A weight or bias that is not there is null.
#include "rows.hpp"

namespace sb {
namespace {

// Rows that go into one step of a column's chain: the chain keeps its order, its sum stays in a register between them.
constexpr int CHAIN_ROWS = 4;

SB_INLINE float inverse_root(float mean_square, float eps) {
  return (splat(1.0f) / sqrt(splat(mean_square + eps)))[0];
}

// A normalized element is (x - mean) * rstd, or x * rstd where no mean is taken off.
template <bool CENTERED>
SB_INLINE f32v normalized(f32v x, f32v mean, f32v rstd) {
  return CENTERED ? (x - mean) * rstd : x * rstd;
}

template <bool CENTERED>
struct Forward {
  int64_t rows, n;
  ConstantRows x;
  const float *weight, *bias;
  float eps;
  Rows out;
  float *means, *rstds;

  void row(int64_t r) const {
    const float *from = x[r], *next = x[r + 1 < rows ? r + 1 : r];
    float* to = out[r];
    f32v mean{};
    if (CENTERED) {
      means[r] = sum_of(from, n) / (float)n;
      mean = splat(means[r]);
    }
    const float squares = fold_lanes(
        n, EMPTY_SUM,
        [=](f32v lanes, Elements e) {
          ask_for(next, e);
          const f32v d = CENTERED ? e.load(from) - mean : e.load(from);
          return fma(d, d, lanes);
        },
        Add());
    rstds[r] = inverse_root(squares / (float)n, eps);
    const f32v rstd = splat(rstds[r]);
    const float *w = weight, *b = bias;
    const auto h = [=](Elements e) { return normalized<CENTERED>(e.load(from), mean, rstd); };
    if (w && b) each_vector(n, [=](Elements e) { e.store(to, fma(h(e), e.load(w), e.load(b))); });
    else if (w) each_vector(n, [=](Elements e) { e.store(to, h(e) * e.load(w)); });
    else if (b) each_vector(n, [=](Elements e) { e.store(to, h(e) + e.load(b)); });
    else each_vector(n, [=](Elements e) { e.store(to, h(e)); });
  }
};

template <bool CENTERED>
struct Backward {
  int64_t rows, n;
  ConstantRows dy, x;
  const float *means, *rstds, *weight;
  Rows dx;
  bool accumulate;

  void row(int64_t r) const {
    if (weight && accumulate) row_of<true, true>(r);
    else if (weight) row_of<true, false>(r);
    else if (accumulate) row_of<false, true>(r);
    else row_of<false, false>(r);
  }

  template <bool WEIGHTED, bool ONTO>
  __attribute__((always_inline)) void row_of(int64_t r) const {
    const int64_t next = r + 1 < rows ? r + 1 : r;
    const float *from = x[r], *d = dy[r], *w = weight, *next_from = x[next], *next_d = dy[next];
    float* to = dx[r];
    const f32v mean = CENTERED ? splat(means[r]) : f32v{}, rstd = splat(rstds[r]);
    const auto g = [=](Elements e) { return WEIGHTED ? e.load(d) * e.load(w) : e.load(d); };
    const auto h = [=](Elements e) { return normalized<CENTERED>(e.load(from), mean, rstd); };
    float sums[CENTERED ? 2 : 1];
    fold_sums(n, sums, [=](f32v* sums, Elements e) {
      const f32v gradient = g(e);
      sums[0] = fma(gradient, h(e), sums[0]);
      if (CENTERED) sums[1] = sums[1] + gradient;
    });
    const f32v along = splat(sums[0] / (float)n);
    const f32v mean_gradient = CENTERED ? splat(sums[CENTERED] / (float)n) : f32v{};
    each_vector(n, [=](Elements e) {
      ask_for(next_from, e);
      ask_for(next_d, e);
      const f32v rest = CENTERED ? g(e) - mean_gradient : g(e);
      const f32v result = rstd * fma(-h(e), along, rest);
      e.store(to, ONTO ? e.load(to) + result : result);
    });
  }
};

// The gradients of weight and bias: one chain per column, over ascending rows.
template <bool CENTERED>
struct WeightBackward {
  int64_t rows, n;
  ConstantRows dy, x;
  const float *means, *rstds;
  float *dweight, *dbias;  // dbias may be null
  bool accumulate;

  // Takes `count` rows from r on into the sums of columns `start` to `end`, which lie at the columns' own places.
  template <int COUNT>
  __attribute__((always_inline)) void take_in(int64_t r, int64_t start, int64_t end, float* weights,
                                              float* biases) const {
    f32v mean[COUNT], rstd[COUNT];
    for (int k = 0; k < COUNT; k++) {
      mean[k] = CENTERED ? splat(means[r + k]) : f32v{};
      rstd[k] = splat(rstds[r + k]);
    }
    each_vector(end - start, [&](Elements e) {
      f32v sum = e.load(weights), bias_sum = biases ? e.load(biases) : f32v{};
      for (int k = 0; k < COUNT; k++) {
        const f32v d = e.load(dy[r + k] + start);
        sum = fma(d, normalized<CENTERED>(e.load(x[r + k] + start), mean[k], rstd[k]), sum);
        if (biases) bias_sum = bias_sum + d;
      }
      e.store(weights, sum);
      if (biases) e.store(biases, bias_sum);
    });
  }

  void columns(int64_t start, int64_t end) const {
    constexpr int64_t BLOCK = 1024;
    float weights[BLOCK], biases[BLOCK];
    for (; start < end; start += BLOCK) {
      const int64_t stop = start + BLOCK < end ? start + BLOCK : end, count = stop - start;
      for (int64_t c = 0; c < count; c++) weights[c] = biases[c] = 0.0f;
      float* used_biases = dbias ? biases : nullptr;
      int64_t r = 0;
      for (; r + CHAIN_ROWS <= rows; r += CHAIN_ROWS) take_in<CHAIN_ROWS>(r, start, stop, weights, used_biases);
      for (; r < rows; r++) take_in<1>(r, start, stop, weights, used_biases);
      finish(weights, dweight + start, count);
      if (dbias) finish(biases, dbias + start, count);
    }
  }

  void finish(const float* sums, float* to, int64_t count) const {
    each_vector(count, [=](Elements e) { e.store(to, accumulate ? e.load(to) + e.load(sums) : e.load(sums)); });
  }
};

template <class Job>
int32_t run_columns(const Job& job, int n_threads) {
  Crew crew(n_threads);
  const auto part = [](const void* given, int i, int n_parts) {
    const Job& job = *(const Job*)given;
    job.columns(part_start(job.n, LANES, i, n_parts), part_start(job.n, LANES, i + 1, n_parts));
  };
  crew.run(parts_for(n_threads, (double)job.rows * job.n, LEAST_ROWS_SHARE), part, &job);
  return 0;
}

}  // namespace
}  // namespace sb

// out[r] = (x[r] - mean) * rstd * weight + bias; mean and rstd of each row are kept for the backward pass.
SB_EXPORT int32_t sb_layer_norm_f32(int64_t rows, int64_t n, const float* x, int64_t x_row, const float* weight,
                                    const float* bias, float eps, float* out, int64_t out_row, float* mean, float* rstd,
                                    int32_t n_threads) {
  return sb::run_rows(sb::Forward<true>{rows, n, {x, x_row}, weight, bias, eps, {out, out_row}, mean, rstd}, n_threads);
}

SB_EXPORT int32_t sb_layer_norm_backward_f32(int64_t rows, int64_t n, const float* dy, int64_t dy_row, const float* x,
                                             int64_t x_row, const float* mean, const float* rstd, const float* weight,
                                             float* dx, int64_t dx_row, int32_t accumulate, int32_t n_threads) {
  const sb::Backward<true> job{rows, n, {dy, dy_row}, {x, x_row}, mean, rstd, weight, {dx, dx_row}, accumulate != 0};
  return sb::run_rows(job, n_threads);
}

SB_EXPORT int32_t sb_layer_norm_backward_weight_f32(int64_t rows, int64_t n, const float* dy, int64_t dy_row,
                                                    const float* x, int64_t x_row, const float* mean, const float* rstd,
                                                    float* dweight, float* dbias, int32_t accumulate,
                                                    int32_t n_threads) {
  const sb::WeightBackward<true> job{rows, n, {dy, dy_row}, {x, x_row}, mean, rstd, dweight, dbias, accumulate != 0};
  return sb::run_columns(job, n_threads);
}

// out[r] = x[r] * rstd * weight; rstd of each row is kept for the backward pass.
SB_EXPORT int32_t sb_rms_norm_f32(int64_t rows, int64_t n, const float* x, int64_t x_row, const float* weight,
                                  float eps, float* out, int64_t out_row, float* rstd, int32_t n_threads) {
  const sb::Forward<false> job{rows, n, {x, x_row}, weight, nullptr, eps, {out, out_row}, nullptr, rstd};
  return sb::run_rows(job, n_threads);
}

SB_EXPORT int32_t sb_rms_norm_backward_f32(int64_t rows, int64_t n, const float* dy, int64_t dy_row, const float* x,
                                           int64_t x_row, const float* rstd, const float* weight, float* dx,
                                           int64_t dx_row, int32_t accumulate, int32_t n_threads) {
  const sb::Backward<false> job{rows, n,      {dy, dy_row},  {x, x_row},     nullptr,
                                rstd, weight, {dx, dx_row}, accumulate != 0};
  return sb::run_rows(job, n_threads);
}

SB_EXPORT int32_t sb_rms_norm_backward_weight_f32(int64_t rows, int64_t n, const float* dy, int64_t dy_row,
                                                  const float* x, int64_t x_row, const float* rstd, float* dweight,
                                                  int32_t accumulate, int32_t n_threads) {
  const sb::WeightBackward<false> job{rows, n,       {dy, dy_row}, {x, x_row},     nullptr,
                                      rstd, dweight, nullptr,      accumulate != 0};
  return sb::run_columns(job, n_threads);
}
