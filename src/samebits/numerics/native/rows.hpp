// What kernels over the rows of a matrix share: each row is one piece of work, whatever stands around it.
#pragma once
#include "lanes.hpp"
#include "pool.hpp"

namespace sb {

constexpr double LEAST_ROWS_SHARE = 1 << 13;

// A matrix: row r starts at data + r * stride.
struct Rows {
  float* data;
  int64_t stride;
  __attribute__((always_inline)) float* operator[](int64_t row) const { return data + row * stride; }
};
struct ConstantRows {
  const float* data;
  int64_t stride;
  __attribute__((always_inline)) const float* operator[](int64_t row) const { return data + row * stride; }
};

// Asks for the line of an element of a row that comes next, into the second cache: while a row is gone over again, the
// memory has nothing else to do.
SB_INLINE void ask_for(const float* row, Elements e) {
  if (e.index % 16 == 0) __builtin_prefetch(row + e.index, 0, 2);
}

// Calls body(elements) for elements 0 to n-1, WIDTH at a time.
template <class Body>
SB_INLINE void each_vector(int64_t n, Body body) {
  int64_t i = 0;
  for (; i + WIDTH <= n; i += WIDTH) body(Elements{i, WIDTH});
  if (i < n) body(Elements{i, (int)(n - i)});
}

SB_INLINE float sum_of(const float* x, int64_t n) {
  return fold_lanes(n, EMPTY_SUM, [=](f32v lanes, Elements e) { return lanes + e.load(x); }, Add());
}

// N sums over the same elements, each in its own 64 lanes: `step(accumulators, elements)` takes a vector of them in.
// The lanes are walked in groups, so that the accumulators of one group stay in registers.
template <int N, class Step>
SB_INLINE void fold_sums(int64_t n, float (&sums)[N], Step step) {
  constexpr int GROUP = 4;
  float lanes[N][LANES];
  for (int first = 0; first < LANE_VECTORS; first += GROUP) {
    f32v accumulators[GROUP][N];
    for (int v = 0; v < GROUP; v++)
      for (int k = 0; k < N; k++) accumulators[v][k] = splat(EMPTY_SUM);
    int64_t i = first * WIDTH;
    for (; i + GROUP * WIDTH <= n; i += LANES)
      for (int v = 0; v < GROUP; v++) step(accumulators[v], Elements{i + v * WIDTH, WIDTH});
    for (int v = 0; v < GROUP && i + v * WIDTH < n; v++) {
      const int64_t left = n - (i + v * WIDTH);
      const int count = left < WIDTH ? (int)left : WIDTH;
      f32v stepped[N];
      for (int k = 0; k < N; k++) stepped[k] = accumulators[v][k];
      step(stepped, Elements{i + v * WIDTH, count});
      for (int k = 0; k < N; k++) accumulators[v][k] = select(first_lanes(count), stepped[k], accumulators[v][k]);
    }
    for (int v = 0; v < GROUP; v++)
      for (int k = 0; k < N; k++) store(lanes[k] + (first + v) * WIDTH, accumulators[v][k]);
  }
  for (int k = 0; k < N; k++) sums[k] = sum_of(lanes[k], LANES);  // -0 + lane = lane
}

// Runs job.row(r) for each of job.rows rows of job.n elements, the rows divided among threads.
template <class Job>
int32_t run_rows(const Job& job, int n_threads) {
  Crew crew(n_threads);
  const auto part = [](const void* given, int i, int n_parts) {
    const Job& job = *(const Job*)given;
    const int64_t end = part_start(job.rows, 1, i + 1, n_parts);
    for (int64_t row = part_start(job.rows, 1, i, n_parts); row < end; row++) job.row(row);
  };
  crew.run(fine_parts_for(n_threads, (double)job.rows * job.n, LEAST_ROWS_SHARE), part, &job);
  return 0;
}

}  // namespace sb
