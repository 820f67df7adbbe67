/* sparse.c: the first layer over CSR rows: X [B, I] with few entries, W [I, O] in panels across O. */
#include "kernels.h"

/* Z [B, O] = b + sum over a row's entries of x * W[input]; overwrites y->a */
void FN(sparse_forward)(hdl_plan *p, const hdl_pass *q, int r0, int r1) {
  hdl_layer *y = &p->layer[0];
  for (int panel = 0; panel < hdl_panels(y->nv); panel++) {
    int v0 = hdl_panel_start(y->nv, panel), pv = hdl_panel_start(y->nv, panel + 1) - v0;
    const float *w = hdl_tile(y, y->w, v0, pv, 0);
    for (int r = r0; r < r1; r++) {
      vf acc[HDL_PV];
      /* a thread knows where its last row ends only where the next one's is its own */
      int64_t i = q->order ? q->order[r] : q->base + r;
      int from = p->row_start[r], to = from + (int)(q->data->indptr[i + 1] - q->data->indptr[i]);
      for (int v = 0; v < pv; v++) acc[v] = vload(y->b + (v0 + v) * VW);
      for (int k = from; k < to; k++) {
        const float *row = w + (ptrdiff_t)p->row_input[k] * pv * VW;
        for (int v = 0; v < pv; v++) acc[v] = vfma(vset(p->row_value[k]), vload(row + v * VW), acc[v]);
      }
      for (int v = 0; v < pv; v++) vstore(y->a + (ptrdiff_t)r * y->lda + (v0 + v) * VW, acc[v]);
    }
  }
}

/* A thread's share (rows lo … hi of W) of dW = X' D and its update. The block's transpose (train.c) lists the inputs
 * that occur, with their entries in the order of the rows. q->touched: the rule leaves all other rows alone. */
void FN(sparse_weights)(hdl_plan *p, const hdl_pass *q, int thread) {
  hdl_layer *y = &p->layer[0];
  hdl_range range = *hdl_share(p, 0, thread);
  int lo = range.lo * VW, hi = range.hi * VW < y->m ? range.hi * VW : y->m;
  bool update = q->update && q->last;
  for (int panel = 0; panel < hdl_panels(y->nv); panel++) {
    int v0 = hdl_panel_start(y->nv, panel), pv = hdl_panel_start(y->nv, panel + 1) - v0, n = pv * VW;
    ptrdiff_t base = hdl_tile(y, y->w, v0, pv, 0) - y->w;
    float *g = y->g + base, *w = y->w + base, *s0 = y->s[0] + base, *s1 = y->s[1] + base;
    if (q->first && !q->touched && hi > lo)
      memset(g + (ptrdiff_t)lo * n, 0, sizeof(float) * (size_t)(hi - lo) * (size_t)n);
    for (int t = 0; t < p->touched; t++) {
      int i = p->t_input[t];
      if (i < lo || i >= hi) continue;
      ptrdiff_t at = (ptrdiff_t)i * n;
      vf acc[HDL_PV];
      for (int v = 0; v < pv; v++) acc[v] = q->touched ? (vf){0} : vload(g + at + v * VW);
      for (int k = p->t_start[t]; k < p->t_start[t + 1]; k++) {
        const float *d = y->d + (ptrdiff_t)p->t_row[k] * y->lda + v0 * VW;
        for (int v = 0; v < pv; v++) acc[v] = vfma(vset(p->t_value[k]), vload(d + v * VW), acc[v]);
      }
      for (int v = 0; v < pv; v++) vstore(g + at + v * VW, acc[v]);
      if (update && q->touched) FN(update)(q, false, n, g + at, w + at, s0 + at, s1 + at);
    }
    if (update && !q->touched && hi > lo) {
      ptrdiff_t at = (ptrdiff_t)lo * n;
      FN(update)(q, false, (hi - lo) * n, g + at, w + at, s0 + at, s1 + at);
    }
  }
}
