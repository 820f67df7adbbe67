/* join.c: joins updates along the fixed tree, a block at a time, so that each number is read and written once. */
#include "internal.h"

#include <string.h>

/* No multiply-add is fused: a share's product is rounded before it is added, on every machine. */
#ifdef __clang__
#pragma STDC FP_CONTRACT OFF
#else
#pragma GCC optimize("fp-contract=off")
#endif

enum { BLOCK = 2048, DEPTH = 40 }; /* floats of a block; arrays that wait at a time: of a balanced tree log2 of all */

static void add(const float *a, const float *b, int64_t n, float *out) {
  for (int64_t i = 0; i < n; i++) out[i] = a[i] + b[i];
}

static void mean(const float *a, const float *b, float share, int64_t n, float *out) {
  for (int64_t i = 0; i < n; i++) out[i] = (b[i] - a[i]) * share + a[i];
}

/* Checks that the program ends with one array, and how many wait at most. */
static hdl_status check(int32_t inputs, int32_t steps, const int32_t *program) {
  int32_t waiting = 0;
  for (int32_t s = 0; s < steps; s++) {
    if (program[s] < -1 || program[s] >= inputs)
      return hdl_fail(HDL_EINVAL, "step %d takes input %d of %d", s, program[s], inputs);
    if (program[s] < 0 && waiting < 2) return hdl_fail(HDL_EINVAL, "step %d joins two of %d arrays", s, waiting);
    waiting += program[s] < 0 ? -1 : 1;
    if (waiting > DEPTH) return hdl_fail(HDL_EINVAL, "more than %d arrays wait at step %d", DEPTH, s);
  }
  if (waiting != 1) return hdl_fail(HDL_EINVAL, "the program ends with %d arrays, expected 1", waiting);
  return HDL_OK;
}

hdl_status hdl_join(int32_t inputs, const float *const *in, int32_t steps, const int32_t *program, const float *shares,
                    int64_t n, float *out) {
  hdl_status status = check(inputs, steps, program);
  if (status != HDL_OK) return status;
  float room[DEPTH][BLOCK];
  const float *waiting[DEPTH];
  for (int64_t at = 0; at < n; at += BLOCK) {
    const int64_t length = n - at < BLOCK ? n - at : BLOCK;
    int32_t top = 0, joint = 0;
    for (int32_t s = 0; s < steps; s++) {
      if (program[s] >= 0) {
        waiting[top++] = in[program[s]] + at;
        continue;
      }
      float *target = s + 1 == steps ? out + at : room[top - 2];
      if (shares)
        mean(waiting[top - 2], waiting[top - 1], shares[joint++], length, target);
      else
        add(waiting[top - 2], waiting[top - 1], length, target);
      waiting[--top - 1] = target;
    }
    if (waiting[0] != out + at) memmove(out + at, waiting[0], (size_t)length * sizeof(float));
  }
  return HDL_OK;
}
