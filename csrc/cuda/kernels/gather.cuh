/* gather.cuh: gathers samples, a row a warp. */
#ifndef HDL_GATHER_CUH
#define HDL_GATHER_CUH

#include "minibatch.cuh"

namespace hdl {

/* Gathers row r: C [B, n] = the sample's values scaled, then dropped; D (if any) = before anything was dropped. */
static __device__ __noinline__ void gather(const minibatch &mb, const hdl_op &op, int r) {
  const hdl_data &data = mb.net->data;
  int lane = threadIdx.x & 31, n = mb.extent(op.n);
  int64_t i = mb.order[r];
  float *x = mb.locate(op.c) + (int64_t)r * op.c.ld, *whole = mb.locate(op.d);
  if (whole) whole += (int64_t)r * op.d.ld;
  auto put = [&](int u, float value) {
    if (data.scale) value *= data.scale[u];
    if (data.shift) value += data.shift[u];
    if (whole) whole[u] = value;
    if (op.drop) value = dropped(mb, op.drop, u, n, r, 0) ? -0.f : value * op.keep + 0.f;
    x[u] = value;
  };
  if (data.x_type == HDL_U8) {
    const uint8_t *from = (const uint8_t *)data.x + i * n;
    for (int u = lane; u < n; u += 32) put(u, (float)from[u]);
  } else if (data.x_type == HDL_F32) {
    const float *from = (const float *)data.x + i * n;
    for (int u = lane; u < n; u += 32) put(u, from[u]);
  } else {
    for (int u = lane; u < n; u += 32) {
      x[u] = 0;
      if (whole) whole[u] = 0;
    }
    __syncwarp();
    if (data.x_type == HDL_MIXED) { /* numbers, then of each category the one input that is 1 */
      int K = data.numbers, C = data.categories;
      for (int u = lane; u < K; u += 32) put(u, ((const float *)data.x)[i * K + u]);
      for (int c = lane; c < C; c += 32)
        if (data.codes[i * C + c] >= 0) put(data.codes[i * C + c], 1);
      return;
    }
    for (int64_t at = data.indptr[i] + lane; at < data.indptr[i + 1]; at += 32)
      put(data.indices[at], ((const float *)data.x)[at]);
  }
}

/* Fills row r: C = A, or x where there is none. */
static __device__ __noinline__ void fill(const minibatch &mb, const hdl_op &op, int r) {
  float *c = mb.locate(op.c) + (int64_t)r * op.c.ld, x = op.chains ? op.scalar * (float)mb.rows : op.scalar;
  const float *a = mb.locate(op.a);
  if (a) a += (int64_t)r * op.a.ld;
  for (int j = threadIdx.x & 31; j < op.n; j += 32) c[j] = a ? a[j] : x;
}

} // namespace hdl
#endif
