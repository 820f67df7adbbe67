/* activations.h: lists the activations of hidden layers. One is one entry of the table; the cores know it from there.
 *
 *   ACTIVATION(number, name, y = f(x), f'(x), f''(x)/f'(x))
 *
 * The derivatives are written with y, which is all that backward keeps; where f is straight, f''/f' is 0. hdl.h makes
 * the enum of it, cpu/plan.c the names, and the kernels the functions, of vectors (cpu/kernels/activation.h) or of
 * single floats (cuda/kernels/activation.cuh); they are tested against hdl/ops/reference/activations.py. An
 * entry may use x or y, `leak` (hdl_net), and
 *
 *   SET(c)                   a constant;  beside x or y, a float will do
 *   EXP, TANH, MAX(x, c)     of a float, or a vector of them; a NaN in x stays
 *   SELECT(condition, x, y)  x where the condition holds, else y
 */
#ifndef HDL_ACTIVATIONS_H
#define HDL_ACTIVATIONS_H

/* clang-format off */
#define HDL_ACTIVATION_TABLE(ACTIVATION)                                                                               \
  ACTIVATION(LINEAR, "linear", x, SET(1.f), SET(0.f))                                                                  \
  ACTIVATION(SIGMOID, "sigmoid", 1.f / (1.f + EXP(-x)), y * (1.f - y), 1.f - 2.f * y)                                  \
  ACTIVATION(TANH, "tanh", TANH(x), 1.f - y * y, -2.f * y)                                                             \
  /* 1.7159 tanh(2x/3) (LeCun et al. 1998) */                                                                          \
  ACTIVATION(LECUN_TANH, "lecun_tanh", 1.7159f * TANH(x * (2.f / 3.f)),                                                \
             (2.f / 3.f * 1.7159f) - (2.f / 3.f / 1.7159f) * y * y, (-4.f / 3.f / 1.7159f) * y)                        \
  ACTIVATION(RELU, "relu", MAX(x, SET(0.f)), SELECT(y > SET(0.f), SET(1.f), SET(0.f)), SET(0.f))                       \
  /* slope hdl_net.leak below 0 */                                                                                     \
  ACTIVATION(LEAKY_RELU, "leaky_relu", SELECT(x < SET(0.f), x * leak, x), SELECT(y < SET(0.f), SET(leak), SET(1.f)),   \
             SET(0.f))
/* clang-format on */

#endif
