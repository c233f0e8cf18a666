// The little that the pool needs of an operating system: a lock, a condition, a thread, a process number.
#pragma once
#if defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#include <windows.h>
#else
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>
#endif
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

namespace sb {

constexpr size_t STACK_BYTES = 1 << 20;

#if defined(_WIN32)

struct Lock {
  SRWLOCK lock;
  CONDITION_VARIABLE condition;
  void init() {
    InitializeSRWLock(&lock);
    InitializeConditionVariable(&condition);
  }
  void acquire() { AcquireSRWLockExclusive(&lock); }
  void release() { ReleaseSRWLockExclusive(&lock); }
  void wait() { SleepConditionVariableSRW(&condition, &lock, INFINITE, 0); }
  void wake_all() { WakeAllConditionVariable(&condition); }
};

struct Start {
  void (*entry)(void*);
  void* argument;
};
static DWORD WINAPI enter(void* given) {
  Start start = *(Start*)given;
  free(given);
  start.entry(start.argument);
  return 0;
}
static inline bool start_thread(void (*entry)(void*), void* argument) {
  Start* start = (Start*)malloc(sizeof(Start));
  if (!start) return false;
  *start = Start{entry, argument};
  HANDLE thread = CreateThread(nullptr, STACK_BYTES, enter, start, STACK_SIZE_PARAM_IS_A_RESERVATION, nullptr);
  if (!thread) {
    free(start);
    return false;
  }
  CloseHandle(thread);
  return true;
}
static inline long process_number() { return (long)GetCurrentProcessId(); }
static inline void let_others_run() { SwitchToThread(); }
static inline int64_t microseconds() {
  LARGE_INTEGER ticks, per_second;
  QueryPerformanceCounter(&ticks);
  QueryPerformanceFrequency(&per_second);
  return (int64_t)((double)ticks.QuadPart * 1e6 / (double)per_second.QuadPart);
}

#else

struct Lock {
  pthread_mutex_t lock;
  pthread_cond_t condition;
  void init() {
    pthread_mutex_init(&lock, nullptr);
    pthread_cond_init(&condition, nullptr);
  }
  void acquire() { pthread_mutex_lock(&lock); }
  void release() { pthread_mutex_unlock(&lock); }
  void wait() { pthread_cond_wait(&condition, &lock); }
  void wake_all() { pthread_cond_broadcast(&condition); }
};

struct Start {
  void (*entry)(void*);
  void* argument;
};
static void* enter(void* given) {
  Start start = *(Start*)given;
  free(given);
  start.entry(start.argument);
  return nullptr;
}
static inline bool start_thread(void (*entry)(void*), void* argument) {
  Start* start = (Start*)malloc(sizeof(Start));
  if (!start) return false;
  *start = Start{entry, argument};
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, STACK_BYTES);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  // Signals are the host program's: its handlers must not find themselves on our threads.
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  pthread_t thread;
  bool started = pthread_create(&thread, &attributes, enter, start) == 0;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_attr_destroy(&attributes);
  if (!started) free(start);
  return started;
}
static inline long process_number() { return (long)getpid(); }
static inline void let_others_run() { sched_yield(); }
static inline int64_t microseconds() {
  timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (int64_t)time.tv_sec * 1000000 + time.tv_nsec / 1000;
}

#endif

static inline void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace sb
