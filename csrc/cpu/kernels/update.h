/* update.h: steps by one of the update rules on n contiguous floats of a tile that is in L1. g: sum of gradients of the
 * mini-batch; w, s0, s1 overwritten. The gradient of the mean cost is g/batch + l1 sign(w) + l2 w, biases exempt from
 * l1 and l2. */
#ifndef HDL_UPDATE_H
#define HDL_UPDATE_H

#include "panels.h"

#define EACH for (int i = 0; i < n; i += VW)

/* Gives the gradient of the regularised mean cost at i. */
INLINE vf mean_gradient(const float *g, const float *w, int i, vf inv, bool decays, vf l1, vf l2) {
  vf d = vload(g + i) * inv;
  if (decays) {
    vf x = vload(w + i);
    vf sign = vkeep(l1, x > (vf){0}) - vkeep(l1, x < (vf){0});
    d = vfma(l2, x, d) + sign;
  }
  return d;
}

/* Steps along g; bias: exempt from l1 and l2. */
KERNEL void update(const hdl_context *ctx, bool bias, int n, const float *g, float *w, float *s0, float *s1) {
  const hdl_update *u = ctx->rule;
  vf inv = vset(ctx->inv_batch), lr = vset(ctx->lr), l1 = vset(u->l1), l2 = vset(u->l2), eps = vset(u->epsilon);
  bool decays = !bias && (u->l1 != 0 || u->l2 != 0);
#define D mean_gradient(g, w, i, inv, decays, l1, l2)
#define STEP(by) vstore(w + i, vload(w + i) - (by))
  vf mu = vset(u->momentum), rho = vset(u->rho), one_rho = 1.f - rho;
  switch (u->rule) {
  case HDL_SGD: /* w -= lr d */
    EACH STEP(lr * D);
    break;
  case HDL_MOMENTUM: /* v = mu v + d; w -= lr v */
    EACH {
      vf v = vfma(mu, vload(s0 + i), D);
      vstore(s0 + i, v);
      STEP(lr * v);
    }
    break;
  case HDL_NESTEROV: /* v = mu v + d; w -= lr (d + mu v) */
    EACH {
      vf d = D, v = vfma(mu, vload(s0 + i), d);
      vstore(s0 + i, v);
      STEP(lr * vfma(mu, v, d));
    }
    break;
  case HDL_ADAGRAD: /* s += d²; w -= lr d / (sqrt s + eps) (Duchi et al. 2011) */
    EACH {
      vf d = D, s = vfma(d, d, vload(s0 + i));
      vstore(s0 + i, s);
      STEP(lr * d / (vsqrt(s) + eps));
    }
    break;
  case HDL_ADADELTA: /* s = rho s + (1-rho) d²; x = sqrt(t + eps)/sqrt(s + eps) d; t = rho t + (1-rho) x² (Zeiler 2012)
                      */
    EACH {
      vf d = D, t = vload(s1 + i), s = vfma(one_rho * d, d, rho * vload(s0 + i));
      vf x = vsqrt(t + eps) / vsqrt(s + eps) * d;
      vstore(s0 + i, s);
      vstore(s1 + i, vfma(one_rho * x, x, rho * t));
      STEP(lr * x);
    }
    break;
  case HDL_RMSPROP: /* s = rho s + (1-rho) d²; w -= lr d / (sqrt s + eps) */
    EACH {
      vf d = D, s = vfma(one_rho * d, d, rho * vload(s0 + i));
      vstore(s0 + i, s);
      STEP(lr * d / (vsqrt(s) + eps));
    }
    break;
  case HDL_ADAM: { /* m = b1 m + (1-b1) d; v = b2 v + (1-b2) d²; w -= lr m' / (sqrt v' + eps), m', v' unbiased */
    vf b1 = vset(u->beta1), b2 = vset(u->beta2), rate = lr * ctx->adam1, unbias = vset(ctx->adam2);
    EACH {
      vf d = D, m = vfma(b1, vload(s0 + i), (1.f - b1) * d), v = vfma(b2, vload(s1 + i), (1.f - b2) * d * d);
      vstore(s0 + i, m);
      vstore(s1 + i, v);
      STEP(rate * m / (vsqrt(v * unbias) + eps));
    }
    break;
  }
  default:
    break;
  }
}
#undef EACH
#undef D
#undef STEP

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
  if (layer->wt) transpose_part(layer, 0, layer->m_padded / VW, first, last);
}
#endif
