/* autoencoder.cuh: computes the sparsity gradient and the contractive term, a row or some columns a warp. */
#ifndef HDL_AUTOENCODER_CUH
#define HDL_AUTOENCODER_CUH

#include "activation.cuh"
#include "loss.cuh"

namespace hdl {

/* Gives the gradient of the sparsity cost by a code's bias, for the sum of its activations in the mini-batch. An
 * autoencoder's running mean moves first: beta KL(rho|rho_hat) by rho_hat (Ng 2011), which is 0 or 1 at least 1e-6 off,
 * where float32 sigmoids saturate. Without one it is beta (sum - B rho): Lee et al. 2008. */
static __device__ inline float sparsity_gradient(const minibatch &mb, const hdl_op &op, float sum, float *running) {
  if (!running) return op.beta * (sum - op.rho * (float)mb.rows);
  *running = op.scalar * *running + (1 - op.scalar) * (sum / (float)mb.rows);
  float mean = fminf(fmaxf(*running, 1e-6f), 1 - 1e-6f);
  return op.beta * ((1 - op.rho) / (1 - mean) - op.rho / mean);
}

/* Sums squares of columns 8*group … of A [k, n]: a quarter of the rows for each lane. */
static __device__ __noinline__ void squared_norms(const minibatch &mb, const hdl_op &op, int group) {
  int lane = threadIdx.x & 31, column = group * 8 + lane % 8, k = column < op.n ? mb.extent(op.k) : 0;
  const float *a = mb.locate(op.a) + column;
  float sum = 0;
#pragma unroll 4
  for (int i = lane / 8; i < k; i += 4) sum = fmaf(a[(int64_t)i * op.a.ld], a[(int64_t)i * op.a.ld], sum);
  sum += __shfl_xor_sync(0xffffffffu, sum, 8);
  sum += __shfl_xor_sync(0xffffffffu, sum, 16);
  if (lane < 8 && column < op.n) mb.locate(op.c)[column] = op.scalar * sum;
}

/* Adds the contractive term to the cost and delta of row r (Rifai et al. 2011). */
static __device__ __noinline__ void contractive_term(const minibatch &mb, const hdl_op &op, int r, uint32_t *failed) {
  const float *a = mb.locate(op.a) + (int64_t)r * op.a.ld, *norm = mb.locate(op.bias);
  float *delta = mb.locate(op.c) + (int64_t)r * op.c.ld, *slope = mb.locate(op.d) + (int64_t)r * op.d.ld, cost = 0;
  for (int j = threadIdx.x & 31; j < op.n; j += 32) {
    float f = slope[j] = derive(op.function, op.leak, a[j]);
    if (!norm) continue;
    float each = op.scalar * f * f * norm[j];
    delta[j] += each * curvature(op.function, a[j]);
    cost += 0.5f * each;
  }
  cost = warp_sum(cost);
  if (norm && !(threadIdx.x & 31)) add_cost(mb, r, cost, failed);
}

} // namespace hdl
#endif
