/* update.cuh: takes a step of an update rule on one weight; scales columns back to max_norm. */
#ifndef HDL_UPDATE_CUH
#define HDL_UPDATE_CUH

#include "minibatch.cuh"

namespace hdl {

/* Takes one step of the rule on w with the gradient d of the regularised mean cost; s: its state, P floats from vector
 * to vector. `penalised`: not exempt from weight decay, which shrinks w beside the step, and L2-SP; rate: a factor of
 * the learning rate. rules.h has the formulas. */
static __device__ inline void update(const minibatch &mb, float d, bool penalised, float rate, float *w, float *s,
                                     int64_t P) {
  const hdl_cuda_rule &u = *mb.rule;
  float by, lr = mb.lr * rate, &s0 = s[0], &s1 = s[P];
  if (penalised && u.l2_sp > 0) d += u.l2_sp * (*w - s[(mb.call->state_vectors - 1) * P]);
#define REAL float
#define SQRT sqrtf
#define FMA(a, b, c) ((a) * (b) + (c))
#define ADD_PRODUCT(c, a, b) ((c) + (a) * (b))
#define TAKE(x) by = (x)
#define TAKE_RATIO(f, x, y) by = (f) * (x) / (y)
#define RULE(NUMBER, name, vectors, ...)                                                                               \
  case HDL_##NUMBER: { /* loads only what the rule uses */                                                             \
    [[maybe_unused]] float mu = u.momentum, rho = u.rho, beta1 = u.beta1, beta2 = u.beta2, epsilon = u.epsilon;        \
    [[maybe_unused]] float unbias1 = mb.unbias1, unbias2 = mb.unbias2;                                                 \
    __VA_ARGS__;                                                                                                       \
    break;                                                                                                             \
  }
  switch (u.rule) {
    HDL_RULE_TABLE(RULE)
  default:
    return;
  }
#undef REAL
#undef SQRT
#undef FMA
#undef ADD_PRODUCT
#undef TAKE
#undef TAKE_RATIO
#undef RULE
  if (penalised && u.weight_decay > 0) *w *= 1 - lr * u.weight_decay;
  *w -= lr * by;
}

/* Scales columns 32*group … of W [k, n] back to the rule's max_norm (Srivastava et al. 2014, section 5.1). */
static __device__ __noinline__ void max_norm(const minibatch &mb, const hdl_op &op, int group) {
  int column = group * 32 + (threadIdx.x & 31);
  if (column >= op.n || !(mb.rule->max_norm > 0)) return;
  float *w = mb.locate(op.c) + column, sum = 0;
  for (int i = 0; i < op.k; i++) sum = fmaf(w[(int64_t)i * op.c.ld], w[(int64_t)i * op.c.ld], sum);
  float norm = sqrtf(sum);
  if (norm > mb.rule->max_norm)
    for (int i = 0; i < op.k; i++) w[(int64_t)i * op.c.ld] *= mb.rule->max_norm / norm;
}

} // namespace hdl
#endif
