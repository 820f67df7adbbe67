/* input.c: a block's samples from the data into padded, aligned tiles: x [B, x_ld] = data * scale + shift, dropped;
 * labels or targets (of an autoencoder: x before anything was dropped). CSR rows are copied scaled and dropped, entries
 * side by side; for an autoencoder, whose reconstructions are dense, they are filled in. */
#include "kernels.h"

static int64_t sample(const hdl_pass *q, int r) { return q->order ? q->order[r] : q->base + r; }

/* x [I] = a CSR row, scaled */
static void fill(const hdl_plan *p, const hdl_data *data, int64_t i, float *x) {
  const float *values = data->x;
  memset(x, 0, sizeof(float) * (size_t)p->layer[0].I);
  for (int64_t k = data->indptr[i]; k < data->indptr[i + 1]; k++) {
    int at = data->indices[k];
    x[at] = p->scale ? values[k] * p->scale[at] : values[k];
  }
}

static void dense(hdl_plan *p, const hdl_pass *q, int r0, int r1) {
  const hdl_data *data = q->data;
  int I = p->layer[0].I, ld = p->layer[0].x_ld, whole = I & -VW;
  const float *scale = p->scale, *shift = p->shift;
  bool bytes = data->x_type == HDL_U8, affine = scale != NULL;
  size_t item = bytes ? 1 : sizeof(float);
  for (int r = r0; r < r1; r++) {
    if (data->x_type == HDL_CSR) {
      fill(p, data, sample(q, r), p->x + (ptrdiff_t)r * ld);
      continue;
    }
    const char *row = (const char *)data->x + (size_t)sample(q, r) * (size_t)I * item;
    float *x = p->x + (ptrdiff_t)r * ld;
    const char *next = row; /* rows come from anywhere in memory: the next one is asked for along the way */
    if (r + 1 < r1) next = (const char *)data->x + (size_t)sample(q, r + 1) * (size_t)I * item;
    if (bytes) {
      const uint8_t *u = (const uint8_t *)row;
      for (int i = 0; i < whole; i += VW) {
        if (i % 64 == 0) __builtin_prefetch(next + i);
        typedef uint8_t vb __attribute__((vector_size(VW), aligned(1), may_alias));
        vf f = __builtin_convertvector(*(const vb *)(u + i), vf);
        vstore(x + i, affine ? vfma(f, vload(scale + i), vload(shift + i)) : f);
      }
      for (int i = whole; i < I; i++) x[i] = affine ? (float)u[i] * scale[i] + shift[i] : (float)u[i];
    } else {
      const float *f = (const float *)row;
      for (int i = 0; i < whole; i += VW) {
        if (i % 16 == 0) __builtin_prefetch(next + i * 4);
        vf y = vloadu(f + i);
        vstore(x + i, affine ? vfma(y, vload(scale + i), vload(shift + i)) : y);
      }
      for (int i = whole; i < I; i++) x[i] = affine ? f[i] * scale[i] + shift[i] : f[i];
    }
  }
}

/* x [B, x_ld] of the rows, inputs dropped; an autoencoder's target is what was there before. */
static void corrupt(hdl_plan *p, const hdl_pass *q, int r0, int r1) {
  const hdl_layer *y = &p->layer[0];
  for (int r = r0; r < r1; r++) {
    float *x = p->x + (ptrdiff_t)r * y->x_ld;
    if (p->reconstructs) memcpy(p->target + (ptrdiff_t)r * y->x_ld, x, sizeof(float) * (size_t)y->I);
    if (q->backward) FN(dropout)(q, x, y->I, 0, q->row0 + r, p->drop_input, p->keep_input);
  }
}

static void sparse(hdl_plan *p, const hdl_pass *q, int r0, int r1) {
  const hdl_data *data = q->data;
  const float *values = data->x;
  int64_t at = 0;
  for (int r = 0; r < r0; r++) at += data->indptr[sample(q, r) + 1] - data->indptr[sample(q, r)];
  int blocks = HDL_DROP_BLOCKS(p->layer[0].I);
  for (int r = r0; r < r1; r++) {
    int64_t from = data->indptr[sample(q, r)], to = data->indptr[sample(q, r) + 1];
    p->row_start[r] = (int32_t)at;
    for (int64_t k = from; k < to; k++, at++) {
      int i = data->indices[k];
      float x = p->scale ? values[k] * p->scale[i] : values[k];
      if (q->backward && p->drop_input) {
        uint32_t c[4] = {(uint32_t)(i % blocks), (uint32_t)(q->row0 + r), (uint32_t)q->step, 0};
        int h = i / blocks;
        hdl_philox(c, q->key[0], q->key[1]);
        x = ((c[h / 2] >> (16 * (h & 1))) & 0xffff) < p->drop_input ? 0 : x * p->keep_input;
      }
      p->row_input[at] = i, p->row_value[at] = x;
    }
  }
  if (r1 == q->rows) p->row_start[r1] = (int32_t)at;
}

void FN(gather)(hdl_plan *p, const hdl_pass *q, int r0, int r1) {
  const hdl_data *data = q->data;
  const hdl_layer *y = &p->layer[p->layers - 1];
  if (p->input_type == HDL_CSR) {
    sparse(p, q, r0, r1);
  } else {
    dense(p, q, r0, r1);
    if (p->drop_input) corrupt(p, q, r0, r1);
  }
  if (!data->y) return;
  for (int r = r0; r < r1; r++) {
    int64_t i = sample(q, r);
    float *t = p->target + (ptrdiff_t)r * y->lda;
    if (data->y_type == HDL_TARGET) {
      memcpy(t, (const float *)data->y + (size_t)i * (size_t)y->O, sizeof(float) * (size_t)y->O);
    } else {
      int c = p->label[r] = ((const int32_t *)data->y)[i];
      if (p->loss != HDL_SOFTMAX) memset(t, 0, sizeof(float) * (size_t)y->O), t[c] = 1;
    }
  }
}
