#include "pool.hpp"

#include <stdint.h>

#include "state.hpp"
#include "system.hpp"

namespace sb {

namespace {

constexpr int SPINS = 2000;  // some tens of microseconds: longer than the gap between two kernels of a step

template <class T>
T get(const T* from) {
  return __atomic_load_n(from, __ATOMIC_SEQ_CST);
}
template <class T, class U>
void put(T* to, U value) {
  __atomic_store_n(to, (T)value, __ATOMIC_SEQ_CST);
}

}  // namespace

struct Pool {
  long process;
  int held;  // by one Crew
  int n_workers;
  char* memory;
  size_t memory_bytes;

  // The high half numbers the job, the low half counts its parts not yet taken. A part is taken by lowering the count,
  // which fails once another job stands here: a late worker can never take a part of a job it has not read.
  uint64_t ticket;
  void (*part)(const void*, int, int);
  const void* job;
  int n_parts;
  int n_unfinished;

  int n_asleep;
  int caller_asleep;
  Lock work, done;
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

// Takes and runs one part; false where none is left.
bool run_one(Pool* pool) {
  uint64_t ticket = get(&pool->ticket);
  while ((uint32_t)ticket) {
    if (!__atomic_compare_exchange_n(&pool->ticket, &ticket, ticket - 1, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
      continue;
    int n_parts = pool->n_parts;
    run_part(pool->part, pool->job, n_parts - (int)(uint32_t)ticket, n_parts);
    if (__atomic_sub_fetch(&pool->n_unfinished, 1, __ATOMIC_SEQ_CST) == 0 && get(&pool->caller_asleep)) {
      pool->done.acquire();
      pool->done.wake_all();
      pool->done.release();
    }
    return true;
  }
  return false;
}

void work(void* given) {
  Pool* pool = (Pool*)given;
  for (;;) {
    for (int spin = 0; spin < SPINS; spin++) {
      if (run_one(pool)) spin = 0;
      relax();
    }
    pool->work.acquire();
    __atomic_add_fetch(&pool->n_asleep, 1, __ATOMIC_SEQ_CST);
    while (!(uint32_t)get(&pool->ticket)) pool->work.wait();
    __atomic_sub_fetch(&pool->n_asleep, 1, __ATOMIC_SEQ_CST);
    pool->work.release();
  }
}

void wait_until_done(Pool* pool) {
  for (int spin = 0; spin < SPINS; spin++) {
    if (!get(&pool->n_unfinished)) return;
    relax();
  }
  pool->done.acquire();
  put(&pool->caller_asleep, 1);
  while (get(&pool->n_unfinished)) pool->done.wait();
  put(&pool->caller_asleep, 0);
  pool->done.release();
}

char* aligned(char* memory) { return (char*)(((uintptr_t)memory + 63) & ~(uintptr_t)63); }

}  // namespace

Crew::Crew(int n_threads) : pool_(pool_of_this_process()), own_memory_(nullptr) {
  if (pool_ && __atomic_exchange_n(&pool_->held, 1, __ATOMIC_SEQ_CST)) pool_ = nullptr;
  if (!pool_) return;
  // A system that refuses a thread leaves fewer workers; the caller takes their parts.
  while (pool_->n_workers < n_threads - 1 && pool_->n_workers < MAX_THREADS - 1) {
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
  if (!pool_ || n_parts == 1) {
    for (int i = 0; i < n_parts; i++) run_part(part, job, i, n_parts);
    return;
  }
  pool_->part = part;
  pool_->job = job;
  pool_->n_parts = n_parts;
  put(&pool_->n_unfinished, n_parts);
  uint64_t number = (get(&pool_->ticket) >> 32) + 1;
  put(&pool_->ticket, number << 32 | (uint32_t)n_parts);
  if (get(&pool_->n_asleep)) {
    pool_->work.acquire();
    pool_->work.wake_all();
    pool_->work.release();
  }
  while (run_one(pool_)) {
  }
  wait_until_done(pool_);
}

}  // namespace sb
