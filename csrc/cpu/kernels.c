/* kernels.c: the table of one instruction set. */
#include "kernels.h"

static void transpose(hdl_layer *y) {
  if (y->wt && !y->tied) FN(transpose_part)(y, 0, y->mp / VW, 0, hdl_panels(y->nv));
}

/* n rounds of 12 independent multiply-adds in registers: what a core can do at best */
static float peak(int64_t n) {
  vf a[12], x = vset(1.0000001f), y = vset(1e-9f);
  for (int i = 0; i < 12; i++) a[i] = vset((float)i);
  for (int64_t k = 0; k < n; k++) {
#pragma GCC unroll 12
    for (int i = 0; i < 12; i++) a[i] = vfma(a[i], x, y);
  }
  vf s = a[0];
  for (int i = 1; i < 12; i++) s += a[i];
  return vsum(s);
}

const hdl_kernels HDL_CAT(hdl_kernels, HDL_ISA_SUFFIX) = {
    .vw = VW,
    .gather = FN(gather),
    .forward = FN(forward),
    .loss = FN(loss),
    .backward = FN(backward),
    .weights = FN(weights),
    .max_norm = FN(max_norm),
    .transpose = transpose,
    .mean = FN(mean),
    .penalties = FN(penalties),
    .sums = FN(sums),
    .norms = FN(norms),
    .gibbs = FN(gibbs),
    .statistics = FN(statistics),
    .peak = peak,
};
