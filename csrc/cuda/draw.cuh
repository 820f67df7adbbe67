/* draw.cuh: what restricted Boltzmann machines draw, and where sparse codes are pushed to. */
#ifndef HDL_DRAW_CUH
#define HDL_DRAW_CUH

#include "machine.cuh"

namespace hdl {

/* Standard normal number of a uniform one: inverse distribution function, AS 241 PPND7 (Wichura 1988), relative error
 * about 1e-7; uniform numbers here are never so near 0 or 1 that its far tail is needed. */
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

/* Unit u of n in a row, drawn: 1 with probability `mean` or, if gaussian, about it; see rng.h. */
static __device__ __noinline__ float drawn(const turn &t, const hdl_op &o, int row, int u, int n, float mean) {
  int blocks = HDL_DRAW_BLOCKS(n);
  int64_t first = o.chains ? 0 : t.draw_row;
  uint32_t x[4] = {(uint32_t)(u % blocks), (uint32_t)(first + row), t.draw_step, (uint32_t)o.layer};
  const uint32_t *key = t.rule->key + 2 * o.chains;
  hdl_philox(x, key[0], key[1]);
  float uniform = ((float)(x[u / blocks] >> 9) + 0.5f) * 0x1p-23f;
  return o.function == HDL_LINEAR ? mean + normal(uniform) : uniform < mean;
}

/* What a code's bias is pushed by, given the sum of its activations in the mini-batch. An autoencoder's running mean
 * moves first: beta KL(rho|rho_hat) by rho_hat (Ng 2011), which is 0 or 1 at least 1e-6 off, where float32 sigmoids
 * saturate. Without one it is beta (sum - B rho): Lee et al. 2008. */
static __device__ inline float pushed(const turn &t, const hdl_op &o, float sum, float *running) {
  if (!running) return o.beta * (sum - o.rho * (float)t.rows);
  *running = o.x * *running + (1 - o.x) * (sum / (float)t.rows);
  float mean = fminf(fmaxf(*running, 1e-6f), 1 - 1e-6f);
  return o.beta * ((1 - o.rho) / (1 - mean) - o.rho / mean);
}

} // namespace hdl
#endif
