// Kernels that make each output from the inputs at the same place.
#pragma once
#include "lanes.hpp"
#include "pool.hpp"

namespace sb {

constexpr int SIDE_BY_SIDE = 2;

struct Pointwise {
  void (*range)(const Pointwise&, int64_t, int64_t);
  int64_t n;
  const float *x, *y;
  float scalar;
  float* out;  // may be x or y
};

static inline void pointwise_part(const void* given, int i, int n_parts) {
  const Pointwise& job = *(const Pointwise*)given;
  job.range(job, part_start(job.n, 64, i, n_parts), part_start(job.n, 64, i + 1, n_parts));
}

// One operation on each element from `start` to `end`: `apply(x, y, scalar)` on vectors; a part of one at the end.
template <class Apply>
__attribute__((always_inline)) inline void each(const Pointwise& job, int64_t start, int64_t end, Apply apply) {
  const f32v scalar = splat(job.scalar);
  const float *x = job.x, *y = job.y;
  float* out = job.out;
  int64_t i = start;
  // Several vectors side by side: their chains of operations do not wait for one another.
  for (; i + SIDE_BY_SIDE * WIDTH <= end; i += SIDE_BY_SIDE * WIDTH) {
    f32v result[SIDE_BY_SIDE];
#pragma GCC unroll 2
    for (int v = 0; v < SIDE_BY_SIDE; v++) result[v] = apply(load(x + i + v * WIDTH), load(y + i + v * WIDTH), scalar);
#pragma GCC unroll 2
    for (int v = 0; v < SIDE_BY_SIDE; v++) store(out + i + v * WIDTH, result[v]);
  }
  for (; i + WIDTH <= end; i += WIDTH) store(out + i, apply(load(x + i), load(y + i), scalar));
  if (i < end) {
    Elements last{i, (int)(end - i)};
    last.store(out, apply(last.load(x), last.load(y), scalar));
  }
}

// `least_share`: how many elements are worth waking a thread for.
static inline int32_t run_pointwise(const Pointwise& job, int n_threads, double least_share) {
  Crew crew(n_threads);
  crew.run(fine_parts_for(n_threads, (double)job.n, least_share), pointwise_part, &job);
  return 0;
}

}  // namespace sb
