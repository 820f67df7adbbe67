/* activation.c: f and f' on tiles, and dropout on rows. */
#include "kernels.h"

#define EACH                                                                                                           \
  for (int r = 0; r < rows; r++)                                                                                       \
    for (int v = 0; v < nv; v++)

/* c [rows, nv vectors] = f(c), in place while it is in L1; `width` columns are real, the rest must stay zero */
void FN(activate)(int kind, float leak, float *c, int ldc, int rows, int nv, int width) {
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

/* d [rows, nv vectors] *= f'(a), f' written with the output a = f(x), in place.
 * keep: 1/(1-p) of the dropout that made a, or 0 for none; a dropped unit is stored as -0 (a kept zero as +0). */
void FN(derive)(int kind, float leak, float keep, const float *a, int lda, float *d, int ldd, int rows, int nv) {
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

/* One multiplication 32x32 -> 64 of all lanes. */
INLINE void multiply(vu x, uint32_t m, vu *lo, vu *hi) {
#if VW == 16 && defined(__AVX512F__)
  __m512i k = _mm512_set1_epi32((int)m), e = _mm512_mul_epu32((__m512i)x, k);
  __m512i o = _mm512_mul_epu32(_mm512_srli_epi64((__m512i)x, 32), k);
  *lo = (vu)_mm512_mask_blend_epi32(0xaaaa, e, _mm512_slli_epi64(o, 32));
  *hi = (vu)_mm512_mask_blend_epi32(0xaaaa, _mm512_srli_epi64(e, 32), o);
#elif VW == 8 && defined(__AVX2__)
  __m256i k = _mm256_set1_epi32((int)m), e = _mm256_mul_epu32((__m256i)x, k);
  __m256i o = _mm256_mul_epu32(_mm256_srli_epi64((__m256i)x, 32), k);
  *lo = (vu)_mm256_blend_epi32(e, _mm256_slli_epi64(o, 32), 0xaa);
  *hi = (vu)_mm256_blend_epi32(_mm256_srli_epi64(e, 32), o, 0xaa);
#else
  for (int i = 0; i < VW; i++) {
    uint64_t p = (uint64_t)x[i] * m;
    (*lo)[i] = (uint32_t)p, (*hi)[i] = (uint32_t)(p >> 32);
  }
#endif
}

/* x [n padded] of one row: dropped units become -0, kept ones x*keep (+0 for 0). The stream is in rng.h. */
void FN(dropout)(const hdl_pass *q, float *x, int n, uint32_t layer, int64_t row, uint32_t threshold, float keep) {
  int blocks = HDL_DROP_BLOCKS(n);
  vi limit = viset((int32_t)threshold);
  for (int j = 0; j < blocks && j < n; j += VW) {
    vu c0 = (vu)(viota() + viset(j)), c1 = (vu)viset((int32_t)row), c2 = (vu)viset((int32_t)q->step);
    vu c3 = (vu)viset((int32_t)layer);
    uint32_t k0 = q->key[0], k1 = q->key[1];
    for (int round = 0; round < 10; round++) {
      vu l0, h0, l1, h1;
      multiply(c0, HDL_PHILOX_M0, &l0, &h0);
      multiply(c2, HDL_PHILOX_M1, &l1, &h1);
      c0 = h1 ^ c1 ^ k0, c1 = l1, c2 = h0 ^ c3 ^ k1, c3 = l0;
      k0 += HDL_PHILOX_W0, k1 += HDL_PHILOX_W1;
    }
    vu word[4] = {c0, c1, c2, c3};
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
