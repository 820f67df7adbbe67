/* peak.c: measures how fast this machine multiplies and adds just now. */
#include "isa.h"

typedef struct {
  const hdl_kernels *kernels;
  hdl_pool *pool;
  double best;
  float sink[HDL_MAX_THREADS];
} probe;

static void body(void *argument, int thread) {
  probe *p = argument;
  const int64_t rounds = 400000; /* about 1 ms */
  for (int i = 0; i < 20; i++) {
    hdl_pool_barrier(p->pool, thread);
    double t = hdl_now();
    p->sink[thread] = p->kernels->peak(rounds);
    hdl_pool_barrier(p->pool, thread);
    t = (double)rounds * 12 * 2 * p->kernels->vw / (hdl_now() - t) * 1e-9;
    if (thread == 0 && t > p->best) p->best = t;
  }
}

double hdl_peak_gflops(int32_t threads, hdl_isa isa) {
  const hdl_kernels *kernels = hdl_isa_kernels(isa == HDL_ISA_AUTO ? hdl_best_isa() : isa);
  if (!kernels || threads < 1 || threads > HDL_MAX_THREADS) return 0;
  probe p = {.kernels = kernels, .pool = hdl_pool_new(threads)};
  if (!p.pool) return 0;
  hdl_pool_run(p.pool, threads, body, &p);
  hdl_pool_free(p.pool);
  return p.best * threads;
}
