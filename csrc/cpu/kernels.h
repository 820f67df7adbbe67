/* kernels.h: what the kernels of one instruction set call among themselves. */
#ifndef HDL_KERNELS_H
#define HDL_KERNELS_H

#include "micro.h"

void FN(activate)(int kind, float leak, float *c, int ldc, int rows, int nv, int width);
void FN(derive)(int kind, float leak, float keep, const float *a, int lda, float *d, int ldd, int rows, int nv);
void FN(dropout)(const hdl_pass *q, float *x, int n, uint32_t layer, int64_t row, uint32_t threshold, float keep);
void FN(dot)(const hdl_layer *y, const float *x, int rows, float *c);
void FN(update)(const hdl_pass *q, bool bias, int n, const float *g, float *w, float *s0, float *s1);
void FN(transpose_part)(hdl_layer *y, int block0, int block1, int panel0, int panel1);
void FN(columns)(const float *a, ptrdiff_t lda, int rows, bool first, float *sum, int v0, int v1);
void FN(bias)(hdl_plan *p, const hdl_pass *q, int l, int thread);

void FN(gather)(hdl_plan *p, const hdl_pass *q, int r0, int r1);
void FN(forward)(hdl_plan *p, const hdl_pass *q, int l, int r0, int r1);
void FN(loss)(hdl_plan *p, const hdl_pass *q, int r0, int r1);
void FN(backward)(hdl_plan *p, const hdl_pass *q, int l, int r0, int r1);
void FN(weights)(hdl_plan *p, const hdl_pass *q, int l, int thread);
void FN(sparse_forward)(hdl_plan *p, const hdl_pass *q, int r0, int r1);
void FN(sparse_weights)(hdl_plan *p, const hdl_pass *q, int thread);
void FN(max_norm)(hdl_plan *p, const hdl_pass *q, int l, int thread);

void FN(mean)(hdl_plan *p, hdl_pass *q, int thread);
void FN(penalties)(hdl_plan *p, const hdl_pass *q, int r0, int r1);
void FN(sums)(hdl_plan *p, hdl_pass *q, int thread);
void FN(norms)(hdl_plan *p, int thread);

void FN(gibbs)(hdl_plan *p, const hdl_pass *q, int thread);
void FN(statistics)(hdl_plan *p, const hdl_pass *q, int thread);
void FN(hidden_bias)(hdl_plan *p, const hdl_pass *q, int thread);

typedef struct hdl_finish { /* what happens to a finished tile, while it is in L1 */
  int kind;
  float leak, keep;
  const float *a; /* derive: the layer's output; NULL: activate */
  int lda, width;
  /* if there is one, this instead: rows r … r + n, vectors v0 … v0 + pv of the product; f is the product's own */
  void (*then)(const struct hdl_finish *f, float *tile, int ld, int r, int n, int v0, int pv);
} hdl_finish;

typedef struct { /* C [rows, nv vectors] = finish(bias + A [rows, K] P [K, nv vectors]); overwrites */
  int K, lda, rows_p, ldp, nv, ldc; /* P in panels of `rows_p` rows one after another, or (ldp > 0) plain rows */
  const float *a, *w, *bias;
  float *c;
  const hdl_finish *f;
  int slices;
} hdl_product;
void FN(multiply)(hdl_product m, int rows);

/* offsets of a layer's stored matrix: panel of vectors v0 … v0 + pv, row r */
static inline float *hdl_tile(const hdl_layer *y, float *base, int v0, int pv, int r) {
  if (y->along_inputs) return base + (size_t)r * (size_t)y->ld + (size_t)v0 * VW;
  return base + (size_t)v0 * VW * (size_t)y->mp + (size_t)r * (size_t)(pv * VW);
}
#endif
