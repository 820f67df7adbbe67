/* micro.h: declares the inner loops of all dense products (kernels/micro.h), and who chooses those of bfloat16. */
#ifndef HDL_MICRO_TYPES_H
#define HDL_MICRO_TYPES_H

#include "../hdl.h"
#include <stdbool.h>

enum { HDL_PV = 3, HDL_MICRO_ROWS = 16 }; /* vectors, rows of a block of outputs, at most */

/* Two numbers of bfloat16 in the place of a float, neighbours along k: the even one in the lower half. */
typedef float hdl_pair;

typedef struct {
  float decay, eta;
} fused_sgd;

/* What is multiplied next, that it may be in L2 by then: its lines are asked for one at a time, one every `step` k. */
typedef struct {
  const char *at, *end;
  int step;
} micro_next;

/* Multiplies so many blocks, one below the other. next: NULL where all is near; else blocks, too, have to come from
 * beyond L1. */
typedef void (*micro_kernel)(micro_next *next, int groups, int K, const float *a, ptrdiff_t lda, const float *p,
                             ptrdiff_t ldp, const float *init, ptrdiff_t ldi, float *c, ptrdiff_t ldc,
                             const fused_sgd *sgd);
typedef struct {
  int rows[HDL_PV + 1]; /* the most, of each number of vectors */
  /* Indexed by T (0 or 1), pv - 1 (pv in [1, 3]) and mr - 1 (mr in [1, rows[pv]]). */
  micro_kernel of[2][HDL_PV][HDL_MICRO_ROWS];
} micro_table;

/* bf16.c: the kernels over pairs of bfloat16 of an instruction set: the processor's own where they pass a check */
const micro_table *hdl_bf16_kernels(hdl_isa isa);
#endif
