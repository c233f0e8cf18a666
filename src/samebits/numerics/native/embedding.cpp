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

constexpr int SIDE_BY_SIDE = 4;

// The first lines of a row: the processor's own prefetching finds the others.
SB_INLINE void ask_for_row(const float* row, int64_t d) {
  for (int64_t c = 0; c < d && c < 8 * LINE; c += LINE) __builtin_prefetch(row + c);
}

// Not memcpy: for rows of some kilobytes it may start a copy in microcode, which costs as much as half the row.
SB_INLINE void copy_row(const float* from, int64_t d, float* to) {
  int64_t c = 0;
  for (; c + SIDE_BY_SIDE * WIDTH <= d; c += SIDE_BY_SIDE * WIDTH) {
    f32v x[SIDE_BY_SIDE];
    for (int v = 0; v < SIDE_BY_SIDE; v++) x[v] = load(from + c + v * WIDTH);
    for (int v = 0; v < SIDE_BY_SIDE; v++) store(to + c + v * WIDTH, x[v]);
  }
  for (; c + WIDTH <= d; c += WIDTH) store(to + c, load(from + c));
  if (c < d) store_first(to + c, load_first(from + c, (int)(d - c)), (int)(d - c));
}

SB_INLINE void add_row(const float* from, int64_t d, float* to) {
  int64_t c = 0;
  for (; c + SIDE_BY_SIDE * WIDTH <= d; c += SIDE_BY_SIDE * WIDTH) {
    f32v x[SIDE_BY_SIDE];
    for (int v = 0; v < SIDE_BY_SIDE; v++) x[v] = load(to + c + v * WIDTH) + load(from + c + v * WIDTH);
    for (int v = 0; v < SIDE_BY_SIDE; v++) store(to + c + v * WIDTH, x[v]);
  }
  for (; c + WIDTH <= d; c += WIDTH) store(to + c, load(to + c) + load(from + c));
  if (const int left = (int)(d - c)) store_first(to + c, load_first(to + c, left) + load_first(from + c, left), left);
}

void gather_part(const void* given, int i, int n_parts) {
  const Embedding& job = *(const Embedding*)given;
  const int64_t end = part_start(job.n, 1, i + 1, n_parts);
  for (int64_t row = part_start(job.n, 1, i, n_parts); row < end; row++) {
    if (row + 2 < end) ask_for_row(job.from + job.ids[row + 2] * job.from_row, job.d);
    copy_row(job.from + job.ids[row] * job.from_row, job.d, job.to + row * job.to_row);
  }
}

void add_part(const void* given, int i, int n_parts) {
  const Embedding& job = *(const Embedding*)given;
  const int64_t begin = part_start(job.d, LINE, i, n_parts), d = part_start(job.d, LINE, i + 1, n_parts) - begin;
  for (int64_t row = 0; row < job.n; row++) {
    if (row + 1 < job.n) {
      ask_for_row(job.to + job.ids[row + 1] * job.to_row + begin, d);
      ask_for_row(job.from + (row + 1) * job.from_row + begin, d);
    }
    add_row(job.from + row * job.from_row + begin, d, job.to + job.ids[row] * job.to_row + begin);
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
