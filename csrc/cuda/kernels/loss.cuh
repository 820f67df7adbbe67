/* loss.cuh: computes costs, predictions and deltas of the output, a row a warp. */
#ifndef HDL_LOSS_CUH
#define HDL_LOSS_CUH

#include "minibatch.cuh"
#include "warp.cuh"

namespace hdl {

/* Adds to the cost of row r, by one warp of a phase alone. All that write that a step failed write the same; a pass
 * that is no step goes on, for its other rows are as good as ever. */
static __device__ inline void add_cost(const minibatch &mb, int r, float cost, uint32_t *failed) {
  mb.call->cost[(int64_t)mb.index * mb.call->rows + r] += cost;
  if (!(fabsf(cost) < INFINITY) && !mb.call->by_place) *failed = (uint32_t)mb.step + 1;
}

/* Names the operations that csrc/losses.h writes its losses with. */
#define REAL float
#define SET(c) (c)
#define EXP expf
#define LOG logf
#define ABS fabsf
#define MAX(x, c) ((x) < (c) ? (c) : (x))
#define MIN(x, c) ((x) > (c) ? (c) : (x))
#define SELECT(condition, x, y) ((condition) ? (x) : (y))
#define LOSS(NUMBER, name, ...)                                                                                        \
  case HDL_##NUMBER: {                                                                                                 \
    __VA_ARGS__;                                                                                                       \
    break;                                                                                                             \
  }

/* Computes answer, cost and delta of one output by a loss of losses.h with parameter k. */
static __device__ inline void regression(int function, float k, float z, float t, float &out, float &cost,
                                         float &delta) {
  switch (function) { HDL_LOSS_TABLE(LOSS) }
}
#undef REAL
#undef SET
#undef EXP
#undef LOG
#undef ABS
#undef MAX
#undef MIN
#undef SELECT
#undef LOSS

/* Computes output, cost and delta of row r; hdl_loss. Cross-entropies come straight from z: no logarithm of 0 is ever
 * taken. */
static __device__ __noinline__ void loss(const minibatch &mb, const hdl_op &op, int r, uint32_t *failed) {
  int lane = threadIdx.x & 31, n = op.n;
  int64_t sample = mb.order[r];
  const hdl_data &data = mb.net->data;
  const float *reached = mb.locate(op.a) + (int64_t)r * op.a.ld, *goal = mb.locate(op.b);
  const float *offset = data.offset ? data.offset + sample * n : NULL;
  float *delta = mb.locate(op.c), *out = mb.locate(op.d);
  if (delta) delta += (int64_t)r * op.c.ld;
  if (out) out += (int64_t)r * op.d.ld;
  bool classes = !goal && data.y_type == HDL_CLASS, scored = goal || mb.net->scored;
  int label = scored && classes ? ((const int32_t *)data.y)[sample] : -1;
  float weight = data.weight ? data.weight[sample] : 1;
  if (goal)
    goal += (int64_t)r * op.b.ld;
  else if (scored && !classes)
    goal = (const float *)data.y + sample * n;
  float share = op.beta / (float)(op.function == HDL_SOFTMAX ? n : 2);
  auto wanted = [&](int j) {
    float t = goal ? goal[j] : j == label ? 1.f : 0.f;
    return op.beta > 0 ? t * (1 - op.beta) + share : t;
  };
  auto z = [&](int j) { return offset ? reached[j] + offset[j] : reached[j]; };

  float cost = 0;
  int right = 0;
  if (op.function == HDL_SOFTMAX) {
    float most = -INFINITY, best = -INFINITY, sum = 0, whole = 0, rest = 0;
    for (int j = lane; j < n; j += 32) {
      most = fmaxf(most, z(j));
      if (scored) best = fmaxf(best, wanted(j));
    }
    most = warp_max(most), best = warp_max(best);
    int first = n, first_best = n; /* the first of several largest */
    for (int j = n - 1 - (n - 1 - lane) % 32; n > lane && j >= 0; j -= 32) {
      if (z(j) == most) first = j;
      if (scored && wanted(j) == best) first_best = j;
    }
    for (int j = lane; j < n; j += 32) {
      sum += expf(z(j) - most);
      if (scored) whole += wanted(j), rest += wanted(j) == 0 ? 0 : wanted(j) * (most - z(j));
    }
    sum = warp_sum(sum), whole = warp_sum(whole), rest = warp_sum(rest);
    right = warp_min(first) == warp_min(first_best);
    cost = whole * logf(sum) + rest;
    for (int j = lane; j < n; j += 32) {
      float p = expf(z(j) - most) / sum;
      if (out) out[j] = p;
      if (delta) delta[j] = data.weight ? (p - wanted(j)) * weight : p - wanted(j);
    }
    if (!(fabsf(sum) < INFINITY)) cost = sum; /* NaN in some output, whatever the targets */
  } else {
    int wrong = 0;
    for (int j = lane; j < n; j += 32) {
      float x = z(j), y = scored ? wanted(j) : 0, p = x, by = 0;
      if (op.function > HDL_SIGMOID_SQUARED) {
        float one = 0;
        regression(op.function, op.scalar, x, y, p, one, by);
        cost += one, wrong = 1;
      } else if (op.function == HDL_SIGMOID_CE) {
        float e = expf(-fabsf(x));
        p = (x < 0 ? e : 1) / (1 + e);
        cost += fmaxf(x, 0) - x * y + logf(1 + e);
        wrong |= (x >= 0) != (y >= 0.5f);
      } else {
        if (op.function == HDL_SIGMOID_SQUARED) p = 1 / (1 + expf(-x));
        cost += 0.5f * (p - y) * (p - y);
        wrong = 1;
      }
      if (out) out[j] = p;
      if (op.function <= HDL_SIGMOID_SQUARED) by = (p - y) * (op.function == HDL_SIGMOID_SQUARED ? p * (1 - p) : 1);
      if (delta) delta[j] = data.weight ? by * weight : by;
    }
    cost = warp_sum(cost);
    right = warp_min(!wrong);
  }
  if (lane || !scored) return;
  mb.call->correct[(int64_t)mb.index * mb.call->rows + r] += (double)(right ? weight : 0);
  add_cost(mb, r, data.weight ? cost * weight : cost, failed);
}

} // namespace hdl
#endif
