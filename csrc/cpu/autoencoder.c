/* autoencoder.c: what an autoencoder has beyond a dense net of two layers: A = f(X W1 + b1) [B, H], its output's target
 * is X. Tied weights are a matter of layout (plan.c); the rest is here: sparsity, contraction, statistics. */
#include "kernels.h"

/* f' [VW] at a = f(z), and in *ratio f''/f' */
INLINE vf slope(int kind, float leak, vf a, vf *ratio) {
  vf zero = (vf){0}, one = vset(1.f);
  *ratio = zero;
  switch (kind) {
  case HDL_SIGMOID:
    *ratio = 1.f - 2.f * a;
    return a * (1.f - a);
  case HDL_TANH:
    *ratio = -2.f * a;
    return 1.f - a * a;
  case HDL_LECUN_TANH:
    *ratio = (-4.f / 3.f / 1.7159f) * a;
    return (2.f / 3.f * 1.7159f) - (2.f / 3.f / 1.7159f) * a * a;
  case HDL_RELU:
    return vkeep(one, a > zero);
  case HDL_LEAKY_RELU:
    return vsel(a < zero, vset(leak), one);
  default:
    return one;
  }
}

/* Mean activation of the mini-batch, A [B, H] block by block; with the last block's
 *   rho_hat = memory rho_hat + (1 - memory) mean,   push [H] = beta ((1 - rho)/(1 - rho_hat) - rho/rho_hat)
 * Every thread does the whole for itself: B*H additions cost less than one more barrier. */
void FN(mean)(hdl_plan *p, hdl_pass *q, int thread) {
  const hdl_layer *y = &p->layer[0];
  const hdl_autoencoder *ae = &p->ae;
  float *sum = hdl_codes_of(p, thread, HDL_SUM), *rho_hat = hdl_codes_of(p, thread, HDL_RHO_HAT);
  float *push = hdl_codes_of(p, thread, HDL_PUSH);
  int nv = (y->O + VW - 1) / VW;
  FN(columns)(y->a, y->lda, q->rows, q->first, sum, 0, nv);
  q->push = push;
  if (!q->last) return;
  vf share = vset((1 - ae->memory) * q->inv_batch), memory = vset(ae->memory);
  for (int v = 0; v < nv; v++) {
    vf mean = vfma(memory, vload(rho_hat + v * VW), share * vload(sum + v * VW));
    vf r = vmin(vmax(mean, vset(1e-6f)), vset(1 - 1e-6f)); /* where float32 sigmoids saturate */
    vstore(rho_hat + v * VW, mean);
    vstore(push + v * VW, vkeep(ae->beta * ((1 - ae->rho) / (1.f - r) - ae->rho / r), vmask(y->O - v * VW)));
  }
}

/* Rows r0 … r1 after backward. With s_j = |W1_:j|²:
 *   cost_r += contractive/2 sum_j f'² s_j,   D1 += contractive s_j f' f''    (Rifai et al. 2011)
 * and, where the statistics are wanted, F [B, H] = f', which dW's kernels then multiply with X; overwrites. */
void FN(penalties)(hdl_plan *p, const hdl_pass *q, int r0, int r1) {
  const hdl_layer *y = &p->layer[0], *s = &p->layer[p->layers];
  int nv = (y->O + VW - 1) / VW;
  float lambda = p->ae.contractive;
  bool bad = false;
  for (int r = r0; r < r1; r++) {
    const float *a = y->a + (ptrdiff_t)r * y->lda;
    float *d = y->d + (ptrdiff_t)r * y->lda, *f = q->slopes ? s->d + (ptrdiff_t)r * s->lda : NULL;
    vf cost = (vf){0}, ratio;
    for (int v = 0; v < nv; v++) {
      vf df = slope(p->activation, p->leak, vload(a + v * VW), &ratio);
      if (f) vstore(f + v * VW, vkeep(df, vmask(y->O - v * VW)));
      if (!(lambda > 0)) continue;
      vf e = df * df * vload(p->norm + v * VW);
      vstore(d + v * VW, vfma(lambda * e, ratio, vload(d + v * VW)));
      cost += e;
    }
    if (lambda > 0) p->row_cost[r] += 0.5f * lambda * vsum(cost);
    bad |= !isfinite(p->row_cost[r]);
  }
  if (bad) atomic_store(&p->nonfinite, 1);
}

/* Sums over the block's rows, which go on from block to block: shrink [H] = contractive sum f'², by every thread for
 * itself, the factor of W1 in its gradient (dW's kernels add the product); sum of A, a thread's share of the vectors.
 */
void FN(sums)(hdl_plan *p, hdl_pass *q, int thread) {
  const hdl_layer *y = &p->layer[0];
  int nv = (y->O + VW - 1) / VW;
  if (q->slopes) {
    FN(columns)(y->a, y->lda, q->rows, q->first, p->sum_a, nv * thread / p->threads, nv * (thread + 1) / p->threads);
  }
  if (!(p->ae.contractive > 0)) return;
  float *sum = hdl_codes_of(p, thread, HDL_SUM), *shrink = hdl_codes_of(p, thread, HDL_SHRINK);
  for (int v = 0; v < nv; v++) {
    vf acc = q->first ? (vf){0} : vload(shrink + v * VW), ratio;
    for (int r = 0; r < q->rows; r++) {
      vf df = slope(p->activation, p->leak, vload(y->a + (ptrdiff_t)r * y->lda + v * VW), &ratio);
      acc = vfma(df, df, acc);
    }
    vstore(shrink + v * VW, acc);
    vstore(sum + v * VW, acc * p->ae.contractive);
  }
  q->shrink = sum;
}

/* |W1_:j|² [H], a thread's share of the panels; padding is 0 */
void FN(norms)(hdl_plan *p, int thread) {
  const hdl_layer *y = &p->layer[0];
  int np = hdl_panels(y->nv), last = np * (thread + 1) / p->threads;
  for (int panel = np * thread / p->threads; panel < last; panel++) {
    int v0 = hdl_panel_start(y->nv, panel), pv = hdl_panel_start(y->nv, panel + 1) - v0;
    const float *w = hdl_tile(y, y->w, v0, pv, 0);
    for (int v = 0; v < pv; v++) {
      vf sum = (vf){0};
      for (int i = 0; i < y->m; i++) {
        vf x = vload(w + (i * pv + v) * VW);
        sum = vfma(x, x, sum);
      }
      vstore(p->norm + (v0 + v) * VW, sum);
    }
  }
}
