/* losses.h: lists the losses of regressions beyond the squared error. One is one entry of the table; the cores know it
 * from there.
 *
 *   LOSS(number, name, statements)
 *
 * hdl.h makes the enum of it, cpu/plan.c the names, and the kernels the functions, of vectors (cpu/kernels/loss.h) or
 * of single floats (cuda/kernels/loss.cuh); they are tested against hdl/ops/reference/losses.py. An entry may use
 *
 *   z, t, k                  what reaches the output, its target, and the net's loss_parameter
 *   REAL                     a float, or a vector of them
 *   SET(c)                   a constant;  beside a REAL, a float will do
 *   EXP, LOG, ABS(x), MAX, MIN(x, c)   of a REAL; a NaN in x stays
 *   SELECT(condition, x, y)  x where the condition holds, else y
 *
 * and sets out = the answer, cost >= 0, and delta = dcost/dz. The last three have a log link, answer e^z, and cost half
 * the unit deviance (McCullagh & Nelder 1989, section 2.3; of Tweedie's, Jorgensen 1987), as in scikit-learn's _loss
 * but with the terms of t alone, so that a perfect answer costs 0. Rounding may take that below 0.
 */
#ifndef HDL_LOSSES_H
#define HDL_LOSSES_H

/* clang-format off */
#define HDL_LOSS_TABLE(LOSS)                                                                                           \
  /* r²/2 up to |r| = k, then k |r| - k²/2 (Huber 1964) */                                                             \
  LOSS(HUBER, "huber",                                                                                                 \
       REAL r = z - t;                                                                                                 \
       out = z, delta = MIN(MAX(r, -k), k);                                                                            \
       cost = delta * (r - 0.5f * delta))                                                                              \
  /* |r|; delta 0 at r = 0 */                                                                                          \
  LOSS(ABSOLUTE, "absolute",                                                                                           \
       REAL r = z - t;                                                                                                 \
       out = z, cost = ABS(r);                                                                                         \
       delta = SELECT(r > SET(0.f), SET(1.f), SELECT(r < SET(0.f), SET(-1.f), SET(0.f))))                              \
  /* k (t - z) below the target, (1 - k) (z - t) above it (Koenker & Bassett 1978); delta 0 at r = 0 */                \
  LOSS(QUANTILE, "quantile",                                                                                           \
       REAL r = z - t;                                                                                                 \
       out = z, cost = MAX(r * (1.f - k), r * -k);                                                                     \
       delta = SELECT(r > SET(0.f), 1.f - k, SELECT(r < SET(0.f), -k, SET(0.f))))                                      \
  /* e^z - t - t (z - ln t) */                                                                                         \
  LOSS(POISSON, "poisson",                                                                                             \
       out = EXP(z), delta = out - t;                                                                                  \
       cost = MAX(delta - SELECT(t > SET(0.f), t * (z - LOG(t)), SET(0.f)), SET(0.f)))                                 \
  /* t e^-z - 1 - ln t + z */                                                                                          \
  LOSS(GAMMA, "gamma",                                                                                                 \
       out = EXP(z), delta = 1.f - t * EXP(-z);                                                                        \
       cost = MAX(z - LOG(t) - delta, SET(0.f)))                                                                       \
  /* e^((2-k) z)/(2-k) + t e^((1-k) z)/(k-1) - t^(2-k)/((k-1) (2-k)), 1 < k < 2 */                                     \
  LOSS(TWEEDIE, "tweedie",                                                                                             \
       REAL up = EXP(z * (2.f - k)), down = t * EXP(z * (1.f - k));                                                    \
       REAL own = SELECT(t > SET(0.f), EXP(LOG(t) * (2.f - k)), SET(0.f));                                             \
       out = EXP(z), delta = up - down;                                                                                \
       cost = MAX(up / (2.f - k) + down / (k - 1.f) - own / ((k - 1.f) * (2.f - k)), SET(0.f)))
/* clang-format on */

#endif
