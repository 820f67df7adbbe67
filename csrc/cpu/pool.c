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

/* A number that threads wait for to change. */
typedef struct {
  atomic_uint value;
  atomic_int sleepers; /* of those that wait, asleep */
  pthread_cond_t wake;
} gate;

struct hdl_pool {
  int threads; /* that there are */
  int active;  /* of them in this run */
  pid_t owner;
  pthread_t *thread;
  pthread_mutex_t mutex;
  gate run;           /* number of the run * RUN + its threads */
  gate phase;         /* barriers passed */
  atomic_int waiting; /* threads at the barrier */
  void (*body)(void *, int);
  void *argument;
  bool quit;
};

enum { RUN = 2 * HDL_MAX_THREADS };

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

/* Waits until the gate's value is another one, and returns it. */
static unsigned wait_at(struct hdl_pool *pool, gate *gate, unsigned old) {
  unsigned now;
  for (int i = 0; i < SPINS; i++) {
    if ((now = atomic_load_explicit(&gate->value, memory_order_acquire)) != old) return now;
    relax();
  }
  pthread_mutex_lock(&pool->mutex);
  atomic_fetch_add(&gate->sleepers, 1); /* before the value is read again: who changes it sees this, or we see that */
  while ((now = atomic_load(&gate->value)) == old) pthread_cond_wait(&gate->wake, &pool->mutex);
  atomic_fetch_sub(&gate->sleepers, 1);
  pthread_mutex_unlock(&pool->mutex);
  return now;
}

static void open_gate(struct hdl_pool *pool, gate *gate, unsigned value) {
  atomic_store(&gate->value, value);
  if (!atomic_load(&gate->sleepers)) return;
  pthread_mutex_lock(&pool->mutex);
  pthread_cond_broadcast(&gate->wake);
  pthread_mutex_unlock(&pool->mutex);
}

void hdl_pool_barrier(struct hdl_pool *pool, int thread) {
  (void)thread;
  if (pool->active == 1) return;
  unsigned phase = atomic_load_explicit(&pool->phase.value, memory_order_acquire);
  if (atomic_fetch_add(&pool->waiting, 1) == pool->active - 1) {
    atomic_store(&pool->waiting, 0);
    open_gate(pool, &pool->phase, phase + 1);
  } else {
    wait_at(pool, &pool->phase, phase);
  }
}

static void *worker(void *argument) {
  start s = *(start *)argument;
  free(argument);
  flush_denormals();
  for (unsigned run = 0;;) { /* a run that is not this thread's may go by unseen */
    run = wait_at(s.pool, &s.pool->run, run);
    if (s.pool->quit) return NULL;
    if (s.number >= (int)(run % RUN)) continue;
    s.pool->body(s.pool->argument, s.number);
    hdl_pool_barrier(s.pool, s.number); /* all are done */
  }
}

/* Calls the threads up to `threads` for a run. */
static void call(struct hdl_pool *pool, int threads) {
  unsigned run = atomic_load(&pool->run.value);
  open_gate(pool, &pool->run, (run / RUN + 1) * RUN + (unsigned)threads);
}

void hdl_pool_run(struct hdl_pool *pool, int threads, void (*body)(void *, int), void *argument) {
  pool->body = body, pool->argument = argument, pool->active = threads;
  unsigned old = flush_denormals();
  if (threads > 1) call(pool, threads);
  body(argument, 0);
  hdl_pool_barrier(pool, 0);
  restore(old);
}

bool hdl_pool_foreign(const struct hdl_pool *pool) { return pool->threads > 1 && pool->owner != getpid(); }

void hdl_pool_free(struct hdl_pool *pool) {
  if (!pool) return;
  if (!hdl_pool_foreign(pool)) { /* a forked child has no threads to join */
    pool->quit = true;
    call(pool, pool->threads);
    for (int t = 1; t < pool->threads; t++) pthread_join(pool->thread[t], NULL);
    pthread_cond_destroy(&pool->run.wake);
    pthread_cond_destroy(&pool->phase.wake);
    pthread_mutex_destroy(&pool->mutex);
  }
  free(pool->thread);
  free(pool);
}

struct hdl_pool *hdl_pool_new(int threads) {
  struct hdl_pool *pool = calloc(1, sizeof *pool);
  if (!pool) return NULL;
  pool->owner = getpid();
  pool->thread = calloc((size_t)threads, sizeof *pool->thread);
  if (!pool->thread) {
    free(pool);
    return NULL;
  }
  pthread_mutex_init(&pool->mutex, NULL);
  pthread_cond_init(&pool->run.wake, NULL);
  pthread_cond_init(&pool->phase.wake, NULL);
  for (pool->threads = 1; pool->threads < threads; pool->threads++) {
    start *s = malloc(sizeof *s);
    if (s) *s = (start){pool, pool->threads};
    if (!s || pthread_create(&pool->thread[pool->threads], NULL, worker, s)) {
      free(s);
      hdl_pool_free(pool);
      return NULL;
    }
  }
  return pool;
}
