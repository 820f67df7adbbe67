/* table.h: makes the kernels of one instruction set, as one unit that defines VW and HDL_TABLE and then includes this;
 * all names in it are its own but for the table. */
#include "autoencoder.h"
#include "dense.h"
#include "gather.h"
#include "gibbs.h"
#include "loss.h"

/* Runs n rounds of 12 independent multiply-adds in registers: the most that a core can do. */
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

const hdl_kernels HDL_TABLE = {
    .vw = VW,
    .gather = gather,
    .forward = forward,
    .loss = loss,
    .backward = backward,
    .pack_deltas = pack_deltas,
    .weight_gradient = weight_gradient,
    .max_norm = max_norm,
    .transpose = transpose,
    .input_gradient = input_gradient,
    .table_gradient = table_gradient,
    .mean_activation = mean_activation,
    .contractive_term = contractive_term,
    .code_sums = code_sums,
    .squared_norms = squared_norms,
    .gibbs = gibbs,
    .contrastive_divergence = contrastive_divergence,
    .rows = rows,
    .peak = peak,
    .pairs = &micro_pairs,
};
