/* tables.c: makes the tables of embedded categories of a plan, and copies them to and from the flat vector. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

static int32_t *int32s(int n) { return calloc((size_t)n, sizeof(int32_t)); }

hdl_status hdl_tables_new(hdl_plan *plan, const hdl_net *net) {
  int n = net->tables, vw = plan->kernels->vw;
  if (n < 0 || net->numbers < 0 || !net->levels || !net->vector)
    return hdl_fail(HDL_EINVAL, "%d tables beside %d numbers", net->tables, net->numbers);
  int64_t inputs = net->numbers, columns = net->numbers;
  for (int c = 0; c < n; c++) {
    if (net->levels[c] < 1 || net->vector[c] < 1 || net->vector[c] > HDL_ZEROS)
      return hdl_fail(HDL_EINVAL, "table %d is %d x %d, expected 1 level at least and 1 to %d columns", c,
                      net->levels[c], net->vector[c], HDL_ZEROS);
    inputs += net->levels[c], columns += net->vector[c];
  }
  if (inputs > INT32_MAX / 2) return hdl_fail(HDL_EINVAL, "%lld levels are too many", (long long)inputs);
  if (columns != net->widths[0])
    return hdl_fail(HDL_EINVAL, "width 0 is %d, but numbers and embedded categories have %lld columns", net->widths[0],
                    (long long)columns);
  hdl_tables *t = plan->tables = calloc(1, sizeof *t);
  if (!t) return hdl_fail(HDL_ENOMEM, "out of memory");
  t->levels = int32s(n), t->vector = int32s(n), t->padded = int32s(n), t->column = int32s(n), t->first = int32s(n + 1);
  t->place = calloc((size_t)n, sizeof *t->place);
  if (!t->levels || !t->vector || !t->padded || !t->column || !t->first || !t->place)
    return hdl_fail(HDL_ENOMEM, "out of memory");
  t->first[0] = net->numbers;
  for (int c = 0, column = net->numbers; c < n; column += net->vector[c], c++) {
    t->levels[c] = net->levels[c], t->vector[c] = net->vector[c], t->padded[c] = hdl_round_up(net->vector[c], vw);
    t->column[c] = column, t->first[c + 1] = t->first[c] + t->levels[c], t->place[c] = t->size;
    t->size += (size_t)t->levels[c] * (size_t)t->padded[c];
    t->parameters += (size_t)t->levels[c] * (size_t)t->vector[c];
  }
  plan->inputs = (int)inputs, plan->categories = n;
  return HDL_OK;
}

void hdl_tables_free(hdl_tables *t) {
  if (!t) return;
  free(t->levels), free(t->vector), free(t->padded), free(t->column), free(t->first), free(t->place);
  free(t);
}

float *hdl_tables_copy(const hdl_plan *plan, float *flat, hdl_vector which, bool pack) {
  const hdl_tables *t = plan->tables;
  if (!t) return flat;
  float *stored = which == HDL_WEIGHTS ? t->w : which == HDL_GRADIENT ? t->g : t->s[which - HDL_STATE];
  for (int c = 0; c < plan->categories; c++) {
    size_t row = (size_t)t->vector[c];
    float *at = stored + t->place[c];
    for (int i = 0; i < t->levels[c]; i++, flat += row, at += t->padded[c])
      memcpy(pack ? at : flat, pack ? flat : at, row * sizeof(float));
  }
  return flat;
}
