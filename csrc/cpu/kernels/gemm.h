/* gemm.h: multiplies matrices: C [rows, N] = epilogue(bias + A [rows, K] P [K, N]). */
#ifndef HDL_GEMM_H
#define HDL_GEMM_H

#include "bf16.h"
#include "epilogue.h"
#include "micro.h"
#include "panels.h"

/* blocks of rows between two looks at what is wanted next; panels for which it pays to lay rows of A */
enum { GEMM_RUN = 8, GEMM_LAID = 8 };

typedef struct {                    /* overwrites c */
  int K, lda, rows_p, ldp, nv, ldc; /* P in panels of `rows_p` rows one after another, or (ldp > 0) plain rows */
  const float *a, *p, *bias;        /* bias [N] or NULL */
  float *c;
  const epilogue *e;
  int slices; /* of K; set by multiply */
  bool cold;  /* P does not stay in L2 from one product to the next; set by multiply */
  int first;  /* panel of P: those before it are not wanted */
  hdl_caches cache;
  float *room; /* [HDL_ROWS + VW, K of a slice] or NULL: where a slice's rows of A are laid for many panels */
  bool laid;   /* they are; set by multiply */
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

/* Lays a slab's rows of A, as the panels read them: [rows / VW][k][VW], so that a block of rows is one stream. */
KERNEL void lay_rows(const gemm_call *gemm, slab b) {
  slice x = slice_of(gemm, b);
  int K = x.k1 - x.k0;
  for (int r = b.r0; r < b.r1; r += VW) {
    float *to = gemm->room + (ptrdiff_t)(r - b.r0) * K;
    const float *from = gemm->a + (ptrdiff_t)r * gemm->lda + x.k0;
    int n = b.r1 - r < VW ? b.r1 - r : VW, k = 0;
    for (; k + VW <= K; k += VW) {
      vf t[VW];
#pragma GCC unroll 16
      for (int i = 0; i < VW; i++) t[i] = vloadu(from + (i < n ? i : n - 1) * gemm->lda + k);
      vtranspose(t);
#pragma GCC unroll 16
      for (int i = 0; i < VW; i++) vstore(to + (k + i) * VW, t[i]);
    }
    for (; k < K; k++)
      for (int i = 0; i < n; i++) to[k * VW + i] = from[i * gemm->lda + k];
  }
}

/* Computes rows r0 … r1 of a slab, blocks of them that lie side by side. */
INLINE void gemm_rows(const gemm_call *gemm, const micro_table *micro, slab b, slice x, micro_next *next, int r0,
                      int r1) {
  int pv = x.pv, mr = micro->rows[pv], groups = (r1 - r0 + mr - 1) / mr;
  int few = (r1 - r0) / groups, more = (r1 - r0) % groups;
  bool last = b.s + 1 == gemm->slices;
  for (int r = r0, n, g = 0, run; g < groups; g += run, r += run * n) {
    n = few + (g < more), run = (g < more ? more : groups) - g;
    if (run > (last ? 1 : GEMM_RUN)) run = last ? 1 : GEMM_RUN;
    float *tile = gemm->c + (ptrdiff_t)r * gemm->ldc + x.v0 * VW;
    const float *a = gemm->a + (ptrdiff_t)r * gemm->lda + x.k0;
    if (gemm->laid) a = gemm->room + (ptrdiff_t)(r0 - b.r0) * (x.k1 - x.k0) + (r - r0);
    if (gemm->cold && last && gemm->e->a && r + 2 * n <= b.r1)
      prefetch_rows(gemm->e->a + (ptrdiff_t)(r + n) * gemm->e->lda + x.v0 * VW, gemm->e->lda, n, pv);
    const float *init = b.s ? tile : gemm->bias ? gemm->bias + x.v0 * VW : NULL;
    micro->of[gemm->laid][pv - 1][n - 1](gemm->cold ? next : NULL, run, x.k1 - x.k0, a, gemm->laid ? VW : gemm->lda,
                                         x.p, x.ld, init, b.s ? gemm->ldc : 0, tile, gemm->ldc, NULL);
    if (last) apply_epilogue(gemm->e, tile, gemm->ldc, r, n, x.v0, pv);
  }
}

/* Computes a slab. C carries the sums from slice to slice. Meanwhile what is multiplied next comes into L2. */
static void gemm_slab(const gemm_call *gemm, slab b, slice then) {
  const micro_table *micro = gemm->pairs ? gemm->pairs : &micro_single;
  slice x = slice_of(gemm, b);
  int blocks = (b.r1 - b.r0) / micro->rows[x.pv];
  micro_next next = ask_meanwhile(then.p, (then.k1 - then.k0) * then.ld, blocks, x.k1 - x.k0);
  for (int r = b.r0, n; r < b.r1; r += n) {
    n = gemm->laid && b.r1 - r > VW ? VW : b.r1 - r;
    gemm_rows(gemm, micro, b, x, &next, r, r + n);
  }
}

/* Has a product take its factors in pairs: rows of A, which go to `room`, and P, of which `pairs` are there already. */
INLINE void in_pairs(gemm_call *gemm, const hdl_plan *plan, int rows, hdl_pair *room, const hdl_pair *pairs) {
  pair_columns(gemm->a, gemm->lda, rows, gemm->K, room, gemm->lda / 2);
  gemm->a = room, gemm->lda /= 2, gemm->p = pairs, gemm->pairs = plan->bf16;
  gemm->K = (gemm->K + 1) / 2, gemm->rows_p = (gemm->rows_p + 1) / 2;
}

/* Gives the first row of a part; parts are of whole blocks, but for the last. */
static int rows_before(int rows, int part, int parts) {
  int blocks = (rows + VW - 1) / VW, r = (int)((int64_t)blocks * part / parts) * VW;
  return r < rows ? r : rows;
}

/* Cuts K so that a slice of a panel stays in L1 for HDL_ROWS rows, and takes the rows in parts of as many. */
KERNEL void multiply(gemm_call gemm, int rows) {
  int l1 = (int)hdl_slice_bytes(gemm.cache);
  size_t kept = hdl_kept_bytes(gemm.cache);
  int panels = hdl_panels(gemm.nv) - gemm.first, parts = (rows + HDL_ROWS - 1) / HDL_ROWS;
  gemm.slices = (gemm.K * (gemm.nv < HDL_PV ? gemm.nv : HDL_PV) * VW * 4 + l1 - 1) / l1;
  /* Many rows: a slice's columns of A stay in L2 while the panels go by, and P is read from memory once for all rows.
     Few: the rows of A stay in L2, a panel's slices go by first, and C stays in L1. */
  bool many = (size_t)rows * (size_t)gemm.K * 4 > kept;
  gemm.cold = !gemm.ldp && (size_t)gemm.K * (size_t)(gemm.nv * VW) * 4 > kept;
  int block = (gemm.pairs ? gemm.pairs : &micro_single)->rows[HDL_PV];
  gemm.laid = gemm.room && gemm.cold && many && panels >= GEMM_LAID && VW % block == 0;
  slab now = {0}, next = {0};
  for (int i = 0, n = gemm.slices * parts * panels; n && i <= n; i++, now = next) {
    int part = many ? i / panels % parts : i / (panels * gemm.slices);
    next.s = many ? i / (panels * parts) : i % gemm.slices;
    next.panel = gemm.first + (many ? i % panels : i / gemm.slices % panels);
    next.r0 = rows_before(rows, part, parts), next.r1 = rows_before(rows, part + 1, parts);
    if (i && gemm.laid && now.panel == gemm.first) lay_rows(&gemm, now);
    if (i) gemm_slab(&gemm, now, gemm.cold && i < n ? slice_of(&gemm, next) : (slice){0});
  }
}
#endif
