// Threads. A kernel cuts its outputs into parts by shape and asked-for count alone, and a part's arithmetic does not know
// which thread runs it: the number of threads reaches no bit.
#pragma once
#include <stddef.h>

namespace sb {

struct Pool;

// One caller's hold on the process's pool for the length of one kernel. Where another caller holds it already, this one
// runs its parts alone, in order. Safe in a forked child (the pool starts anew) and with more threads than cores.
class Crew {
 public:
  explicit Crew(int n_threads);
  ~Crew();
  Crew(const Crew&) = delete;
  Crew& operator=(const Crew&) = delete;

  // Scratch of at least `bytes`, aligned to 64, until the next call or the end of this Crew; null where there is none.
  char* memory(size_t bytes);

  // Calls `part(job, i, n_parts)` once for each i below n_parts, each inside a FloatState; returns when all are done.
  // Neighbouring parts go to one thread; one that is done with its own takes others'.
  void run(int n_parts, void (*part)(const void* job, int i, int n_parts), const void* job);

 private:
  Pool* pool_;  // null when running alone
  int n_threads_;
  char* own_memory_;
};

// How many elements part `i` of `n_parts` starts at, out of `n`, in whole units.
static inline long long part_start(long long n, long long unit, int i, int n_parts) {
  long long n_units = (n + unit - 1) / unit;
  long long start = n_units * i / n_parts * unit;
  return start < n ? start : n;
}

constexpr int MAX_THREADS = 256;
constexpr int PARTS_PER_THREAD = 4;

// Parts for a kernel whose work is about `n_operations`: a thread's share must be worth waking it.
static inline int parts_for(int n_threads, double n_operations, double least_share) {
  if (n_threads < 1) n_threads = 1;
  if (n_threads > MAX_THREADS) n_threads = MAX_THREADS;
  double most = n_operations / least_share;
  return most < 1 ? 1 : most < n_threads ? (int)most : n_threads;
}

// The same in more parts than threads where the work is enough: who is held up leaves some to others. For kernels
// whose parts need no scratch.
static inline int fine_parts_for(int n_threads, double n_operations, double least_share) {
  const int n_parts = parts_for(n_threads, n_operations, least_share);
  const double each = n_operations / least_share / n_parts;
  return n_parts == 1 ? 1 : n_parts * (each < PARTS_PER_THREAD ? (int)each : PARTS_PER_THREAD);
}

}  // namespace sb
