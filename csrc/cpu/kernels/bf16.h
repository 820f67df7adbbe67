/* bf16.h: rounds what products multiply to bfloat16, in pairs along k. Sums, weights and all else stay float32.
 *
 * A factor is rounded to the nearest number of 8 bits of mantissa, of two the even one; one below 2^-56 counts as 0. So
 * a product is exact in float32 and a multiple of 2^-126, as is every sum that begins at one: nothing is denormal, and
 * it does not matter whether a processor flushes those, nor whether it rounds a product before it adds it. The order
 * alone is left, which micro.h has. That needs biases without what is below 2^-102 as well.
 */
#ifndef HDL_BF16_KERNELS_H
#define HDL_BF16_KERNELS_H

#include "../internal.h"
#include "vec.h"

/* Rounds to bfloat16: the bits of a float32 whose lower half is 0. */
INLINE vu round_bf16(vf x) {
  vu u = (vu)x, even = (u >> 16) & 1u, near = u + even + 0x7fffu;
  vi small = vabs(x) < vset(0x1p-56f), number = x == x;
  return ((near & (vu)number) | ((u | 0x400000u) & (vu)~number)) & (vu)~small & 0xffff0000u;
}

/* Gives the pairs of two vectors' numbers. */
INLINE vf pair_of(vf even, vf odd) { return (vf)(round_bf16(even) >> 16 | round_bf16(odd)); }

/* Stores the pairs of neighbours in a vector: half as many floats. */
INLINE void store_neighbours(hdl_pair *out, vf x) {
  typedef uint64_t vq __attribute__((vector_size(4 * VW)));
  typedef uint32_t half __attribute__((vector_size(2 * VW)));
  typedef uint32_t anywhere __attribute__((vector_size(2 * VW), aligned(4), may_alias));
  vq bits = (vq)round_bf16(x); /* the even number is the lower half of 64 bits */
  *(anywhere *)out = (anywhere) __builtin_convertvector((bits >> 16 & 0xffffu) | bits >> 32, half);
}

/* Rounds rows X [rows, n] in pairs of columns: out [rows, ldo]. Padding of X is 0. */
KERNEL void pair_columns(const float *x, int ldx, int rows, int n, hdl_pair *out, int ldo) {
  for (int r = 0; r < rows; r++)
    for (int i = 0; i < n; i += VW)
      store_neighbours(out + (ptrdiff_t)r * ldo + i / 2, vload(x + (ptrdiff_t)r * ldx + i));
}

/* Rounds rows X [rows, nv vectors] in pairs of rows: out [rows / 2, ldo]; a last row without another is beside 0. */
KERNEL void pair_rows(const float *x, int ldx, int rows, int nv, hdl_pair *out, int ldo) {
  for (int r = 0; r < rows; r += 2)
    for (int v = 0; v < nv; v++) {
      const float *even = x + (ptrdiff_t)r * ldx + v * VW;
      vstore(out + (ptrdiff_t)(r / 2) * ldo + v * VW, pair_of(vload(even), r + 1 < rows ? vload(even + ldx) : (vf){0}));
    }
}
#endif
