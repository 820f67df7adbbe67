/* tables.h: learns the tables of embedded categories: E_c [levels, d], of which a row is an input of the first layer
 * where its code occurs. X [B, I] is what enters the first layer, W [I, O], D [B, O] its delta. */
#ifndef HDL_TABLES_H
#define HDL_TABLES_H

#include "gemm.h"
#include "update.h"

/* dX [B, I] = D W', the cost's gradient by what enters the first layer; overwrites. */
KERNEL void input_gradient(hdl_plan *plan, const hdl_context *ctx, int r0, int r1) {
  hdl_layer *layer = &plan->layer[0];
  epilogue e = {.kind = HDL_LINEAR, .width = layer->I};
  gemm_call gemm = {.K = layer->O, .a = layer->d + (ptrdiff_t)r0 * layer->lda, .lda = layer->lda};
  (void)ctx;
  gemm.c = plan->tables->dx + (ptrdiff_t)r0 * layer->x_ld, gemm.ldc = layer->x_ld, gemm.e = &e;
  if (layer->along_inputs)
    gemm.p = layer->w, gemm.ldp = layer->ld, gemm.nv = layer->nv;
  else
    gemm.p = layer->wt, gemm.rows_p = layer->wt_rows, gemm.nv = layer->m_padded / VW;
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

/* Sums a row of dE: the block's entries t of an input, in the order of rows; goes on from g unless fresh. */
static void sum_row(const hdl_plan *plan, int t, int c, bool fresh, float *g) {
  const hdl_tables *tables = plan->tables;
  int ld = plan->layer[0].x_ld;
  for (int j = 0; j < tables->padded[c]; j += VW) {
    vi kept = vmask(tables->vector[c] - j); /* beyond are the next category's columns */
    const float *dx = tables->dx + tables->column[c] + j;
    vf acc = fresh ? (vf){0} : vload(g + j);
    for (int k = plan->t_start[t]; k < plan->t_start[t + 1]; k++)
      acc = vfma(vset(plan->t_value[k]), vkeep(vloadu(dx + (ptrdiff_t)plan->t_row[k] * ld), kept), acc);
    vstore(g + j, acc);
  }
}

/* Finds the row of an input in w, g and s; the input after the last one: their end. */
static size_t row_of(const hdl_plan *plan, int input) {
  const hdl_tables *tables = plan->tables;
  if (input >= tables->first[plan->categories]) return tables->size;
  int c = category_of(plan, input);
  return tables->place[c] + (size_t)(input - tables->first[c]) * (size_t)tables->padded[c];
}

/* Sums and updates a thread's share of the tables. ctx->touched: the rule leaves rows that do not occur alone, so each
 * thread takes as many that do; else each takes as many of all, whose gradients begin at 0. */
KERNEL void table_gradient(hdl_plan *plan, const hdl_context *ctx, int thread) {
  hdl_tables *tables = plan->tables;
  int T = plan->threads, N = plan->touched, K = plan->numbers, rows = plan->inputs - K;
  int lo = K + (int)((int64_t)rows * thread / T), hi = K + (int)((int64_t)rows * (thread + 1) / T);
  bool apply = ctx->update && ctx->last;
  size_t from = row_of(plan, lo), to = row_of(plan, hi);
  int t0 = ctx->touched ? N * thread / T : 0, t1 = ctx->touched ? N * (thread + 1) / T : N;
  if (ctx->first && !ctx->touched) memset(tables->g + from, 0, sizeof(float) * (to - from));
  for (int t = t0; t < t1; t++) {
    int i = plan->t_input[t], c = category_of(plan, i), n = tables->padded[c];
    if (!ctx->touched && (i < lo || i >= hi)) continue;
    size_t at = row_of(plan, i);
    sum_row(plan, t, c, ctx->touched, tables->g + at);
    if (apply && ctx->touched)
      update(ctx, true, n, tables->g + at, tables->w + at, tables->s[0] + at, tables->s[1] + at);
  }
  if (!apply || ctx->touched) return;
  enum { MOST = 1 << 24 }; /* of what an int counts */
  for (size_t at = from; at < to; at += MOST) {
    int n = to - at < MOST ? (int)(to - at) : MOST;
    update(ctx, true, n, tables->g + at, tables->w + at, tables->s[0] + at, tables->s[1] + at);
  }
}
#endif
