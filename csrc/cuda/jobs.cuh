/* jobs.cuh: operations that are no products, a row (or 32 columns) a warp: samples gathered, costs, norms. */
#ifndef HDL_JOBS_CUH
#define HDL_JOBS_CUH

#include "finish.cuh"

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

/* Row r costs so much; only one warp may say so in a phase. Whoever writes that a step failed writes the same; what is
 * no step goes on, for its other rows are as good as ever. */
static __device__ inline void pay(const turn &t, int r, float cost, uint32_t *failed) {
  t.call->cost[(int64_t)t.net * t.call->rows + r] += cost;
  if (!(fabsf(cost) < INFINITY) && !t.call->by_place) *failed = (uint32_t)t.step + 1;
}

/* Row r: output, cost and delta; hdl_loss. Cross-entropies come straight from z: no logarithm of 0 is ever taken. */
static __device__ __noinline__ void loss(const turn &t, const hdl_op &o, int r, uint32_t *failed) {
  int lane = threadIdx.x & 31, n = o.n;
  int64_t sample = t.order[r];
  const float *z = t(o.a) + (int64_t)r * o.a.ld, *goal = t(o.b);
  float *delta = t(o.c), *out = t(o.d);
  if (delta) delta += (int64_t)r * o.c.ld;
  if (out) out += (int64_t)r * o.d.ld;
  bool classes = !goal && t.own->data.y_type == HDL_CLASS, scored = goal || t.own->scored;
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
  t.call->correct[(int64_t)t.net * t.call->rows + r] += right;
  pay(t, r, cost, failed);
}

/* Columns 32*group … of W [k, n]: scaled back to the rule's max_norm (Srivastava et al. 2014, section 5.1). */
static __device__ __noinline__ void limit(const turn &t, const hdl_op &o, int group) {
  int column = group * 32 + (threadIdx.x & 31);
  if (column >= o.n || !(t.rule->max_norm > 0)) return;
  float *w = t(o.c) + column, sum = 0;
  for (int i = 0; i < o.k; i++) sum = fmaf(w[(int64_t)i * o.c.ld], w[(int64_t)i * o.c.ld], sum);
  float norm = sqrtf(sum);
  if (norm > t.rule->max_norm)
    for (int i = 0; i < o.k; i++) w[(int64_t)i * o.c.ld] *= t.rule->max_norm / norm;
}

static __device__ __noinline__ void fill(const turn &t, const hdl_op &o, int r) {
  float *c = t(o.c) + (int64_t)r * o.c.ld, x = o.chains ? o.x * (float)t.rows : o.x;
  const float *a = t(o.a);
  if (a) a += (int64_t)r * o.a.ld;
  for (int j = threadIdx.x & 31; j < o.n; j += 32) c[j] = a ? a[j] : x;
}

/* Columns 8*group … of A [k, n]: a quarter of the rows for each lane */
static __device__ __noinline__ void norms(const turn &t, const hdl_op &o, int group) {
  int lane = threadIdx.x & 31, column = group * 8 + lane % 8, k = column < o.n ? t.extent(o.k) : 0;
  const float *a = t(o.a) + column;
  float sum = 0;
#pragma unroll 4
  for (int i = lane / 8; i < k; i += 4) sum = fmaf(a[(int64_t)i * o.a.ld], a[(int64_t)i * o.a.ld], sum);
  sum += __shfl_xor_sync(0xffffffffu, sum, 8);
  sum += __shfl_xor_sync(0xffffffffu, sum, 16);
  if (lane < 8 && column < o.n) t(o.c)[column] = o.x * sum;
}

/* f''/f' of an activation, written with a = f(x); those that are straight have none */
static __device__ inline float bend(int function, float a) {
  switch (function) {
  case HDL_SIGMOID:
    return 1 - 2 * a;
  case HDL_TANH:
    return -2 * a;
  case HDL_LECUN_TANH:
    return -4.f / 3.f / 1.7159f * a;
  default:
    return 0;
  }
}

/* Row r: Rifai et al. 2011 */
static __device__ __noinline__ void contract(const turn &t, const hdl_op &o, int r, uint32_t *failed) {
  const float *a = t(o.a) + (int64_t)r * o.a.ld, *norm = t(o.bias);
  float *delta = t(o.c) + (int64_t)r * o.c.ld, *slope = t(o.d) + (int64_t)r * o.d.ld, cost = 0;
  for (int j = threadIdx.x & 31; j < o.n; j += 32) {
    float f = slope[j] = derive(o.function, o.leak, a[j]);
    if (!norm) continue;
    float each = o.x * f * f * norm[j];
    delta[j] += each * bend(o.function, a[j]);
    cost += 0.5f * each;
  }
  cost = warp_sum(cost);
  if (norm && !(threadIdx.x & 31)) pay(t, r, cost, failed);
}

} // namespace hdl
#endif
