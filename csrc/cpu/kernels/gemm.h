/* gemm.h: multiplies matrices: C [rows, N] = epilogue(bias + A [rows, K] P [K, N]). */
#ifndef HDL_GEMM_H
#define HDL_GEMM_H

#include "bf16.h"
#include "epilogue.h"
#include "micro.h"
#include "panels.h"

/* bytes of a panel's slice that stay in L1 while the rows go by, and of rows of A, or of a matrix of weights, that stay
 * in L2 */
enum { GEMM_SLICE = 20 * 1024, GEMM_ROWS = 448 * 1024 };

typedef struct {                    /* overwrites c */
  int K, lda, rows_p, ldp, nv, ldc; /* P in panels of `rows_p` rows one after another, or (ldp > 0) plain rows */
  const float *a, *p, *bias;        /* bias [N] or NULL */
  float *c;
  const epilogue *e;
  int slices; /* of K; set by multiply */
  bool cold;  /* P does not stay in L2 from one product to the next; set by multiply */
  int first;  /* panel of P: those before it are not wanted */
  const micro_table *pairs; /* A and P are pairs along K, of which there are K: what multiplies them; else NULL */
} gemm_call;

/* A part of the product that is taken at once: rows r0 … r1 of one panel, over slice s of K. */
typedef struct {
  int r0, r1, s, panel;
} slab;

/* Finds a slab's slice of P: k0 … k1 of the panel's pv vectors from v0 on, rows ld apart. */
typedef struct {
  const float *p;
  int k0, k1, v0, pv, ld;
} slice;
INLINE slice slice_of(const gemm_call *gemm, slab b) {
  slice x = {.k0 = (int)((int64_t)gemm->K * b.s / gemm->slices), .v0 = hdl_panel_start(gemm->nv, b.panel)};
  x.k1 = (int)((int64_t)gemm->K * (b.s + 1) / gemm->slices), x.pv = hdl_panel_start(gemm->nv, b.panel + 1) - x.v0;
  x.ld = gemm->ldp ? gemm->ldp : x.pv * VW;
  x.p = gemm->p + (size_t)x.v0 * VW * (gemm->ldp ? 1 : (size_t)gemm->rows_p) + (ptrdiff_t)x.k0 * x.ld;
  return x;
}

/* Computes a slab. C carries the sums from slice to slice. Meanwhile what is multiplied next comes into L2. */
static void gemm_slab(const gemm_call *gemm, slab b, slice next) {
  const micro_table *micro = gemm->pairs ? gemm->pairs : &micro_single;
  slice x = slice_of(gemm, b);
  int pv = x.pv, mr = micro->rows[pv], groups = (b.r1 - b.r0 + mr - 1) / mr;
  int few = (b.r1 - b.r0) / groups, more = (b.r1 - b.r0) % groups;
  for (int r = b.r0, n, g = 0; g < groups; g++, r += n) {
    n = few + (g < more);
    float *tile = gemm->c + (ptrdiff_t)r * gemm->ldc + x.v0 * VW;
    const float *a = gemm->a + (ptrdiff_t)r * gemm->lda + x.k0;
    if (gemm->cold) {
      prefetch_share(next.p, (next.k1 - next.k0) * next.ld, g, groups);
      if (b.s && g + 1 < groups) prefetch_rows(tile + (ptrdiff_t)n * gemm->ldc, gemm->ldc, n, pv);
      for (int i = n; i < 2 * n && g + 1 < groups; i++) /* where the next rows begin */
        __builtin_prefetch(a + i * gemm->lda), __builtin_prefetch(a + i * gemm->lda + 16);
    }
    const float *init = b.s ? tile : gemm->bias ? gemm->bias + x.v0 * VW : NULL;
    micro->of[0][pv - 1][n - 1](x.k1 - x.k0, a, gemm->lda, x.p, x.ld, init, b.s ? gemm->ldc : 0, tile, gemm->ldc,
                                    NULL);
    if (b.s + 1 == gemm->slices) apply_epilogue(gemm->e, tile, gemm->ldc, r, n, x.v0, pv);
  }
}

/* Has a product take its factors in pairs: rows of A, which go to `room`, and P, of which `pairs` are there already. */
INLINE void in_pairs(gemm_call *gemm, const hdl_plan *plan, int rows, hdl_pair *room, const hdl_pair *pairs) {
  pair_columns(gemm->a, gemm->lda, rows, gemm->K, room, gemm->lda / 2);
  gemm->a = room, gemm->lda /= 2, gemm->p = pairs, gemm->pairs = plan->bf16;
  gemm->K = (gemm->K + 1) / 2, gemm->rows_p = (gemm->rows_p + 1) / 2;
}

/* Cuts K so that a slice of a panel stays in L1 for HDL_ROWS rows, and takes the rows in parts of as many. */
KERNEL void multiply(gemm_call gemm, int rows) {
  int panels = hdl_panels(gemm.nv) - gemm.first, parts = (rows + HDL_ROWS - 1) / HDL_ROWS;
  gemm.slices = (gemm.K * (gemm.nv < HDL_PV ? gemm.nv : HDL_PV) * VW * 4 + GEMM_SLICE - 1) / GEMM_SLICE;
  /* Many rows: a slice's columns of A stay in L2 while the panels go by, and P is read from memory once for all rows.
     Few: the rows of A stay in L2, a panel's slices go by first, and C stays in L1. */
  bool many = (size_t)rows * (size_t)gemm.K * 4 > GEMM_ROWS;
  gemm.cold = !gemm.ldp && (size_t)gemm.K * (size_t)(gemm.nv * VW) * 4 > GEMM_ROWS;
  slab now = {0}, next = {0};
  for (int i = 0, n = gemm.slices * parts * panels; n && i <= n; i++, now = next) {
    int part = many ? i / panels % parts : i / (panels * gemm.slices);
    next.s = many ? i / (panels * parts) : i % gemm.slices;
    next.panel = gemm.first + (many ? i % panels : i / gemm.slices % panels);
    next.r0 = (int)((int64_t)rows * part / parts), next.r1 = (int)((int64_t)rows * (part + 1) / parts);
    if (i) gemm_slab(&gemm, now, gemm.cold && i < n ? slice_of(&gemm, next) : (slice){0});
  }
}
#endif
