/* philox.h: the generator of rng.h, one counter a lane. */
#ifndef HDL_PHILOX_H
#define HDL_PHILOX_H

#include "../internal.h"
#include "vec.h"

/* One multiplication 32x32 -> 64 of all lanes. */
INLINE void vproduct(vu x, uint32_t m, vu *lo, vu *hi) {
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

/* words of the counters {j + lane, b, c, d} */
INLINE void vphilox(const uint32_t key[2], int j, uint32_t b, uint32_t c, uint32_t d, vu word[4]) {
  vu c0 = (vu)(viota() + viset(j)), c1 = (vu)viset((int32_t)b), c2 = (vu)viset((int32_t)c), c3 = (vu)viset((int32_t)d);
  uint32_t k0 = key[0], k1 = key[1];
  for (int round = 0; round < 10; round++) {
    vu l0, h0, l1, h1;
    vproduct(c0, HDL_PHILOX_M0, &l0, &h0);
    vproduct(c2, HDL_PHILOX_M1, &l1, &h1);
    c0 = h1 ^ c1 ^ k0, c1 = l1, c2 = h0 ^ c3 ^ k1, c3 = l0;
    k0 += HDL_PHILOX_W0, k1 += HDL_PHILOX_W1;
  }
  word[0] = c0, word[1] = c1, word[2] = c2, word[3] = c3;
}
#endif
