/* activation.h: applies f and f' to tiles, and dropout to rows. */
#ifndef HDL_ACTIVATION_H
#define HDL_ACTIVATION_H

#include "philox.h"

#define EACH                                                                                                           \
  for (int r = 0; r < rows; r++)                                                                                       \
    for (int v = 0; v < nv; v++)

/* Names the operations that csrc/activations.h writes its functions with. */
#define SET vset
#define EXP vexp
#define TANH vtanh
#define MAX vmax
#define SELECT vsel

/* Applies f to C [rows, nv vectors], in place while it is in L1; `width` columns are real, the rest must stay zero, so
 * what f makes of 0 is cut off where that is something else. */
KERNEL void activate(int kind, float leak, float *c, int ldc, int rows, int nv, int width) {
  bool cut = false;
#define ACTIVATION(NUMBER, name, f, df, curvature)                                                                     \
  case HDL_##NUMBER:                                                                                                   \
    EACH {                                                                                                             \
      vf x = vload(c + r * ldc + v * VW);                                                                              \
      vstore(c + r * ldc + v * VW, f);                                                                                 \
    }                                                                                                                  \
    if (width < nv * VW) {                                                                                             \
      vf x = (vf){0};                                                                                                  \
      x = f, cut = x[0] != 0;                                                                                          \
    }                                                                                                                  \
    break;
  if (kind == HDL_LINEAR) return;
  switch (kind) { HDL_ACTIVATION_TABLE(ACTIVATION) }
#undef ACTIVATION
  if (cut)
    for (int r = 0; r < rows; r++)
      for (int i = width; i < nv * VW; i++) c[r * ldc + i] = 0;
}

/* Multiplies D [rows, nv vectors] by f'(x), written with the output a = f(x), in place.
 * keep: 1/(1-p) of the dropout that made a, or 0 for none; a dropped unit is stored as -0 (a kept zero as +0). */
KERNEL void derive(int kind, float leak, float keep, const float *a, int lda, float *d, int ldd, int rows, int nv) {
  if (keep > 0) { /* f'(a/keep)*keep, 0 where dropped */
    float back = 1 / keep;
#define ACTIVATION(NUMBER, name, of_x, df, curvature)                                                                  \
  case HDL_##NUMBER:                                                                                                   \
    EACH {                                                                                                             \
      vf in = vload(a + r * lda + v * VW), y = in * back, f = df;                                                      \
      (void)y;                                                                                                         \
      f *= vload(d + r * ldd + v * VW) * keep;                                                                         \
      vstore(d + r * ldd + v * VW, vkeep(f, (vi)in != viset(INT32_MIN)));                                              \
    }                                                                                                                  \
    break;
    switch (kind) { HDL_ACTIVATION_TABLE(ACTIVATION) }
#undef ACTIVATION
    return;
  }
#define ACTIVATION(NUMBER, name, of_x, df, curvature)                                                                  \
  case HDL_##NUMBER:                                                                                                   \
    EACH {                                                                                                             \
      vf y = vload(a + r * lda + v * VW), f = df;                                                                      \
      (void)y;                                                                                                         \
      vstore(d + r * ldd + v * VW, f * vload(d + r * ldd + v * VW));                                                   \
    }                                                                                                                  \
    break;
  switch (kind) { HDL_ACTIVATION_TABLE(ACTIVATION) }
#undef ACTIVATION
}
#undef EACH

/* Gives f' [VW] where y = f(x), and in *curvature f''/f'. */
INLINE vf derivative(int kind, float leak, vf y, vf *curvature) {
#define ACTIVATION(NUMBER, name, f, df, bend)                                                                          \
  case HDL_##NUMBER:                                                                                                   \
    *curvature = bend;                                                                                                 \
    return df;
  switch (kind) { HDL_ACTIVATION_TABLE(ACTIVATION) }
#undef ACTIVATION
  *curvature = vset(0.f);
  return vset(1.f);
}
#undef SET
#undef EXP
#undef TANH
#undef MAX
#undef SELECT

/* Drops units of one row x [n padded], the first of `all` that the stream is for: dropped ones become -0, kept ones
 * x*keep (+0 for 0). rng.h has the stream. */
KERNEL void dropout(const hdl_context *ctx, float *x, int n, int all, uint32_t layer, int64_t row, uint32_t threshold,
                    float keep) {
  int blocks = HDL_DROP_BLOCKS(all);
  vi limit = viset((int32_t)threshold);
  for (int j = 0; j < blocks && j < n; j += VW) {
    vu word[4];
    vphilox(ctx->key, j, (uint32_t)row, (uint32_t)ctx->step, layer, word);
    for (int h = 0; h < 8; h++) {
      int u = h * blocks + j;
      if (u >= n) break;
      vi half = h & 1 ? (vi)(word[h / 2] >> 16) : (vi)(word[h / 2] & 0xffffu), drop = half < limit;
      vf y = vloadu(x + u) * keep + 0.f;
      y = vsel(drop, (vf)viset(INT32_MIN), y);
      if (u + VW <= n)
        *(vfu *)(x + u) = y;
      else
        for (int i = 0; u + i < n; i++) x[u + i] = y[i];
    }
  }
}
#endif
