/* gibbs.h: takes a restricted Boltzmann machine's rows through their Gibbs steps, and sums the statistics of
 * contrastive divergence.
 *
 * Shapes: V [B, I] visible, W [I, H], U [B, H] hidden; sigma the logistic function.
 *   up:    p(h|v) = sigma(v W + b_h), h = 1 where a uniform number is below it
 *   down:  binary: p(v|h) = sigma(h W' + b_v), v drawn as h is; gaussian: mean h W' + b_v, v = mean + N(0, 1)
 * Contrastive divergence (Hinton 2002, 2012): h_0 is drawn from p(h|v_pos); v_t is the mean of p(v|h_t-1), not drawn;
 * h_t is drawn for t < k; the last step and both statistics take p(h|v). Persistent chains (Tieleman 2008) draw v too:
 * each step of training moves them by k whole Gibbs steps. Draws lie in rng.h.
 */
#ifndef HDL_GIBBS_H
#define HDL_GIBBS_H

#include "dense.h"
#include "gather.h"
#include "philox.h"

typedef struct { /* makes a product's tile weight * mean, and draws from it; fused while the tile is in L1 */
  epilogue e;    /* first: draw_tile is called with it */
  bool gaussian;
  float weight;
  const float *uniform; /* [rows, ld] or NULL: nothing is drawn */
  float *sample;        /* [rows, ld]; may be `uniform`, or the product's own result */
  int ld;
} unit_epilogue;

/* Turns a uniform number into a standard normal one: inverse distribution function, AS 241 PPND7 (Wichura 1988),
 * relative error about 1e-7; uniform numbers here are never so near 0 or 1 that its far tail is needed. */
INLINE vf normal(vf u) {
  vf q = u - 0.5f, r = vfma(-q, q, vset(0.180625f));
  vf a = vfma(vfma(vfma(vset(59.10937472f), r, vset(159.29113202f)), r, vset(50.434271938f)), r, vset(3.3871327179f));
  vf b = vfma(vfma(vfma(vset(67.1875636f), r, vset(78.757757664f)), r, vset(17.895169469f)), r, vset(1.f));
  vf s = vsqrt(-vlog(vsel(q < (vf){0}, u, 1.f - u))) - 1.6f;
  vf c = vfma(vfma(vfma(vset(0.17023821103f), s, vset(1.3067284816f)), s, vset(2.75681539f)), s, vset(1.4234372777f));
  vf d = vfma(vfma(vset(0.12021132975f), s, vset(0.7370016425f)), s, vset(1.f));
  vf tail = c / d;
  return vsel(vabs(q) <= vset(0.425f), q * a / b, vsel(q < (vf){0}, -tail, tail));
}

INLINE void draw_units(const bool gaussian, const bool drawn, const unit_epilogue *u, float *tile, int ld, int r, int n,
                       int v0, int pv) {
  for (int v = 0; v < pv; v++) {
    vi real = vmask(u->e.width - (v0 + v) * VW);
    ptrdiff_t at = (ptrdiff_t)r * u->ld + (v0 + v) * VW;
    for (int i = 0; i < n; i++, at += u->ld) {
      vf z = vload(tile + i * ld + v * VW), mean = gaussian ? z : vsigmoid(z);
      vstore(tile + i * ld + v * VW, vkeep(u->weight * mean, real));
      if (!drawn) continue;
      vf x = vload(u->uniform + at), s = vkeep(vset(1.f), x < mean);
      if (gaussian) s = mean + normal(x);
      vstore(u->sample + at, vkeep(s, real));
    }
  }
}

static void draw_tile(const epilogue *self, float *tile, int ld, int r, int n, int v0, int pv) {
  const unit_epilogue *u = (const unit_epilogue *)self;
  if (u->gaussian && u->uniform)
    draw_units(true, true, u, tile, ld, r, n, v0, pv);
  else if (u->gaussian)
    draw_units(true, false, u, tile, ld, r, n, v0, pv);
  else if (u->uniform)
    draw_units(false, true, u, tile, ld, r, n, v0, pv);
  else
    draw_units(false, false, u, tile, ld, r, n, v0, pv);
}

typedef struct { /* names the draws of some rows: see rng.h */
  const uint32_t *key;
  int64_t row, step;
} draw_stream;

/* Draws n uniform numbers a row, out [rows, ld], of layer and Gibbs step `which`; may overwrite up to the next vector.
 */
static void draw_uniforms(draw_stream s, uint32_t which, int n, float *out, int ld, int rows) {
  int blocks = HDL_DRAW_BLOCKS(n);
  for (int r = 0; r < rows; r++, out += ld)
    for (int j = 0; j < blocks && j < n; j += VW) {
      vu word[4];
      vphilox(s.key, j, (uint32_t)(s.row + r), (uint32_t)s.step, which, word);
      for (int h = 0; h < 4 && h * blocks + j < n; h++)
        vstore(out + h * blocks + j, (__builtin_convertvector((vi)(word[h] >> 9), vf) + 0.5f) * 0x1p-23f);
    }
}

/* D [rows, H] = weight * p(h|X); h is drawn in Gibbs step t, unless NULL. Both are overwritten. */
static void gibbs_up(hdl_plan *plan, draw_stream s, uint32_t t, const float *x, int ldx, float *d, int ldd, float *h,
                     int rows, float weight) {
  hdl_layer *layer = &plan->layer[0];
  int half = layer->lda / layer->pairs;
  if (h) draw_uniforms(s, 2 * t, layer->O, h, half, rows);
  unit_epilogue u = {{.width = layer->O, .custom = draw_tile}, false, weight, h, h, half};
  gemm_call gemm = {.cache = plan->cache, .K = layer->I, .nv = layer->nv, .a = x, .lda = ldx, .p = layer->w};
  gemm.rows_p = layer->w_rows;
  gemm.bias = layer->b, gemm.c = d, gemm.ldc = ldd, gemm.e = &u.e;
  multiply(gemm, rows);
}

/* V [rows, I] = mean of p(v|h), or v drawn in Gibbs step t where there is room [rows, ldv] for the draws. */
static void gibbs_down(hdl_plan *plan, draw_stream s, uint32_t t, const float *h, int ldh, float *v, int ldv,
                       float *room, int rows) {
  hdl_layer *layer = &plan->layer[0];
  if (room) draw_uniforms(s, 2 * t + 1, layer->I, room, ldv, rows);
  unit_epilogue u = {{.width = layer->I, .custom = draw_tile}, plan->gibbs->gaussian, 1, room, v, ldv};
  gemm_call gemm = {
      .cache = plan->cache, .K = layer->O, .nv = layer->m_padded / VW, .a = h, .lda = ldh, .p = layer->wt};
  gemm.rows_p = layer->wt_rows, gemm.bias = plan->gibbs->b, gemm.c = v, gemm.ldc = ldv, gemm.e = &u.e;
  multiply(gemm, rows);
}

/* row_cost = 1/2 |v - its reconstruction|². */
static void reconstruction_cost(hdl_plan *plan, const hdl_context *ctx, int r0, int r1, const float *v,
                                const float *other, int ld) {
  bool bad = false;
  for (int r = r0; r < r1; r++, v += ld, other += ld) {
    vf sum = (vf){0};
    for (int i = 0; i < plan->layer[0].I; i += VW) {
      vf d = vload(v + i) - vload(other + i);
      sum = vfma(d, d, sum);
    }
    plan->row_cost[r] = 0.5f * vsum(sum);
    bad |= !isfinite(plan->row_cost[r]);
  }
  if (ctx->backward && bad) atomic_store(&plan->nonfinite, 1);
}

/* Takes samples r0 … r1 of the block: v_pos, their statistics, and the negative phase or a reconstruction's cost. */
static void gibbs_samples(hdl_plan *plan, const hdl_context *ctx, int r0, int r1) {
  hdl_layer *layer = &plan->layer[0];
  hdl_gibbs *g = plan->gibbs;
  int ldx = layer->x_ld, ldd = layer->lda, half = ldd / layer->pairs; /* pairs: 1 with chains, else 2 */
  int rows = r1 - r0;
  float *x = plan->x + (ptrdiff_t)r0 * ldx, *d = layer->d + (ptrdiff_t)r0 * ldd, *h = g->sample + (ptrdiff_t)r0 * half;
  float *v = g->chains ? g->scratch + (ptrdiff_t)r0 * ldx : x + ldx / 2;
  draw_stream s = {ctx->key, ctx->row0 + r0, ctx->step};
  gather(plan, ctx, r0, r1);
  if (ctx->backward) {
    gibbs_up(plan, s, 0, x, ldx, d, ldd, h, rows, -1);
    for (int t = 0; t < (g->chains ? 1 : g->k); t++) {
      gibbs_down(plan, s, (uint32_t)t, h, half, v, ldx, NULL, rows);
      if (t == 0) reconstruction_cost(plan, ctx, r0, r1, x, v, ldx);
      if (!g->chains) gibbs_up(plan, s, (uint32_t)t + 1, v, ldx, d + half, ldd, t + 1 < g->k ? h : NULL, rows, 1);
    }
    return;
  }
  gibbs_up(plan, s, 0, x, ldx, d, ldd, NULL, rows, 1);
  if (ctx->scored) { /* else only the codes are wanted */
    gibbs_down(plan, s, 0, d, ldd, v, ldx, NULL, rows);
    reconstruction_cost(plan, ctx, r0, r1, x, v, ldx);
  }
  int n = ctx->scored ? layer->I : layer->O;
  for (int r = 0; r < rows && ctx->out; r++)
    memcpy(ctx->out + (ptrdiff_t)(r0 + r) * n, ctx->scored ? v + r * ldx : d + r * ldd, sizeof(float) * (size_t)n);
}

/* Moves chains r0 … r1 of the block by k Gibbs steps, every one drawn, and weights their statistics to the mini-batch.
 */
static void gibbs_chains(hdl_plan *plan, const hdl_context *ctx, int r0, int r1) {
  hdl_layer *layer = &plan->layer[0];
  hdl_gibbs *g = plan->gibbs;
  ptrdiff_t at = ctx->rows + r0;
  float *x = plan->x + at * layer->x_ld, *d = layer->d + at * layer->lda, *h = g->sample + at * layer->lda,
        *room = g->scratch + at * layer->x_ld;
  float *chain = g->chain + (ctx->chain0 + r0) * layer->x_ld;
  size_t bytes = sizeof(float) * (size_t)(r1 - r0) * (size_t)layer->x_ld;
  draw_stream s = {g->key, ctx->chain0 + r0, ctx->step};
  memcpy(x, chain, bytes);
  for (int t = 0; t < g->k; t++) {
    gibbs_up(plan, s, (uint32_t)t, x, layer->x_ld, d, layer->lda, h, r1 - r0, 1);
    gibbs_down(plan, s, (uint32_t)t, h, layer->lda, x, layer->x_ld, room, r1 - r0);
  }
  gibbs_up(plan, s, 0, x, layer->x_ld, d, layer->lda, NULL, r1 - r0, ctx->chain_weight);
  memcpy(chain, x, bytes);
}

/* Takes a thread's rows of the block. */
KERNEL void gibbs(hdl_plan *plan, const hdl_context *ctx, int thread) {
  int r0 = ctx->rows * thread / plan->threads, r1 = ctx->rows * (thread + 1) / plan->threads;
  int rows = ctx->rows + ctx->chains;
  if (r0 < r1) gibbs_samples(plan, ctx, r0, r1);
  if (ctx->backward) pack_deltas(plan, ctx, rows, r0, r1);
  r0 = ctx->chains * thread / plan->threads, r1 = ctx->chains * (thread + 1) / plan->threads;
  if (r0 < r1) gibbs_chains(plan, ctx, r0, r1);
  if (ctx->backward) pack_deltas(plan, ctx, rows, ctx->rows + r0, ctx->rows + r1);
}

/* Sums db_h = D's rows, a thread's share of the vectors, and updates b_h (no decay). With a sparsity target also
 * active = sum of p(h|v_pos), and after the last block beta (active - rho samples) joins db_h (Lee et al. 2008). */
KERNEL void hidden_bias_gradient(hdl_plan *plan, const hdl_context *ctx, int thread) {
  hdl_layer *layer = &plan->layer[0];
  hdl_gibbs *g = plan->gibbs;
  int nv = (layer->O + VW - 1) / VW, v0 = nv * thread / plan->threads, v1 = nv * (thread + 1) / plan->threads;
  bool apply = ctx->update && ctx->last;
  sum_columns(layer->d, layer->lda / layer->pairs, ctx->rows * layer->pairs, ctx->first, layer->gb, v0, v1);
  if (g->beta > 0) sum_columns(layer->d, layer->lda, ctx->rows - ctx->chains, ctx->first, g->active, v0, v1);
  for (int i = v0 * VW; i < v1 * VW && g->beta > 0 && ctx->last; i += VW) {
    vf active = -vload(g->active + i); /* the rows are minus p(h|v_pos) */
    vstore(g->active + i, active);
    if (!apply) continue;
    vf missed = vkeep(active - g->rho / ctx->inv_batch, vmask(layer->O - i));
    vstore(layer->gb + i, vfma(vset(g->beta), missed, vload(layer->gb + i)));
  }
  int at = v0 * VW;
  if (apply && v1 > v0)
    update(ctx, true, (v1 - v0) * VW, layer->gb + at, layer->b + at, layer->sb[0] + at, layer->sb[1] + at, NULL);
}

/* Sums db_v = v_neg - v_pos, a thread's share of the vectors, and updates b_v (no decay). */
static void visible_bias_gradient(hdl_plan *plan, const hdl_context *ctx, int thread) {
  hdl_layer *layer = &plan->layer[0];
  hdl_gibbs *g = plan->gibbs;
  int nv = layer->m_padded / VW, v0 = nv * thread / plan->threads, v1 = nv * (thread + 1) / plan->threads,
      ld = layer->x_ld;
  int half = ld / layer->pairs;
  vf weight = vset(ctx->chain_weight);
  for (int v = v0, n; v < v1; v += n) {
    n = v1 - v < 4 ? v1 - v : 4;
    vf sum[4];
    for (int i = 0; i < n; i++) sum[i] = ctx->first ? (vf){0} : vload(g->gb + (v + i) * VW);
    const float *x = plan->x + v * VW;
    if (g->chains) {
      for (int r = 0; r < ctx->rows - ctx->chains; r++, x += ld)
        for (int i = 0; i < n; i++) sum[i] -= vload(x + i * VW);
      for (int r = 0; r < ctx->chains; r++, x += ld)
        for (int i = 0; i < n; i++) sum[i] = vfma(weight, vload(x + i * VW), sum[i]);
    } else {
      for (int r = 0; r < ctx->rows; r++, x += ld)
        for (int i = 0; i < n; i++) sum[i] += vload(x + half + i * VW) - vload(x + i * VW);
    }
    for (int i = 0; i < n; i++) vstore(g->gb + (v + i) * VW, sum[i]);
    if (ctx->update && ctx->last)
      update(ctx, true, n * VW, g->gb + v * VW, g->b + v * VW, g->sb[0] + v * VW, g->sb[1] + v * VW, NULL);
  }
}

/* Sums a thread's share of minus the estimated gradient, Σ v_neg p(h|v_neg)' - Σ v_pos p(h|v_pos)', as one product
 * over positive and negative rows whose signs are in d, with the update in its epilogue. */
KERNEL void contrastive_divergence(hdl_plan *plan, const hdl_context *ctx, int thread) {
  hdl_context all = *ctx;
  all.rows += ctx->chains; /* they come in pairs already where there are none */
  hidden_bias_gradient(plan, &all, thread);
  weight_gradient(plan, &all, 0, thread);
  visible_bias_gradient(plan, &all, thread);
}
#endif
