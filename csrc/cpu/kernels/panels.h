/* panels.h: finds, transposes and sums matrices as they are stored (internal.h has the layout). */
#ifndef HDL_PANELS_H
#define HDL_PANELS_H

#include "bf16.h"

/* Tells whether products read a layer's weights from a copy that is made anew when they change. */
static inline bool copied(const hdl_layer *layer) { return (layer->wt || layer->paired) && !layer->tied; }

/* Finds a place in a layer's stored matrix: panel of vectors v0 … v0 + pv, row r. */
static inline float *tile_at(const hdl_layer *layer, float *base, int v0, int pv, int r) {
  if (layer->along_inputs) return base + (size_t)r * (size_t)layer->ld + (size_t)v0 * VW;
  return base + (size_t)v0 * VW * (size_t)layer->m_padded + (size_t)r * (size_t)(pv * VW);
}

/* Sums the columns of A [rows, lda]: sum [vectors v0 … v1], in the order of the rows; goes on from sum unless first. */
KERNEL void sum_columns(const float *a, ptrdiff_t lda, int rows, bool first, float *sum, int v0, int v1) {
  for (int v = v0, n; v < v1; v += n) {
    n = v1 - v < 4 ? v1 - v : 4;
    vf acc[4];
    for (int i = 0; i < n; i++) acc[i] = first ? (vf){0} : vload(sum + (v + i) * VW);
    for (int r = 0; r < rows; r++)
      for (int i = 0; i < n; i++) acc[i] += vload(a + r * lda + (v + i) * VW);
    for (int i = 0; i < n; i++) vstore(sum + (v + i) * VW, acc[i]);
  }
}

/* Finds where block b (of VW rows of w) of vector v lies in wt, or in its pairs, whose rows are *ld apart. */
INLINE float *copy_at(const hdl_layer *layer, int b, int v, int *ld) {
  int nq = layer->m_padded / VW, t = hdl_panel_of(nq, b), t0 = hdl_panel_start(nq, t);
  int rows = layer->paired ? (layer->n + 1) / 2 : layer->n;
  *ld = (hdl_panel_start(nq, t + 1) - t0) * VW;
  float *out = (layer->paired ? layer->wt_pairs : layer->wt) + (size_t)t0 * VW * (size_t)rows + (b - t0) * VW;
  return out + (ptrdiff_t)(layer->paired ? v * VW / 2 : v * VW) * *ld;
}

/* Asks for what transpose_part writes of one block and one panel. */
INLINE void prefetch_copy(const hdl_layer *layer, int b, int panel) {
  if (!layer->wt || layer->paired) return;
  int v0 = hdl_panel_start(layer->nv, panel), v1 = hdl_panel_start(layer->nv, panel + 1), ld;
  float *out = copy_at(layer, b, v0, &ld);
  for (int o = v0 * VW; o < v1 * VW && o < layer->n; o++, out += ld) __builtin_prefetch(out, 1);
}

/* Writes blocks block0 … block1 (of VW rows of w) of panels panel0 … panel1 to wt, transposed in registers; for
 * products in pairs both as pairs, of rows of w and of rows of wt. */
KERNEL void transpose_part(hdl_layer *layer, int block0, int block1, int panel0, int panel1) {
  for (int panel = panel0; panel < panel1; panel++) {
    int v0 = hdl_panel_start(layer->nv, panel), pv = hdl_panel_start(layer->nv, panel + 1) - v0;
    for (int b = block0; b < block1; b++) {
      const float *w = tile_at(layer, layer->w, v0, pv, b * VW);
      if (layer->paired) pair_rows(w, pv * VW, VW, pv, layer->w_pairs + (w - layer->w) / 2, pv * VW);
      if (layer->paired && !layer->wt_pairs) continue;
      for (int v = 0, ld; v < pv; v++) {
        float *out = copy_at(layer, b, v0 + v, &ld);
        vf r[VW];
#pragma GCC unroll 16
        for (int i = 0; i < VW; i++) r[i] = vload(w + (i * pv + v) * VW);
        vtranspose(r);
        int o = (v0 + v) * VW;
        if (layer->paired) {
#pragma GCC unroll 8
          for (int i = 0; i < VW; i += 2)
            if (o + i < layer->n) vstore(out + (ptrdiff_t)(i / 2) * ld, pair_of(r[i], r[i + 1]));
        } else if (o + VW <= layer->n) {
#pragma GCC unroll 16
          for (int i = 0; i < VW; i++) vstore(out + (ptrdiff_t)i * ld, r[i]);
        } else {
          for (int i = 0; o + i < layer->n; i++) vstore(out + (ptrdiff_t)i * ld, r[i]);
        }
      }
    }
  }
}

static void transpose(hdl_layer *layer) {
  if (copied(layer)) transpose_part(layer, 0, layer->m_padded / VW, 0, hdl_panels(layer->nv));
}
#endif
