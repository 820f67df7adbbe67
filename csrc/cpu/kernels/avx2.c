/* avx2.c: the kernels of the instruction set avx2, in vectors of 8 lanes; setup.py has its flags. */
#define VW 8
#define HDL_TABLE hdl_kernels_avx2
#include "table.h"
