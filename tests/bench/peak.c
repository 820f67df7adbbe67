/* peak THREADS wall|cpu 0: float32 fused multiply-adds this processor really makes, in GFLOP/s, over about 50 ms.
 * Twelve independent chains of the widest vectors hide the latency of two FMA pipes; nothing touches memory.
 * peak THREADS wall|cpu BYTES: the rate, in GB/s, at which so many bytes, shared out to the threads, are read, changed
 * and written again, as an update does to weights; both directions count. */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef float v16 __attribute__((vector_size(64)));
typedef float v8 __attribute__((vector_size(32)));
typedef float v4 __attribute__((vector_size(16)));
#define CHAINS 12
#define ROUNDS (1 << 18) /* half a millisecond: a clock of processor time is a system call of nearly a microsecond */

#define KERNEL(name, type, isa)                                                                                        \
  __attribute__((target(isa), noinline)) static double name(void) {                                                    \
    type acc[CHAINS], one = (type){0} + 0.999f, small = (type){0} + 1e-6f;                                             \
    double sum = 0;                                                                                                    \
    for (int c = 0; c < CHAINS; c++) acc[c] = (type){0} + (float)c;                                                    \
    for (int r = 0; r < ROUNDS; r++) {                                                                                 \
      _Pragma("GCC unroll 12") for (int c = 0; c < CHAINS; c++) acc[c] = acc[c] * one + small;                         \
    }                                                                                                                  \
    for (int c = 0; c < CHAINS; c++) sum += acc[c][0];                                                                 \
    return sum;                                                                                                        \
  }                                                                                                                    \
  __attribute__((target(isa), noinline)) static void pass_##name(type *w, size_t n) {                                  \
    for (size_t i = 0; i < n; i++) w[i] = w[i] * 0.999f + 1e-6f;                                                       \
  }
#if defined(__x86_64__)
KERNEL(run512, v16, "avx512f,fma")
KERNEL(run256, v8, "avx2,fma")
KERNEL(run128, v4, "sse2")
#else
KERNEL(run128, v4, "")
#endif

static double (*kernel)(void);
static int lanes, threads;
static size_t bytes; /* 0: nothing is streamed */
static double seconds = 0.05;
static volatile double sink;

static clockid_t time_of = CLOCK_MONOTONIC;

static double now(void) {
  struct timespec t;
  clock_gettime(time_of, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void *work(void *out) {
  double start = now(), stop = start + seconds, end;
  long calls = 0;
  do {
    sink = kernel();
    calls++;
  } while ((end = now()) < stop);
  *(double *)out = 2.0 * lanes * CHAINS * ROUNDS * (double)calls / (end - start) * 1e-9;
  return NULL;
}

/* Streams this thread's share of the bytes until the time is over, once at least after a first pass. */
static void *stream(void *out) {
  size_t n = bytes / (size_t)threads / 64;
  char *w = aligned_alloc(64, n * 64);
  long passes = -1;
  double start = 0, end;
  if (!w) exit(1);
  memset(w, 0, n * 64);
  do { /* the first pass is not counted */
    lanes == 4 ? pass_run128((v4 *)w, 4 * n) : lanes == 8 ? pass_run256((v8 *)w, 2 * n) : pass_run512((v16 *)w, n);
    end = now();
    if (++passes == 0) start = end;
  } while (passes < 1 || end < start + seconds);
  *(double *)out = 2.0 * 64 * (double)n * (double)passes / (end - start) * 1e-9;
  return NULL;
}

int main(int argc, char **argv) {
  threads = argc > 1 ? atoi(argv[1]) : 1;
  pthread_t id[256];
  double rate[256], total = 0;
  if (threads < 1 || threads > 256) return 2;
  if (argc > 2 && !strcmp(argv[2], "cpu")) time_of = CLOCK_THREAD_CPUTIME_ID;
  if (argc > 3) bytes = (size_t)atoll(argv[3]);
  void *(*body)(void *) = bytes ? stream : work;
  kernel = run128, lanes = 4;
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f"))
    kernel = run512, lanes = 16;
  else if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    kernel = run256, lanes = 8;
#endif
  for (int t = 1; t < threads; t++)
    if (pthread_create(&id[t], NULL, body, &rate[t])) return 1;
  body(&rate[0]);
  for (int t = 1; t < threads; t++) pthread_join(id[t], NULL);
  for (int t = 0; t < threads; t++) total += rate[t];
  printf("%.2f\n", total);
  return 0;
}
