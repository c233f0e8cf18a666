// Clause N-13: the mean gradient with its squared length, tensor by tensor, and AdamW, element by element.
#include "lanes.hpp"
#include "pool.hpp"

namespace sb {
namespace {

constexpr double LEAST_SHARE = 1 << 15;
// Elements. Long arrays come from memory, and the processor's own prefetching stops at each page.
constexpr int64_t AHEAD = 256;

struct Norm {
  int64_t n_tensors;
  const int64_t* starts;  // of the tensors in one buffer, and the end of the last
  float* gradient;
  float divisor;
  float* squares;
  float* norm;
};

float squared_length(const float* gradient, int64_t n) {
  return fold_lanes(
      n, EMPTY_SUM,
      [=](f32v lanes, Elements e) {
        __builtin_prefetch(gradient + e.index + AHEAD);
        const f32v g = e.load(gradient);
        return fma(g, g, lanes);
      },
      Add());
}

float divided_squared_length(float* gradient, int64_t n, float by) {
  const f32v divisor = splat(by);
  return fold_lanes(
      n, EMPTY_SUM,
      [=](f32v lanes, Elements e) {
        const f32v g = e.load(gradient) / divisor;
        e.store(gradient, g);
        return fma(g, g, lanes);
      },
      Add());
}

// A tensor is one reduction: part i takes every n_parts-th tensor from i on.
void squares_part(const void* given, int i, int n_parts) {
  const Norm& job = *(const Norm*)given;
  for (int64_t t = i; t < job.n_tensors; t += n_parts) {
    float* gradient = job.gradient + job.starts[t];
    const int64_t n = job.starts[t + 1] - job.starts[t];
    job.squares[t] =
        job.divisor == 1.0f ? squared_length(gradient, n) : divided_squared_length(gradient, n, job.divisor);
  }
}

void norm_part(const void* given, int, int) {
  const Norm& job = *(const Norm*)given;
  const float* squares = job.squares;
  const float total =
      fold_lanes(job.n_tensors, EMPTY_SUM, [=](f32v lanes, Elements e) { return lanes + e.load(squares); }, Add());
  *job.norm = sqrt(splat(total))[0];
}

// In the order of the C ABI's array.
struct AdamWScalars {
  float clip, beta1, rest1, beta2, rest2, correction2, eps, keep, step_size;
};

struct AdamW {
  int64_t n;
  float* parameter;
  const float* gradient;
  float *mean, *square;
  AdamWScalars scalars;
};

struct AdamWVectors {
  f32v parameter, mean, square;
};

SB_INLINE AdamWVectors adamw_step(AdamWVectors x, f32v gradient, const AdamWScalars& s) {
  const f32v g = gradient * splat(s.clip);
  x.mean = x.mean * splat(s.beta1) + g * splat(s.rest1);
  x.square = x.square * splat(s.beta2) + (g * g) * splat(s.rest2);
  const f32v denominator = sqrt(x.square) * splat(s.correction2) + splat(s.eps);
  x.parameter = x.parameter * splat(s.keep) - (x.mean / denominator) * splat(s.step_size);
  return x;
}

void adamw_part(const void* given, int part, int n_parts) {
  const AdamW& job = *(const AdamW*)given;
  const AdamWScalars scalars = job.scalars;
  const int64_t end = part_start(job.n, 64, part + 1, n_parts);
  int64_t i = part_start(job.n, 64, part, n_parts);
  for (; i + WIDTH <= end; i += WIDTH) {
    const float* const arrays[] = {job.parameter, job.gradient, job.mean, job.square};
    for (const float* array : arrays) __builtin_prefetch(array + i + AHEAD);
    const AdamWVectors before{load(job.parameter + i), load(job.mean + i), load(job.square + i)};
    const AdamWVectors after = adamw_step(before, load(job.gradient + i), scalars);
    store(job.parameter + i, after.parameter);
    store(job.mean + i, after.mean);
    store(job.square + i, after.square);
  }
  if (i < end) {
    const Elements last{i, (int)(end - i)};
    const AdamWVectors before{last.load(job.parameter), last.load(job.mean), last.load(job.square)};
    const AdamWVectors after = adamw_step(before, last.load(job.gradient), scalars);
    last.store(job.parameter, after.parameter);
    last.store(job.mean, after.mean);
    last.store(job.square, after.square);
  }
}

}  // namespace
}  // namespace sb

// The tensors lie one after another: tensor t is gradient[starts[t]] to gradient[starts[t + 1] - 1]. Where `divisor` is not
// 1, they are divided by it in place. squares[t] is tensor t's dot product with itself (N-07), *norm the root of their sum.
SB_EXPORT int32_t sb_gradient_norm_f32(int64_t n_tensors, const int64_t* starts, float* gradient, float divisor,
                                       float* squares, float* norm, int32_t n_threads) {
  const sb::Norm job{n_tensors, starts, gradient, divisor, squares, norm};
  sb::Crew crew(n_threads);
  const double n_elements = (double)(starts[n_tensors] - starts[0]);
  crew.run(sb::parts_for(n_threads, n_elements, sb::LEAST_SHARE), sb::squares_part, &job);
  crew.run(1, sb::norm_part, &job);
  return 0;
}

// `scalars`: the nine of AdamWScalars.
SB_EXPORT int32_t sb_adamw_f32(int64_t n, float* parameter, const float* gradient, float* mean, float* square,
                               const float* scalars, int32_t n_threads) {
  sb::AdamW job{n, parameter, gradient, mean, square, {}};
  memcpy(&job.scalars, scalars, sizeof job.scalars);
  sb::Crew crew(n_threads);
  crew.run(sb::fine_parts_for(n_threads, (double)n, sb::LEAST_SHARE), sb::adamw_part, &job);
  return 0;
}
