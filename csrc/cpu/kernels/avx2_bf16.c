/* avx2_bf16.c: the products of the instruction set avx2 over pairs of bfloat16, by the processor's own instruction. */
#define VW 8
#define HDL_NATIVE_PAIRS hdl_native_pairs_avx2
#include "micro.h"
