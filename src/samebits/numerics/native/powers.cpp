// Clause N-15: powers, roots and norms. `out` may be one of the operands.
#include "powers.hpp"

#include "pointwise.hpp"

namespace sb {
namespace {

constexpr double LEAST_SHARE = 1 << 15, LEAST_SHARE_OF_POW = 1 << 11;

void pow_range(const Pointwise& job, int64_t start, int64_t end) {
  each(job, start, end, [](f32v x, f32v y, f32v) { return pow(x, y); });
}
void pow_scalar_range(const Pointwise& job, int64_t start, int64_t end) {
  each(job, start, end, [](f32v x, f32v, f32v y) { return pow(x, y); });
}
void square_range(const Pointwise& job, int64_t start, int64_t end) {
  each(job, start, end, [](f32v x, f32v, f32v) { return x * x; });
}
void rsqrt_range(const Pointwise& job, int64_t start, int64_t end) {
  each(job, start, end, [](f32v x, f32v, f32v) { return splat(1.0f) / sqrt(x); });
}
void reciprocal_range(const Pointwise& job, int64_t start, int64_t end) {
  each(job, start, end, [](f32v x, f32v, f32v) { return splat(1.0f) / x; });
}

struct Norms {
  int64_t rows, n;
  const float* x;
  int64_t x_row;
  float* out;
};
void norms_part(const void* given, int i, int n_parts) {
  const Norms& job = *(const Norms*)given;
  const int64_t end = part_start(job.rows, 1, i + 1, n_parts);
  for (int64_t row = part_start(job.rows, 1, i, n_parts); row < end; row++) {
    const float* x = job.x + row * job.x_row;
    auto square = [=](f32v lanes, Elements e) { return fma(e.load(x), e.load(x), lanes); };
    job.out[row] = sqrt(splat(fold_lanes(job.n, EMPTY_SUM, square, Add())))[0];
  }
}

}  // namespace
}  // namespace sb

SB_EXPORT int32_t sb_pow_f32(int64_t n, const float* x, const float* y, float* out, int32_t n_threads) {
  return sb::run_pointwise({sb::pow_range, n, x, y, 0.0f, out}, n_threads, sb::LEAST_SHARE_OF_POW);
}

// out = x to the power of one y; the square has the same bits as pow's
SB_EXPORT int32_t sb_pow_scalar_f32(int64_t n, const float* x, float y, float* out, int32_t n_threads) {
  if (y == 2.0f) return sb::run_pointwise({sb::square_range, n, x, x, y, out}, n_threads, sb::LEAST_SHARE);
  return sb::run_pointwise({sb::pow_scalar_range, n, x, x, y, out}, n_threads, sb::LEAST_SHARE_OF_POW);
}

SB_EXPORT int32_t sb_rsqrt_f32(int64_t n, const float* x, float* out, int32_t n_threads) {
  return sb::run_pointwise({sb::rsqrt_range, n, x, x, 0.0f, out}, n_threads, sb::LEAST_SHARE);
}

SB_EXPORT int32_t sb_reciprocal_f32(int64_t n, const float* x, float* out, int32_t n_threads) {
  return sb::run_pointwise({sb::reciprocal_range, n, x, x, 0.0f, out}, n_threads, sb::LEAST_SHARE);
}

// out[row] = the root of the sum of the row's squares
SB_EXPORT int32_t sb_vector_norm_f32(int64_t rows, int64_t n, const float* x, int64_t x_row, float* out,
                                     int32_t n_threads) {
  const sb::Norms job{rows, n, x, x_row, out};
  sb::Crew crew(n_threads);
  crew.run(sb::fine_parts_for(n_threads, (double)rows * n, sb::LEAST_SHARE), sb::norms_part, &job);
  return 0;
}
