// Clauses N-08 and N-15, element by element. `out` may be one of the operands.
#include "activations.hpp"
#include "pointwise.hpp"
#include "trigonometric.hpp"

namespace sb {
namespace {

// A function costs several times what an addition does.
constexpr double LEAST_SHARE = 1 << 13;

}  // namespace
}  // namespace sb

// out = expression of x
#define SB_UNARY(name, expression)                                                                                \
  SB_EXPORT int32_t sb_##name##_f32(int64_t n, const float* x, float* out, int32_t n_threads) {                   \
    using namespace sb;                                                                                           \
    auto range = [](const Pointwise& job, int64_t start, int64_t end) {                                           \
      each(job, start, end, [](f32v x, f32v, f32v) { return expression; });                                       \
    };                                                                                                            \
    return run_pointwise({range, n, x, x, 0.0f, out}, n_threads, LEAST_SHARE);                                    \
  }
SB_UNARY(exp, exp(x))
SB_UNARY(log, log(x))
SB_UNARY(sin, sin(x))
SB_UNARY(cos, cos(x))
SB_UNARY(tanh, tanh(x))
SB_UNARY(erf, erf(x))
SB_UNARY(sigmoid, sigmoid(x))
SB_UNARY(silu, silu(x))
SB_UNARY(gelu, gelu(x))
SB_UNARY(gelu_tanh, gelu_tanh(x))
SB_UNARY(relu, relu(x))

// out = expression of the gradient of the output, and of the output y or the input x
#define SB_BACKWARD(name, value, expression)                                                                      \
  SB_EXPORT int32_t sb_##name##_f32(int64_t n, const float* grad, const float* value, float* out,                 \
                                    int32_t n_threads) {                                                          \
    using namespace sb;                                                                                           \
    auto range = [](const Pointwise& job, int64_t start, int64_t end) {                                           \
      each(job, start, end, [](f32v grad, f32v value, f32v) { return expression; });                              \
    };                                                                                                            \
    return run_pointwise({range, n, grad, value, 0.0f, out}, n_threads, LEAST_SHARE);                             \
  }
SB_BACKWARD(tanh_backward, y, grad* fma(-y, y, splat(1.0f)))
SB_BACKWARD(sigmoid_backward, y, grad* fma(-y, y, y))
SB_BACKWARD(silu_backward, x, grad* silu_slope(x))
SB_BACKWARD(gelu_backward, x, grad* gelu_slope(x))
SB_BACKWARD(gelu_tanh_backward, x, grad* gelu_tanh_slope(x))

// out = +0 where x is at most the threshold, else grad
SB_EXPORT int32_t sb_threshold_backward_f32(int64_t n, const float* grad, const float* x, float threshold, float* out,
                                            int32_t n_threads) {
  using namespace sb;
  auto range = [](const Pointwise& job, int64_t start, int64_t end) {
    each(job, start, end,
         [](f32v grad, f32v x, f32v threshold) { return select(x <= threshold, f32v{}, grad); });
  };
  return run_pointwise({range, n, grad, x, threshold, out}, n_threads, LEAST_SHARE);
}
