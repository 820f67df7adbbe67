/* rules.h: lists the update rules of mini-batches. A rule is one entry of the table, and the cores know it from there.
 *
 *   RULE(number, name, state vectors, step)
 *
 * hdl.h makes the enum of it, cpu/plan.c the names and the number of state vectors, and the kernels take the step, of
 * vectors (cpu/kernels/update.h) or of single floats (cuda/kernels/update.cuh); they are tested against
 * hdl/ops/rules.py. An entry may use
 *
 *   d                        the gradient of the regularised mean cost
 *   s0, s1                   the rule's state there, of its first and second vector: read, and assigned to; a rule
 *                            has two vectors at most (HDL_STATES of cpu/internal.h)
 *   mu, rho, beta1, beta2, epsilon               the constants of hdl_update
 *   unbias1, unbias2         1/(1 - beta1^t) and 1/(1 - beta2^t)
 *   REAL, SQRT(x)            a float, or a vector of them
 *   FMA(a, b, c)             a b + c;  ADD_PRODUCT(c, a, b): c + a b. Which product is rounded where there are two, in
 *                            a and c, is the compiler's choice by their order, and decides the bits of weights
 *   TAKE(x)                  w -= lr x: last
 *   TAKE_RATIO(f, x, y)      w -= lr f x / y: last; a CPU multiplies lr in before it divides, a GPU after
 */
#ifndef HDL_RULES_H
#define HDL_RULES_H

/* clang-format off */
#define HDL_RULE_TABLE(RULE)                                                                                           \
  /* w -= lr d */                                                                                                      \
  RULE(SGD, "sgd", 0, TAKE(d))                                                                                         \
  /* v = mu v + d; w -= lr v (Polyak 1964) */                                                                          \
  RULE(MOMENTUM, "momentum", 1, s0 = FMA(mu, s0, d); TAKE(s0))                                                         \
  /* v = mu v + d; w -= lr (d + mu v) (Sutskever et al. 2013, with the gradient at w) */                               \
  RULE(NESTEROV, "nesterov", 1, s0 = FMA(mu, s0, d); TAKE(FMA(mu, s0, d)))                                             \
  /* s += d²; w -= lr d / (sqrt s + eps) (Duchi et al. 2011) */                                                        \
  RULE(ADAGRAD, "adagrad", 1, s0 = FMA(d, d, s0); TAKE_RATIO(1.f, d, SQRT(s0) + epsilon))                              \
  /* s = rho s + (1-rho) d²; x = sqrt(t + eps)/sqrt(s + eps) d; t = rho t + (1-rho) x²; w -= lr x (Zeiler 2012) */     \
  RULE(ADADELTA, "adadelta", 2,                                                                                        \
       s0 = ADD_PRODUCT(rho * s0, (1.f - rho) * d, d);                                                                 \
       REAL x = SQRT(s1 + epsilon) / SQRT(s0 + epsilon) * d;                                                           \
       s1 = ADD_PRODUCT(rho * s1, (1.f - rho) * x, x);                                                                 \
       TAKE(x))                                                                                                        \
  /* s = rho s + (1-rho) d²; w -= lr d / (sqrt s + eps) (Tieleman & Hinton 2012) */                                    \
  RULE(RMSPROP, "rmsprop", 1,                                                                                          \
       s0 = ADD_PRODUCT(rho * s0, (1.f - rho) * d, d);                                                                 \
       TAKE_RATIO(1.f, d, SQRT(s0) + epsilon))                                                                         \
  /* m = b1 m + (1-b1) d; v = b2 v + (1-b2) d²; w -= lr m' / (sqrt v' + eps), m', v' unbiased (Kingma & Ba 2015) */    \
  RULE(ADAM, "adam", 2,                                                                                                \
       s0 = FMA(beta1, s0, (1.f - beta1) * d);                                                                         \
       s1 = FMA(beta2, s1, (1.f - beta2) * d * d);                                                                     \
       TAKE_RATIO(unbias1, s0, SQRT(s1 * unbias2) + epsilon))
/* clang-format on */

#endif
