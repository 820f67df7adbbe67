/* activation.cuh: computes f, f' and f'' of one value. */
#ifndef HDL_ACTIVATION_CUH
#define HDL_ACTIVATION_CUH

#include "minibatch.cuh"

namespace hdl {

/* Names the operations that csrc/activations.h writes its functions with. */
#define SET(c) (c)
#define EXP expf
#define TANH tanhf
#define MAX(x, c) ((x) < (c) ? (c) : (x))
#define SELECT(condition, x, y) ((condition) ? (x) : (y))

/* Applies f, an hdl_activation. */
static __device__ inline float activate(int function, float leak, float x) {
#define ACTIVATION(NUMBER, name, f, df, bend)                                                                          \
  case HDL_##NUMBER:                                                                                                   \
    return f;
  switch (function) { HDL_ACTIVATION_TABLE(ACTIVATION) }
#undef ACTIVATION
  return x;
}

/* Gives f'(x), written with y = f(x). */
static __device__ inline float derive(int function, float leak, float y) {
#define ACTIVATION(NUMBER, name, f, df, bend)                                                                          \
  case HDL_##NUMBER:                                                                                                   \
    return df;
  switch (function) { HDL_ACTIVATION_TABLE(ACTIVATION) }
#undef ACTIVATION
  return 1;
}

/* Gives f''/f', written with y = f(x). */
static __device__ inline float curvature(int function, float y) {
#define ACTIVATION(NUMBER, name, f, df, bend)                                                                          \
  case HDL_##NUMBER:                                                                                                   \
    return bend;
  switch (function) { HDL_ACTIVATION_TABLE(ACTIVATION) }
#undef ACTIVATION
  return 0;
}
#undef SET
#undef EXP
#undef TANH
#undef MAX
#undef SELECT

} // namespace hdl
#endif
