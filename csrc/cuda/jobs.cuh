/* jobs.cuh: operations that are no products, a row (or 32 columns) a warp: samples gathered, costs, norms limited. */
#ifndef HDL_JOBS_CUH
#define HDL_JOBS_CUH

#include "machine.cuh"

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

/* Row r of C [B, n] = the sample's values scaled, then dropped; D (if any) = before anything was dropped. */
static __device__ __noinline__ void gather(const turn &t, const hdl_op &o, int r) {
  const hdl_data &data = t.own->data;
  int lane = threadIdx.x & 31, n = t.extent(o.n);
  int64_t i = t.order[r];
  float *x = t(o.c) + (int64_t)r * o.c.ld, *whole = t(o.d);
  if (whole) whole += (int64_t)r * o.d.ld;
  auto put = [&](int u, float value) {
    if (data.scale) value *= data.scale[u];
    if (data.shift) value += data.shift[u];
    if (whole) whole[u] = value;
    if (o.drop) value = dropped(t, o.drop, u, n, r, 0) ? -0.f : value * o.keep + 0.f;
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
    for (int64_t at = data.indptr[i] + lane; at < data.indptr[i + 1]; at += 32)
      put(data.indices[at], ((const float *)data.x)[at]);
  }
}

/* Row r: output, cost and delta; hdl_loss. Cross-entropies come straight from z: no logarithm of 0 is ever taken. */
static __device__ __noinline__ void loss(const turn &t, const hdl_op &o, int r, uint32_t *failed) {
  const hdl_cuda_call &call = *t.call;
  int lane = threadIdx.x & 31, n = o.n;
  int64_t sample = t.order[r];
  const float *z = t(o.a) + (int64_t)r * o.a.ld, *goal = t(o.b);
  float *delta = t(o.c), *out = t(o.d);
  if (delta) delta += (int64_t)r * o.c.ld;
  if (out) out += (int64_t)r * o.d.ld;
  bool classes = !goal && t.own->data.y_type == HDL_CLASS, scored = t.own->scored;
  int label = scored && classes ? ((const int32_t *)t.own->data.y)[sample] : -1;
  if (goal)
    goal += (int64_t)r * o.b.ld;
  else if (scored && !classes)
    goal = (const float *)t.own->data.y + sample * n;
  auto wanted = [&](int j) { return goal ? goal[j] : j == label ? 1.f : 0.f; };

  float cost = 0;
  int right = 0;
  if (o.function == HDL_SOFTMAX) {
    float most = -INFINITY, best = -INFINITY, sum = 0, weight = 0, rest = 0;
    for (int j = lane; j < n; j += 32) {
      most = fmaxf(most, z[j]);
      if (scored) best = fmaxf(best, wanted(j));
    }
    most = warp_max(most), best = warp_max(best);
    int first = n, first_best = n; /* the first of several largest */
    for (int j = n - 1 - (n - 1 - lane) % 32; n > lane && j >= 0; j -= 32) {
      if (z[j] == most) first = j;
      if (scored && wanted(j) == best) first_best = j;
    }
    for (int j = lane; j < n; j += 32) {
      sum += expf(z[j] - most);
      if (scored) weight += wanted(j), rest += wanted(j) == 0 ? 0 : wanted(j) * (most - z[j]);
    }
    sum = warp_sum(sum), weight = warp_sum(weight), rest = warp_sum(rest);
    right = warp_min(first) == warp_min(first_best);
    cost = weight * logf(sum) + rest;
    for (int j = lane; j < n; j += 32) {
      float p = expf(z[j] - most) / sum;
      if (out) out[j] = p;
      if (delta) delta[j] = p - wanted(j);
    }
    if (!(fabsf(sum) < INFINITY)) cost = sum; /* NaN in some output, whatever the targets */
  } else {
    int wrong = 0;
    for (int j = lane; j < n; j += 32) {
      float x = z[j], y = scored ? wanted(j) : 0, p = x;
      if (o.function == HDL_SIGMOID_CE) {
        float e = expf(-fabsf(x));
        p = (x < 0 ? e : 1) / (1 + e);
        cost += fmaxf(x, 0) - x * y + logf(1 + e);
        wrong |= (x >= 0) != (y >= 0.5f);
      } else {
        if (o.function == HDL_SIGMOID_SQUARED) p = 1 / (1 + expf(-x));
        cost += 0.5f * (p - y) * (p - y);
        wrong = 1;
      }
      if (out) out[j] = p;
      if (delta) delta[j] = (p - y) * (o.function == HDL_SIGMOID_SQUARED ? p * (1 - p) : 1);
    }
    cost = warp_sum(cost);
    right = warp_min(!wrong);
  }
  if (lane || !scored) return;
  int64_t slot = (int64_t)t.net * call.rows + r; /* only this warp, in this step */
  call.cost[slot] += cost;
  call.correct[slot] += right;
  if (!(fabsf(cost) < INFINITY)) *failed = (uint32_t)t.step + 1; /* whoever writes, writes the same */
}

/* Columns 32*group … of W [k, n]: scaled back to the rule's max_norm (Srivastava et al. 2014, section 5.1). */
static __device__ inline void limit(const turn &t, const hdl_op &o, int group) {
  int column = group * 32 + (threadIdx.x & 31);
  if (column >= o.n || !(t.rule->max_norm > 0)) return;
  float *w = t(o.c) + column, sum = 0;
  for (int i = 0; i < o.k; i++) sum = fmaf(w[(int64_t)i * o.c.ld], w[(int64_t)i * o.c.ld], sum);
  float norm = sqrtf(sum);
  if (norm > t.rule->max_norm)
    for (int i = 0; i < o.k; i++) w[(int64_t)i * o.c.ld] *= t.rule->max_norm / norm;
}

static __device__ inline void fill(const turn &t, const hdl_op &o, int r) {
  float *c = t(o.c) + (int64_t)r * o.c.ld;
  for (int j = threadIdx.x & 31; j < o.n; j += 32) c[j] = o.x;
}

} // namespace hdl
#endif
