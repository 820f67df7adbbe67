/* update.cuh: takes a step of an update rule on one weight; scales columns back to max_norm. */
#ifndef HDL_UPDATE_CUH
#define HDL_UPDATE_CUH

#include "minibatch.cuh"

namespace hdl {

/* Takes one step of the rule on w with the gradient d of the regularised mean cost; s: its state, P floats from vector
 * to vector. The formulas are those of hdl/ops/rules.py. */
static __device__ inline void update(const minibatch &mb, float d, float *w, float *s, int64_t P) {
  const hdl_cuda_rule &u = *mb.rule;
  float by, *s1 = s + P;
  switch (u.rule) {
  case HDL_MOMENTUM:
    by = *s = u.momentum * *s + d;
    break;
  case HDL_NESTEROV:
    *s = u.momentum * *s + d;
    by = d + u.momentum * *s;
    break;
  case HDL_ADAGRAD:
    *s += d * d;
    by = d / (sqrtf(*s) + u.epsilon);
    break;
  case HDL_ADADELTA:
    *s = u.rho * *s + (1 - u.rho) * d * d;
    by = sqrtf(*s1 + u.epsilon) / sqrtf(*s + u.epsilon) * d;
    *s1 = u.rho * *s1 + (1 - u.rho) * by * by;
    break;
  case HDL_RMSPROP:
    *s = u.rho * *s + (1 - u.rho) * d * d;
    by = d / (sqrtf(*s) + u.epsilon);
    break;
  case HDL_ADAM:
    *s = u.beta1 * *s + (1 - u.beta1) * d;
    *s1 = u.beta2 * *s1 + (1 - u.beta2) * d * d;
    by = mb.adam1 * *s / (sqrtf(*s1 * mb.adam2) + u.epsilon);
    break;
  default:
    by = d;
  }
  *w -= mb.lr * by;
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
