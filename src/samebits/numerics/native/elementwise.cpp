// Clauses N-02 and N-09: one correctly rounded operation per sign in the formula, element by element. `out` may be one
// of the operands.
#include "pointwise.hpp"

namespace sb {
namespace {

constexpr double LEAST_SHARE = 1 << 15;

void add_range(const Pointwise& job, int64_t start, int64_t end) {
  each(job, start, end, [](f32v x, f32v y, f32v) { return x + y; });
}
void sub_range(const Pointwise& job, int64_t start, int64_t end) {
  each(job, start, end, [](f32v x, f32v y, f32v) { return x - y; });
}
void mul_range(const Pointwise& job, int64_t start, int64_t end) {
  each(job, start, end, [](f32v x, f32v y, f32v) { return x * y; });
}
void div_range(const Pointwise& job, int64_t start, int64_t end) {
  each(job, start, end, [](f32v x, f32v y, f32v) { return x / y; });
}
void sqrt_range(const Pointwise& job, int64_t start, int64_t end) {
  each(job, start, end, [](f32v x, f32v, f32v) { return sqrt(x); });
}
void scale_range(const Pointwise& job, int64_t start, int64_t end) {
  each(job, start, end, [](f32v x, f32v, f32v scalar) { return x * scalar; });
}
void add_scaled_range(const Pointwise& job, int64_t start, int64_t end) {
  each(job, start, end, [](f32v x, f32v y, f32v scalar) { return x + scalar * y; });
}
void fma_range(const Pointwise& job, int64_t start, int64_t end) {
  const float* z = job.out;
  int64_t i = start;
  for (; i + WIDTH <= end; i += WIDTH) store(job.out + i, fma(load(job.x + i), load(job.y + i), load(z + i)));
  if (i < end) {
    Elements last{i, (int)(end - i)};
    last.store(job.out, fma(last.load(job.x), last.load(job.y), last.load(z)));
  }
}

}  // namespace
}  // namespace sb

#define SB_BINARY(name)                                                                                            \
  SB_EXPORT int32_t sb_##name##_f32(int64_t n, const float* x, const float* y, float* out, int32_t n_threads) {     \
    return sb::run_pointwise({sb::name##_range, n, x, y, 0.0f, out}, n_threads, sb::LEAST_SHARE);                                  \
  }
SB_BINARY(add)
SB_BINARY(sub)
SB_BINARY(mul)
SB_BINARY(div)

SB_EXPORT int32_t sb_sqrt_f32(int64_t n, const float* x, float* out, int32_t n_threads) {
  return sb::run_pointwise({sb::sqrt_range, n, x, x, 0.0f, out}, n_threads, sb::LEAST_SHARE);
}

// out = scalar * x
SB_EXPORT int32_t sb_scale_f32(int64_t n, const float* x, float scalar, float* out, int32_t n_threads) {
  return sb::run_pointwise({sb::scale_range, n, x, x, scalar, out}, n_threads, sb::LEAST_SHARE);
}

// out = x + scalar * y: the product is rounded, then the sum.
SB_EXPORT int32_t sb_add_scaled_f32(int64_t n, const float* x, const float* y, float scalar, float* out,
                                    int32_t n_threads) {
  return sb::run_pointwise({sb::add_scaled_range, n, x, y, scalar, out}, n_threads, sb::LEAST_SHARE);
}

// out = fma(x, y, out): rounded once.
SB_EXPORT int32_t sb_fma_f32(int64_t n, const float* x, const float* y, float* out, int32_t n_threads) {
  return sb::run_pointwise({sb::fma_range, n, x, y, 0.0f, out}, n_threads, sb::LEAST_SHARE);
}
