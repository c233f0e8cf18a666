// Clause N-20: rows of a table by their numbers, and rows added to a table's. The work is cut by columns where sums are
// made, so that each column's are made in the order of positions.
#include "pool.hpp"
#include "vec.hpp"

namespace sb {
namespace {

constexpr double LEAST_SHARE = 1 << 15;
constexpr int64_t LINE = 16;  // floats

struct Embedding {
  int64_t n, d;
  const int64_t* ids;
  const float* from;
  int64_t from_row;
  float* to;
  int64_t to_row;
};

void gather_part(const void* given, int i, int n_parts) {
  const Embedding& job = *(const Embedding*)given;
  const int64_t end = part_start(job.n, 1, i + 1, n_parts);
  for (int64_t row = part_start(job.n, 1, i, n_parts); row < end; row++) {
    if (row + 2 < end)
      for (int64_t c = 0; c < job.d && c < 8 * LINE; c += LINE)
        __builtin_prefetch(job.from + job.ids[row + 2] * job.from_row + c);
    memcpy(job.to + row * job.to_row, job.from + job.ids[row] * job.from_row, (size_t)job.d * sizeof(float));
  }
}

void add_part(const void* given, int i, int n_parts) {
  const Embedding& job = *(const Embedding*)given;
  const int64_t begin = part_start(job.d, LINE, i, n_parts), end = part_start(job.d, LINE, i + 1, n_parts);
  for (int64_t row = 0; row < job.n; row++) {
    const float* from = job.from + row * job.from_row;
    float* to = job.to + job.ids[row] * job.to_row;
    int64_t c = begin;
    for (; c + WIDTH <= end; c += WIDTH) store(to + c, load(to + c) + load(from + c));
    if (const int left = (int)(end - c)) store_first(to + c, load_first(to + c, left) + load_first(from + c, left), left);
  }
}

}  // namespace
}  // namespace sb

// Row r of out [n, d] becomes row ids[r] of the table.
SB_EXPORT int32_t sb_embedding_f32(int64_t n, int64_t d, const int64_t* ids, const float* table, int64_t table_row,
                                   float* out, int64_t out_row, int32_t n_threads) {
  sb::Embedding job{n, d, ids, table, table_row, out, out_row};
  sb::Crew crew(n_threads);
  crew.run(sb::fine_parts_for(n_threads, (double)n * (double)d, sb::LEAST_SHARE), sb::gather_part, &job);
  return 0;
}

// Row r of dout [n, d] is added to row ids[r] of the table's gradient, r ascending.
SB_EXPORT int32_t sb_embedding_backward_f32(int64_t n, int64_t d, const int64_t* ids, const float* dout,
                                            int64_t dout_row, float* gradient, int64_t gradient_row,
                                            int32_t n_threads) {
  sb::Embedding job{n, d, ids, dout, dout_row, gradient, gradient_row};
  sb::Crew crew(n_threads);
  crew.run(sb::parts_for(n_threads, (double)n * (double)d, sb::LEAST_SHARE), sb::add_part, &job);
  return 0;
}
