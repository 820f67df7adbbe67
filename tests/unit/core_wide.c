/* core_wide.c: the kernels of 16 lanes, each vector split into smaller ones, for processors that have 8. Built by
 * test_cpu_sanitizers.py. */
#define VW 16
#define HDL_TABLE hdl_kernels_wide
#include "cpu/kernels/table.h"
