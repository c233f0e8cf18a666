// Clause N-19's beginning, which softmax, log-softmax and cross-entropy share: a row's maximum m, and the sum of
// exp(x - m) in lanes.
#pragma once
#include "functions.hpp"
#include "rows.hpp"

namespace sb {

SB_INLINE float maximum_of(const float* x, int64_t n) {
  return fold_lanes(n, EMPTY_MAXIMUM, [=](f32v lanes, Elements e) { return maximum(lanes, e.load(x)); }, Maximum());
}

// The sum of exp(x - m); each exponential goes to `keep(elements, exponentials)`. The row that comes next is asked for.
template <class Keep>
SB_INLINE float sum_of_exponentials(const float* x, int64_t n, float m, const float* next, Keep keep) {
  const f32v maximum = splat(m);
  return fold_lanes(
      n, EMPTY_SUM,
      [=](f32v lanes, Elements e) {
        ask_for(next, e);
        const f32v exponentials = exp(e.load(x) - maximum);
        keep(e, exponentials);
        return lanes + exponentials;
      },
      Add());
}

SB_INLINE float log_of(float x) { return log(splat(x))[0]; }

}  // namespace sb
