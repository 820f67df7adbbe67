/* sparse.h: computes the first layer over entries: CSR rows X [B, I], or the codes of mixed ones, whose first K inputs
 * are dense. W [I, O] in panels across O. */
#ifndef HDL_SPARSE_H
#define HDL_SPARSE_H

#include "update.h"

/* Calls f(…, pv), inlined for each width of a panel, so that a row's sums stay in registers. */
#define BY_WIDTH(pv, f, ...)                                                                                           \
  switch (pv) {                                                                                                        \
  case 1:                                                                                                              \
    f(__VA_ARGS__, 1);                                                                                                 \
    break;                                                                                                             \
  case 2:                                                                                                              \
    f(__VA_ARGS__, 2);                                                                                                 \
    break;                                                                                                             \
  default:                                                                                                             \
    f(__VA_ARGS__, 3);                                                                                                 \
  }
_Static_assert(HDL_PV == 3, "BY_WIDTH has a case for every width");

/* Adds x * row for each of n entries (an input of -1 is none) to the sums of a row; rows begin ld floats apart. */
INLINE void add_rows(vf *acc, const float *rows, ptrdiff_t ld, const int32_t *which, const float *x, int n, int pv) {
  for (int k = 0; k < n; k++) {
    if (which[k] < 0) continue;
    const float *row = rows + which[k] * ld;
    for (int v = 0; v < pv; v++) acc[v] = vfma(vset(x[k]), vload(row + v * VW), acc[v]);
  }
}

/* Does so for a panel of rows r0 … r1. */
INLINE void code_panel(const hdl_plan *plan, int r0, int r1, int v0, int pv) {
  const hdl_layer *layer = &plan->layer[0];
  const float *w = tile_at(layer, layer->w, v0, pv, 0);
  int C = plan->categories;
  for (int r = r0; r < r1; r++) {
    vf acc[HDL_PV];
    float *z = layer->a + (ptrdiff_t)r * layer->lda + v0 * VW;
    for (int v = 0; v < pv; v++) acc[v] = vload((plan->numbers ? z : layer->b + v0 * VW) + v * VW);
    add_rows(acc, w, pv * VW, plan->row_input + (ptrdiff_t)r * C, plan->row_value + (ptrdiff_t)r * C, C, pv);
    for (int v = 0; v < pv; v++) vstore(z + v * VW, acc[v]);
  }
}

/* Adds the rows of W that a row's codes name to Z [B, O] in layer->a, which has b and the numbers' product already. */
KERNEL void code_forward(hdl_plan *plan, int r0, int r1) {
  hdl_layer *layer = &plan->layer[0];
  for (int panel = 0; panel < hdl_panels(layer->nv); panel++) {
    int v0 = hdl_panel_start(layer->nv, panel), pv = hdl_panel_start(layer->nv, panel + 1) - v0;
    BY_WIDTH(pv, code_panel, plan, r0, r1, v0)
  }
}

/* Computes a panel of rows r0 … r1 of Z. */
INLINE void sparse_panel(const hdl_plan *plan, const hdl_context *ctx, int r0, int r1, int v0, int pv) {
  const hdl_layer *layer = &plan->layer[0];
  const float *w = tile_at(layer, layer->w, v0, pv, 0);
  for (int r = r0; r < r1; r++) {
    vf acc[HDL_PV];
    /* a thread knows where its last row ends only where the next one's is its own */
    int64_t i = ctx->order ? ctx->order[r] : ctx->base + r;
    int from = plan->row_start[r], n = (int)(ctx->data->indptr[i + 1] - ctx->data->indptr[i]);
    float *z = layer->a + (ptrdiff_t)r * layer->lda + v0 * VW;
    for (int v = 0; v < pv; v++) acc[v] = vload(layer->b + (v0 + v) * VW);
    add_rows(acc, w, pv * VW, plan->row_input + from, plan->row_value + from, n, pv);
    for (int v = 0; v < pv; v++) vstore(z + v * VW, acc[v]);
  }
}

/* Z [B, O] = b + sum over a row's entries of x * W[input]; overwrites layer->a */
KERNEL void sparse_forward(hdl_plan *plan, const hdl_context *ctx, int r0, int r1) {
  hdl_layer *layer = &plan->layer[0];
  for (int panel = 0; panel < hdl_panels(layer->nv); panel++) {
    int v0 = hdl_panel_start(layer->nv, panel), pv = hdl_panel_start(layer->nv, panel + 1) - v0;
    BY_WIDTH(pv, sparse_panel, plan, ctx, r0, r1, v0)
  }
}

/* Finds where a thread's share of the block's transposed entries begins: inputs with as many entries as others have. */
static int entry_share(const hdl_plan *plan, int thread) {
  int lo = 0, hi = plan->touched, goal = (int)((int64_t)plan->t_start[hi] * thread / plan->threads);
  while (lo < hi) {
    int middle = (lo + hi) / 2;
    if (plan->t_start[middle] < goal)
      lo = middle + 1;
    else
      hi = middle;
  }
  return lo;
}

/* Updates the rows of n floats of inputs lo … hi, of which input `origin` has the first: those that occurred in the
 * mini-batch by their sums g; of the others the gradient is 0, which is not written and read again for each of them.
 * Rows that have no state yet and do not decay would stay as they are. */
static void update_rows(const hdl_plan *plan, const hdl_context *ctx, bool exempt, int lo, int hi, int origin, int n,
                        const float *g, float *w, float *s0, float *s1, const float *start) {
  const hdl_slot *slot = plan->slot;
  uint32_t now = plan->stamp;
  bool asleep = exempt || !ctx->decays;
  for (int i = lo, end; i < hi; i = end) {
    bool summed = slot[i].stamp == now, still = !summed && (ctx->touched || (asleep && !slot[i].stamp));
    int most = hi - i < HDL_ZEROS / n ? hi : i + HDL_ZEROS / n;
    ptrdiff_t at = (ptrdiff_t)(i - origin) * n;
    for (end = i + 1; end < most; end++)
      if ((slot[end].stamp == now) != summed || (!summed && !ctx->touched && asleep && !slot[end].stamp) != still)
        break;
    if (still) continue;
    update(ctx, exempt, (end - i) * n, summed ? g + at : plan->zeros, w + at, s0 + at, s1 + at,
           start ? start + at : NULL);
  }
}

/* Sums a row of dW: of the block's entries t of an input, in the order of rows; goes on from g unless it is fresh. */
INLINE void sum_entries(const hdl_plan *plan, int t, int v0, float *g, int pv) {
  const hdl_layer *layer = &plan->layer[0];
  int from = plan->t_start[t], n = plan->t_start[t + 1] - from;
  vf acc[HDL_PV];
  for (int v = 0; v < pv; v++) acc[v] = plan->t_fresh[t] ? (vf){0} : vload(g + v * VW);
  add_rows(acc, layer->d + v0 * VW, layer->lda, plan->t_row + from, plan->t_value + from, n, pv);
  for (int v = 0; v < pv; v++) vstore(g + v * VW, acc[v]);
}

/* Sums dW = X' D and updates W: rows lo … hi, a thread's share. The block's transpose (entries.c) lists the inputs that
 * occur, with their entries in the order of the rows. ctx->touched: the rule leaves all other rows alone, so that where
 * the block is the mini-batch a thread takes its share of those that occur, wherever they are. */
KERNEL void sparse_weight_gradient(hdl_plan *plan, const hdl_context *ctx, int thread, int lo, int hi) {
  hdl_layer *layer = &plan->layer[0];
  bool apply = ctx->update && ctx->last, fused = ctx->touched && ctx->first && ctx->last;
  int from = fused ? entry_share(plan, thread) : 0, to = fused ? entry_share(plan, thread + 1) : plan->touched;
  for (int panel = 0; panel < hdl_panels(layer->nv); panel++) {
    int v0 = hdl_panel_start(layer->nv, panel), pv = hdl_panel_start(layer->nv, panel + 1) - v0, n = pv * VW;
    ptrdiff_t base = tile_at(layer, layer->w, v0, pv, 0) - layer->w;
    float *g = layer->g + base, *w = layer->w + base, *s0 = layer->s[0] + base, *s1 = layer->s[1] + base;
    const float *start = layer->s[ctx->start] + base;
    if (!ctx->update && ctx->first && hi > lo)
      memset(g + (ptrdiff_t)lo * n, 0, sizeof(float) * (size_t)(hi - lo) * (size_t)n);
    for (int t = from; t < to; t++) {
      int i = plan->t_input[t];
      if (!fused && (i < lo || i >= hi)) continue;
      ptrdiff_t at = (ptrdiff_t)i * n;
      BY_WIDTH(pv, sum_entries, plan, t, v0, g + at)
      if (fused) update(ctx, false, n, g + at, w + at, s0 + at, s1 + at, start + at);
    }
    if (apply && !fused) update_rows(plan, ctx, false, lo, hi, 0, n, g, w, s0, s1, start);
  }
}
#endif
