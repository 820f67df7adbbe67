/* activation.cuh: computes f, f' and f'' of one value. */
#ifndef HDL_ACTIVATION_CUH
#define HDL_ACTIVATION_CUH

#include "minibatch.cuh"

namespace hdl {

/* Applies f, an hdl_activation. */
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

/* Gives f'(x), written with a = f(x). */
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

/* Gives f''/f', written with a = f(x); activations of straight pieces have none. */
static __device__ inline float curvature(int function, float a) {
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

} // namespace hdl
#endif
