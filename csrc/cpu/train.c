/* train.c: makes the calls of hdl.h that run over data: checks arguments, puts weights in place and back, runs loop.c.
 */
#include "loop.h"

#include <string.h>

/* Puts memory, scales and weights in place. */
static hdl_status load(hdl_plan *plan, const hdl_data *data, const float *weights, int states) {
  bool entries = data->x_type == HDL_CSR || data->x_type == HDL_MIXED, filled = entries && plan->reconstructs;
  bool mixed = data->x_type == HDL_MIXED && !filled;
  int type = filled || data->x_type == HDL_NUMBERS ? HDL_F32 : data->x_type;
  hdl_status status = hdl_layout(plan, type, mixed ? data->numbers : 0, states);
  if (status) return status;
  if (mixed) plan->categories = data->categories;
  hdl_pack(plan, weights, HDL_WEIGHTS);
  for (int l = 0; l < plan->layers; l++) plan->kernels->transpose(&plan->layer[l]);
  for (int t = 0; t < plan->threads && plan->autoencoder.contractive > 0; t++) plan->kernels->squared_norms(plan, t);
  bool sparse = data->x_type == HDL_CSR;
  plan->layer[0].x = plan->x;
  float *scale = plan->scale_room, *shift = plan->shift_room;
  plan->scale = data->scale || data->shift ? scale : NULL, plan->shift = shift;
  for (int i = 0; i < plan->widths[0]; i++) {
    scale[i] = data->scale ? data->scale[i] : 1;
    shift[i] = data->shift && !sparse ? data->shift[i] : 0;
  }
  return HDL_OK;
}

/* Derives the key of the draws of a call. */
static void derive_key(hdl_plan *plan, hdl_key key, uint32_t out[2]) {
  hdl_random_u32(key.seed, key.round, key.shard, plan->gibbs ? HDL_RNG_GIBBS : HDL_RNG_DROPOUT, 0, 2, out);
  if (plan->gibbs) hdl_random_u32(key.seed, key.round, key.shard, HDL_RNG_CHAINS, 0, 2, plan->gibbs->key);
}

hdl_status hdl_train(hdl_plan *plan, float *weights, float *state, const hdl_data *data, const int64_t *order,
                     int64_t count, int64_t batch, const hdl_update *update, hdl_key key, hdl_progress progress,
                     void *context, hdl_result *result) {
  if (result) *result = (hdl_result){0};
  hdl_status status = hdl_check(plan, data, order, count, true);
  if (status) return status;
  if (batch < 1) return hdl_fail(HDL_EINVAL, "batch is %lld, expected at least 1", (long long)batch);
  if (!update || !hdl_rule_name(update->rule))
    return hdl_fail(HDL_EINVAL, "unknown rule %d", update ? update->rule : -1);
  int kept = hdl_state_vectors(update->rule), states = kept + (update->l2_sp > 0);
  size_t P = hdl_parameters(plan);
  if (states && !state) return hdl_fail(HDL_EINVAL, "this rule keeps %d vectors of state", states);
  if (plan->reconstructs && update->max_norm > 0) return hdl_fail(HDL_EINVAL, "autoencoders and RBMs have no max_norm");
  if (update->rule >= HDL_ADAGRAD && !(update->epsilon > 0))
    return hdl_fail(HDL_EINVAL, "epsilon is %g, expected a positive number", (double)update->epsilon);
  if (!(update->weight_decay >= 0))
    return hdl_fail(HDL_EINVAL, "weight_decay is %g, expected at least 0", (double)update->weight_decay);
  if (!(update->l2_sp >= 0)) return hdl_fail(HDL_EINVAL, "l2_sp is %g, expected at least 0", (double)update->l2_sp);
  if (count == 0) return HDL_OK;
  if (!update->lr) return hdl_fail(HDL_EINVAL, "no learning rates");
  if ((status = load(plan, data, weights, states))) return status;
  for (int s = 0; s < states; s++) hdl_pack(plan, state + (size_t)s * P, HDL_STATE + (unsigned)s);
  if (hdl_has_entries(plan)) hdl_find_states(plan, state, kept);
  hdl_call call = {.plan = plan, .task = HDL_TASK_TRAIN, .data = data, .order = order, .count = count, .batch = batch};
  call.steps = (count + batch - 1) / batch, call.rule = update, call.progress = progress, call.context = context;
  derive_key(plan, key, call.key);
  status = hdl_run(&call);
  if (result) *result = call.result;
  if (status == HDL_OK || status == HDL_EINTERRUPT) {
    hdl_unpack(plan, weights, HDL_WEIGHTS);
    for (int s = 0; s < kept; s++) hdl_unpack(plan, state + (size_t)s * P, HDL_STATE + (unsigned)s);
  }
  return status;
}

/* Makes 0 of the gradients that nobody sums. */
static void clear_frozen(hdl_plan *plan) {
  for (int l = 0; l < plan->layers; l++) {
    hdl_layer *layer = &plan->layer[l];
    if (hdl_trained(plan, l)) continue;
    memset(layer->g, 0, sizeof(float) * layer->size);
    memset(layer->gb, 0, sizeof(float) * (size_t)layer->O);
  }
  if (plan->tables && !hdl_trained(plan, -1)) memset(plan->tables->g, 0, sizeof(float) * plan->tables->size);
}

hdl_status hdl_gradient(hdl_plan *plan, const float *weights, const hdl_data *data, const int64_t *order, int64_t count,
                        hdl_key key, float *gradient, hdl_progress progress, void *context, hdl_result *result) {
  if (result) *result = (hdl_result){0};
  hdl_status status = hdl_check(plan, data, order, count, true);
  if (status) return status;
  memset(gradient, 0, sizeof(float) * hdl_statistics(plan));
  if (count == 0) return HDL_OK;
  if ((status = load(plan, data, weights, 0))) return status;
  clear_frozen(plan);
  hdl_call call = {.plan = plan,
                   .task = HDL_TASK_GRADIENT,
                   .data = data,
                   .order = order,
                   .count = count,
                   .batch = count,
                   .steps = 1};
  call.progress = progress, call.context = context;
  derive_key(plan, key, call.key);
  status = hdl_run(&call);
  if (result) *result = call.result;
  if (status == HDL_OK) hdl_unpack(plan, gradient, HDL_GRADIENT);
  return status;
}

/* Runs a task that only gives something out for each sample. */
static hdl_status read_out(hdl_plan *plan, hdl_task task, const float *weights, const hdl_data *data,
                           const int64_t *order, int64_t count, float *out, hdl_progress progress, void *context,
                           hdl_result *result) {
  if (result) *result = (hdl_result){0};
  hdl_status status = hdl_check(plan, data, order, count, false);
  if (status) return status;
  if (count == 0) return HDL_OK;
  if ((status = load(plan, data, weights, 0))) return status;
  hdl_call call = {
      .plan = plan, .task = task, .data = data, .order = order, .count = count, .batch = count, .steps = 1};
  call.out = out, call.progress = progress, call.context = context;
  status = hdl_run(&call);
  if (result) *result = call.result;
  return status;
}

hdl_status hdl_forward(hdl_plan *plan, const float *weights, const hdl_data *data, const int64_t *order, int64_t count,
                       float *out, hdl_progress progress, void *context, hdl_result *result) {
  return read_out(plan, HDL_TASK_FORWARD, weights, data, order, count, out, progress, context, result);
}

hdl_status hdl_encode(hdl_plan *plan, const float *weights, const hdl_data *data, const int64_t *order, int64_t count,
                      float *out, hdl_progress progress, void *context, hdl_result *result) {
  if (!plan || !plan->reconstructs || !out)
    return hdl_fail(HDL_EINVAL, "codes need an autoencoder or RBM, and room for them");
  return read_out(plan, HDL_TASK_ENCODE, weights, data, order, count, out, progress, context, result);
}
