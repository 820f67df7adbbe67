/* peak THREADS [cpu]: float32 fused multiply-adds this processor really makes, in GFLOP/s, over about 50 ms.
 * Sixteen independent chains of the widest vectors hide the latency of two FMA pipes; nothing touches memory. */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

typedef float v16 __attribute__((vector_size(64)));
typedef float v8 __attribute__((vector_size(32)));
typedef float v4 __attribute__((vector_size(16)));
#define CHAINS 12
#define ROUNDS 4096

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
  }
#if defined(__x86_64__)
KERNEL(run512, v16, "avx512f,fma")
KERNEL(run256, v8, "avx2,fma")
KERNEL(run128, v4, "sse2")
#else
KERNEL(run128, v4, "")
#endif

static double (*kernel)(void);
static int lanes;
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

int main(int argc, char **argv) {
  int threads = argc > 1 ? atoi(argv[1]) : 1;
  pthread_t id[256];
  double rate[256], total = 0;
  if (threads < 1 || threads > 256) return 2;
  if (argc > 2) time_of = CLOCK_THREAD_CPUTIME_ID;
  kernel = run128, lanes = 4;
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f"))
    kernel = run512, lanes = 16;
  else if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    kernel = run256, lanes = 8;
#endif
  for (int t = 1; t < threads; t++)
    if (pthread_create(&id[t], NULL, work, &rate[t])) return 1;
  work(&rate[0]);
  for (int t = 1; t < threads; t++) pthread_join(id[t], NULL);
  for (int t = 0; t < threads; t++) total += rate[t];
  printf("%.2f\n", total);
  return 0;
}
