/* pool.c: runs a plan's own threads. They spin briefly between phases, since a small net's step takes microseconds,
 * then sleep in the kernel, since a spinning thread whose partner lost its core costs 50 times more. */
#include "internal.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

enum { SPINS = 4000 };

struct hdl_pool {
  int threads;
  pid_t owner;
  pthread_t *thread;
  pthread_mutex_t mutex;
  pthread_cond_t wake;
  atomic_uint phase;   /* barriers passed */
  atomic_int waiting;  /* threads at the barrier */
  atomic_int sleepers; /* of those, asleep */
  void (*body)(void *, int);
  void *argument;
  bool quit;
};

typedef struct {
  struct hdl_pool *pool;
  int number;
} start;

/* Denormals cost hundreds of cycles each and mean nothing to a net: flushed to zero, on every thread alike. */
static unsigned flush_denormals(void) {
#if defined(__SSE2__)
  unsigned old = _mm_getcsr();
  _mm_setcsr(old | 0x8040);
  return old;
#else
  return 0;
#endif
}
static void restore(unsigned old) {
#if defined(__SSE2__)
  _mm_setcsr(old);
#else
  (void)old;
#endif
}

static void relax(void) {
#if defined(__SSE2__)
  _mm_pause();
#endif
}

void hdl_pool_barrier(struct hdl_pool *pool, int thread) {
  (void)thread;
  if (pool->threads == 1) return;
  unsigned phase = atomic_load_explicit(&pool->phase, memory_order_acquire);
  if (atomic_fetch_add(&pool->waiting, 1) == pool->threads - 1) {
    atomic_store(&pool->waiting, 0);
    atomic_store(&pool->phase, phase + 1);
    if (atomic_load(&pool->sleepers)) {
      pthread_mutex_lock(&pool->mutex);
      pthread_cond_broadcast(&pool->wake);
      pthread_mutex_unlock(&pool->mutex);
    }
    return;
  }
  for (int i = 0; i < SPINS; i++) {
    if (atomic_load_explicit(&pool->phase, memory_order_acquire) != phase) return;
    relax();
  }
  pthread_mutex_lock(&pool->mutex);
  atomic_fetch_add(&pool->sleepers,
                   1); /* before the phase is read again: the last one to arrive sees it or we see it */
  while (atomic_load(&pool->phase) == phase) pthread_cond_wait(&pool->wake, &pool->mutex);
  atomic_fetch_sub(&pool->sleepers, 1);
  pthread_mutex_unlock(&pool->mutex);
}

static void *worker(void *argument) {
  start s = *(start *)argument;
  free(argument);
  flush_denormals();
  for (;;) {
    hdl_pool_barrier(s.pool, s.number); /* work is there */
    if (s.pool->quit) return NULL;
    s.pool->body(s.pool->argument, s.number);
    hdl_pool_barrier(s.pool, s.number); /* all are done */
  }
}

/* Runs body(argument, t) for t in [0, threads), t = 0 in the caller. */
void hdl_pool_run(struct hdl_pool *pool, void (*body)(void *, int), void *argument) {
  pool->body = body, pool->argument = argument;
  unsigned old = flush_denormals();
  hdl_pool_barrier(pool, 0);
  body(argument, 0);
  hdl_pool_barrier(pool, 0);
  restore(old);
}

bool hdl_pool_foreign(const struct hdl_pool *pool) { return pool->threads > 1 && pool->owner != getpid(); }

void hdl_pool_free(struct hdl_pool *pool) {
  if (!pool) return;
  if (!hdl_pool_foreign(pool)) { /* a forked child has no threads to join */
    pool->quit = true;
    if (pool->threads > 1) hdl_pool_barrier(pool, 0);
    for (int t = 1; t < pool->threads; t++) pthread_join(pool->thread[t], NULL);
    pthread_cond_destroy(&pool->wake);
    pthread_mutex_destroy(&pool->mutex);
  }
  free(pool->thread);
  free(pool);
}

struct hdl_pool *hdl_pool_new(int threads) {
  struct hdl_pool *pool = calloc(1, sizeof *pool);
  if (!pool) return NULL;
  pool->owner = getpid();
  pool->threads = threads;
  pool->thread = calloc((size_t)threads, sizeof *pool->thread);
  if (!pool->thread) {
    free(pool);
    return NULL;
  }
  pthread_mutex_init(&pool->mutex, NULL);
  pthread_cond_init(&pool->wake, NULL);
  for (int t = 1; t < threads; t++) {
    start *s = malloc(sizeof *s);
    if (s) *s = (start){pool, t};
    if (!s || pthread_create(&pool->thread[t], NULL, worker, s)) {
      free(s);
      pool->quit = true; /* those already started wait for all: stand in for the missing ones */
      atomic_fetch_add(&pool->waiting, threads - t);
      hdl_pool_barrier(pool, 0);
      for (int i = 1; i < t; i++) pthread_join(pool->thread[i], NULL);
      free(pool->thread);
      free(pool);
      return NULL;
    }
  }
  return pool;
}
