/* micro.h: runs the one inner loop of all dense products, compiled for every size of its block of outputs.
 *
 *   C [MR, PV vectors] = init + sum over k < K of A(r, k) * P [k, PV vectors]
 *   A(r, k) = a[r*lda + k], or a[k*lda + r] where T (then a's neighbours are rows, as in dW = X' D)
 *   init: [MR, ldi] or, with ldi 0, one row for all (a bias), or NULL for zero
 * Each output is one chain of multiply-adds in the order of k, so a product cut along k into several calls, each
 * taking the last one's C as init, gives the same bits. With `sgd` the epilogue is the update itself, in registers:
 *   C = decay*C - eta*sum
 * MR*PV accumulators hide the latency of the adder and, with PV loads and one broadcast, stay within the registers.
 */
#ifndef HDL_MICRO_H
#define HDL_MICRO_H

#include "../internal.h"
#include "vec.h"

typedef struct {
  float decay, eta;
} fused_sgd;

typedef void (*micro_kernel)(int groups, int K, const float *a, ptrdiff_t lda, const float *p, ptrdiff_t ldp,
                             const float *init, ptrdiff_t ldi, float *c, ptrdiff_t ldc, const fused_sgd *sgd);

#if defined(__AVX512F__) && VW == 16
enum { MR1 = 16, MR2 = 12, MR3 = 8 }; /* 32 registers */
#else
enum { MR1 = 8, MR2 = 6, MR3 = 4 }; /* 16 registers */
#endif
static const int micro_rows[HDL_PV + 1] = {0, MR1, MR2, MR3}; /* the most, of each number of vectors */

/* Asks for the next block: where its rows of A begin, and what its outputs are added to. */
INLINE void micro_ahead(const int T, const int MR, const int PV, const float *a, ptrdiff_t lda, const float *c,
                        ptrdiff_t ldc) {
#pragma GCC unroll 16
  for (int r = MR; r < 2 * MR; r++) {
    __builtin_prefetch(c + r * ldc, 1), __builtin_prefetch(c + r * ldc + PV * VW - 1, 1);
    if (!T) __builtin_prefetch(a + r * lda), __builtin_prefetch(a + r * lda + 16);
  }
}

INLINE void micro_body(const int T, const int MR, const int PV, int K, const float *a, ptrdiff_t lda, const float *p,
                       ptrdiff_t ldp, const float *init, ptrdiff_t ldi, float *c, ptrdiff_t ldc, const fused_sgd *sgd) {
  vf acc[16][HDL_PV];
  if (init) {
#pragma GCC unroll 16
    for (int r = 0; r < MR; r++)
#pragma GCC unroll 3
      for (int v = 0; v < PV; v++) acc[r][v] = vload(init + r * ldi + v * VW);
  } else {
#pragma GCC unroll 16
    for (int r = 0; r < MR; r++)
#pragma GCC unroll 3
      for (int v = 0; v < PV; v++) acc[r][v] = (vf){0};
  }
  for (int k = 0; k < K; k++, p += ldp, a += T ? lda : 1) {
    vf q[HDL_PV];
#pragma GCC unroll 3
    for (int v = 0; v < PV; v++) {
      q[v] = vload(p + v * VW);
      IN_REGISTER(q[v]);
    }
#pragma GCC unroll 16
    for (int r = 0; r < MR; r++) {
      vf x = vset(T ? a[r] : a[r * lda]);
#pragma GCC unroll 3
      for (int v = 0; v < PV; v++) acc[r][v] = vfma(x, q[v], acc[r][v]);
    }
  }
  if (sgd) {
    vf decay = vset(sgd->decay), eta = vset(sgd->eta);
#pragma GCC unroll 16
    for (int r = 0; r < MR; r++)
#pragma GCC unroll 3
      for (int v = 0; v < PV; v++) {
        float *w = c + r * ldc + v * VW;
        vstore(w, decay * vload(w) - eta * acc[r][v]);
      }
  } else {
#pragma GCC unroll 16
    for (int r = 0; r < MR; r++)
#pragma GCC unroll 3
      for (int v = 0; v < PV; v++) vstore(c + r * ldc + v * VW, acc[r][v]);
  }
}

#define SIZE(t, pv, mr)                                                                                                \
  static void micro_##t##_##pv##_##mr(int groups, int K, const float *a, ptrdiff_t lda, const float *p, ptrdiff_t ldp, \
                                      const float *init, ptrdiff_t ldi, float *c, ptrdiff_t ldc,                       \
                                      const fused_sgd *sgd) {                                                          \
    for (int g = 0; g < groups; g++, a += t ? mr : mr * lda, c += mr * ldc) {                                          \
      micro_ahead(t, mr, pv, a, lda, c, ldc);                                                                          \
      micro_body(t, mr, pv, K, a, lda, p, ldp, init, ldi, c, ldc, sgd);                                                \
      if (init) init += mr * ldi;                                                                                      \
    }                                                                                                                  \
  }
#define UP_TO_4(X, t, pv) X(t, pv, 1) X(t, pv, 2) X(t, pv, 3) X(t, pv, 4)
#define UP_TO_6(X, t, pv) UP_TO_4(X, t, pv) X(t, pv, 5) X(t, pv, 6)
#define UP_TO_8(X, t, pv) UP_TO_6(X, t, pv) X(t, pv, 7) X(t, pv, 8)
#define UP_TO_12(X, t, pv) UP_TO_8(X, t, pv) X(t, pv, 9) X(t, pv, 10) X(t, pv, 11) X(t, pv, 12)
#define UP_TO_16(X, t, pv) UP_TO_12(X, t, pv) X(t, pv, 13) X(t, pv, 14) X(t, pv, 15) X(t, pv, 16)
#if defined(__AVX512F__) && VW == 16
#define ALL1 UP_TO_16
#define ALL2 UP_TO_12
#define ALL3 UP_TO_8
#else
#define ALL1 UP_TO_8
#define ALL2 UP_TO_6
#define ALL3 UP_TO_4
#endif
ALL1(SIZE, 0, 1)
ALL2(SIZE, 0, 2)
ALL3(SIZE, 0, 3)
ALL1(SIZE, 1, 1)
ALL2(SIZE, 1, 2)
ALL3(SIZE, 1, 3)

#define NAME(t, pv, mr) micro_##t##_##pv##_##mr,
/* Indexed by T (0 or 1), pv - 1 (pv in [1, 3]) and mr - 1 (mr in [1, micro_rows[pv]]). */
static const micro_kernel micro_kernels[2][HDL_PV][16] = {{{ALL1(NAME, 0, 1)}, {ALL2(NAME, 0, 2)}, {ALL3(NAME, 0, 3)}},
                                                          {{ALL1(NAME, 1, 1)}, {ALL2(NAME, 1, 2)}, {ALL3(NAME, 1, 3)}}};

#undef SIZE
#undef NAME
#undef UP_TO_4
#undef UP_TO_6
#undef UP_TO_8
#undef UP_TO_12
#undef UP_TO_16
#undef ALL1
#undef ALL2
#undef ALL3
#endif
