// Clause N-07 over the rows of a matrix: each row is one reduction, whatever stands around it.
#include "lanes.hpp"
#include "pool.hpp"

namespace sb {
namespace {

constexpr double LEAST_SHARE = 1 << 15;

float sum_row(const float* x, const float*, int64_t n) {
  return fold_lanes(n, EMPTY_SUM, [=](f32v lanes, Elements e) { return lanes + e.load(x); }, Add());
}
float maximum_row(const float* x, const float*, int64_t n) {
  return fold_lanes(n, EMPTY_MAXIMUM, [=](f32v lanes, Elements e) { return maximum(lanes, e.load(x)); }, Maximum());
}
float dot_row(const float* x, const float* y, int64_t n) {
  return fold_lanes(n, EMPTY_SUM, [=](f32v lanes, Elements e) { return fma(e.load(x), e.load(y), lanes); }, Add());
}

struct Reduction {
  float (*reduce)(const float*, const float*, int64_t);
  int64_t rows, n;
  const float *x, *y;
  int64_t x_row, y_row;
  float* out;
};

void reduce_part(const void* given, int i, int n_parts) {
  const Reduction& job = *(const Reduction*)given;
  const int64_t end = part_start(job.rows, 1, i + 1, n_parts);
  for (int64_t row = part_start(job.rows, 1, i, n_parts); row < end; row++)
    job.out[row] = job.reduce(job.x + row * job.x_row, job.y + row * job.y_row, job.n);
}

int32_t reduce_rows(const Reduction& job, int n_threads) {
  Crew crew(n_threads);
  crew.run(fine_parts_for(n_threads, (double)job.rows * job.n, LEAST_SHARE), reduce_part, &job);
  return 0;
}

}  // namespace
}  // namespace sb

SB_EXPORT int32_t sb_sum_f32(int64_t rows, int64_t n, const float* x, int64_t x_row, float* out, int32_t n_threads) {
  return sb::reduce_rows({sb::sum_row, rows, n, x, x, x_row, x_row, out}, n_threads);
}

SB_EXPORT int32_t sb_amax_f32(int64_t rows, int64_t n, const float* x, int64_t x_row, float* out, int32_t n_threads) {
  return sb::reduce_rows({sb::maximum_row, rows, n, x, x, x_row, x_row, out}, n_threads);
}

SB_EXPORT int32_t sb_dot_f32(int64_t rows, int64_t n, const float* x, int64_t x_row, const float* y, int64_t y_row,
                             float* out, int32_t n_threads) {
  return sb::reduce_rows({sb::dot_row, rows, n, x, y, x_row, y_row, out}, n_threads);
}
