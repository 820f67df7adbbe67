/* avx512.c: the kernels of the instruction set avx512, in vectors of 16 lanes; setup.py has its flags. */
#define VW 16
#define HDL_TABLE hdl_kernels_avx512
#include "table.h"
