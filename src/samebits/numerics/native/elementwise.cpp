// Clauses N-02 and N-09: one correctly rounded operation per sign in the formula, element by element. `out` may be one
// of the operands.
#include "lanes.hpp"
#include "pool.hpp"

namespace sb {
namespace {

constexpr double LEAST_SHARE = 1 << 15;

struct Elementwise {
  void (*range)(const Elementwise&, int64_t, int64_t);
  int64_t n;
  const float *x, *y;
  float scalar;
  float* out;
};

void elementwise_part(const void* given, int i, int n_parts) {
  const Elementwise& job = *(const Elementwise*)given;
  job.range(job, part_start(job.n, 64, i, n_parts), part_start(job.n, 64, i + 1, n_parts));
}

// One operation on each element from `start` to `end`: `apply(x, y, scalar)` on vectors; a part of one at the end.
template <class Apply>
void each(const Elementwise& job, int64_t start, int64_t end, Apply apply) {
  const f32v scalar = splat(job.scalar);
  int64_t i = start;
  for (; i + WIDTH <= end; i += WIDTH) store(job.out + i, apply(load(job.x + i), load(job.y + i), scalar));
  if (i < end) {
    Elements last{i, (int)(end - i)};
    last.store(job.out, apply(last.load(job.x), last.load(job.y), scalar));
  }
}

void add_range(const Elementwise& job, int64_t start, int64_t end) {
  each(job, start, end, [](f32v x, f32v y, f32v) { return x + y; });
}
void sub_range(const Elementwise& job, int64_t start, int64_t end) {
  each(job, start, end, [](f32v x, f32v y, f32v) { return x - y; });
}
void mul_range(const Elementwise& job, int64_t start, int64_t end) {
  each(job, start, end, [](f32v x, f32v y, f32v) { return x * y; });
}
void div_range(const Elementwise& job, int64_t start, int64_t end) {
  each(job, start, end, [](f32v x, f32v y, f32v) { return x / y; });
}
void sqrt_range(const Elementwise& job, int64_t start, int64_t end) {
  each(job, start, end, [](f32v x, f32v, f32v) { return sqrt(x); });
}
void scale_range(const Elementwise& job, int64_t start, int64_t end) {
  each(job, start, end, [](f32v x, f32v, f32v scalar) { return x * scalar; });
}
void add_scaled_range(const Elementwise& job, int64_t start, int64_t end) {
  each(job, start, end, [](f32v x, f32v y, f32v scalar) { return x + scalar * y; });
}
void fma_range(const Elementwise& job, int64_t start, int64_t end) {
  const float* z = job.out;
  int64_t i = start;
  for (; i + WIDTH <= end; i += WIDTH) store(job.out + i, fma(load(job.x + i), load(job.y + i), load(z + i)));
  if (i < end) {
    Elements last{i, (int)(end - i)};
    last.store(job.out, fma(last.load(job.x), last.load(job.y), last.load(z)));
  }
}

int32_t run_elementwise(const Elementwise& job, int n_threads) {
  Crew crew(n_threads);
  crew.run(parts_for(n_threads, (double)job.n, LEAST_SHARE), elementwise_part, &job);
  return 0;
}

}  // namespace
}  // namespace sb

#define SB_BINARY(name)                                                                                            \
  SB_EXPORT int32_t sb_##name##_f32(int64_t n, const float* x, const float* y, float* out, int32_t n_threads) {     \
    return sb::run_elementwise({sb::name##_range, n, x, y, 0.0f, out}, n_threads);                                  \
  }
SB_BINARY(add)
SB_BINARY(sub)
SB_BINARY(mul)
SB_BINARY(div)

SB_EXPORT int32_t sb_sqrt_f32(int64_t n, const float* x, float* out, int32_t n_threads) {
  return sb::run_elementwise({sb::sqrt_range, n, x, x, 0.0f, out}, n_threads);
}

// out = scalar * x
SB_EXPORT int32_t sb_scale_f32(int64_t n, const float* x, float scalar, float* out, int32_t n_threads) {
  return sb::run_elementwise({sb::scale_range, n, x, x, scalar, out}, n_threads);
}

// out = x + scalar * y: the product is rounded, then the sum.
SB_EXPORT int32_t sb_add_scaled_f32(int64_t n, const float* x, const float* y, float scalar, float* out,
                                    int32_t n_threads) {
  return sb::run_elementwise({sb::add_scaled_range, n, x, y, scalar, out}, n_threads);
}

// out = fma(x, y, out): rounded once.
SB_EXPORT int32_t sb_fma_f32(int64_t n, const float* x, const float* y, float* out, int32_t n_threads) {
  return sb::run_elementwise({sb::fma_range, n, x, y, 0.0f, out}, n_threads);
}
