/* generic.c: the kernels that run everywhere, in vectors of 4 lanes. */
#define VW 4
#define HDL_TABLE hdl_kernels_generic
#include "table.h"
