/* core_native.c: the kernels for a processor's own instruction, with what Intel says of VDPBF16PS in its place: the odd
 * product is added first, then the even one, each sum rounded, no denormals. Built by test_cpu_sanitizers.py. */
#define VW 8
#define HDL_NATIVE_PAIRS hdl_native_pairs_emulated
#define HDL_NATIVE_ADD vdpbf16ps
#include "cpu/kernels/vec.h"

static float flushed(float x) { return fabsf(x) < 0x1p-126f ? copysignf(0, x) : x; }

static vf vdpbf16ps(vf acc, vf x, vf q) {
  for (int lane = 0; lane < VW; lane++)
    for (int half = 1; half >= 0; half--) {
      vu a = (vu)x, b = (vu)q;
      uint32_t one = half ? a[lane] & 0xffff0000u : a[lane] << 16, other = half ? b[lane] & 0xffff0000u : b[lane] << 16;
      float f, g;
      memcpy(&f, &one, 4), memcpy(&g, &other, 4);
      acc[lane] = flushed(fmaf(flushed(f), flushed(g), flushed(acc[lane])));
    }
  return acc;
}
#include "cpu/kernels/micro.h"
