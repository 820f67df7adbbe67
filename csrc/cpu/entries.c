/* entries.c: transposes the sparse entries of a block: what each input's gradient is summed from, in the order of rows.
 */
#include "internal.h"

#include <string.h>

/* Begins a mini-batch: no input has occurred in it. */
static void begin(hdl_plan *plan) {
  if (plan->stamp == UINT32_MAX) {
    for (int i = 0; i < plan->inputs; i++) plan->slot[i].stamp = plan->slot[i].stamp != 0;
    plan->stamp = 1;
  }
  plan->stamp++;
}

/* Lists the inputs that occur, in the order in which they first do, and their entries by row. */
void hdl_transpose_entries(hdl_plan *plan, int rows, bool first) {
  hdl_slot *slot = plan->slot;
  int touched = 0, from = plan->row_start[0], to = plan->row_start[rows];
  if (first) begin(plan);
  for (int k = from; k < to; k++) {
    int i = plan->row_input[k];
    if (i < 0 || slot[i].count++) continue;
    plan->t_input[touched] = i, plan->t_fresh[touched++] = slot[i].stamp != plan->stamp;
    slot[i].stamp = plan->stamp;
  }
  plan->t_start[0] = 0;
  for (int t = 0; t < touched; t++) {
    int i = plan->t_input[t], n = slot[i].count;
    slot[i].count = plan->t_start[t]; /* where the next entry goes */
    plan->t_start[t + 1] = plan->t_start[t] + n;
  }
  for (int r = 0; r < rows; r++)
    for (int k = plan->row_start[r]; k < plan->row_start[r + 1]; k++) {
      if (plan->row_input[k] < 0) continue;
      int at = slot[plan->row_input[k]].count++;
      plan->t_row[at] = r, plan->t_value[at] = plan->row_value[k];
    }
  for (int t = 0; t < touched; t++) slot[plan->t_input[t]].count = 0;
  plan->touched = touched;
}

/* Tells whether n floats are all +0. A -0 is a state: the next step makes it +0. */
static bool all_zero(const float *x, size_t n) {
  static const float zero[64];
  for (size_t i = 0; i < n; i += 64)
    if (memcmp(x + i, zero, sizeof(float) * (n - i < 64 ? n - i : 64))) return false;
  return true;
}

void hdl_find_states(hdl_plan *plan, const float *state, int states) {
  const hdl_tables *t = plan->tables;
  size_t P = hdl_parameters(plan), at = 0;
  plan->stamp = 1;
  for (int i = t ? plan->numbers : 0, c = 0; i < plan->inputs; i++) {
    if (t && i == t->first[c + 1]) c++;
    size_t n = t ? (size_t)t->vector[c] : (size_t)plan->layer[0].O;
    bool found = false;
    for (int s = 0; s < states && !found; s++) found = !all_zero(state + (size_t)s * P + at, n);
    plan->slot[i].stamp = found, at += n;
  }
}
