// Clause N-19: softmax and log-softmax over rows, forward and backward.
#include "softmax.hpp"

namespace sb {
namespace {

struct Softmax {
  int64_t rows, n;
  ConstantRows x;
  Rows out;

  void row(int64_t r) const {
    const float *from = x[r], *next = x[r + 1 < rows ? r + 1 : r];
    float* to = out[r];
    const float m = maximum_of(from, n);
    const float sum = sum_of_exponentials(from, n, m, next, [=](Elements e, f32v kept) { e.store(to, kept); });
    const f32v inverse = splat(1.0f / sum);
    each_vector(n, [=](Elements e) { e.store(to, e.load(to) * inverse); });
  }
};

struct LogSoftmax {
  int64_t rows, n;
  ConstantRows x;
  Rows out;

  void row(int64_t r) const {
    const float *from = x[r], *next = x[r + 1 < rows ? r + 1 : r];
    float* to = out[r];
    const float m = maximum_of(from, n);
    const f32v maximum = splat(m);
    const f32v log_sum = splat(log_of(sum_of_exponentials(from, n, m, next, [](Elements, f32v) {})));
    each_vector(n, [=](Elements e) { e.store(to, (e.load(from) - maximum) - log_sum); });
  }
};

struct SoftmaxBackward {
  int64_t rows, n;
  ConstantRows dy, y;
  Rows dx;

  void row(int64_t r) const {
    const int64_t next = r + 1 < rows ? r + 1 : r;
    const float *d = dy[r], *p = y[r], *next_d = dy[next], *next_p = y[next];
    float* to = dx[r];
    const f32v along = splat(
        fold_lanes(n, EMPTY_SUM, [=](f32v lanes, Elements e) { return fma(e.load(d), e.load(p), lanes); }, Add()));
    each_vector(n, [=](Elements e) {
      ask_for(next_d, e);
      ask_for(next_p, e);
      e.store(to, e.load(p) * (e.load(d) - along));
    });
  }
};

struct LogSoftmaxBackward {
  int64_t rows, n;
  ConstantRows dy, y;
  Rows dx;

  void row(int64_t r) const {
    const int64_t next = r + 1 < rows ? r + 1 : r;
    const float *d = dy[r], *logs = y[r], *next_d = dy[next], *next_logs = y[next];
    float* to = dx[r];
    const f32v sum = splat(sum_of(d, n));
    each_vector(n, [=](Elements e) {
      ask_for(next_d, e);
      ask_for(next_logs, e);
      e.store(to, fma(-exp(e.load(logs)), sum, e.load(d)));
    });
  }
};

}  // namespace
}  // namespace sb

SB_EXPORT int32_t sb_softmax_f32(int64_t rows, int64_t n, const float* x, int64_t x_row, float* out, int64_t out_row,
                                 int32_t n_threads) {
  return sb::run_rows(sb::Softmax{rows, n, {x, x_row}, {out, out_row}}, n_threads);
}

SB_EXPORT int32_t sb_log_softmax_f32(int64_t rows, int64_t n, const float* x, int64_t x_row, float* out,
                                     int64_t out_row, int32_t n_threads) {
  return sb::run_rows(sb::LogSoftmax{rows, n, {x, x_row}, {out, out_row}}, n_threads);
}

SB_EXPORT int32_t sb_softmax_backward_f32(int64_t rows, int64_t n, const float* dy, int64_t dy_row, const float* y,
                                          int64_t y_row, float* dx, int64_t dx_row, int32_t n_threads) {
  return sb::run_rows(sb::SoftmaxBackward{rows, n, {dy, dy_row}, {y, y_row}, {dx, dx_row}}, n_threads);
}

SB_EXPORT int32_t sb_log_softmax_backward_f32(int64_t rows, int64_t n, const float* dy, int64_t dy_row, const float* y,
                                              int64_t y_row, float* dx, int64_t dx_row, int32_t n_threads) {
  return sb::run_rows(sb::LogSoftmaxBackward{rows, n, {dy, dy_row}, {y, y_row}, {dx, dx_row}}, n_threads);
}
