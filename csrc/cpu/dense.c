/* dense.c: dense layers: forward, the input's gradient, the weights' gradient with its update. Shapes: X [B, I],
 * W [I, O], A = f(X W + b) [B, O], D = dcost/d(X W + b) [B, O]. */
#include "kernels.h"

/* bytes of a panel's slice that stay in L1 while the rows go by */
enum { SLICE = 20 * 1024 };

typedef struct { /* what happens to a finished tile, while it is in L1 */
  int kind;
  float leak, keep;
  const float *a; /* derive: the layer's output; NULL: activate */
  int lda, width;
} finish;

/* C [rows, nv vectors] = finish(bias + A [rows, K] P [K, nv vectors]); overwrites.
 * P in panels of `rows_p` rows one after another, or (ldp > 0) plain rows. K is cut so that a slice of a panel stays
 * in L1 for all rows; C carries the sums from slice to slice. Panels go by inside a slice, so that A's columns of the
 * slice stay in L2. */
static void product(int rows, int K, const float *a, int lda, const float *w, int rows_p, int ldp, int nv,
                    const float *bias, float *c, int ldc, const finish *f) {
  bool wide = (size_t)rows * (size_t)K * 4 > 448 * 1024;
  int slices = (K * (nv < HDL_PV ? nv : HDL_PV) * VW * 4 + SLICE - 1) / SLICE, panels = hdl_panels(nv);
  for (int turn = 0; turn < slices * panels; turn++) {
    int s = wide ? turn / panels : turn % slices, panel = wide ? turn % panels : turn / slices;
    int k0 = (int)((int64_t)K * s / slices), k1 = (int)((int64_t)K * (s + 1) / slices);
    int v0 = hdl_panel_start(nv, panel), pv = hdl_panel_start(nv, panel + 1) - v0;
    int ld = ldp ? ldp : pv * VW, mr = hdl_rows[pv], groups = (rows + mr - 1) / mr;
    int few = rows / groups, more = rows % groups;
    const float *p = w + (ldp ? (size_t)v0 * VW : (size_t)v0 * VW * (size_t)rows_p) + (ptrdiff_t)k0 * ld;
    for (int r0 = 0, n, g = 0; g < groups; g++, r0 += n) {
      n = few + (g < more);
      float *tile = c + (ptrdiff_t)r0 * ldc + v0 * VW;
      const float *init = s ? tile : bias ? bias + v0 * VW : NULL;
      FN(micro)
      [0][pv - 1][n - 1](k1 - k0, a + (ptrdiff_t)r0 * lda + k0, lda, p, ld, init, s ? ldc : 0, tile, ldc, NULL);
      if (s + 1 < slices) continue;
      if (f->a)
        FN(derive)(f->kind, f->leak, f->keep, f->a + (ptrdiff_t)r0 * f->lda + v0 * VW, f->lda, tile, ldc, n, pv);
      else
        FN(activate)(f->kind, f->leak, tile, ldc, n, pv, f->width - v0 * VW);
    }
  }
}

/* A = f(X W + b), with dropout in training. The output layer stays linear: its loss applies f. */
void FN(forward)(hdl_plan *p, const hdl_pass *q, int l, int r0, int r1) {
  hdl_layer *y = &p->layer[l];
  bool output = l + 1 == p->layers;
  finish f = {output ? HDL_LINEAR : p->activation, p->leak, 0, NULL, 0, y->O};
  float *a = y->a + (ptrdiff_t)r0 * y->lda;
  const float *x = y->x + (ptrdiff_t)r0 * y->x_ld;
  if (l == 0 && p->input_type == HDL_CSR) {
    FN(sparse_forward)(p, q, r0, r1);
    FN(activate)(f.kind, f.leak, a, y->lda, r1 - r0, y->nv, y->O);
  } else if (y->along_inputs) {
    FN(dot)(y, x, r1 - r0, a);
    FN(activate)(f.kind, f.leak, a, y->lda, r1 - r0, (y->O + VW - 1) / VW, y->O);
  } else {
    product(r1 - r0, y->I, x, y->x_ld, y->w, y->mp, 0, y->nv, y->b, a, y->lda, &f);
  }
  if (!output && q->backward && p->drop_hidden)
    for (int r = r0; r < r1; r++)
      FN(dropout)(q, y->a + (ptrdiff_t)r * y->lda, y->O, (uint32_t)l + 1, q->row0 + r, p->drop_hidden, p->keep_hidden);
}

/* D of the layer below = (D W') * f'(its output); overwrites */
void FN(backward)(hdl_plan *p, const hdl_pass *q, int l, int r0, int r1) {
  (void)q;
  hdl_layer *y = &p->layer[l], *x = y - 1;
  finish f = {p->activation, p->leak, p->drop_hidden ? p->keep_hidden : 0, x->a + (ptrdiff_t)r0 * x->lda, x->lda, x->O};
  const float *d = y->d + (ptrdiff_t)r0 * y->lda;
  float *c = x->d + (ptrdiff_t)r0 * x->lda;
  if (y->along_inputs)
    product(r1 - r0, y->O, d, y->lda, y->w, 0, y->ld, y->nv, NULL, c, x->lda, &f);
  else
    product(r1 - r0, y->O, d, y->lda, y->wt, y->n, 0, y->mp / VW, NULL, c, x->lda, &f);
}

/* A tile of dW = sum over the block's rows; goes on from g unless first. Plain SGD updates w in the same registers;
 * other rules read g back from L1. */
static void tile(hdl_layer *y, const hdl_pass *q, const float *a, int lda, const float *d, int ldd, int v0, int pv,
                 int r0, int r1) {
  int mr = hdl_rows[pv], groups = (r1 - r0 + mr - 1) / mr;
  ptrdiff_t ld = y->along_inputs ? y->ld : pv * VW;
  bool update = q->update && q->last;
  hdl_sgd sgd = {q->decay, q->eta};
  int few = (r1 - r0) / groups, more = (r1 - r0) % groups;
  for (int r = r0, n, k = 0; k < groups; k++, r += n) {
    n = few + (k < more);
    float *g = hdl_tile(y, y->g, v0, pv, r), *w = hdl_tile(y, y->w, v0, pv, r);
    bool fused = update && q->plain;
    FN(micro)
    [1][pv - 1][n - 1](q->rows, a + r, lda, d, ldd, q->first ? NULL : g, ld, fused ? w : g, ld, fused ? &sgd : NULL);
    if (update && !q->plain) {
      int runs = y->along_inputs ? n : 1, length = y->along_inputs ? pv * VW : n * pv * VW;
      for (int i = 0; i < runs; i++) {
        ptrdiff_t at = g - y->g + i * ld;
        FN(update)(q, false, length, y->g + at, y->w + at, y->s[0] + at, y->s[1] + at);
      }
    }
  }
}

/* Rows lo … hi (in VW) of W, all panels. */
static void stripe_weights(hdl_plan *p, const hdl_pass *q, hdl_layer *y, int thread, int lo, int hi) {
  int blocks = hi - lo, chunks = blocks / 3 > 0 ? blocks / 3 : 1;
  float *packed = p->scratch + (size_t)thread * p->scratch_size;
  for (int panel = 0; panel < hdl_panels(y->nv); panel++) {
    int v0 = hdl_panel_start(y->nv, panel), pv = hdl_panel_start(y->nv, panel + 1) - v0, ldd = y->lda;
    const float *d = y->d + v0 * VW;
    if (y->nv > HDL_PV) { /* the panel of D, read for every row of W, side by side */
      for (int r = 0; r < q->rows; r++)
        for (int v = 0; v < pv; v++) vstore(packed + (r * pv + v) * VW, vload(d + (ptrdiff_t)r * ldd + v * VW));
      d = packed, ldd = pv * VW;
    }
    for (int c = 0; c < chunks; c++) {
      int b0 = lo + blocks * c / chunks, b1 = lo + blocks * (c + 1) / chunks;
      tile(y, q, y->x, y->x_ld, d, ldd, v0, pv, b0 * VW, b1 * VW < y->m ? b1 * VW : y->m);
      if (y->wt && q->update && q->last && !(q->rule->max_norm > 0)) FN(transpose_part)(y, b0, b1, panel, panel + 1);
    }
  }
}

/* A thread's share of dW = X' D and of its update; dW is added to g between the blocks of a mini-batch. */
void FN(weights)(hdl_plan *p, const hdl_pass *q, int l, int thread) {
  hdl_layer *y = &p->layer[l];
  hdl_range range = p->range[thread * p->layers + l];
  FN(bias)(p, q, l, thread);
  if (l == 0 && p->input_type == HDL_CSR) {
    FN(sparse_weights)(p, q, thread);
    return;
  }
  if (range.lo >= range.hi) return;
  if (y->along_inputs) { /* rows are outputs, vectors run along this thread's inputs */
    int nv = range.hi - range.lo;
    for (int panel = 0; panel < hdl_panels(nv); panel++) {
      int v0 = range.lo + hdl_panel_start(nv, panel), pv = range.lo + hdl_panel_start(nv, panel + 1) - v0;
      tile(y, q, y->d, y->lda, y->x + v0 * VW, y->x_ld, v0, pv, 0, y->O);
    }
    return;
  }
  /* Stripes of W's rows whose inputs stay in L2 while the panels go by. */
  int n = range.hi - range.lo, stripes = n * VW <= 832 ? 1 : (n * VW + 383) / 384;
  for (int i = 0; i < stripes; i++)
    stripe_weights(p, q, y, thread, range.lo + n * i / stripes, range.lo + n * (i + 1) / stripes);
}

/* db = sum of D's rows, a thread's share of the vectors, and its update (no decay) */
void FN(bias)(hdl_plan *p, const hdl_pass *q, int l, int thread) {
  hdl_layer *y = &p->layer[l];
  int nv = (y->O + VW - 1) / VW, v0 = nv * thread / p->threads, v1 = nv * (thread + 1) / p->threads;
  for (int v = v0; v < v1;) {
    int n = v1 - v < 4 ? v1 - v : 4;
    vf acc[4];
    for (int i = 0; i < n; i++) acc[i] = q->first ? (vf){0} : vload(y->gb + (v + i) * VW);
    for (int r = 0; r < q->rows; r++)
      for (int i = 0; i < n; i++) acc[i] += vload(y->d + (ptrdiff_t)r * y->lda + (v + i) * VW);
    for (int i = 0; i < n; i++) vstore(y->gb + (v + i) * VW, acc[i]);
    if (q->update && q->last)
      FN(update)(q, true, n * VW, y->gb + v * VW, y->b + v * VW, y->sb[0] + v * VW, y->sb[1] + v * VW);
    v += n;
  }
}

/* wt blocks block0 … block1 (of VW rows of w) by panel0 … panel1, from w, through registers */
void FN(transpose_part)(hdl_layer *y, int block0, int block1, int panel0, int panel1) {
  int nq = y->mp / VW;
  for (int panel = panel0; panel < panel1; panel++) {
    int v0 = hdl_panel_start(y->nv, panel), pv = hdl_panel_start(y->nv, panel + 1) - v0;
    for (int b = block0; b < block1; b++) {
      int t = hdl_panel_of(nq, b), t0 = hdl_panel_start(nq, t), tv = hdl_panel_start(nq, t + 1) - t0;
      const float *w = hdl_tile(y, y->w, v0, pv, b * VW);
      float *out = y->wt + (size_t)t0 * VW * (size_t)y->n + (size_t)(b - t0) * VW;
      for (int v = 0; v < pv; v++) {
        vf r[VW];
#pragma GCC unroll 16
        for (int i = 0; i < VW; i++) r[i] = vload(w + (i * pv + v) * VW);
        vtranspose(r);
        int o = (v0 + v) * VW;
        if (o + VW <= y->n) {
#pragma GCC unroll 16
          for (int i = 0; i < VW; i++) vstore(out + (ptrdiff_t)(o + i) * tv * VW, r[i]);
        } else {
          for (int i = 0; o + i < y->n; i++) vstore(out + (ptrdiff_t)(o + i) * tv * VW, r[i]);
        }
      }
    }
  }
}
