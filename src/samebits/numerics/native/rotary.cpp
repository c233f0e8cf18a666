// Clause N-20: pairs (c, c + half) of each head's numbers turned by the angles of their row.
#include "pool.hpp"
#include "vec.hpp"

namespace sb {
namespace {

constexpr double LEAST_SHARE = 1 << 15;

struct Rotary {
  int64_t n, heads, half;
  const float* x;
  int64_t x_row, x_head;
  const float *cos, *sin;  // [n, half], rows `table_row` apart
  int64_t table_row;
  float* out;
  int64_t out_row, out_head;
  float direction;  // 1, or -1: by the negative angle
};

// WIDTH pairs, or the `n` first of them. `out` may be `x`: both halves are read before one is written.
template <class Load, class Store>
__attribute__((always_inline)) inline void turn(const Rotary& job, const float* x, float* out, const float* cos,
                                                const float* sin, Load take, Store put) {
  const f32v a = take(x), b = take(x + job.half), c = take(cos), s = take(sin) * splat(job.direction);
  put(out, fma(a, c, -(b * s)));
  put(out + job.half, fma(b, c, a * s));
}

void rotary_part(const void* given, int i, int n_parts) {
  const Rotary& job = *(const Rotary*)given;
  const int64_t end = part_start(job.n, 1, i + 1, n_parts);
  const auto take = [](const float* from) { return load(from); };
  const auto put = [](float* to, f32v x) { store(to, x); };
  for (int64_t row = part_start(job.n, 1, i, n_parts); row < end; row++) {
    const float *cos = job.cos + row * job.table_row, *sin = job.sin + row * job.table_row;
    for (int64_t head = 0; head < job.heads; head++) {
      const float* x = job.x + row * job.x_row + head * job.x_head;
      float* out = job.out + row * job.out_row + head * job.out_head;
      int64_t c = 0;
      for (; c + WIDTH <= job.half; c += WIDTH) turn(job, x + c, out + c, cos + c, sin + c, take, put);
      if (const int left = (int)(job.half - c))
        turn(
            job, x + c, out + c, cos + c, sin + c, [=](const float* from) { return load_first(from, left); },
            [=](float* to, f32v y) { store_first(to, y, left); });
    }
  }
}

}  // namespace
}  // namespace sb

// x, out: [n, heads, 2 * half]; `out` may be `x`.
SB_EXPORT int32_t sb_rotary_f32(int64_t n, int64_t heads, int64_t half, const float* x, int64_t x_row, int64_t x_head,
                                const float* cos, const float* sin, int64_t table_row, int32_t backward, float* out,
                                int64_t out_row, int64_t out_head, int32_t n_threads) {
  sb::Rotary job{n, heads, half, x, x_row, x_head, cos, sin, table_row, out, out_row, out_head, backward ? -1.0f : 1.0f};
  sb::Crew crew(n_threads);
  crew.run(sb::fine_parts_for(n_threads, 2.0 * (double)(n * heads * half), sb::LEAST_SHARE), sb::rotary_part, &job);
  return 0;
}
