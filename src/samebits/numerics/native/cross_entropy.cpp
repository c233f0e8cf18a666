// Clause N-19's loss: per row, with its gradient, and the sum over the rows that have a target.
#include "softmax.hpp"

namespace sb {
namespace {

constexpr int64_t NO_TARGET = -100;

struct CrossEntropy {
  int64_t rows, n;
  ConstantRows logits;
  const int64_t* targets;
  float* losses;

  void row(int64_t r) const {
    if (targets[r] == NO_TARGET) {
      losses[r] = 0.0f;
      return;
    }
    const float *x = logits[r], *next = logits[r + 1 < rows ? r + 1 : r];
    const float m = maximum_of(x, n);
    const float sum = sum_of_exponentials(x, n, m, next, [](Elements, f32v) {});
    losses[r] = log_of(sum) - (x[targets[r]] - m);
  }
};

// The loss and, in place of the logits or elsewhere, scale * (softmax - onehot).
struct CrossEntropyBackward {
  int64_t rows, n;
  ConstantRows logits;
  const int64_t* targets;
  float scale;
  Rows out;
  float* losses;

  void row(int64_t r) const {
    float* to = out[r];
    if (targets[r] == NO_TARGET) {
      losses[r] = 0.0f;
      each_vector(n, [=](Elements e) { e.store(to, f32v{}); });
      return;
    }
    const float *x = logits[r], *next = logits[r + 1 < rows ? r + 1 : r];
    const float m = maximum_of(x, n), of_target = x[targets[r]] - m;
    const float sum = sum_of_exponentials(x, n, m, next, [=](Elements e, f32v kept) { e.store(to, kept); });
    losses[r] = log_of(sum) - of_target;
    const float inverse = 1.0f / sum, target = to[targets[r]];
    const f32v inverses = splat(inverse), scales = splat(scale);
    each_vector(n, [=](Elements e) { e.store(to, scales * (e.load(to) * inverses)); });
    to[targets[r]] = scale * (target * inverse - 1.0f);
  }
};

struct LossSum {
  int64_t rows;
  const float* losses;
  const int64_t* targets;
  float* out;
};

void loss_sum_part(const void* given, int, int) {
  const LossSum& job = *(const LossSum*)given;
  float lanes[LANES];
  for (float& lane : lanes) lane = EMPTY_SUM;
  for (int64_t r = 0; r < job.rows; r++)
    if (job.targets[r] != NO_TARGET) lanes[r % LANES] = lanes[r % LANES] + job.losses[r];
  *job.out = sum_of(lanes, LANES);  // -0 + lane = lane
}

}  // namespace
}  // namespace sb

// A target of -100 is none: its loss is +0, and so is its gradient; its logits are not looked at.
SB_EXPORT int32_t sb_cross_entropy_f32(int64_t rows, int64_t n, const float* logits, int64_t logits_row,
                                       const int64_t* targets, float* losses, int32_t n_threads) {
  return sb::run_rows(sb::CrossEntropy{rows, n, {logits, logits_row}, targets, losses}, n_threads);
}

SB_EXPORT int32_t sb_cross_entropy_backward_f32(int64_t rows, int64_t n, const float* logits, int64_t logits_row,
                                                const int64_t* targets, float scale, float* out, int64_t out_row,
                                                float* losses, int32_t n_threads) {
  const sb::CrossEntropyBackward job{rows, n, {logits, logits_row}, targets, scale, {out, out_row}, losses};
  return sb::run_rows(job, n_threads);
}

SB_EXPORT int32_t sb_loss_sum_f32(int64_t rows, const float* losses, const int64_t* targets, float* out) {
  const sb::LossSum job{rows, losses, targets, out};
  sb::Crew crew(1);
  crew.run(1, sb::loss_sum_part, &job);
  return 0;
}
