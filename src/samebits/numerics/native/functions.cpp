// Clause N-08, element by element. `out` may be one of the operands.
#include "pointwise.hpp"
#include "trigonometric.hpp"

namespace sb {
namespace {

constexpr double LEAST_SHARE = 1 << 13;

void exp_range(const Pointwise& job, int64_t start, int64_t end) {
  each(job, start, end, [](f32v x, f32v, f32v) { return exp(x); });
}
void log_range(const Pointwise& job, int64_t start, int64_t end) {
  each(job, start, end, [](f32v x, f32v, f32v) { return log(x); });
}

void sin_range(const Pointwise& job, int64_t start, int64_t end) {
  each(job, start, end, [](f32v x, f32v, f32v) { return sin(x); });
}
void cos_range(const Pointwise& job, int64_t start, int64_t end) {
  each(job, start, end, [](f32v x, f32v, f32v) { return cos(x); });
}

}  // namespace
}  // namespace sb

#define SB_UNARY(name)                                                                                \
  SB_EXPORT int32_t sb_##name##_f32(int64_t n, const float* x, float* out, int32_t n_threads) {       \
    return sb::run_pointwise({sb::name##_range, n, x, x, 0.0f, out}, n_threads, sb::LEAST_SHARE);     \
  }
SB_UNARY(exp)
SB_UNARY(log)
SB_UNARY(sin)
SB_UNARY(cos)
