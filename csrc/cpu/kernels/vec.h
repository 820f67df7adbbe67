/* vec.h: float vectors of VW lanes. The files of this folder are written once and compiled once an instruction set, as
 * one unit (table.h) in which VW is 4, 8 or 16. GCC's vector extensions carry the arithmetic; intrinsics only where the
 * compiler would need several instructions. A width without its own intrinsics is split by the compiler, which is how
 * the 16-lane source is tested on processors that have 8.
 */
#ifndef HDL_VEC_H
#define HDL_VEC_H

#include <math.h>
#include <stdint.h>
#include <string.h>
#if defined(__SSE2__)
#include <immintrin.h>
#endif

#define INLINE static inline __attribute__((always_inline))

/* A function that others call, compiled by itself: neither inlined nor specialised for a caller. The compiler turns a
 * product and a sum into one instruction, with one rounding, wherever it sees both; so who else calls a function, or
 * with which constants, would decide the bits of weights. */
#if defined(__clang__)
#define KERNEL static __attribute__((noinline))
#else
#define KERNEL static __attribute__((noipa))
#endif

typedef float vf __attribute__((vector_size(4 * VW), may_alias));
typedef float vfu __attribute__((vector_size(4 * VW), aligned(4), may_alias));
typedef int32_t vi __attribute__((vector_size(4 * VW), may_alias));
typedef uint32_t vu __attribute__((vector_size(4 * VW), may_alias));

/* Keeps x in a register: the compiler would else load it again as the operand of every instruction that uses it. */
#if (VW == 16 && defined(__AVX512F__)) || (VW == 8 && defined(__AVX2__)) || (VW == 4 && defined(__SSE2__))
#define IN_REGISTER(x) __asm__("" : "+v"(x))
#else
#define IN_REGISTER(x) (void)(x)
#endif

INLINE vf vload(const float *p) { return *(const vf *)p; }
INLINE vf vloadu(const float *p) { return *(const vfu *)p; }
INLINE void vstore(float *p, vf x) { *(vf *)p = x; }
INLINE vf vset(float x) { return x - (vf){0}; } /* one broadcast: x - 0 is x, also for -0 */
INLINE vi viset(int32_t x) { return x - (vi){0}; }
INLINE vf vfma(vf a, vf b, vf c) { return a * b + c; } /* contracted where the processor has FMA */
INLINE vf vsel(vi mask, vf a, vf b) { return (vf)((mask & (vi)a) | (~mask & (vi)b)); }
INLINE vi viota(void) {
  vi x;
  for (int i = 0; i < VW; i++) x[i] = i;
  return x;
}
INLINE vi vmask(int n) { return viota() < viset(n); } /* all ones in the first n lanes */
INLINE vf vkeep(vf x, vi mask) { return (vf)((vi)x & mask); }
INLINE vf vabs(vf x) { return (vf)((vi)x & viset(0x7fffffff)); }

/* Asks for `rows` rows of nv vectors, which are then read and written, to be in L1 when it comes to them. */
INLINE void prefetch_rows(const float *p, ptrdiff_t ld, int rows, int nv) {
  for (int r = 0; r < rows; r++)
    for (int i = 0; i < nv * VW + 15; i += 16) __builtin_prefetch(p + r * ld + (i < nv * VW ? i : nv * VW - 1), 1);
}

/* max and min against a constant c; a NaN in x stays a NaN */
#if VW == 16 && defined(__AVX512F__)
INLINE vf vmax(vf x, vf c) { return (vf)_mm512_max_ps((__m512)c, (__m512)x); }
INLINE vf vmin(vf x, vf c) { return (vf)_mm512_min_ps((__m512)c, (__m512)x); }
INLINE vf vsqrt(vf x) { return (vf)_mm512_sqrt_ps((__m512)x); }
#elif VW == 8 && defined(__AVX2__)
INLINE vf vmax(vf x, vf c) { return (vf)_mm256_max_ps((__m256)c, (__m256)x); }
INLINE vf vmin(vf x, vf c) { return (vf)_mm256_min_ps((__m256)c, (__m256)x); }
INLINE vf vsqrt(vf x) { return (vf)_mm256_sqrt_ps((__m256)x); }
#elif VW == 4 && defined(__SSE2__)
INLINE vf vmax(vf x, vf c) { return (vf)_mm_max_ps((__m128)c, (__m128)x); }
INLINE vf vmin(vf x, vf c) { return (vf)_mm_min_ps((__m128)c, (__m128)x); }
INLINE vf vsqrt(vf x) { return (vf)_mm_sqrt_ps((__m128)x); }
#else
INLINE vf vmax(vf x, vf c) { return vsel(x < c, c, x); }
INLINE vf vmin(vf x, vf c) { return vsel(x > c, c, x); }
INLINE vf vsqrt(vf x) {
  for (int i = 0; i < VW; i++) x[i] = sqrtf(x[i]);
  return x;
}
#endif

/* Shuffles on 128-bit lanes, and of whole lanes (h = 1: neighbours, h = 2: pairs of lanes). */
#define SHUF(...) __builtin_shufflevector(a, b, __VA_ARGS__)
#if VW == 4
INLINE vf vlo(vf a, vf b) { return SHUF(0, 4, 1, 5); }
INLINE vf vhi(vf a, vf b) { return SHUF(2, 6, 3, 7); }
INLINE vf vlo2(vf a, vf b) { return SHUF(0, 1, 4, 5); }
INLINE vf vhi2(vf a, vf b) { return SHUF(2, 3, 6, 7); }
#elif VW == 8
INLINE vf vlo(vf a, vf b) { return SHUF(0, 8, 1, 9, 4, 12, 5, 13); }
INLINE vf vhi(vf a, vf b) { return SHUF(2, 10, 3, 11, 6, 14, 7, 15); }
INLINE vf vlo2(vf a, vf b) { return SHUF(0, 1, 8, 9, 4, 5, 12, 13); }
INLINE vf vhi2(vf a, vf b) { return SHUF(2, 3, 10, 11, 6, 7, 14, 15); }
INLINE vf vlane1(vf a, vf b) { return SHUF(0, 1, 2, 3, 8, 9, 10, 11); }
INLINE vf vlane2(vf a, vf b) { return SHUF(4, 5, 6, 7, 12, 13, 14, 15); }
#elif VW == 16
INLINE vf vlo(vf a, vf b) { return SHUF(0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29); }
INLINE vf vhi(vf a, vf b) { return SHUF(2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31); }
INLINE vf vlo2(vf a, vf b) { return SHUF(0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29); }
INLINE vf vhi2(vf a, vf b) { return SHUF(2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31); }
INLINE vf vlane1(vf a, vf b) { return SHUF(0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27); }
INLINE vf vlane2(vf a, vf b) { return SHUF(4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31); }
INLINE vf vpair1(vf a, vf b) { return SHUF(0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23); }
INLINE vf vpair2(vf a, vf b) { return SHUF(8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31); }
#endif

/* r [VW][VW] in registers becomes its transpose */
INLINE void vtranspose(vf r[VW]) {
#pragma GCC unroll 16
  for (int i = 0; i < VW; i += 4) { /* 4x4 inside each 128-bit lane */
    vf a = vlo(r[i], r[i + 1]), b = vhi(r[i], r[i + 1]), c = vlo(r[i + 2], r[i + 3]), d = vhi(r[i + 2], r[i + 3]);
    r[i] = vlo2(a, c), r[i + 1] = vhi2(a, c), r[i + 2] = vlo2(b, d), r[i + 3] = vhi2(b, d);
  }
#if VW >= 8
#pragma GCC unroll 16
  for (int i = 0; i < VW; i++)
    if (!(i & 4)) {
      vf a = r[i], b = r[i + 4];
      r[i] = vlane1(a, b), r[i + 4] = vlane2(a, b);
    }
#endif
#if VW >= 16
#pragma GCC unroll 16
  for (int i = 0; i < 8; i++) {
    vf a = r[i], b = r[i + 8];
    r[i] = vpair1(a, b), r[i + 8] = vpair2(a, b);
  }
#endif
}

typedef float vf4 __attribute__((vector_size(16), may_alias));
typedef float vf4u __attribute__((vector_size(16), aligned(4), may_alias));

/* {sum a, sum b, sum c, sum d}, each in the same fixed order */
INLINE vf4 vsum4(vf a, vf b, vf c, vf d) {
  vf t = vlo(a, b) + vhi(a, b), u = vlo(c, d) + vhi(c, d);
  vf s = vlo2(t, u) + vhi2(t, u);
#if VW == 4
  return s;
#elif VW == 8
  return __builtin_shufflevector(s, s, 0, 1, 2, 3) + __builtin_shufflevector(s, s, 4, 5, 6, 7);
#else
  return (__builtin_shufflevector(s, s, 0, 1, 2, 3) + __builtin_shufflevector(s, s, 4, 5, 6, 7)) +
         (__builtin_shufflevector(s, s, 8, 9, 10, 11) + __builtin_shufflevector(s, s, 12, 13, 14, 15));
#endif
}
INLINE float vsum(vf a) { return vsum4(a, a, a, a)[0]; }
INLINE vf4 max4(vf4 a, vf4 b) {
#if defined(__SSE2__)
  return (vf4)_mm_max_ps((__m128)a, (__m128)b);
#else
  for (int i = 0; i < 4; i++) a[i] = a[i] > b[i] ? a[i] : b[i];
  return a;
#endif
}
INLINE float vmaximum(vf x) {
#if VW == 4
  vf4 m = x;
#else
  vf4 m = max4(__builtin_shufflevector(x, x, 0, 1, 2, 3), __builtin_shufflevector(x, x, 4, 5, 6, 7));
#endif
#if VW == 16
  m = max4(m, max4(__builtin_shufflevector(x, x, 8, 9, 10, 11), __builtin_shufflevector(x, x, 12, 13, 14, 15)));
#endif
  m = max4(m, __builtin_shufflevector(m, m, 2, 3, 0, 1));
  m = max4(m, __builtin_shufflevector(m, m, 1, 0, 3, 2));
  return m[0];
}

/* e^x within 1 ulp for -87.3 < x < 88.3, clamped outside, NaN stays (Cephes expf) */
INLINE vf vexp(vf x) {
  x = vmin(vmax(x, vset(-87.3f)), vset(88.3f));
  vf t = vfma(x, vset(1.44269504f), vset(12582912.f)), n = t - 12582912.f; /* round to an integer */
  vf r = vfma(n, vset(-0.693359375f), x);
  r = vfma(n, vset(2.12194440e-4f), r);
  vf p = vfma(vset(1.9875691500e-4f), r, vset(1.3981999507e-3f));
  p = vfma(p, r, vset(8.3334519073e-3f));
  p = vfma(p, r, vset(4.1665795894e-2f));
  p = vfma(p, r, vset(1.6666665459e-1f));
  p = vfma(p, r, vset(5.0000001201e-1f));
  p = vfma(p, r * r, r) + 1.f;
  return p * (vf)(((vu)t << 23) + 0x3f800000u);
}

/* ln x for normal x > 0, NaN and infinity stay (Cephes logf) */
INLINE vf vlog(vf x) {
  vi e = (vi)(((vu)x >> 23)) - 126, big;
  vf m = (vf)(((vi)x & 0x007fffff) | 0x3f000000); /* [0.5, 1) */
  big = m < vset(0.707106781f);
  e += big; /* one less where m is doubled */
  m = m + vkeep(m, big) - 1.f;
  vf z = m * m, n = __builtin_convertvector(e, vf);
  vf p = vfma(vset(7.0376836292e-2f), m, vset(-1.1514610310e-1f));
  p = vfma(p, m, vset(1.1676998740e-1f));
  p = vfma(p, m, vset(-1.2420140846e-1f));
  p = vfma(p, m, vset(1.4249322787e-1f));
  p = vfma(p, m, vset(-1.6668057665e-1f));
  p = vfma(p, m, vset(2.0000714765e-1f));
  p = vfma(p, m, vset(-2.4999993993e-1f));
  p = vfma(p, m, vset(3.3333331174e-1f));
  p = p * m * z;
  p = vfma(n, vset(-2.12194440e-4f), p);
  p = vfma(z, vset(-0.5f), p);
  vf y = vfma(n, vset(0.693359375f), m + p);
  return vsel(x < vset(INFINITY), y, x);
}

INLINE vf vsigmoid(vf x) { return 1.f / (1.f + vexp(-x)); }

/* tanh x: rational function of degree 13 over 6 (Eigen's coefficients), saturating, a few ulp; NaN stays */
INLINE vf vtanh(vf x) {
  x = vmin(vmax(x, vset(-7.90531110763549805f)), vset(7.90531110763549805f));
  vf z = x * x;
  vf p = vfma(z, vset(-2.76076847742355e-16f), vset(2.00018790482477e-13f));
  p = vfma(z, p, vset(-8.60467152213735e-11f));
  p = vfma(z, p, vset(5.12229709037114e-08f));
  p = vfma(z, p, vset(1.48572235717979e-05f));
  p = vfma(z, p, vset(6.37261928875436e-04f));
  p = vfma(z, p, vset(4.89352455891786e-03f));
  vf q = vfma(z, vset(1.19825839466702e-06f), vset(1.18534705686654e-04f));
  q = vfma(z, q, vset(2.26843463243900e-03f));
  q = vfma(z, q, vset(4.89352518554385e-03f));
  return x * p / q;
}

#endif
