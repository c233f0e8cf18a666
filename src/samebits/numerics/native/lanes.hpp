// Clause N-07: 64 virtual lanes. Element i goes to lane i mod 64, ascending; a missing element is skipped, never added
// as a zero; then lane l takes in lane l + 32, then + 16, 8, 4, 2, 1.
#pragma once
#include "vec.hpp"

namespace sb {

constexpr int LANES = 64;
constexpr int LANE_VECTORS = LANES / WIDTH;
constexpr float EMPTY_SUM = -0.0f;  // the neutral element of +: +0 would turn a sum of -0 into +0
constexpr float EMPTY_MAXIMUM = -__builtin_inff();

// WIDTH elements from `index` on, of which `count` are there.
struct Elements {
  int64_t index;
  int count;
  __attribute__((always_inline)) f32v load(const float* row) const {
    return count == WIDTH ? sb::load(row + index) : load_first(row + index, count);
  }
  __attribute__((always_inline)) void store(float* row, f32v x) const {
    if (count == WIDTH) sb::store(row + index, x);
    else store_first(row + index, x, count);
  }
};

// Lane l takes in lane l + HALF, then + HALF / 2, ... 1: the upper lanes are turned to the lower places; what then
// stands above is not looked at again.
template <int HALF, class Join>
SB_INLINE f32v join_within(f32v lanes, Join join) {
  lanes = join(lanes, rotated<HALF>(lanes));
  if constexpr (HALF > 1) return join_within<HALF / 2>(lanes, join);
  return lanes;
}

// Folds elements 0 to n-1 into 64 lanes that start at `empty`, then the lanes into one number.
// `step(accumulator, elements)` folds one vector of elements in; `join(low, high)` folds two lanes.
template <class Step, class Join>
__attribute__((always_inline)) inline float fold_lanes(int64_t n, float empty, Step step, Join join) {
  f32v lanes[LANE_VECTORS];
  for (int v = 0; v < LANE_VECTORS; v++) lanes[v] = splat(empty);
  int64_t i = 0;
  for (; i + LANES <= n; i += LANES)
    for (int v = 0; v < LANE_VECTORS; v++) lanes[v] = step(lanes[v], Elements{i + v * WIDTH, WIDTH});
  for (int v = 0; v < LANE_VECTORS; v++) {
    int64_t left = n - (i + v * WIDTH);
    if (left >= WIDTH) {
      lanes[v] = step(lanes[v], Elements{i + v * WIDTH, WIDTH});
    } else if (left > 0) {
      f32v stepped = step(lanes[v], Elements{i + v * WIDTH, (int)left});
      lanes[v] = select(first_lanes((int)left), stepped, lanes[v]);
    }
  }
  for (int half = LANE_VECTORS / 2; half; half /= 2)
    for (int v = 0; v < half; v++) lanes[v] = join(lanes[v], lanes[v + half]);
  return join_within<WIDTH / 2>(lanes[0], join)[0];
}

// The joins of the two kinds of lanes.
struct Add {
  __attribute__((always_inline)) f32v operator()(f32v low, f32v high) const { return low + high; }
};
struct Maximum {
  __attribute__((always_inline)) f32v operator()(f32v low, f32v high) const { return maximum(low, high); }
};

}  // namespace sb
