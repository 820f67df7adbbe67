/* update.h: steps by one of the update rules on n contiguous floats of a tile that is in L1. g: sum of gradients of the
 * mini-batch; w and the state overwritten. The gradient of the mean cost is g/batch + l1 sign(w) + l2 w. Weight decay
 * is no part of it: w, at which it was taken, shrinks by lr d w before the step (Loshchilov & Hutter 2019, algorithm
 * 2). Biases are exempt from all three. */
#ifndef HDL_UPDATE_H
#define HDL_UPDATE_H

#include "panels.h"

#define EACH for (int i = 0; i < n; i += VW)

/* Gives the gradient of the regularised mean cost at i; start: the weights that L2-SP pulls to, or NULL. */
INLINE vf mean_gradient(const float *g, const float *w, int i, vf inv, bool decays, vf l1, vf l2, const float *start,
                        vf l2_sp) {
  vf d = vload(g + i) * inv;
  if (start) d = vfma(l2_sp, vload(w + i) - vload(start + i), d);
  if (decays) {
    vf x = vload(w + i);
    vf sign = vkeep(l1, x > (vf){0}) - vkeep(l1, x < (vf){0});
    d = vfma(l2, x, d) + sign;
  }
  return d;
}

/* Steps along g; bias: exempt from l1, l2, L2-SP (towards start) and weight decay. rules.h has the formulas; a rule's
 * loop loads its own state vectors alone. */
KERNEL void update(const hdl_context *ctx, bool bias, int n, const float *g, float *w, float *s0_of, float *s1_of,
                   const float *start) {
  const hdl_update *u = ctx->rule;
  vf inv = vset(ctx->inv_batch), lr = vset(ctx->lr), l1 = vset(u->l1), l2 = vset(u->l2), epsilon = vset(u->epsilon);
  vf mu = vset(u->momentum), rho = vset(u->rho), beta1 = vset(u->beta1), beta2 = vset(u->beta2);
  vf unbias1 = vset(ctx->unbias1), unbias2 = vset(ctx->unbias2);
  bool decays = !bias && (u->l1 != 0 || u->l2 != 0), shrinks = !bias && u->weight_decay != 0;
  vf kept = vset(1 - ctx->lr * u->weight_decay), l2_sp = vset(u->l2_sp);
  if (bias || u->l2_sp == 0) start = NULL;
#define REAL vf
#define SQRT vsqrt
#define FMA vfma
#define ADD_PRODUCT(c, a, b) vfma(a, b, c)
#define TAKE(x) vstore(w + i, vload(w + i) - lr * (x))
#define TAKE_RATIO(f, x, y) vstore(w + i, vload(w + i) - lr * (f) * (x) / (y))
#define RULE(NUMBER, name, vectors, ...)                                                                               \
  case HDL_##NUMBER:                                                                                                   \
    EACH {                                                                                                             \
      _Static_assert(vectors <= HDL_STATES, "a plan has room for HDL_STATES state vectors");                           \
      vf d = mean_gradient(g, w, i, inv, decays, l1, l2, start, l2_sp), s0 = d, s1 = d;                                \
      if (shrinks) vstore(w + i, vload(w + i) * kept);                                                                 \
      if (vectors > 0) s0 = vload(s0_of + i);                                                                          \
      if (vectors > 1) s1 = vload(s1_of + i);                                                                          \
      __VA_ARGS__;                                                                                                     \
      if (vectors > 0) vstore(s0_of + i, s0);                                                                          \
      if (vectors > 1) vstore(s1_of + i, s1);                                                                          \
    }                                                                                                                  \
    break;
  switch (u->rule) { HDL_RULE_TABLE(RULE) }
#undef REAL
#undef SQRT
#undef FMA
#undef ADD_PRODUCT
#undef TAKE
#undef TAKE_RATIO
#undef RULE
}
#undef EACH

/* Scales a unit's incoming weights [I] back to norm max_norm after the update (Srebro & Shraibman 2005): a thread's
 * share of the panels (along_inputs: of the outputs). Also refreshes wt, which waited for this. */
KERNEL void max_norm(hdl_plan *plan, const hdl_context *ctx, int l, int thread) {
  hdl_layer *layer = &plan->layer[l];
  float c = ctx->rule->max_norm;
  if (layer->along_inputs) {
    for (int o = layer->O * thread / plan->threads; o < layer->O * (thread + 1) / plan->threads; o++) {
      float *w = layer->w + (ptrdiff_t)o * layer->ld;
      vf s = (vf){0};
      for (int v = 0; v < layer->nv; v++) s = vfma(vload(w + v * VW), vload(w + v * VW), s);
      float norm = sqrtf(vsum(s));
      if (norm > c)
        for (int v = 0; v < layer->nv; v++) vstore(w + v * VW, vload(w + v * VW) * (c / norm));
    }
    return;
  }
  int np = hdl_panels(layer->nv), first = np * thread / plan->threads, last = np * (thread + 1) / plan->threads;
  for (int panel = first; panel < last; panel++) {
    int v0 = hdl_panel_start(layer->nv, panel), pv = hdl_panel_start(layer->nv, panel + 1) - v0;
    float *w = tile_at(layer, layer->w, v0, pv, 0);
    for (int v = 0; v < pv; v++) {
      vf s = (vf){0};
      for (int i = 0; i < layer->m; i++) {
        vf x = vload(w + (i * pv + v) * VW);
        s = vfma(x, x, s);
      }
      vf norm = vsqrt(s), scale = vsel(norm > vset(c), c / norm, vset(1.f));
      for (int i = 0; i < layer->m; i++) vstore(w + (i * pv + v) * VW, vload(w + (i * pv + v) * VW) * scale);
    }
  }
  if (copied(layer)) transpose_part(layer, 0, layer->m_padded / VW, first, last);
}
#endif
