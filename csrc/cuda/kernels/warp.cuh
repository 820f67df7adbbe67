/* warp.cuh: reduces over the lanes of a warp. */
#ifndef HDL_WARP_CUH
#define HDL_WARP_CUH

#include "portable.cuh"

namespace hdl {

static __device__ inline float warp_sum(float x) {
  for (int by = 16; by; by /= 2) x += __shfl_xor_sync(0xffffffffu, x, by);
  return x;
}
static __device__ inline float warp_max(float x) {
  for (int by = 16; by; by /= 2) x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, by));
  return x;
}
static __device__ inline int warp_min(int x) {
  for (int by = 16; by; by /= 2) x = min(x, __shfl_xor_sync(0xffffffffu, x, by));
  return x;
}

} // namespace hdl
#endif
