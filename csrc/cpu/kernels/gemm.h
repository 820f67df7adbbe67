/* gemm.h: multiplies matrices: C [rows, N] = epilogue(bias + A [rows, K] P [K, N]). */
#ifndef HDL_GEMM_H
#define HDL_GEMM_H

#include "epilogue.h"
#include "micro.h"
#include "panels.h"

/* bytes of a panel's slice that stay in L1 while the rows go by, and of rows of A that stay in L2 */
enum { GEMM_SLICE = 20 * 1024, GEMM_ROWS = 448 * 1024 };

typedef struct {                    /* overwrites c */
  int K, lda, rows_p, ldp, nv, ldc; /* P in panels of `rows_p` rows one after another, or (ldp > 0) plain rows */
  const float *a, *p, *bias;        /* bias [N] or NULL */
  float *c;
  const epilogue *e;
  int slices; /* of K; set by multiply */
  int first;  /* panel of P: those before it are not wanted */
} gemm_call;

/* Computes rows r0 … r1 of one panel, slice s of K. C carries the sums from slice to slice. */
static void gemm_slab(const gemm_call *gemm, int r0, int r1, int s, int panel) {
  int k0 = (int)((int64_t)gemm->K * s / gemm->slices), k1 = (int)((int64_t)gemm->K * (s + 1) / gemm->slices);
  int v0 = hdl_panel_start(gemm->nv, panel), pv = hdl_panel_start(gemm->nv, panel + 1) - v0;
  int ld = gemm->ldp ? gemm->ldp : pv * VW, mr = micro_rows[pv], groups = (r1 - r0 + mr - 1) / mr;
  int few = (r1 - r0) / groups, more = (r1 - r0) % groups;
  const float *p = gemm->p + (size_t)v0 * VW * (gemm->ldp ? 1 : (size_t)gemm->rows_p) + (ptrdiff_t)k0 * ld;
  for (int r = r0, n, g = 0; g < groups; g++, r += n) {
    n = few + (g < more);
    float *tile = gemm->c + (ptrdiff_t)r * gemm->ldc + v0 * VW;
    const float *a = gemm->a + (ptrdiff_t)r * gemm->lda + k0;
    if (s && g + 1 < groups) prefetch_rows(tile + (ptrdiff_t)n * gemm->ldc, gemm->ldc, n, pv);
    const float *init = s ? tile : gemm->bias ? gemm->bias + v0 * VW : NULL;
    micro_kernels[0][pv - 1][n - 1](k1 - k0, a, gemm->lda, p, ld, init, s ? gemm->ldc : 0, tile, gemm->ldc, NULL);
    if (s + 1 == gemm->slices) apply_epilogue(gemm->e, tile, gemm->ldc, r, n, v0, pv);
  }
}

/* Cuts K so that a slice of a panel stays in L1 for HDL_ROWS rows, and takes the rows in parts of as many. */
KERNEL void multiply(gemm_call gemm, int rows) {
  int panels = hdl_panels(gemm.nv), parts = (rows + HDL_ROWS - 1) / HDL_ROWS;
  gemm.slices = (gemm.K * (gemm.nv < HDL_PV ? gemm.nv : HDL_PV) * VW * 4 + GEMM_SLICE - 1) / GEMM_SLICE;
#define PART(i) (int)((int64_t)rows * (i) / parts)
  if ((size_t)rows * (size_t)gemm.K * 4 > GEMM_ROWS) {
    /* a slice's columns of A stay in L2 while the panels go by: P is read from memory once for all rows */
    for (int s = 0; s < gemm.slices; s++)
      for (int part = 0; part < parts; part++)
        for (int panel = gemm.first; panel < panels; panel++) gemm_slab(&gemm, PART(part), PART(part + 1), s, panel);
  } else {
    /* the rows of A stay in L2: a panel's slices go by first, and C stays in L1 */
    for (int part = 0; part < parts; part++)
      for (int panel = gemm.first; panel < panels; panel++)
        for (int s = 0; s < gemm.slices; s++) gemm_slab(&gemm, PART(part), PART(part + 1), s, panel);
  }
#undef PART
}
#endif
