/* loss.h: computes the output layer's non-linearity, cost and delta, one row at a time; Z [B, O] is layer->a, to which
 * the offset, if there is one, is added before.
 *   softmax, cross-entropy:  p = e^z / sum e^z,  cost = -sum t ln p = sum t (ln sum e^z - z)
 *   sigmoid, cross-entropy:  p = 1/(1 + e^-z),   cost = sum max(z, 0) - z t + ln(1 + e^-|z|)
 *   linear, squared error:   p = z,              cost = 1/2 sum (p - t)²
 *   sigmoid, squared error:  p = 1/(1 + e^-z),   cost = 1/2 sum (p - t)²
 * and D = p - t, for the last one (p - t) p (1 - p); losses.h has the others. Cost and D are times the sample's weight.
 * Overwrites layer->d, row_cost, row_hit, and ctx->out with p. Padding of D is zero. */
#ifndef HDL_LOSS_H
#define HDL_LOSS_H

#include "vec.h"
#include "../internal.h"

static int first_largest(const float *x, int n) {
  int best = 0;
  for (int i = 1; i < n; i++)
    if (x[i] > x[best]) best = i;
  return best;
}

static void softmax(hdl_plan *plan, const hdl_context *ctx, int r0, int r1) {
  hdl_layer *layer = &plan->layer[plan->layers - 1];
  int O = layer->O, nv = (O + VW - 1) / VW;
  bool scored = ctx->scored, smoothed = plan->label_smoothing > 0 && ctx->backward;
  bool classes = ctx->data->y_type == HDL_CLASS && !smoothed; /* smoothed, all classes have a share of the target */
  vi tail = vmask(O - (nv - 1) * VW);
  vf low = vset(-INFINITY);
  for (int b = r0; b < r1; b += VW) {
    float sums[VW] __attribute__((aligned(64))), rest[VW] __attribute__((aligned(64))), weight[VW];
    int n = r1 - b < VW ? r1 - b : VW;
    for (int j = 0; j < VW; j++) sums[j] = 1, rest[j] = 0, weight[j] = 1;
    for (int j = 0; j < n; j++) {
      int r = b + j;
      float *z = layer->a + (ptrdiff_t)r * layer->lda, *d = layer->d + (ptrdiff_t)r * layer->lda, most;
      const float *t = plan->target + (ptrdiff_t)r * layer->lda;
      vf m = vsel(tail, vload(z + (nv - 1) * VW), low), sum, ties;
      for (int v = 0; v + 1 < nv; v++) m = vmax(vload(z + v * VW), m);
      most = vmaximum(m);
      sum = ties = (vf){0};
      int c = scored && classes ? plan->label[r] : 0;
      for (int v = 0; v < nv; v++) {
        ties += vkeep(vset(1.f), (vload(z + v * VW) == most) & (viota() + v * VW < viset(c)));
        vf e = vexp(vload(z + v * VW) - most);
        if (v + 1 == nv) e = vkeep(e, tail);
        vstore(d + v * VW, e);
        sum += e;
      }
      vf4 both = vsum4(sum, ties, sum, ties);
      float total = both[0], inv = 1 / total;
      for (int v = 0; v < nv; v++) vstore(d + v * VW, vload(d + v * VW) * inv);
      if (ctx->out) memcpy(ctx->out + (ptrdiff_t)r * O, d, sizeof(float) * (size_t)O);
      if (!scored) continue;
      sums[j] = total;
      if (classes) {
        plan->row_hit[r] = (z[c] == most) & (both[1] == 0); /* the first of several largest */
        rest[j] = most - z[c];
        d[c] -= 1;
      } else {
        vf w = (vf){0}, s = (vf){0};
        for (int v = 0; v < nv; v++) {
          vf target = vload(t + v * VW);
          w += target;
          s = vfma(target, most - vload(z + v * VW), s);
          vstore(d + v * VW, vload(d + v * VW) - target);
        }
        weight[j] = vsum(w), rest[j] = vsum(s);
        plan->row_hit[r] = first_largest(z, O) == first_largest(t, O);
      }
    }
    vstore(sums, vlog(vload(sums)));
    for (int j = 0; j < n; j++) plan->row_cost[b + j] = scored ? weight[j] * sums[j] + rest[j] : 0;
  }
}

static void cross_entropy(hdl_plan *plan, const hdl_context *ctx, int r0, int r1) {
  hdl_layer *layer = &plan->layer[plan->layers - 1];
  int O = layer->O, nv = (O + VW - 1) / VW;
  for (int r = r0; r < r1; r++) {
    float *a = layer->a + (ptrdiff_t)r * layer->lda, *d = layer->d + (ptrdiff_t)r * layer->lda;
    const float *t = plan->target + (ptrdiff_t)r * layer->lda;
    vf cost = (vf){0};
    vi wrong = (vi){0};
    for (int v = 0; v < nv; v++) {
      vi real = vmask(O - v * VW);
      vf z = vload(a + v * VW), target = vload(t + v * VW);
      vf e = vexp(-vabs(z)), s = 1.f / (1.f + e), out = vsel(z < (vf){0}, e * s, s); /* exact for both signs */
      wrong |= ((z >= (vf){0}) ^ (target >= vset(0.5f))) & real;
      vstore(a + v * VW, out);
      vstore(d + v * VW, vkeep(out - target, real));
      cost += vkeep(vmax(z, (vf){0}) - z * target + vlog(1.f + e), real);
    }
    if (ctx->out) memcpy(ctx->out + (ptrdiff_t)r * O, a, sizeof(float) * (size_t)O);
    plan->row_cost[r] = ctx->scored ? vsum(cost) : 0;
    int any = 0;
    for (int i = 0; i < VW; i++) any |= wrong[i];
    plan->row_hit[r] = ctx->scored && !any;
  }
}

/* squash: through a sigmoid. An autoencoder's outputs are many and its layers few, so this counts: nothing is stored
 * that nobody reads. */
INLINE void squared(const bool squash, hdl_plan *plan, const hdl_context *ctx, int r0, int r1) {
  hdl_layer *layer = &plan->layer[plan->layers - 1];
  int O = layer->O, nv = (O + VW - 1) / VW;
  vi tail = vmask(O - (nv - 1) * VW);
  for (int r = r0; r < r1; r++) {
    float *a = layer->a + (ptrdiff_t)r * layer->lda, *d = layer->d + (ptrdiff_t)r * layer->lda;
    const float *t = plan->target + (ptrdiff_t)r * layer->lda;
    vf cost = (vf){0};
    for (int v = 0; v < nv; v++) {
      vf out = vload(a + v * VW), miss;
      if (squash) out = vsigmoid(out);
      if (ctx->out) vstore(a + v * VW, out);
      miss = out - vload(t + v * VW);
      if (v + 1 == nv) miss = vkeep(miss, tail);
      cost = vfma(miss, miss, cost);
      if (squash) miss *= out * (1.f - out);
      vstore(d + v * VW, miss);
    }
    if (ctx->out) memcpy(ctx->out + (ptrdiff_t)r * O, a, sizeof(float) * (size_t)O);
    plan->row_cost[r] = ctx->scored ? 0.5f * vsum(cost) : 0;
    plan->row_hit[r] = 0;
  }
}

/* Names the operations that csrc/losses.h writes its losses with. */
#define REAL vf
#define SET vset
#define EXP vexp
#define LOG vlog
#define ABS vabs
#define MAX vmax
#define MIN vmin
#define SELECT vsel
#define LOSS(NUMBER, name, ...)                                                                                        \
  case HDL_##NUMBER: {                                                                                                 \
    __VA_ARGS__;                                                                                                       \
    break;                                                                                                             \
  }

/* Scores one of the losses of losses.h. */
KERNEL void regression(hdl_plan *plan, const hdl_context *ctx, int r0, int r1) {
  hdl_layer *layer = &plan->layer[plan->layers - 1];
  int O = layer->O, nv = (O + VW - 1) / VW;
  vf k = vset(plan->loss_parameter);
  for (int r = r0; r < r1; r++) {
    float *a = layer->a + (ptrdiff_t)r * layer->lda, *d = layer->d + (ptrdiff_t)r * layer->lda;
    const float *targets = plan->target + (ptrdiff_t)r * layer->lda;
    vf sum = (vf){0};
    for (int v = 0; v < nv; v++) {
      vi real = vmask(O - v * VW);
      vf z = vload(a + v * VW), t = vload(targets + v * VW), out = z, cost = z, delta = z;
      switch (plan->loss) { HDL_LOSS_TABLE(LOSS) }
      vstore(a + v * VW, out);
      vstore(d + v * VW, vkeep(delta, real));
      sum += vkeep(cost, real);
    }
    if (ctx->out) memcpy(ctx->out + (ptrdiff_t)r * O, a, sizeof(float) * (size_t)O);
    plan->row_cost[r] = ctx->scored ? vsum(sum) : 0;
    plan->row_hit[r] = 0;
  }
}
#undef REAL
#undef SET
#undef EXP
#undef LOG
#undef ABS
#undef MAX
#undef MIN
#undef SELECT
#undef LOSS

/* Adds the offset to what reaches the output. */
KERNEL void add_offset(hdl_plan *plan, const hdl_context *ctx, int r0, int r1) {
  hdl_layer *layer = &plan->layer[plan->layers - 1];
  for (int r = r0; r < r1; r++) {
    int64_t i = ctx->order ? ctx->order[r] : ctx->base + r;
    float *a = layer->a + (ptrdiff_t)r * layer->lda;
    for (int o = 0; o < layer->O; o++) a[o] += ctx->data->offset[i * layer->O + o];
  }
}

/* Multiplies cost and delta by the samples' weights. */
KERNEL void weigh(hdl_plan *plan, int r0, int r1) {
  hdl_layer *layer = &plan->layer[plan->layers - 1];
  int nv = (layer->O + VW - 1) / VW;
  for (int r = r0; r < r1; r++) {
    float weight = plan->row_weight[r], *d = layer->d + (ptrdiff_t)r * layer->lda;
    plan->row_cost[r] *= weight;
    for (int v = 0; v < nv; v++) vstore(d + v * VW, vload(d + v * VW) * weight);
  }
}

/* Scores rows r0 … r1 of the block. */
KERNEL void loss(hdl_plan *plan, const hdl_context *ctx, int r0, int r1) {
  if (ctx->data->offset) add_offset(plan, ctx, r0, r1);
  if (plan->loss == HDL_SOFTMAX)
    softmax(plan, ctx, r0, r1);
  else if (plan->loss == HDL_SIGMOID_CE)
    cross_entropy(plan, ctx, r0, r1);
  else if (plan->loss == HDL_SQUARED)
    squared(false, plan, ctx, r0, r1);
  else if (plan->loss == HDL_SIGMOID_SQUARED)
    squared(true, plan, ctx, r0, r1);
  else
    regression(plan, ctx, r0, r1);
  if (ctx->data->weight) weigh(plan, r0, r1);
  if (!ctx->backward) return;
  bool bad = false;
  for (int r = r0; r < r1; r++) bad |= !isfinite(plan->row_cost[r]);
  if (bad) atomic_store(&plan->nonfinite, 1);
}
#endif
