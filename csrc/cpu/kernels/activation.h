/* activation.h: applies f and f' to tiles, and dropout to rows. */
#ifndef HDL_ACTIVATION_H
#define HDL_ACTIVATION_H

#include "philox.h"

#define EACH                                                                                                           \
  for (int r = 0; r < rows; r++)                                                                                       \
    for (int v = 0; v < nv; v++)

/* C [rows, nv vectors] = f(C), in place while it is in L1; `width` columns are real, the rest must stay zero. */
KERNEL void activate(int kind, float leak, float *c, int ldc, int rows, int nv, int width) {
  vf x;
  switch (kind) {
  case HDL_SIGMOID: /* 1/(1 + e^-x); not 0 at 0, so padding is cut off */
    EACH vstore(c + r * ldc + v * VW, vsigmoid(vload(c + r * ldc + v * VW)));
    if (width < nv * VW)
      for (int r = 0; r < rows; r++)
        for (int i = width; i < nv * VW; i++) c[r * ldc + i] = 0;
    break;
  case HDL_TANH:
    EACH vstore(c + r * ldc + v * VW, vtanh(vload(c + r * ldc + v * VW)));
    break;
  case HDL_LECUN_TANH: /* 1.7159 tanh(2x/3) */
    EACH vstore(c + r * ldc + v * VW, 1.7159f * vtanh(vload(c + r * ldc + v * VW) * (2.f / 3.f)));
    break;
  case HDL_RELU:
    EACH x = vload(c + r * ldc + v * VW), vstore(c + r * ldc + v * VW, vmax(x, (vf){0}));
    break;
  case HDL_LEAKY_RELU:
    EACH x = vload(c + r * ldc + v * VW), vstore(c + r * ldc + v * VW, vsel(x < (vf){0}, x * leak, x));
    break;
  default:
    break;
  }
}

#define SWITCH                                                                                                         \
  switch (kind) {                                                                                                      \
  case HDL_SIGMOID:                                                                                                    \
    DERIVE(y * (1.f - y));                                                                                             \
  case HDL_TANH:                                                                                                       \
    DERIVE(1.f - y * y);                                                                                               \
  case HDL_LECUN_TANH:                                                                                                 \
    DERIVE((2.f / 3.f * 1.7159f) - (2.f / 3.f / 1.7159f) * y * y);                                                     \
  case HDL_RELU:                                                                                                       \
    DERIVE(vkeep(vset(1.f), y > (vf){0}));                                                                             \
  case HDL_LEAKY_RELU:                                                                                                 \
    DERIVE(vsel(y < (vf){0}, vset(leak), vset(1.f)));                                                                  \
  default:                                                                                                             \
    DERIVE(vset(1.f) + 0.f * y);                                                                                       \
  }

/* D [rows, nv vectors] *= f'(x), f' written with the output a = f(x), in place.
 * keep: 1/(1-p) of the dropout that made a, or 0 for none; a dropped unit is stored as -0 (a kept zero as +0). */
KERNEL void derive(int kind, float leak, float keep, const float *a, int lda, float *d, int ldd, int rows, int nv) {
  if (keep > 0) { /* f'(a/keep)*keep, 0 where dropped */
    float back = 1 / keep;
#define DERIVE(expression)                                                                                             \
  EACH {                                                                                                               \
    vf in = vload(a + r * lda + v * VW), y = in * back, f = expression;                                                \
    f *= vload(d + r * ldd + v * VW) * keep;                                                                           \
    vstore(d + r * ldd + v * VW, vkeep(f, (vi)in != viset(INT32_MIN)));                                                \
  }                                                                                                                    \
  break
    SWITCH
#undef DERIVE
  }
#define DERIVE(expression)                                                                                             \
  EACH {                                                                                                               \
    vf y = vload(a + r * lda + v * VW), f = expression;                                                                \
    vstore(d + r * ldd + v * VW, f * vload(d + r * ldd + v * VW));                                                     \
  }                                                                                                                    \
  break
  else
    SWITCH
#undef DERIVE
}
#undef EACH
#undef SWITCH

/* Gives f' [VW] at a = f(z), and in *curvature f''/f'. */
INLINE vf derivative(int kind, float leak, vf a, vf *curvature) {
  vf zero = (vf){0}, one = vset(1.f);
  *curvature = zero;
  switch (kind) {
  case HDL_SIGMOID:
    *curvature = 1.f - 2.f * a;
    return a * (1.f - a);
  case HDL_TANH:
    *curvature = -2.f * a;
    return 1.f - a * a;
  case HDL_LECUN_TANH:
    *curvature = (-4.f / 3.f / 1.7159f) * a;
    return (2.f / 3.f * 1.7159f) - (2.f / 3.f / 1.7159f) * a * a;
  case HDL_RELU:
    return vkeep(one, a > zero);
  case HDL_LEAKY_RELU:
    return vsel(a < zero, vset(leak), one);
  default:
    return one;
  }
}

/* Drops units of one row x [n padded]: dropped ones become -0, kept ones x*keep (+0 for 0). rng.h has the stream. */
KERNEL void dropout(const hdl_context *ctx, float *x, int n, uint32_t layer, int64_t row, uint32_t threshold,
                    float keep) {
  int blocks = HDL_DROP_BLOCKS(n);
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
