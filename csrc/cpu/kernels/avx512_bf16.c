/* avx512_bf16.c: the products of avx512 over pairs of bfloat16, by the processor's own instruction. */
#define VW 16
#define HDL_NATIVE_PAIRS hdl_native_pairs_avx512
#include "micro.h"
