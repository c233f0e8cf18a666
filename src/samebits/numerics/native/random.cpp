// Clauses N-10, N-21 and N-22: words, dropout and uniform numbers over the rows of one sample or tensor. Element (r, i)
// of a matrix with n columns has the word of element first + r * n + i of its stream, whichever thread makes it.
#include "philox.hpp"
#include "pool.hpp"

namespace sb {
namespace {

constexpr double LEAST_SHARE = 1 << 14;
constexpr int64_t UNIT = 1024;  // a part starts on whole blocks where the first one does

struct Drawing {
  void (*row)(const Drawing&, int64_t first, int64_t n, const float* x, void* out);
  const Stream* stream;
  int64_t rows, n, first;
  const float* x;
  int64_t x_row;
  void* out;
  int64_t out_row;
  uint32_t threshold;
  float factor;
};

void drawing_part(const void* given, int i, int n_parts) {
  const Drawing& job = *(const Drawing*)given;
  int64_t at = part_start(job.rows * job.n, UNIT, i, n_parts);
  const int64_t end = part_start(job.rows * job.n, UNIT, i + 1, n_parts);
  while (at < end) {
    const int64_t row = at / job.n, column = at % job.n;
    const int64_t n = end - at < job.n - column ? end - at : job.n - column;
    job.row(job, job.first + at, n, job.x + row * job.x_row + column, (float*)job.out + row * job.out_row + column);
    at += n;
  }
}

int32_t draw(Drawing job, int n_threads) {
  // Rows that follow one another are one row.
  if (job.x_row == job.n && job.out_row == job.n) {
    job.n *= job.rows;
    job.rows = 1;
  }
  Crew crew(n_threads);
  crew.run(fine_parts_for(n_threads, (double)job.rows * job.n, LEAST_SHARE), drawing_part, &job);
  return 0;
}

void words_row(const Drawing& job, int64_t first, int64_t n, const float*, void* out) {
  each_words(*job.stream, first, n, [=](Elements e, u32v words) { e.store((float*)out, (f32v)words); });
}

void dropout_row(const Drawing& job, int64_t first, int64_t n, const float* x, void* out) {
  const f32v scale = splat(job.factor);
  const uint32_t threshold = job.threshold;
  each_words(*job.stream, first, n,
             [=](Elements e, u32v words) { e.store((float*)out, drop_out(e.load(x), words, threshold, scale)); });
}

// The word's upper 24 bits k give k / 2^23 - 1 without rounding; the product with the bound is the only rounding.
void uniform_row(const Drawing& job, int64_t first, int64_t n, const float*, void* out) {
  const f32v bound = splat(job.factor), unit = splat(0x1p-23f), one = splat(1.0f);
  each_words(*job.stream, first, n, [=](Elements e, u32v words) {
    const f32v k = __builtin_convertvector((i32v)(words >> 8), f32v);
    e.store((float*)out, (k * unit - one) * bound);
  });
}

}  // namespace
}  // namespace sb

// out[0] to out[n - 1]: the words of elements first to first + n - 1.
SB_EXPORT int32_t sb_random_words(int64_t n, const sb::Stream* stream, int64_t first, uint32_t* out,
                                  int32_t n_threads) {
  return sb::draw({sb::words_row, stream, 1, n, first, (const float*)out, n, out, n, 0, 0.0f}, n_threads);
}

// Not for p = 0 and p = 1. `out` may be `x`.
SB_EXPORT int32_t sb_dropout_f32(int64_t rows, int64_t n, const float* x, int64_t x_row, const sb::Stream* stream,
                                 int64_t first, int64_t threshold, float scale, float* out, int64_t out_row,
                                 int32_t n_threads) {
  return sb::draw({sb::dropout_row, stream, rows, n, first, x, x_row, out, out_row, (uint32_t)threshold, scale},
                  n_threads);
}

// Uniform in [-bound, bound).
SB_EXPORT int32_t sb_uniform_f32(int64_t n, const sb::Stream* stream, int64_t first, float bound, float* out,
                                 int32_t n_threads) {
  return sb::draw({sb::uniform_row, stream, 1, n, first, out, n, out, n, 0, bound}, n_threads);
}
