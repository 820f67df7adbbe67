/* micro.h: the one inner loop of all dense products.
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

#include "internal.h"
#include "vec.h"

typedef struct {
  float decay, eta;
} hdl_sgd;

typedef void (*hdl_micro)(int K, const float *a, ptrdiff_t lda, const float *p, ptrdiff_t ldp, const float *init,
                          ptrdiff_t ldi, float *c, ptrdiff_t ldc, const hdl_sgd *sgd);

#if defined(__AVX512F__) && VW == 16
enum { MR1 = 16, MR2 = 12, MR3 = 8 }; /* 32 registers */
#else
enum { MR1 = 8, MR2 = 6, MR3 = 4 }; /* 16 registers */
#endif
static const int hdl_rows[HDL_PV + 1] = {0, MR1, MR2, MR3};

/* T 0 or 1, pv in [1, 3], mr in [1, hdl_rows[pv]] */
extern const hdl_micro FN(micro)[2][HDL_PV][16];
#endif
