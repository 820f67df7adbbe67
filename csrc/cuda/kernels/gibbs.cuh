/* gibbs.cuh: draws units of restricted Boltzmann machines. */
#ifndef HDL_GIBBS_CUH
#define HDL_GIBBS_CUH

#include "minibatch.cuh"

namespace hdl {

/* Turns a uniform number into a standard normal one: inverse distribution function, AS 241 PPND7 (Wichura 1988),
 * relative error about 1e-7; uniform numbers here are never so near 0 or 1 that its far tail is needed. */
static __device__ inline float normal(float u) {
  float q = u - 0.5f;
  if (fabsf(q) <= 0.425f) {
    float r = 0.180625f - q * q;
    float a = ((59.10937472f * r + 159.29113202f) * r + 50.434271938f) * r + 3.3871327179f;
    return q * a / (((67.1875636f * r + 78.757757664f) * r + 17.895169469f) * r + 1);
  }
  float s = sqrtf(-logf(q < 0 ? u : 1 - u)) - 1.6f;
  float c = ((0.17023821103f * s + 1.3067284816f) * s + 2.75681539f) * s + 1.4234372777f;
  return copysignf(c / ((0.12021132975f * s + 0.7370016425f) * s + 1), q);
}

/* Draws unit u of n in a row: 1 with probability `mean` or, if gaussian, about it; see rng.h. */
static __device__ __noinline__ float draw_unit(const minibatch &mb, const hdl_op &op, int row, int u, int n,
                                               float mean) {
  int blocks = HDL_DRAW_BLOCKS(n);
  int64_t first = op.chains ? 0 : mb.draw_row;
  uint32_t x[4] = {(uint32_t)(u % blocks), (uint32_t)(first + row), mb.draw_step, (uint32_t)op.layer};
  const uint32_t *key = mb.rule->key + 2 * op.chains;
  hdl_philox(x, key[0], key[1]);
  float uniform = ((float)(x[u / blocks] >> 9) + 0.5f) * 0x1p-23f;
  return op.function == HDL_LINEAR ? mean + normal(uniform) : uniform < mean;
}

} // namespace hdl
#endif
