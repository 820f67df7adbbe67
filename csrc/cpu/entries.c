/* entries.c: transposes the sparse entries of a block: what each input's gradient is summed from, in the order of rows.
 */
#include "internal.h"

/* Lists the inputs that occur, in the order in which they first do, and their entries by row. */
void hdl_transpose_entries(hdl_plan *plan, int rows) {
  int touched = 0, from = plan->row_start[0], to = plan->row_start[rows];
  for (int k = from; k < to; k++) {
    int i = plan->row_input[k];
    if (i >= 0 && plan->t_count[i]++ == 0) plan->t_input[touched++] = i;
  }
  plan->t_start[0] = 0;
  for (int t = 0; t < touched; t++) {
    int i = plan->t_input[t], n = plan->t_count[i];
    plan->t_count[i] = plan->t_start[t]; /* where the next entry goes */
    plan->t_start[t + 1] = plan->t_start[t] + n;
  }
  for (int r = 0; r < rows; r++)
    for (int k = plan->row_start[r]; k < plan->row_start[r + 1]; k++) {
      if (plan->row_input[k] < 0) continue;
      int at = plan->t_count[plan->row_input[k]]++;
      plan->t_row[at] = r, plan->t_value[at] = plan->row_value[k];
    }
  for (int t = 0; t < touched; t++) plan->t_count[plan->t_input[t]] = 0;
  plan->touched = touched;
}
