#include "pool.hpp"

#include <stdint.h>

#include "state.hpp"
#include "system.hpp"

namespace sb {

namespace {

// How long an idle thread looks for work before it sleeps: longer than the gap between two kernels of a step, for to wake
// a thread can take longer than many a kernel. After the first turns it lets others run between two looks.
constexpr int TURNS_ALONE = 2000, TURNS_PER_LOOK = 64;
constexpr int64_t PATIENCE_US = 1000;

template <class T>
T get(const T* from) {
  return __atomic_load_n(from, __ATOMIC_SEQ_CST);
}
template <class T, class U>
void put(T* to, U value) {
  __atomic_store_n(to, (T)value, __ATOMIC_SEQ_CST);
}

}  // namespace

// What one thread is to do of a job: job number << 32 | first part not taken << 16 | end. A part is taken by changing the
// word, which fails once another job stands here: a late thread never takes a part of a job that it has not read.
struct Share {
  uint64_t left;
  char apart[56];  // each on a cache line of its own
};

struct Pool {
  long process;
  int held;  // by one Crew
  int n_workers;
  int n_started;
  char* memory;
  size_t memory_bytes;

  void (*part)(const void*, int, int);
  const void* job;
  int n_parts;
  int n_shares;
  char apart_1[64];
  uint64_t number;  // of the job: idle threads wait for it to change
  char apart_2[64];
  int n_unfinished;
  char apart_3[64];

  int n_asleep;
  int caller_asleep;
  Lock work, done;
  Share shares[MAX_THREADS];
};

namespace {

Pool* current;

Pool* make_pool() {
  Pool* pool = (Pool*)calloc(1, sizeof(Pool));
  if (!pool) return nullptr;
  pool->process = process_number();
  pool->work.init();
  pool->done.init();
  return pool;
}

// After a fork the child has no worker, and locks in any state: it gets a pool of its own and leaves the old one be.
Pool* pool_of_this_process() {
  Pool* pool = get(&current);
  if (pool && pool->process == process_number()) return pool;
  Pool* fresh = make_pool();
  if (!fresh) return nullptr;
  if (__atomic_compare_exchange_n(&current, &pool, fresh, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) return fresh;
  free(fresh);
  return pool;
}

__attribute__((noinline)) void run_part(void (*part)(const void*, int, int), const void* job, int i, int n_parts) {
  FloatState state;
  part(job, i, n_parts);
}

// The number of a part of `share`, or -1. Its own thread takes the first, so that from call to call the same data meet the
// same core's caches; another, which has nothing left of its own, takes the last.
int take(Share* share, bool own) {
  uint64_t left = get(&share->left);
  for (;;) {
    const int first = (int)(left >> 16 & 0xffff), end = (int)(left & 0xffff);
    if (first >= end) return -1;
    const uint64_t next = own ? left + (1 << 16) : left - 1;
    if (__atomic_compare_exchange_n(&share->left, &left, next, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
      return own ? first : end - 1;
  }
}

// Takes and runs parts until none is left, those of the thread's own share first.
void run_parts(Pool* pool, int thread) {
  const int n_shares = get(&pool->n_shares);
  if (thread >= n_shares) return;
  for (int s = 0; s < n_shares; s++) {
    Share* share = pool->shares + (thread + s) % n_shares;
    for (int i; (i = take(share, s == 0)) >= 0;) {
      run_part(pool->part, pool->job, i, pool->n_parts);
      if (__atomic_sub_fetch(&pool->n_unfinished, 1, __ATOMIC_SEQ_CST) == 0 && get(&pool->caller_asleep)) {
        pool->done.acquire();
        pool->done.release();
        pool->done.wake_all();
      }
    }
  }
}

// One wait of an idle thread.
class Patience {
 public:
  bool lasts() {
    relax();
    if (++turns_ < TURNS_ALONE || turns_ % TURNS_PER_LOOK) return true;
    const int64_t now = microseconds();
    if (!until_) until_ = now + PATIENCE_US;
    let_others_run();
    return now < until_;
  }

 private:
  int turns_ = 0;
  int64_t until_ = 0;
};

void work(void* given) {
  Pool* pool = (Pool*)given;
  const int thread = __atomic_add_fetch(&pool->n_started, 1, __ATOMIC_SEQ_CST);
  uint64_t seen = 0;
  for (;;) {
    Patience patience;
    while (get(&pool->number) == seen && patience.lasts()) {
    }
    if (get(&pool->number) == seen) {
      pool->work.acquire();
      __atomic_add_fetch(&pool->n_asleep, 1, __ATOMIC_SEQ_CST);
      while (get(&pool->number) == seen) pool->work.wait();
      __atomic_sub_fetch(&pool->n_asleep, 1, __ATOMIC_SEQ_CST);
      pool->work.release();
    }
    seen = get(&pool->number);
    run_parts(pool, thread);
  }
}

void wait_until_done(Pool* pool) {
  Patience patience;
  while (get(&pool->n_unfinished)) {
    if (patience.lasts()) continue;
    pool->done.acquire();
    put(&pool->caller_asleep, 1);
    while (get(&pool->n_unfinished)) pool->done.wait();
    put(&pool->caller_asleep, 0);
    pool->done.release();
  }
}

char* aligned(char* memory) { return (char*)(((uintptr_t)memory + 63) & ~(uintptr_t)63); }

}  // namespace

Crew::Crew(int n_threads)
    : pool_(pool_of_this_process()),
      n_threads_(n_threads < 1 ? 1 : n_threads < MAX_THREADS ? n_threads : MAX_THREADS),
      own_memory_(nullptr) {
  if (pool_ && __atomic_exchange_n(&pool_->held, 1, __ATOMIC_SEQ_CST)) pool_ = nullptr;
  if (!pool_) return;
  // A system that refuses a thread leaves fewer workers; the caller takes their parts.
  while (pool_->n_workers < n_threads_ - 1) {
    if (!start_thread(work, pool_)) break;
    pool_->n_workers++;
  }
}

Crew::~Crew() {
  if (pool_) put(&pool_->held, 0);
  free(own_memory_);
}

char* Crew::memory(size_t bytes) {
  if (!pool_) {
    free(own_memory_);
    own_memory_ = (char*)malloc(bytes + 64);
    return own_memory_ ? aligned(own_memory_) : nullptr;
  }
  if (pool_->memory_bytes < bytes) {
    free(pool_->memory);
    pool_->memory = (char*)malloc(bytes + 64);
    pool_->memory_bytes = pool_->memory ? bytes : 0;
  }
  return pool_->memory ? aligned(pool_->memory) : nullptr;
}

void Crew::run(int n_parts, void (*part)(const void*, int, int), const void* job) {
  if (!pool_ || n_parts == 1 || n_threads_ == 1) {
    for (int i = 0; i < n_parts; i++) run_part(part, job, i, n_parts);
    return;
  }
  const int n_shares = n_parts < n_threads_ ? n_parts : n_threads_;
  const uint64_t number = get(&pool_->number) + 1;
  pool_->part = part;
  pool_->job = job;
  pool_->n_parts = n_parts;
  put(&pool_->n_shares, n_shares);
  put(&pool_->n_unfinished, n_parts);
  for (int s = 0; s < n_shares; s++) {
    const uint64_t first = (uint64_t)n_parts * s / n_shares, end = (uint64_t)n_parts * (s + 1) / n_shares;
    put(&pool_->shares[s].left, number << 32 | first << 16 | end);
  }
  put(&pool_->number, number);
  if (get(&pool_->n_asleep)) {
    // Not while the lock is held: who wakes takes it first.
    pool_->work.acquire();
    pool_->work.release();
    pool_->work.wake_all();
  }
  run_parts(pool_, 0);
  wait_until_done(pool_);
}

}  // namespace sb
