/* gather.h: gathers a block's samples from the data into padded, aligned tiles: x [B, x_ld] = data * scale + shift,
 * dropped; labels or targets (an autoencoder's: x before anything was dropped). CSR rows are copied scaled and dropped,
 * entries side by side; for an autoencoder, whose reconstructions are dense, they are filled in. Of mixed rows the
 * numbers are x, and the codes are entries. */
#ifndef HDL_GATHER_H
#define HDL_GATHER_H

#include "activation.h"
#include "rows.h"

/* Finds the data's sample of the block's row r. */
static int64_t sample_of(const hdl_context *ctx, int r) { return ctx->order ? ctx->order[r] : ctx->base + r; }

enum { HDL_AHEAD = 8 }; /* rows come from anywhere in memory: one is asked for while so many before it are gathered */

/* Asks for n bytes of a row that is gathered soon. */
static void ask_for(const void *row, size_t n) {
  for (size_t at = 0; at < n; at += 64) __builtin_prefetch((const char *)row + at);
}

/* Fills x [I] with a CSR row, scaled, or a mixed one. */
static void fill_row(const hdl_plan *plan, const hdl_data *data, int64_t i, float *x) {
  const float *values = data->x;
  memset(x, 0, sizeof(float) * (size_t)plan->layer[0].I);
  if (data->x_type == HDL_MIXED) {
    if (data->numbers) memcpy(x, values + i * data->numbers, sizeof(float) * (size_t)data->numbers);
    for (int c = 0; c < data->categories; c++) {
      int32_t code = data->codes[i * data->categories + c];
      if (code >= 0) x[code] = 1;
    }
    return;
  }
  for (int64_t k = data->indptr[i]; k < data->indptr[i + 1]; k++) {
    int at = data->indices[k];
    x[at] = plan->scale ? values[k] * plan->scale[at] : values[k];
  }
}

/* Gathers rows r0 … r1 into x [B, x_ld], scaled and shifted. Numbers as they lie must be finite: what is not ends the
 * call. */
static void gather_dense(hdl_plan *plan, const hdl_context *ctx, int r0, int r1) {
  const hdl_data *data = ctx->data;
  int ld = plan->layer[0].x_ld;
  if (data->x_type == HDL_CSR || data->x_type == HDL_MIXED) {
    for (int r = r0; r < r1; r++) fill_row(plan, data, sample_of(ctx, r), plan->x + (ptrdiff_t)r * ld);
    return;
  }
  ptrdiff_t item = data->x_type == HDL_U8 ? 1 : sizeof(float), I = plan->layer[0].I;
  hdl_strided whole = {data->x, data->x_type, data->n, I, I * item, item};
  bool lie = data->x_type == HDL_NUMBERS;
  hdl_place to = {ctx->order, ctx->base, r0, r1, plan->x, ld, plan->scale, plan->shift};
  bool finite = lie ? lay_parts(data->part, data->parts, true, to) : lay_parts(&whole, 1, false, to);
  if (lie && !finite) atomic_store(&plan->nonfinite, 1);
}

/* Drops inputs of rows x [B, x_ld]; an autoencoder's target is what was there before. */
static void corrupt(hdl_plan *plan, const hdl_context *ctx, int r0, int r1) {
  const hdl_layer *layer = &plan->layer[0];
  for (int r = r0; r < r1; r++) {
    float *x = plan->x + (ptrdiff_t)r * layer->x_ld;
    if (plan->reconstructs) memcpy(plan->target + (ptrdiff_t)r * layer->x_ld, x, sizeof(float) * (size_t)layer->I);
    if (ctx->backward) dropout(ctx, x, layer->I, layer->I, 0, ctx->row0 + r, plan->drop_input, plan->keep_input);
  }
}

/* Decides whether one input of a row is dropped. */
static bool input_dropped(const hdl_plan *plan, const hdl_context *ctx, int i, int blocks, int64_t row) {
  uint32_t c[4] = {(uint32_t)(i % blocks), (uint32_t)row, (uint32_t)ctx->step, 0};
  int h = i / blocks;
  hdl_philox(c, ctx->key[0], ctx->key[1]);
  return ((c[h / 2] >> (16 * (h & 1))) & 0xffff) < plan->drop_input;
}

/* Gathers the entries of rows r0 … r1, scaled and dropped; finds where they go from the rows before. */
static void gather_sparse(hdl_plan *plan, const hdl_context *ctx, int r0, int r1) {
  const hdl_data *data = ctx->data;
  const float *values = data->x;
  int64_t at = 0;
  for (int r = 0; r < r0; r++) at += data->indptr[sample_of(ctx, r) + 1] - data->indptr[sample_of(ctx, r)];
  int blocks = HDL_DROP_BLOCKS(plan->layer[0].I);
  for (int r = r0; r < r1; r++) {
    int64_t from = data->indptr[sample_of(ctx, r)], to = data->indptr[sample_of(ctx, r) + 1];
    plan->row_start[r] = (int32_t)at;
    for (int64_t k = from; k < to; k++, at++) {
      int i = data->indices[k];
      float x = plan->scale ? values[k] * plan->scale[i] : values[k];
      if (ctx->backward && plan->drop_input)
        x = input_dropped(plan, ctx, i, blocks, ctx->row0 + r) ? 0 : x * plan->keep_input;
      plan->row_input[at] = i, plan->row_value[at] = x;
    }
  }
  if (r1 == ctx->rows) plan->row_start[r1] = (int32_t)at;
}

/* Gathers mixed rows r0 … r1: numbers into x, codes into entries, of which a row has C; a category that is dropped has
 * none. Embedded categories' vectors follow the numbers in x. */
static void gather_mixed(hdl_plan *plan, const hdl_context *ctx, int r0, int r1) {
  const hdl_data *data = ctx->data;
  const hdl_tables *t = plan->tables;
  int K = data->numbers, C = data->categories, ld = plan->layer[0].x_ld, blocks = HDL_DROP_BLOCKS(plan->inputs);
  bool drops = ctx->backward && plan->drop_input;
  for (int r = r0; r < r1; r++) {
    int64_t i = sample_of(ctx, r), next = sample_of(ctx, r + HDL_AHEAD < r1 ? r + HDL_AHEAD : r);
    const int32_t *codes = data->codes + i * C;
    float *x = plan->x + (ptrdiff_t)r * ld;
    ask_for(data->codes + next * C, sizeof(int32_t) * (size_t)C);
    ask_for((const float *)data->x + next * K, sizeof(float) * (size_t)K);
    if (K) {
      memcpy(x, (const float *)data->x + i * K, sizeof(float) * (size_t)K);
      if (drops) dropout(ctx, x, K, plan->inputs, 0, ctx->row0 + r, plan->drop_input, plan->keep_input);
    }
    plan->row_start[r] = r * C;
    for (int c = 0; c < C; c++) {
      int code = codes[c];
      if (code >= 0 && drops && input_dropped(plan, ctx, code, blocks, ctx->row0 + r)) code = -1;
      float value = drops ? plan->keep_input : 1;
      plan->row_input[r * C + c] = code, plan->row_value[r * C + c] = value;
      if (!t) continue;
      float *vector = x + t->column[c];
      const float *row = t->w + t->place[c] + (size_t)(code < 0 ? 0 : code - t->first[c]) * (size_t)t->padded[c];
      if (code < 0)
        memset(vector, 0, sizeof(float) * (size_t)t->vector[c]);
      else
        for (int j = 0; j < t->vector[c]; j++) vector[j] = row[j] * value;
    }
  }
  if (r1 == ctx->rows) plan->row_start[r1] = r1 * C;
}

/* Smooths a row of targets t [O], in training. */
static void smooth(const hdl_plan *plan, float *t, int O) {
  float s = plan->label_smoothing, share = s / (float)(plan->loss == HDL_SOFTMAX ? O : 2);
  for (int o = 0; o < O; o++) t[o] = t[o] * (1 - s) + share;
}

/* Gathers rows r0 … r1 of the block. */
KERNEL void gather(hdl_plan *plan, const hdl_context *ctx, int r0, int r1) {
  const hdl_data *data = ctx->data;
  const hdl_layer *layer = &plan->layer[plan->layers - 1];
  if (plan->input_type == HDL_CSR) {
    gather_sparse(plan, ctx, r0, r1);
  } else if (plan->input_type == HDL_MIXED) {
    gather_mixed(plan, ctx, r0, r1);
  } else {
    gather_dense(plan, ctx, r0, r1);
    if (plan->drop_input) corrupt(plan, ctx, r0, r1);
  }
  for (int r = r0; data->weight && r < r1; r++) plan->row_weight[r] = data->weight[sample_of(ctx, r)];
  if (!data->y) return;
  bool smoothed = plan->label_smoothing > 0 && ctx->backward;
  for (int r = r0; r < r1; r++) {
    int64_t i = sample_of(ctx, r);
    float *t = plan->target + (ptrdiff_t)r * layer->lda;
    if (data->y_type == HDL_TARGET) {
      memcpy(t, (const float *)data->y + (size_t)i * (size_t)layer->O, sizeof(float) * (size_t)layer->O);
    } else {
      int c = plan->label[r] = ((const int32_t *)data->y)[i];
      if (plan->loss != HDL_SOFTMAX || smoothed) memset(t, 0, sizeof(float) * (size_t)layer->O), t[c] = 1;
    }
    if (smoothed) smooth(plan, t, layer->O);
  }
}
#endif
