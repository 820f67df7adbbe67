/* tables.h: learns the tables of embedded categories: E_c [levels, d], of which a row is an input of the first layer
 * where its code occurs. X [B, I] is what enters the first layer, W [I, O], D [B, O] its delta. */
#ifndef HDL_TABLES_H
#define HDL_TABLES_H

#include "gemm.h"
#include "sparse.h"

/* dX [B, I] = D W', the cost's gradient by the vectors that enter the first layer, behind the numbers; overwrites. */
KERNEL void input_gradient(hdl_plan *plan, const hdl_context *ctx, int r0, int r1) {
  hdl_layer *layer = &plan->layer[0];
  epilogue e = {.kind = HDL_LINEAR, .width = layer->I};
  gemm_call gemm = {.cache = plan->cache, .K = layer->O, .a = layer->d + (ptrdiff_t)r0 * layer->lda, .lda = layer->lda};
  (void)ctx;
  gemm.c = plan->tables->dx + (ptrdiff_t)r0 * layer->x_ld, gemm.ldc = layer->x_ld, gemm.e = &e;
  if (layer->along_inputs)
    gemm.p = layer->w, gemm.ldp = layer->ld, gemm.nv = layer->nv;
  else
    gemm.p = layer->wt, gemm.rows_p = layer->wt_rows, gemm.nv = layer->m_padded / VW;
  if (layer->paired) in_pairs(&gemm, plan, r1 - r0, layer->d_pairs + (ptrdiff_t)r0 * layer->lda / 2, layer->wt_pairs);
  gemm.first = hdl_panel_of(gemm.nv, plan->numbers / VW);
  multiply(gemm, r1 - r0);
}

/* Finds the category that an input belongs to. */
static int category_of(const hdl_plan *plan, int input) {
  const int *first = plan->tables->first;
  int lo = 0, hi = plan->categories;
  while (hi - lo > 1) {
    int middle = (lo + hi) / 2;
    *(input < first[middle] ? &hi : &lo) = middle;
  }
  return lo;
}

/* Sums a row of dE: the block's entries t of an input, in the order of rows; goes on from g unless it is fresh. */
static void sum_row(const hdl_plan *plan, int t, int c, float *g) {
  const hdl_tables *tables = plan->tables;
  int ld = plan->layer[0].x_ld;
  for (int j = 0; j < tables->padded[c]; j += VW) {
    vi kept = vmask(tables->vector[c] - j); /* beyond are the next category's columns */
    const float *dx = tables->dx + tables->column[c] + j;
    vf acc = plan->t_fresh[t] ? (vf){0} : vload(g + j);
    for (int k = plan->t_start[t]; k < plan->t_start[t + 1]; k++)
      acc = vfma(vset(plan->t_value[k]), vkeep(vloadu(dx + (ptrdiff_t)plan->t_row[k] * ld), kept), acc);
    vstore(g + j, acc);
  }
}

/* Gives the inputs of a category in a thread's share, which is of all rows; none: hi <= lo. */
static hdl_range table_share(const hdl_plan *plan, int thread, int c) {
  int64_t K = plan->numbers, rows = plan->inputs - K, T = plan->threads;
  int lo = (int)(K + rows * thread / T), hi = (int)(K + rows * (thread + 1) / T);
  int first = plan->tables->first[c], end = plan->tables->first[c + 1];
  return (hdl_range){lo > first ? lo : first, hi < end ? hi : end};
}

/* Sums and updates a thread's share of the tables: rows that the rule would change, as in sparse.h. */
KERNEL void table_gradient(hdl_plan *plan, const hdl_context *ctx, int thread) {
  hdl_tables *tables = plan->tables;
  bool apply = ctx->update && ctx->last, fused = ctx->touched && ctx->first && ctx->last;
  int from = fused ? entry_share(plan, thread) : 0, to = fused ? entry_share(plan, thread + 1) : plan->touched;
  for (int c = 0; c < plan->categories && !ctx->update && ctx->first; c++) {
    hdl_range own = table_share(plan, thread, c);
    size_t n = (size_t)tables->padded[c], at = tables->place[c] + (size_t)(own.lo - tables->first[c]) * n;
    if (own.lo < own.hi) memset(tables->g + at, 0, sizeof(float) * (size_t)(own.hi - own.lo) * n);
  }
  for (int t = from; t < to; t++) {
    int i = plan->t_input[t], c = category_of(plan, i), n = tables->padded[c];
    hdl_range own = table_share(plan, thread, c);
    if (!fused && (i < own.lo || i >= own.hi)) continue;
    size_t at = tables->place[c] + (size_t)(i - tables->first[c]) * (size_t)n;
    sum_row(plan, t, c, tables->g + at);
    if (fused) update(ctx, true, n, tables->g + at, tables->w + at, tables->s[0] + at, tables->s[1] + at, NULL);
  }
  for (int c = 0; c < plan->categories && apply && !fused; c++) {
    hdl_range own = table_share(plan, thread, c);
    size_t at = tables->place[c];
    update_rows(plan, ctx, true, own.lo, own.hi, tables->first[c], tables->padded[c], tables->g + at, tables->w + at,
                tables->s[0] + at, tables->s[1] + at, NULL);
  }
}
#endif
