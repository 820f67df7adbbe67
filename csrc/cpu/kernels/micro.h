/* micro.h: runs the one inner loop of all dense products, compiled for every size of its block of outputs.
 *
 *   C [MR, PV vectors] = init + sum over k < K of A(r, k) * P [k, PV vectors]
 *   A(r, k) = a[r*lda + k], or a[k*lda + r] where T (then a's neighbours are rows, as in dW = X' D)
 *   init: [MR, ldi] or, with ldi 0, one row for all (a bias), or NULL for zero
 * Each output is one chain of multiply-adds in the order of k, so a product cut along k into several calls, each
 * taking the last one's C as init, gives the same bits. With `sgd` the epilogue is the update itself, in registers:
 *   C = decay*C - eta*sum
 * Factors may be pairs of bfloat16 (bf16.h): K counts pairs, and a, p and their distances are as if pairs were floats.
 * Of a pair the odd number's product is added first, then the even one's: so does the instruction VDPBF16PS, by which a
 * unit of HDL_NATIVE_PAIRS (avx2_bf16.c, avx512_bf16.c) adds both.
 * MR*PV accumulators hide the latency of the adder and, with PV loads and one broadcast, stay within the registers.
 */
#ifndef HDL_MICRO_H
#define HDL_MICRO_H

#include "../internal.h"
#include "vec.h"

enum { MICRO_STEP = 4 }; /* k between two lines that are asked for, at least */

#if defined(__AVX512F__) && VW == 16
enum { SPARE = 0, MR1 = 16, MR2 = 12, MR3 = 8 }; /* 32 registers */
#else
enum { SPARE = 1, MR1 = 8, MR2 = 6, MR3 = 4 }; /* 16 registers; less SPARE rows where halves are taken from pairs */
#endif

/* Asks for the next block: where its rows of A begin, and what its outputs are added to. */
INLINE void micro_ahead(const int T, const int MR, const int PV, const float *a, ptrdiff_t lda, const float *c,
                        ptrdiff_t ldc) {
#pragma GCC unroll 16
  for (int r = MR; r < 2 * MR; r++) {
    __builtin_prefetch(c + r * ldc, 1), __builtin_prefetch(c + r * ldc + PV * VW - 1, 1);
    if (!T) __builtin_prefetch(a + r * lda), __builtin_prefetch(a + r * lda + 16);
  }
}

/* Has n floats at p asked for while so many blocks are multiplied, each over K. */
INLINE micro_next ask_meanwhile(const float *p, int n, int blocks, int K) {
  int lines = (n + 15) / 16, step = lines ? (int)((int64_t)blocks * K / lines) : K;
  return (micro_next){(const char *)p, (const char *)(p + n), step > MICRO_STEP ? step : MICRO_STEP};
}

/* What a and p hold: numbers, or pairs; pairs that the processor adds itself. */
enum { SINGLE, PAIRS, NATIVE };

/* Reads a vector of numbers, or of the odd (half 1) or even (half 0) numbers of pairs. */
INLINE vf micro_load(const int kind, const int half, const float *p) {
  if (kind != PAIRS) return vload(p);
  vu both = *(const vu *)p;
  return half ? (vf)(both & 0xffff0000u) : (vf)(both << 16);
}
/* Does so with one number, or pair, in all lanes. */
INLINE vf micro_set(const int kind, const int half, const float *a) {
  if (kind == SINGLE) return vset(*a);
  int32_t bits;
  memcpy(&bits, a, sizeof bits);
  vu both = (vu)viset(bits);
  if (kind == NATIVE) return (vf)both;
  IN_REGISTER(both); /* else both halves are taken before they are in all lanes, one at a time */
  return half ? (vf)(both & 0xffff0000u) : (vf)(both << 16);
}
#if defined(HDL_NATIVE_ADD) /* tests: what the instruction is said to do */
INLINE vf micro_add(vf x, vf q, vf acc) { return HDL_NATIVE_ADD(acc, x, q); }
#elif defined(HDL_NATIVE_PAIRS) && VW == 16
INLINE vf micro_add(vf x, vf q, vf acc) { return (vf)_mm512_dpbf16_ps((__m512)acc, (__m512bh)x, (__m512bh)q); }
#elif defined(HDL_NATIVE_PAIRS)
INLINE vf micro_add(vf x, vf q, vf acc) { return (vf)_mm256_dpbf16_ps((__m256)acc, (__m256bh)x, (__m256bh)q); }
#else
INLINE vf micro_add(vf x, vf q, vf acc) { return vfma(x, q, acc); }
#endif

/* Begins sums with numbers; a bias (ldi 0) of pairs' products has no bits that would make a sum denormal (bf16.h). */
INLINE vf micro_begin(const int kind, ptrdiff_t ldi, vf x) {
  if (kind == SINGLE || ldi) return x;
  return vkeep(x, ~(vabs(x) < vset(0x1p-102f)));
}

INLINE void micro_body(const int kind, const int T, const int MR, const int PV, micro_next *next, int K, const float *a,
                       ptrdiff_t lda, const float *p, ptrdiff_t ldp, const float *init, ptrdiff_t ldi, float *c,
                       ptrdiff_t ldc, const fused_sgd *sgd) {
  vf acc[16][HDL_PV];
  if (init) {
#pragma GCC unroll 16
    for (int r = 0; r < MR; r++)
#pragma GCC unroll 3
      for (int v = 0; v < PV; v++) acc[r][v] = micro_begin(kind, ldi, vload(init + r * ldi + v * VW));
  } else {
#pragma GCC unroll 16
    for (int r = 0; r < MR; r++)
#pragma GCC unroll 3
      for (int v = 0; v < PV; v++) acc[r][v] = (vf){0};
  }
  for (int left = K, step; left > 0; left -= step) {
    step = left;
    if (next && next->at < next->end) {
      if (step > next->step) step = next->step;
      __builtin_prefetch(next->at, 0, 2), next->at += 64;
    }
    for (int k = 0; k < step; k++, p += ldp, a += T ? lda : 1) {
#pragma GCC unroll 2
      for (int half = kind == PAIRS; half >= 0; half--) {
        /* both halves would else keep p and a in registers, which sums need */
        if (kind == PAIRS) __asm__ volatile("" ::: "memory");
        vf q[HDL_PV];
#pragma GCC unroll 3
        for (int v = 0; v < PV; v++) {
          q[v] = micro_load(kind, half, p + v * VW);
          IN_REGISTER(q[v]);
        }
#pragma GCC unroll 16
        for (int r = 0; r < MR; r++) {
          vf x = micro_set(kind, half, T ? a + r : a + r * lda);
#pragma GCC unroll 3
          for (int v = 0; v < PV; v++) acc[r][v] = micro_add(x, q[v], acc[r][v]);
        }
      }
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

#define SIZE(kind, t, pv, mr)                                                                                          \
  static void micro_##kind##_##t##_##pv##_##mr(micro_next *next, int groups, int K, const float *a, ptrdiff_t lda,     \
                                               const float *p, ptrdiff_t ldp, const float *init, ptrdiff_t ldi,        \
                                               float *c, ptrdiff_t ldc, const fused_sgd *sgd) {                        \
    for (int g = 0; g < groups; g++, a += t ? mr : mr * lda, c += mr * ldc) {                                          \
      if (next) micro_ahead(t, mr, pv, a, lda, c, ldc);                                                                \
      micro_body(kind, t, mr, pv, next, K, a, lda, p, ldp, init, ldi, c, ldc, sgd);                                    \
      if (init) init += mr * ldi;                                                                                      \
    }                                                                                                                  \
  }
#define NAME(kind, t, pv, mr) micro_##kind##_##t##_##pv##_##mr,
// clang-format off: lists of macros are no statements, each pass breaks them elsewhere
#define UP_TO_4(X, k, t, pv) X(k, t, pv, 1) X(k, t, pv, 2) X(k, t, pv, 3) X(k, t, pv, 4)
#define UP_TO_6(X, k, t, pv) UP_TO_4(X, k, t, pv) X(k, t, pv, 5) X(k, t, pv, 6)
#define UP_TO_8(X, k, t, pv) UP_TO_6(X, k, t, pv) X(k, t, pv, 7) X(k, t, pv, 8)
#define UP_TO_12(X, k, t, pv) UP_TO_8(X, k, t, pv) X(k, t, pv, 9) X(k, t, pv, 10) X(k, t, pv, 11) X(k, t, pv, 12)
#define UP_TO_16(X, k, t, pv) UP_TO_12(X, k, t, pv) X(k, t, pv, 13) X(k, t, pv, 14) X(k, t, pv, 15) X(k, t, pv, 16)
#if defined(__AVX512F__) && VW == 16
#define ALL1 UP_TO_16
#define ALL2 UP_TO_12
#define ALL3 UP_TO_8
#else
#define ALL1 UP_TO_8
#define ALL2 UP_TO_6
#define ALL3 UP_TO_4
#endif
#define SIZES(kind)                                                                                                    \
  ALL1(SIZE, kind, 0, 1) ALL2(SIZE, kind, 0, 2) ALL3(SIZE, kind, 0, 3)                                                 \
  ALL1(SIZE, kind, 1, 1) ALL2(SIZE, kind, 1, 2) ALL3(SIZE, kind, 1, 3)
#define MICRO_TABLE(kind, spare)                                                                                       \
  {{0, MR1 - spare, MR2 - spare, MR3 - spare},                                                                         \
   {{{ALL1(NAME, kind, 0, 1)}, {ALL2(NAME, kind, 0, 2)}, {ALL3(NAME, kind, 0, 3)}},                                    \
    {{ALL1(NAME, kind, 1, 1)}, {ALL2(NAME, kind, 1, 2)}, {ALL3(NAME, kind, 1, 3)}}}}
#ifdef HDL_NATIVE_PAIRS
SIZES(NATIVE)
const micro_table HDL_NATIVE_PAIRS = MICRO_TABLE(NATIVE, 0);
#else
SIZES(SINGLE)
SIZES(PAIRS)
static const micro_table micro_single = MICRO_TABLE(SINGLE, 0), micro_pairs = MICRO_TABLE(PAIRS, SPARE);
#endif
// clang-format on

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
#undef SIZES
#undef MICRO_TABLE
#endif
