/* dense.c: dense layers: forward, the input's gradient, the weights' gradient with its update. Shapes: X [B, I],
 * W [I, O], A = f(X W + b) [B, O], D = dcost/d(X W + b) [B, O]. */
#include "kernels.h"

/* bytes of a panel's slice that stay in L1 while the rows go by */
enum { SLICE = 20 * 1024 };

/* Rows r0 … r1, slice s of K, one panel. C carries the sums from slice to slice. */
static void slab(const hdl_product *m, int r0, int r1, int s, int panel) {
  int k0 = (int)((int64_t)m->K * s / m->slices), k1 = (int)((int64_t)m->K * (s + 1) / m->slices);
  int v0 = hdl_panel_start(m->nv, panel), pv = hdl_panel_start(m->nv, panel + 1) - v0;
  int ld = m->ldp ? m->ldp : pv * VW, mr = hdl_rows[pv], groups = (r1 - r0 + mr - 1) / mr;
  int few = (r1 - r0) / groups, more = (r1 - r0) % groups;
  const float *p = m->w + (size_t)v0 * VW * (m->ldp ? 1 : (size_t)m->rows_p) + (ptrdiff_t)k0 * ld;
  const hdl_finish *f = m->f;
  for (int r = r0, n, g = 0; g < groups; g++, r += n) {
    n = few + (g < more);
    float *tile = m->c + (ptrdiff_t)r * m->ldc + v0 * VW;
    const float *init = s ? tile : m->bias ? m->bias + v0 * VW : NULL;
    FN(micro)
    [0][pv - 1][n - 1](k1 - k0, m->a + (ptrdiff_t)r * m->lda + k0, m->lda, p, ld, init, s ? m->ldc : 0, tile, m->ldc,
                       NULL);
    if (s + 1 < m->slices) continue;
    if (f->then)
      f->then(f, tile, m->ldc, r, n, v0, pv);
    else if (f->a)
      FN(derive)(f->kind, f->leak, f->keep, f->a + (ptrdiff_t)r * f->lda + v0 * VW, f->lda, tile, m->ldc, n, pv);
    else
      FN(activate)(f->kind, f->leak, tile, m->ldc, n, pv, f->width - v0 * VW);
  }
}

/* K is cut so that a slice of a panel stays in L1 for HDL_ROWS rows. Where those rows stay in L2, a panel's slices go
 * by first, and C stays in L1; else the panels go by inside a slice, whose columns of A stay in L2, and P is read from
 * memory once for all rows. */
void FN(multiply)(hdl_product m, int rows) {
  int panels = hdl_panels(m.nv), parts = (rows + HDL_ROWS - 1) / HDL_ROWS;
  m.slices = (m.K * (m.nv < HDL_PV ? m.nv : HDL_PV) * VW * 4 + SLICE - 1) / SLICE;
  bool wide = (size_t)rows * (size_t)m.K * 4 > 448 * 1024;
  for (int i = 0; i < parts * m.slices; i++) {
    int part = wide ? i % parts : i / m.slices, s = wide ? i / parts : i % m.slices;
    int r0 = (int)((int64_t)rows * part / parts), r1 = (int)((int64_t)rows * (part + 1) / parts);
    if (wide)
      for (int panel = 0; panel < panels; panel++) slab(&m, r0, r1, s, panel);
    else if (s == 0)
      for (int turn = 0; turn < panels * m.slices; turn++) slab(&m, r0, r1, turn % m.slices, turn / m.slices);
  }
}

/* A = f(X W + b), with dropout in training. The output layer stays linear: its loss applies f. */
void FN(forward)(hdl_plan *p, const hdl_pass *q, int l, int r0, int r1) {
  hdl_layer *y = &p->layer[l];
  bool output = l + 1 == p->layers;
  hdl_finish f = {output ? HDL_LINEAR : p->activation, p->leak, 0, NULL, 0, y->O, NULL};
  float *a = y->a + (ptrdiff_t)r0 * y->lda;
  const float *x = y->x + (ptrdiff_t)r0 * y->x_ld;
  if (l == 0 && p->input_type == HDL_CSR) {
    FN(sparse_forward)(p, q, r0, r1);
    FN(activate)(f.kind, f.leak, a, y->lda, r1 - r0, y->nv, y->O);
  } else if (y->along_inputs) {
    FN(dot)(y, x, r1 - r0, a);
    FN(activate)(f.kind, f.leak, a, y->lda, r1 - r0, (y->O + VW - 1) / VW, y->O);
  } else {
    FN(multiply)((hdl_product){y->I, y->x_ld, y->wr, 0, y->nv, y->lda, x, y->w, y->b, a, &f, 0}, r1 - r0);
  }
  if (!output && q->backward && p->drop_hidden)
    for (int r = r0; r < r1; r++)
      FN(dropout)(q, y->a + (ptrdiff_t)r * y->lda, y->O, (uint32_t)l + 1, q->row0 + r, p->drop_hidden, p->keep_hidden);
}

/* D of the layer below = (D W' + push) * f'(its output); overwrites */
void FN(backward)(hdl_plan *p, const hdl_pass *q, int l, int r0, int r1) {
  hdl_layer *y = &p->layer[l], *x = y - 1;
  hdl_finish f = {p->activation, p->leak, p->drop_hidden ? p->keep_hidden : 0, x->a + (ptrdiff_t)r0 * x->lda, x->lda,
                  x->O,          NULL};
  const float *d = y->d + (ptrdiff_t)r0 * y->lda;
  float *c = x->d + (ptrdiff_t)r0 * x->lda;
  if (y->along_inputs)
    FN(multiply)((hdl_product){y->O, y->lda, 0, y->ld, y->nv, x->lda, d, y->w, q->push, c, &f, 0}, r1 - r0);
  else
    FN(multiply)((hdl_product){y->O, y->lda, y->tr, 0, y->mp / VW, x->lda, d, y->wt, q->push, c, &f, 0}, r1 - r0);
}

/* Rows s0 … s1 of the block in dW; the sums go on from g unless first; after the last the weights are updated. */
typedef struct {
  int s0, s1;
  bool first, last;
} part;

/* A tile of dW [rows r0 … r1, vectors v0 … v0 + pv] = A' D. Plain SGD updates w in the registers that hold the sums;
 * other rules read g back from L1. g is where the sums of row r0 are kept. */
static void tile(hdl_layer *y, const hdl_pass *q, part s, const float *a, int lda, const float *d, int ldd, int v0,
                 int pv, int r0, int r1, float *g) {
  int mr = hdl_rows[pv], groups = (r1 - r0 + mr - 1) / mr;
  ptrdiff_t ld = y->along_inputs ? y->ld : pv * VW;
  bool update = q->update && s.last, fused = update && q->plain;
  hdl_sgd sgd = {q->decay, q->eta};
  int few = (r1 - r0) / groups, more = (r1 - r0) % groups;
  for (int r = r0, n, k = 0; k < groups; k++, r += n, g += n * ld) {
    n = few + (k < more);
    float *w = hdl_tile(y, y->w, v0, pv, r);
    FN(micro)
    [1][pv - 1][n - 1](s.s1 - s.s0, a + (ptrdiff_t)s.s0 * lda + r, lda, d, ldd, s.first ? NULL : g, ld, fused ? w : g,
                       ld, fused ? &sgd : NULL);
    if (y->contract && s.last)
      for (int i = 0; i < n; i++)
        for (int v = 0; v < pv; v++) {
          float *sum = g + (i * pv + v) * VW;
          vstore(sum, vfma(vload(q->shrink + (v0 + v) * VW), vload(w + (i * pv + v) * VW), vload(sum)));
        }
    if (update && !q->plain) {
      int runs = y->along_inputs ? n : 1, length = y->along_inputs ? pv * VW : n * pv * VW;
      for (int i = 0; i < runs; i++) {
        ptrdiff_t at = w - y->w + i * ld;
        FN(update)(q, false, length, g + i * ld, y->w + at, y->s[0] + at, y->s[1] + at);
      }
    }
  }
}

/* Rows lo … hi (in VW) of W, all panels. */
static void stripe_weights(hdl_plan *p, const hdl_pass *q, hdl_layer *y, int thread, int lo, int hi) {
  int blocks = hi - lo, chunks = blocks / 3 > 0 ? blocks / 3 : 1, rows = q->rows * y->pairs;
  int parts = (rows + HDL_ROWS - 1) / HDL_ROWS, ldx = y->x_ld / y->pairs;
  float *packed = p->scratch + (size_t)thread * p->scratch_size, *sums = packed + HDL_ROWS * HDL_PV * VW;
  bool whole = q->first && q->last && q->update; /* all sums are done here: they need not go to memory */
  for (int i = 0; i < hdl_panels(y->nv) * parts; i++) {
    int panel = i / parts, v0 = hdl_panel_start(y->nv, panel), pv = hdl_panel_start(y->nv, panel + 1) - v0;
    int ldd = y->lda / y->pairs, k = i % parts, s0 = rows * k / parts, s1 = rows * (k + 1) / parts;
    part s = {s0, s1, q->first && k == 0, q->last && k + 1 == parts};
    const float *d = y->d + (ptrdiff_t)s0 * ldd + v0 * VW;
    if (y->nv > HDL_PV) { /* the panel of D, read for every row of W, side by side */
      for (int r = 0; r < s1 - s0; r++)
        for (int v = 0; v < pv; v++) vstore(packed + (r * pv + v) * VW, vload(d + (ptrdiff_t)r * ldd + v * VW));
      d = packed, ldd = pv * VW;
    }
    for (int c = 0; c < chunks; c++) {
      int b0 = lo + blocks * c / chunks, b1 = lo + blocks * (c + 1) / chunks;
      float *g = whole ? sums + (b0 - lo) * VW * pv * VW : hdl_tile(y, y->g, v0, pv, b0 * VW);
      tile(y, q, s, y->x, ldx, d, ldd, v0, pv, b0 * VW, b1 * VW < y->m ? b1 * VW : y->m, g);
      if (y->wt && q->update && s.last && !(q->rule->max_norm > 0)) FN(transpose_part)(y, b0, b1, panel, panel + 1);
    }
  }
}

/* Rows of W whose inputs, for all rows of the block, stay in L2 while the panels go by. */
static int stripe_rows(int rows) { return rows > HDL_ROWS ? HDL_STRIPE * HDL_ROWS / rows : HDL_STRIPE; }

/* A thread's share of dW = X' D and of its update; dW is added to g between the blocks of a mini-batch. */
void FN(weights)(hdl_plan *p, const hdl_pass *q, int l, int thread) {
  hdl_layer *y = &p->layer[l];
  hdl_range range = *hdl_share(p, l, thread);
  FN(bias)(p, q, l, thread);
  if (l == 0 && p->input_type == HDL_CSR) {
    FN(sparse_weights)(p, q, thread);
    return;
  }
  if (range.lo >= range.hi) return; /* also of tied weights: the layer below has their gradient */
  if (y->along_inputs) {            /* rows are outputs, vectors run along this thread's inputs */
    int nv = range.hi - range.lo, parts = (q->rows + HDL_ROWS - 1) / HDL_ROWS;
    for (int i = 0; i < hdl_panels(nv) * parts; i++) {
      int panel = i / parts, k = i % parts, s0 = q->rows * k / parts, s1 = q->rows * (k + 1) / parts;
      int v0 = range.lo + hdl_panel_start(nv, panel), pv = range.lo + hdl_panel_start(nv, panel + 1) - v0;
      part s = {s0, s1, q->first && k == 0, q->last && k + 1 == parts};
      tile(y, q, s, y->d, y->lda, y->x + (ptrdiff_t)s0 * y->x_ld + v0 * VW, y->x_ld, v0, pv, 0, y->O,
           hdl_tile(y, y->g, v0, pv, 0));
    }
    return;
  }
  int n = range.hi - range.lo, rows = stripe_rows(q->rows * y->pairs), stripes = (n * VW + rows - 1) / rows;
  for (int i = 0; i < stripes; i++)
    stripe_weights(p, q, y, thread, range.lo + n * i / stripes, range.lo + n * (i + 1) / stripes);
}

/* sum [vectors v0 … v1] of the columns of A [rows, lda], in the order of the rows; goes on from sum unless first */
void FN(columns)(const float *a, ptrdiff_t lda, int rows, bool first, float *sum, int v0, int v1) {
  for (int v = v0, n; v < v1; v += n) {
    n = v1 - v < 4 ? v1 - v : 4;
    vf acc[4];
    for (int i = 0; i < n; i++) acc[i] = first ? (vf){0} : vload(sum + (v + i) * VW);
    for (int r = 0; r < rows; r++)
      for (int i = 0; i < n; i++) acc[i] += vload(a + r * lda + (v + i) * VW);
    for (int i = 0; i < n; i++) vstore(sum + (v + i) * VW, acc[i]);
  }
}

/* db = sum of D's rows, a thread's share of the vectors, and its update (no decay) */
void FN(bias)(hdl_plan *p, const hdl_pass *q, int l, int thread) {
  if (p->gibbs) {
    FN(hidden_bias)(p, q, thread);
    return;
  }
  hdl_layer *y = &p->layer[l];
  int nv = (y->O + VW - 1) / VW, v0 = nv * thread / p->threads, v1 = nv * (thread + 1) / p->threads, at = v0 * VW;
  FN(columns)(y->d, y->lda, q->rows, q->first, y->gb, v0, v1);
  if (q->update && q->last && v1 > v0)
    FN(update)(q, true, (v1 - v0) * VW, y->gb + at, y->b + at, y->sb[0] + at, y->sb[1] + at);
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
