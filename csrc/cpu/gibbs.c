/* gibbs.c: a restricted Boltzmann machine's rows through their Gibbs steps, and the statistics of contrastive
 * divergence.
 *
 * Shapes: V [B, I] visible, W [I, H], U [B, H] hidden; sigma the logistic function.
 *   up:    p(h|v) = sigma(v W + b_h), h = 1 where a uniform number is below it
 *   down:  binary: p(v|h) = sigma(h W' + b_v), v drawn as h is; gaussian: mean h W' + b_v, v = mean + N(0, 1)
 * Contrastive divergence (Hinton 2002, 2012): h_0 is drawn from p(h|v_pos); v_t is the mean of p(v|h_t-1), not drawn;
 * h_t is drawn for t < k; the last step and both statistics take p(h|v). Persistent chains (Tieleman 2008) draw v too:
 * each step of training moves them by k whole Gibbs steps. Draws lie in rng.h.
 */
#include "kernels.h"
#include "philox.h"

typedef struct { /* what a product's tile becomes: weight * mean, and draws from it; fused while the tile is in L1 */
  hdl_finish f;  /* first: finish() is called with it */
  bool gaussian;
  float weight;
  const float *uniform; /* [rows, ld] or NULL: nothing is drawn */
  float *sample;        /* [rows, ld]; may be `uniform`, or the product's own result */
  int ld;
} units;

/* Standard normal number of a uniform one: inverse distribution function, AS 241 PPND7 (Wichura 1988), relative error
 * about 1e-7; uniform numbers here are never so near 0 or 1 that its far tail is needed. */
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

INLINE void finish_as(const bool gaussian, const bool drawn, const units *u, float *tile, int ld, int r, int n, int v0,
                      int pv) {
  for (int v = 0; v < pv; v++) {
    vi real = vmask(u->f.width - (v0 + v) * VW);
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

static void finish(const hdl_finish *f, float *tile, int ld, int r, int n, int v0, int pv) {
  const units *u = (const units *)f;
  if (u->gaussian && u->uniform)
    finish_as(true, true, u, tile, ld, r, n, v0, pv);
  else if (u->gaussian)
    finish_as(true, false, u, tile, ld, r, n, v0, pv);
  else if (u->uniform)
    finish_as(false, true, u, tile, ld, r, n, v0, pv);
  else
    finish_as(false, false, u, tile, ld, r, n, v0, pv);
}

typedef struct { /* names the draws of some rows: see rng.h */
  const uint32_t *key;
  int64_t row, step;
} stream;

/* out [rows, ld]: n uniform numbers a row, of layer and Gibbs step `what`; up to the next vector it may overwrite */
static void uniforms(stream s, uint32_t what, int n, float *out, int ld, int rows) {
  int blocks = HDL_DRAW_BLOCKS(n);
  for (int r = 0; r < rows; r++, out += ld)
    for (int j = 0; j < blocks && j < n; j += VW) {
      vu word[4];
      vphilox(s.key, j, (uint32_t)(s.row + r), (uint32_t)s.step, what, word);
      for (int h = 0; h < 4 && h * blocks + j < n; h++)
        vstore(out + h * blocks + j, (__builtin_convertvector((vi)(word[h] >> 9), vf) + 0.5f) * 0x1p-23f);
    }
}

/* D [rows, H] = weight * p(h|X); h is drawn in Gibbs step t, unless NULL. Both are overwritten. */
static void up(hdl_plan *p, stream s, uint32_t t, const float *x, int ldx, float *d, int ldd, float *h, int rows,
               float weight) {
  hdl_layer *y = &p->layer[0];
  int half = y->lda / y->pairs;
  if (h) uniforms(s, 2 * t, y->O, h, half, rows);
  units u = {{.width = y->O, .then = finish}, false, weight, h, h, half};
  FN(multiply)((hdl_product){y->I, ldx, y->wr, 0, y->nv, ldd, x, y->w, y->b, d, &u.f, 0}, rows);
}

/* V [rows, I] = mean of p(v|h), or v drawn in Gibbs step t where there is room [rows, ldv] for the draws */
static void down(hdl_plan *p, stream s, uint32_t t, const float *h, int ldh, float *v, int ldv, float *room, int rows) {
  hdl_layer *y = &p->layer[0];
  if (room) uniforms(s, 2 * t + 1, y->I, room, ldv, rows);
  units u = {{.width = y->I, .then = finish}, p->gibbs->gaussian, 1, room, v, ldv};
  FN(multiply)((hdl_product){y->O, ldh, y->tr, 0, y->mp / VW, ldv, h, y->wt, p->gibbs->b, v, &u.f, 0}, rows);
}

/* row_cost = 1/2 |v - its reconstruction|² */
static void cost(hdl_plan *p, const hdl_pass *q, int r0, int r1, const float *v, const float *other, int ld) {
  bool bad = false;
  for (int r = r0; r < r1; r++, v += ld, other += ld) {
    vf sum = (vf){0};
    for (int i = 0; i < p->layer[0].I; i += VW) {
      vf d = vload(v + i) - vload(other + i);
      sum = vfma(d, d, sum);
    }
    p->row_cost[r] = 0.5f * vsum(sum);
    bad |= !isfinite(p->row_cost[r]);
  }
  if (q->backward && bad) atomic_store(&p->nonfinite, 1);
}

/* Samples r0 … r1 of the block: v_pos, their statistics, and either the negative phase or a reconstruction's cost */
static void samples(hdl_plan *p, const hdl_pass *q, int r0, int r1) {
  hdl_layer *y = &p->layer[0];
  hdl_gibbs *g = p->gibbs;
  int ldx = y->x_ld, ldd = y->lda, half = y->lda / y->pairs, rows = r1 - r0; /* pairs: 1 with chains, else 2 */
  float *x = p->x + (ptrdiff_t)r0 * ldx, *d = y->d + (ptrdiff_t)r0 * ldd, *h = g->sample + (ptrdiff_t)r0 * half;
  float *v = g->chains ? g->room + (ptrdiff_t)r0 * ldx : x + ldx / 2;
  stream s = {q->key, q->row0 + r0, q->step};
  FN(gather)(p, q, r0, r1);
  if (q->backward) {
    up(p, s, 0, x, ldx, d, ldd, h, rows, -1);
    for (int t = 0; t < (g->chains ? 1 : g->k); t++) {
      down(p, s, (uint32_t)t, h, half, v, ldx, NULL, rows);
      if (t == 0) cost(p, q, r0, r1, x, v, ldx);
      if (!g->chains) up(p, s, (uint32_t)t + 1, v, ldx, d + half, ldd, t + 1 < g->k ? h : NULL, rows, 1);
    }
    return;
  }
  up(p, s, 0, x, ldx, d, ldd, NULL, rows, 1);
  if (q->scored) { /* else only the codes are wanted */
    down(p, s, 0, d, ldd, v, ldx, NULL, rows);
    cost(p, q, r0, r1, x, v, ldx);
  }
  int n = q->scored ? y->I : y->O;
  for (int r = 0; r < rows && q->out; r++)
    memcpy(q->out + (ptrdiff_t)(r0 + r) * n, q->scored ? v + r * ldx : d + r * ldd, sizeof(float) * (size_t)n);
}

/* Chains r0 … r1 of the block: k Gibbs steps, every one drawn, and their statistics, weighted to the mini-batch */
static void chains(hdl_plan *p, const hdl_pass *q, int r0, int r1) {
  hdl_layer *y = &p->layer[0];
  hdl_gibbs *g = p->gibbs;
  ptrdiff_t at = q->rows + r0;
  float *x = p->x + at * y->x_ld, *d = y->d + at * y->lda, *h = g->sample + at * y->lda, *room = g->room + at * y->x_ld;
  float *chain = g->chain + (q->chain0 + r0) * y->x_ld;
  size_t bytes = sizeof(float) * (size_t)(r1 - r0) * (size_t)y->x_ld;
  stream s = {g->key, q->chain0 + r0, q->step};
  memcpy(x, chain, bytes);
  for (int t = 0; t < g->k; t++) {
    up(p, s, (uint32_t)t, x, y->x_ld, d, y->lda, h, r1 - r0, 1);
    down(p, s, (uint32_t)t, h, y->lda, x, y->x_ld, room, r1 - r0);
  }
  up(p, s, 0, x, y->x_ld, d, y->lda, NULL, r1 - r0, q->chain_weight);
  memcpy(chain, x, bytes);
}

/* A thread's rows of the block */
void FN(gibbs)(hdl_plan *p, const hdl_pass *q, int thread) {
  int r0 = q->rows * thread / p->threads, r1 = q->rows * (thread + 1) / p->threads;
  if (r0 < r1) samples(p, q, r0, r1);
  r0 = q->chains * thread / p->threads, r1 = q->chains * (thread + 1) / p->threads;
  if (r0 < r1) chains(p, q, r0, r1);
}

/* db_h = sum of D's rows, a thread's share of the vectors, and its update (no decay). With a sparsity target also
 * active = sum of p(h|v_pos), and after the last block beta (active - rho samples) joins db_h (Lee et al. 2008). */
void FN(hidden_bias)(hdl_plan *p, const hdl_pass *q, int thread) {
  hdl_layer *y = &p->layer[0];
  hdl_gibbs *g = p->gibbs;
  int nv = (y->O + VW - 1) / VW, v0 = nv * thread / p->threads, v1 = nv * (thread + 1) / p->threads;
  bool update = q->update && q->last;
  FN(columns)(y->d, y->lda / y->pairs, q->rows * y->pairs, q->first, y->gb, v0, v1);
  if (g->beta > 0) FN(columns)(y->d, y->lda, q->rows - q->chains, q->first, g->active, v0, v1);
  for (int i = v0 * VW; i < v1 * VW && g->beta > 0 && q->last; i += VW) {
    vf active = -vload(g->active + i); /* the rows are minus p(h|v_pos) */
    vstore(g->active + i, active);
    if (!update) continue;
    vf missed = vkeep(active - g->rho / q->inv_batch, vmask(y->O - i));
    vstore(y->gb + i, vfma(vset(g->beta), missed, vload(y->gb + i)));
  }
  int at = v0 * VW;
  if (update && v1 > v0) FN(update)(q, true, (v1 - v0) * VW, y->gb + at, y->b + at, y->sb[0] + at, y->sb[1] + at);
}

/* db_v = sum of v_neg - sum of v_pos, a thread's share of the vectors, and its update (no decay) */
static void visible_bias(hdl_plan *p, const hdl_pass *q, int thread) {
  hdl_layer *y = &p->layer[0];
  hdl_gibbs *g = p->gibbs;
  int nv = y->mp / VW, v0 = nv * thread / p->threads, v1 = nv * (thread + 1) / p->threads, ld = y->x_ld;
  int half = ld / y->pairs;
  vf weight = vset(q->chain_weight);
  for (int v = v0, n; v < v1; v += n) {
    n = v1 - v < 4 ? v1 - v : 4;
    vf sum[4];
    for (int i = 0; i < n; i++) sum[i] = q->first ? (vf){0} : vload(g->gb + (v + i) * VW);
    const float *x = p->x + v * VW;
    if (g->chains) {
      for (int r = 0; r < q->rows - q->chains; r++, x += ld)
        for (int i = 0; i < n; i++) sum[i] -= vload(x + i * VW);
      for (int r = 0; r < q->chains; r++, x += ld)
        for (int i = 0; i < n; i++) sum[i] = vfma(weight, vload(x + i * VW), sum[i]);
    } else {
      for (int r = 0; r < q->rows; r++, x += ld)
        for (int i = 0; i < n; i++) sum[i] += vload(x + half + i * VW) - vload(x + i * VW);
    }
    for (int i = 0; i < n; i++) vstore(g->gb + (v + i) * VW, sum[i]);
    if (q->update && q->last)
      FN(update)(q, true, n * VW, g->gb + v * VW, g->b + v * VW, g->sb[0] + v * VW, g->sb[1] + v * VW);
  }
}

/* A thread's share of minus the estimated gradient, Σ v_neg p(h|v_neg)' - Σ v_pos p(h|v_pos)', as one product over
 * positive and negative rows whose signs are in d, with the update in its epilogue */
void FN(statistics)(hdl_plan *p, const hdl_pass *q, int thread) {
  hdl_pass all = *q;
  all.rows += q->chains; /* they come in pairs already where there are none */
  FN(weights)(p, &all, 0, thread);
  visible_bias(p, &all, thread);
}
