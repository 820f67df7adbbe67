/* finish.cuh: what becomes of a product's value while it is in a register: bias, activation, dropout, its derivative,
 * a draw, the update of the weight that it is the gradient of. Fused, because memory is what a GPU has least of. */
#ifndef HDL_FINISH_CUH
#define HDL_FINISH_CUH

#include "draw.cuh"

namespace hdl {

/* f(x); hdl_activation */
static __device__ inline float activate(int function, float leak, float x) {
  switch (function) {
  case HDL_SIGMOID:
    return 1 / (1 + expf(-x));
  case HDL_TANH:
    return tanhf(x);
  case HDL_LECUN_TANH:
    return 1.7159f * tanhf(2.f / 3.f * x);
  case HDL_RELU:
    return x < 0 ? 0 : x; /* NaN stays */
  case HDL_LEAKY_RELU:
    return x < 0 ? leak * x : x;
  default:
    return x;
  }
}

/* f'(x), written with a = f(x) */
static __device__ inline float derive(int function, float leak, float a) {
  switch (function) {
  case HDL_SIGMOID:
    return a * (1 - a);
  case HDL_TANH:
    return 1 - a * a;
  case HDL_LECUN_TANH:
    return 2.f / 3.f * 1.7159f - 2.f / 3.f / 1.7159f * a * a;
  case HDL_RELU:
    return a > 0 ? 1.f : 0.f;
  case HDL_LEAKY_RELU:
    return a < 0 ? leak : 1.f;
  default:
    return 1;
  }
}

/* One step of the rule on w with the gradient d of the regularised mean cost; s: its state, P floats from vector to
 * vector. The formulas are those of hdl/ops/rules.py. */
static __device__ inline void update(const turn &t, float d, float *w, float *s, int64_t P) {
  const hdl_cuda_rule &u = *t.rule;
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
    by = t.adam1 * *s / (sqrtf(*s1 * t.adam2) + u.epsilon);
    break;
  default:
    by = d;
  }
  *w -= t.lr * by;
}

/* Where an operation's values go. */
struct target {
  const turn &t;
  const hdl_op &o;
  float *c;
  float *d;
  const float *bias;
  float *state;
  int m, n;

  __device__ target(const turn &t, const hdl_op &o)
      : t(t), o(o), c(t(o.c)), d(t(o.d)), bias(t(o.bias)), state(NULL), m(t.extent(o.m)), n(t.extent(o.n)) {
    if (o.finish == HDL_FINISH_UPDATE) state = t.arena[HDL_ARENA_S] + o.c.at;
  }

  /* value v of row i, column j; outside of the matrix there is nothing to do */
  __device__ void operator()(int i, int j, float v) const {
    if (i >= m || j >= n) return;
    float *y = c + (int64_t)i * o.c.ld + j, *other = d + (int64_t)i * o.d.ld + j;
    if (bias) { /* of a gradient it is for the weights, if it is times them, or for the biases */
      if (o.finish <= HDL_FINISH_DRAW)
        v += bias[j];
      else if ((i < o.decays) == (d != NULL))
        v += d ? bias[j] * *other : bias[j];
    }
    switch (o.finish) {
    case HDL_FINISH_ACTIVATE:
      v = activate(o.function, o.leak, v);
      if (o.drop) /* a dropped unit is -0, a kept zero +0: derive tells them apart */
        v = dropped(t, o.drop, j, n, i, o.layer) ? -0.f : v * o.keep + 0.f;
      *y = v;
      break;
    case HDL_FINISH_DERIVE: {
      float a = *other;
      if (o.keep > 0)
        v = bits(a) == 0x80000000u ? 0 : v * o.keep * derive(o.function, o.leak, a / o.keep);
      else
        v *= derive(o.function, o.leak, a);
      *y = v;
      break;
    }
    case HDL_FINISH_DRAW:
      v = activate(o.function, o.leak, v);
      if (d) *other = drawn(t, o, i, j, n, v);
      if (c) *y = v * (o.chains ? o.x * (float)t.rows : o.x);
      break;
    case HDL_FINISH_SPARSE:
      *y = pushed(t, o, v, d ? other : NULL);
      break;
    case HDL_FINISH_UPDATE: {
      v /= (float)t.rows;
      if (i < o.decays) v += t.rule->l2 * *y + (*y > 0 ? t.rule->l1 : *y < 0 ? -t.rule->l1 : 0);
      update(t, v, y, state + (int64_t)i * o.c.ld + j, t.call->parameters);
      break;
    }
    default:
      *y += v;
    }
  }
};

} // namespace hdl
#endif
