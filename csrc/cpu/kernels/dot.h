/* dot.h: multiplies by the weights of a layer that is stored along its inputs. */
#ifndef HDL_DOT_H
#define HDL_DOT_H

#include "../internal.h"
#include "vec.h"

/* z [MB, MO] = b + sum over nv vectors of x [MB] * w [MO], then over lanes, in a fixed order whatever the block */
INLINE void dot_body(const int MO, const int MB, int nv, const float *x, ptrdiff_t x_ld, const float *w, ptrdiff_t ld,
                     const float *bias, float *z, ptrdiff_t ldz) {
  vf acc[5][8];
#pragma GCC unroll 5
  for (int o = 0; o < MO; o++)
#pragma GCC unroll 8
    for (int b = 0; b < MB; b++) acc[o][b] = (vf){0};
#pragma GCC unroll 2
  for (int v = 0; v < nv; v++, x += VW, w += VW) {
    vf in[8];
#pragma GCC unroll 8
    for (int b = 0; b < MB; b++) in[b] = vload(x + b * x_ld);
#pragma GCC unroll 5
    for (int o = 0; o < MO; o++) {
      vf u = vload(w + o * ld);
#pragma GCC unroll 8
      for (int b = 0; b < MB; b++) acc[o][b] = vfma(u, in[b], acc[o][b]);
    }
  }
#pragma GCC unroll 8
  for (int b = 0; b < MB; b++) {
    vf4 s = vsum4(acc[0][b], acc[MO > 1 ? 1 : 0][b], acc[MO > 2 ? 2 : 0][b], acc[MO > 3 ? 3 : 0][b]);
    if (MO >= 4) {
      *(vf4u *)(z + b * ldz) = s + *(const vf4u *)bias;
    } else {
      for (int o = 0; o < MO; o++) z[b * ldz + o] = s[o] + bias[o];
    }
  }
  if (MO == 5) {
#pragma GCC unroll 8
    for (int b = 0; b < MB; b += 4) {
      vf4 s = vsum4(acc[4][b], acc[4][b + 1 < MB ? b + 1 : b], acc[4][b + 2 < MB ? b + 2 : b],
                    acc[4][b + 3 < MB ? b + 3 : b]);
      for (int i = 0; i < 4 && b + i < MB; i++) z[(b + i) * ldz + 4] = s[i] + bias[4];
    }
  }
}

typedef void (*dot_block)(int nv, const float *x, ptrdiff_t x_ld, const float *w, ptrdiff_t ld, const float *bias,
                          float *z, ptrdiff_t ldz);
#define SIZE(mo, mb)                                                                                                   \
  static void dot_##mo##_##mb(int nv, const float *x, ptrdiff_t x_ld, const float *w, ptrdiff_t ld, const float *bias, \
                              float *z, ptrdiff_t ldz) {                                                               \
    dot_body(mo, mb, nv, x, x_ld, w, ld, bias, z, ldz);                                                                \
  }
// clang-format off: a list of macros is no statement, each pass breaks it elsewhere
#define SIZES(mo) SIZE(mo, 1) SIZE(mo, 2) SIZE(mo, 3) SIZE(mo, 4)
SIZES(1) SIZES(2) SIZES(3) SIZE(4, 1) SIZE(4, 2) SIZE(4, 3) SIZE(5, 1) SIZE(5, 2)
#if defined(__AVX512F__) && VW == 16
SIZE(4, 4) SIZE(5, 3) SIZE(5, 4)
#else
#define dot_4_4 NULL
#define dot_5_3 NULL
#define dot_5_4 NULL
#endif
#define NAMES(mo) {dot_##mo##_1, dot_##mo##_2, dot_##mo##_3, dot_##mo##_4}
static const dot_block dot_blocks[5][4] = {NAMES(1), NAMES(2), NAMES(3), NAMES(4), NAMES(5)};
// clang-format on
#undef SIZE
#undef SIZES
#undef NAMES

/* Gives how many rows of x one block can take beside mo outputs. */
static int most_rows(int mo) {
  int n = 4;
  while (!dot_blocks[mo - 1][n - 1]) n--;
  return n;
}

/* C [rows, O] = b + X [rows, I] W'; overwrites. Outputs are taken in groups whose weights stay in L1. */
KERNEL void dot(const hdl_layer *layer, hdl_caches cache, const float *x, int rows, float *c) {
  int groups = (layer->O + 4) / 5, small = layer->O / groups,
      larger = layer->O % groups; /* the first `larger` have one more */
  int most = most_rows(small + (larger > 0)), keep = (int)hdl_slice_bytes(cache) / (layer->ld * 4) / 5;
  int row_groups = (rows + most - 1) / most, few = rows / row_groups, more = rows % row_groups;
  if (keep < 1) keep = 1;
  for (int first = 0; first < groups; first += keep) {
    int last = first + keep < groups ? first + keep : groups;
    for (int i = 0, r = 0; i < row_groups; i++) {
      int n = few + (i < more), o = first * small + (first < larger ? first : larger);
      for (int g = first; g < last; g++) {
        int mo = small + (g < larger);
        dot_blocks[mo - 1][n - 1](layer->nv, x + (ptrdiff_t)r * layer->x_ld, layer->x_ld,
                                  layer->w + (ptrdiff_t)o * layer->ld, layer->ld, layer->b + o,
                                  c + (ptrdiff_t)r * layer->lda + o, layer->lda);
        o += mo;
      }
      r += n;
    }
  }
}
#endif
