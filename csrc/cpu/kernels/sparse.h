/* sparse.h: computes the first layer over entries: CSR rows X [B, I], or the codes of mixed ones, whose first K inputs
 * are dense. W [I, O] in panels across O. */
#ifndef HDL_SPARSE_H
#define HDL_SPARSE_H

#include "update.h"

/* Adds the rows of W that a row's codes name to Z [B, O] in layer->a, which has b and the numbers' product already. */
KERNEL void code_forward(hdl_plan *plan, int r0, int r1) {
  hdl_layer *layer = &plan->layer[0];
  int C = plan->categories;
  for (int panel = 0; panel < hdl_panels(layer->nv); panel++) {
    int v0 = hdl_panel_start(layer->nv, panel), pv = hdl_panel_start(layer->nv, panel + 1) - v0;
    const float *w = tile_at(layer, layer->w, v0, pv, 0);
    for (int r = r0; r < r1; r++) {
      vf acc[HDL_PV];
      float *z = layer->a + (ptrdiff_t)r * layer->lda + v0 * VW;
      for (int v = 0; v < pv; v++) acc[v] = vload((plan->numbers ? z : layer->b + v0 * VW) + v * VW);
      for (int k = r * C; k < (r + 1) * C; k++) {
        if (plan->row_input[k] < 0) continue;
        const float *row = w + (ptrdiff_t)plan->row_input[k] * pv * VW;
        for (int v = 0; v < pv; v++) acc[v] = vfma(vset(plan->row_value[k]), vload(row + v * VW), acc[v]);
      }
      for (int v = 0; v < pv; v++) vstore(z + v * VW, acc[v]);
    }
  }
}

/* Z [B, O] = b + sum over a row's entries of x * W[input]; overwrites layer->a */
KERNEL void sparse_forward(hdl_plan *plan, const hdl_context *ctx, int r0, int r1) {
  hdl_layer *layer = &plan->layer[0];
  for (int panel = 0; panel < hdl_panels(layer->nv); panel++) {
    int v0 = hdl_panel_start(layer->nv, panel), pv = hdl_panel_start(layer->nv, panel + 1) - v0;
    const float *w = tile_at(layer, layer->w, v0, pv, 0);
    for (int r = r0; r < r1; r++) {
      vf acc[HDL_PV];
      /* a thread knows where its last row ends only where the next one's is its own */
      int64_t i = ctx->order ? ctx->order[r] : ctx->base + r;
      int from = plan->row_start[r], to = from + (int)(ctx->data->indptr[i + 1] - ctx->data->indptr[i]);
      for (int v = 0; v < pv; v++) acc[v] = vload(layer->b + (v0 + v) * VW);
      for (int k = from; k < to; k++) {
        const float *row = w + (ptrdiff_t)plan->row_input[k] * pv * VW;
        for (int v = 0; v < pv; v++) acc[v] = vfma(vset(plan->row_value[k]), vload(row + v * VW), acc[v]);
      }
      for (int v = 0; v < pv; v++) vstore(layer->a + (ptrdiff_t)r * layer->lda + (v0 + v) * VW, acc[v]);
    }
  }
}

/* Sums a thread's share (rows lo … hi of W) of dW = X' D and updates W. The block's transpose (entries.c) lists the
 * inputs that occur, with their entries in the order of the rows. ctx->touched: the rule leaves all other rows alone.
 */
KERNEL void sparse_weight_gradient(hdl_plan *plan, const hdl_context *ctx, int lo, int hi) {
  hdl_layer *layer = &plan->layer[0];
  bool apply = ctx->update && ctx->last;
  for (int panel = 0; panel < hdl_panels(layer->nv); panel++) {
    int v0 = hdl_panel_start(layer->nv, panel), pv = hdl_panel_start(layer->nv, panel + 1) - v0, n = pv * VW;
    ptrdiff_t base = tile_at(layer, layer->w, v0, pv, 0) - layer->w;
    float *g = layer->g + base, *w = layer->w + base, *s0 = layer->s[0] + base, *s1 = layer->s[1] + base;
    if (ctx->first && !ctx->touched && hi > lo)
      memset(g + (ptrdiff_t)lo * n, 0, sizeof(float) * (size_t)(hi - lo) * (size_t)n);
    for (int t = 0; t < plan->touched; t++) {
      int i = plan->t_input[t];
      if (i < lo || i >= hi) continue;
      ptrdiff_t at = (ptrdiff_t)i * n;
      vf acc[HDL_PV];
      for (int v = 0; v < pv; v++) acc[v] = ctx->touched ? (vf){0} : vload(g + at + v * VW);
      for (int k = plan->t_start[t]; k < plan->t_start[t + 1]; k++) {
        const float *d = layer->d + (ptrdiff_t)plan->t_row[k] * layer->lda + v0 * VW;
        for (int v = 0; v < pv; v++) acc[v] = vfma(vset(plan->t_value[k]), vload(d + v * VW), acc[v]);
      }
      for (int v = 0; v < pv; v++) vstore(g + at + v * VW, acc[v]);
      if (apply && ctx->touched) update(ctx, false, n, g + at, w + at, s0 + at, s1 + at);
    }
    if (apply && !ctx->touched && hi > lo) {
      ptrdiff_t at = (ptrdiff_t)lo * n;
      update(ctx, false, (hi - lo) * n, g + at, w + at, s0 + at, s1 + at);
    }
  }
}
#endif
