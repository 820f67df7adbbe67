/* loop.h: describes one call of the core to the loop over mini-batches. */
#ifndef HDL_LOOP_H
#define HDL_LOOP_H

#include "internal.h"

typedef struct {
  hdl_plan *plan;
  hdl_task task;
  const hdl_data *data;
  const int64_t *order;
  int64_t count, batch, steps;
  int64_t done, until;    /* steps: taken; that a run goes to */
  const hdl_update *rule; /* NULL: nothing is updated */
  uint32_t key[2];        /* of the draws */
  float *out;             /* FORWARD: [count, O] or NULL; ENCODE: [count, H] */
  hdl_progress progress;
  void *context;
  double last_call; /* of progress, in seconds */
  hdl_result result;
  hdl_status status;
} hdl_call;

/* Runs all steps on the plan's threads, or on fewer. */
hdl_status hdl_run(hdl_call *call);
#endif
