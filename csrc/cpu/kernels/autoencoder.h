/* autoencoder.h: computes what an autoencoder has beyond a dense net of two layers: sparsity, the contractive term, and
 * their statistics. A = f(X W1 + b1) [B, H], its output's target is X. Tied weights are a matter of layout.c. */
#ifndef HDL_AUTOENCODER_H
#define HDL_AUTOENCODER_H

#include "activation.h"
#include "panels.h"

/* Sums the mini-batch's mean activation, A [B, H] block by block; with the last block's
 *   rho_hat = memory rho_hat + (1 - memory) mean,   gradient [H] = beta ((1 - rho)/(1 - rho_hat) - rho/rho_hat)
 * Every thread does the whole for itself: B*H additions cost less than one more barrier. */
KERNEL void mean_activation(hdl_plan *plan, hdl_context *ctx, int thread) {
  const hdl_layer *layer = &plan->layer[0];
  const hdl_autoencoder *ae = &plan->autoencoder;
  float *sum = hdl_hidden_of(plan, thread, HDL_SUM), *rho_hat = hdl_hidden_of(plan, thread, HDL_RHO_HAT);
  float *gradient = hdl_hidden_of(plan, thread, HDL_SPARSITY_GRADIENT);
  int nv = (layer->O + VW - 1) / VW;
  sum_columns(layer->a, layer->lda, ctx->rows, ctx->first, sum, 0, nv);
  ctx->sparsity_gradient = gradient;
  if (!ctx->last) return;
  vf share = vset((1 - ae->memory) * ctx->inv_batch), memory = vset(ae->memory);
  for (int v = 0; v < nv; v++) {
    vf mean = vfma(memory, vload(rho_hat + v * VW), share * vload(sum + v * VW));
    vf r = vmin(vmax(mean, vset(1e-6f)), vset(1 - 1e-6f)); /* where float32 sigmoids saturate */
    vstore(rho_hat + v * VW, mean);
    vstore(gradient + v * VW, vkeep(ae->beta * ((1 - ae->rho) / (1.f - r) - ae->rho / r), vmask(layer->O - v * VW)));
  }
}

/* Adds the contractive term to rows r0 … r1 after backward. With s_j = |W1_:j|²:
 *   cost_r += contractive/2 sum_j f'² s_j,   D1 += contractive s_j f' f''    (Rifai et al. 2011)
 * and, where the statistics are wanted, F [B, H] = f', which dW's kernels then multiply with X; overwrites. */
KERNEL void contractive_term(hdl_plan *plan, const hdl_context *ctx, int r0, int r1) {
  const hdl_layer *layer = &plan->layer[0], *s = &plan->layer[plan->layers];
  int nv = (layer->O + VW - 1) / VW;
  float lambda = plan->autoencoder.contractive;
  bool bad = false;
  for (int r = r0; r < r1; r++) {
    const float *a = layer->a + (ptrdiff_t)r * layer->lda;
    float *d = layer->d + (ptrdiff_t)r * layer->lda, *f = ctx->slopes ? s->d + (ptrdiff_t)r * s->lda : NULL;
    vf cost = (vf){0}, curvature;
    for (int v = 0; v < nv; v++) {
      vf df = derivative(plan->activation, plan->leak, vload(a + v * VW), &curvature);
      if (f) vstore(f + v * VW, vkeep(df, vmask(layer->O - v * VW)));
      if (!(lambda > 0)) continue;
      vf e = df * df * vload(plan->norm + v * VW);
      vstore(d + v * VW, vfma(lambda * e, curvature, vload(d + v * VW)));
      cost += e;
    }
    if (lambda > 0) plan->row_cost[r] += 0.5f * lambda * vsum(cost);
    bad |= !isfinite(plan->row_cost[r]);
  }
  if (bad) atomic_store(&plan->nonfinite, 1);
}

/* Sums over the block's rows, going on from block to block: contraction [H] = contractive sum f'², by every thread for
 * itself, the factor of W1 in its gradient (dW's kernels add the product); sum of A, a thread's share of the vectors.
 */
KERNEL void code_sums(hdl_plan *plan, hdl_context *ctx, int thread) {
  const hdl_layer *layer = &plan->layer[0];
  int nv = (layer->O + VW - 1) / VW;
  if (ctx->slopes) {
    sum_columns(layer->a, layer->lda, ctx->rows, ctx->first, plan->sum_a, nv * thread / plan->threads,
                nv * (thread + 1) / plan->threads);
  }
  if (!(plan->autoencoder.contractive > 0)) return;
  float *sum = hdl_hidden_of(plan, thread, HDL_SUM), *squares = hdl_hidden_of(plan, thread, HDL_CONTRACTION);
  for (int v = 0; v < nv; v++) {
    vf acc = ctx->first ? (vf){0} : vload(squares + v * VW), curvature;
    for (int r = 0; r < ctx->rows; r++) {
      vf df =
          derivative(plan->activation, plan->leak, vload(layer->a + (ptrdiff_t)r * layer->lda + v * VW), &curvature);
      acc = vfma(df, df, acc);
    }
    vstore(squares + v * VW, acc);
    vstore(sum + v * VW, acc * plan->autoencoder.contractive);
  }
  ctx->contraction = sum;
}

/* Computes |W1_:j|² [H], a thread's share of the panels; padding is 0. */
KERNEL void squared_norms(hdl_plan *plan, int thread) {
  const hdl_layer *layer = &plan->layer[0];
  int np = hdl_panels(layer->nv), last = np * (thread + 1) / plan->threads;
  for (int panel = np * thread / plan->threads; panel < last; panel++) {
    int v0 = hdl_panel_start(layer->nv, panel), pv = hdl_panel_start(layer->nv, panel + 1) - v0;
    const float *w = tile_at(layer, layer->w, v0, pv, 0);
    for (int v = 0; v < pv; v++) {
      vf sum = (vf){0};
      for (int i = 0; i < layer->m; i++) {
        vf x = vload(w + (i * pv + v) * VW);
        sum = vfma(x, x, sum);
      }
      vstore(plan->norm + (v0 + v) * VW, sum);
    }
  }
}
#endif
