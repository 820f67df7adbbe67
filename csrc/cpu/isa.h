/* isa.h: declares the kernels of each instruction set, NULL where this machine lacks it. */
#ifndef HDL_ISA_H
#define HDL_ISA_H
#include "internal.h"
const hdl_kernels *hdl_isa_kernels(hdl_isa isa);
#endif
