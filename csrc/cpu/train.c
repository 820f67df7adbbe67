/* train.c: the loop over mini-batches, and its special cases gradient and forward.
 *
 * A mini-batch is taken in blocks of rows that fit the caches. Per block, two phases with a barrier after each:
 *   1. a thread takes its rows through all layers, forward and backward;
 *   2. a thread takes its share of the weights: dW over all the block's rows, and, after the last block, the update.
 * So nothing is reduced over threads, and no sum depends on how many there are.
 */
#include "internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef enum { TRAIN, GRADIENT, FORWARD } task;

typedef struct {
  hdl_plan *p;
  task what;
  const hdl_data *data;
  const int64_t *order;
  int64_t count, batch, steps;
  const hdl_update *rule;
  uint32_t key[2];
  float *out;
  hdl_progress progress;
  void *context;
  double last_call;
  hdl_result result;
  hdl_status status;
} call;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* The block's transpose: inputs that occur, in the order in which they first do, and their entries by row. */
static void transpose_entries(hdl_plan *p, int rows) {
  int touched = 0, from = p->row_start[0], to = p->row_start[rows];
  for (int k = from; k < to; k++)
    if (p->t_count[p->row_input[k]]++ == 0) p->t_input[touched++] = p->row_input[k];
  p->t_start[0] = 0;
  for (int t = 0; t < touched; t++) {
    int i = p->t_input[t], n = p->t_count[i];
    p->t_count[i] = p->t_start[t]; /* where the next entry goes */
    p->t_start[t + 1] = p->t_start[t] + n;
  }
  for (int r = 0; r < rows; r++)
    for (int k = p->row_start[r]; k < p->row_start[r + 1]; k++) {
      int at = p->t_count[p->row_input[k]]++;
      p->t_row[at] = r, p->t_value[at] = p->row_value[k];
    }
  for (int t = 0; t < touched; t++) p->t_count[p->t_input[t]] = 0;
  p->touched = touched;
}

/* What step s does, the same on all threads. */
static void prepare(const call *c, hdl_pass *q, int64_t s, int64_t n) {
  const hdl_update *u = c->rule;
  q->step = 0;
  if (!u) return;
  q->update = true;
  q->rule = u;
  q->lr = u->lr[s];
  q->inv_batch = 1.f / (float)n;
  q->step = u->first_step + s;
  q->plain = u->rule == HDL_SGD && u->l1 == 0;
  q->decay = 1 - q->lr * u->l2, q->eta = q->lr * q->inv_batch;
  bool still = (u->rule == HDL_SGD || u->rule == HDL_ADAGRAD) && u->l1 == 0 && u->l2 == 0;
  q->touched = c->p->input_type == HDL_CSR && still && n <= c->p->block;
  if (u->rule == HDL_ADAM) {
    double t = (double)(q->step + 1);
    q->adam1 = (float)(1 / (1 - pow((double)u->beta1, t)));
    q->adam2 = (float)(1 / (1 - pow((double)u->beta2, t)));
  }
}

static void phase_rows(hdl_plan *p, const hdl_pass *q, int thread) {
  int r0 = q->rows * thread / p->threads, r1 = q->rows * (thread + 1) / p->threads;
  if (r0 == r1) return;
  p->k->gather(p, q, r0, r1);
  for (int l = 0; l < p->layers; l++) p->k->forward(p, q, l, r0, r1);
  p->k->loss(p, q, r0, r1);
  if (!q->backward) return;
  for (int l = p->layers - 1; l > 0; l--) p->k->backward(p, q, l, r0, r1);
}

static void phase_weights(call *c, const hdl_pass *q, int thread) {
  hdl_plan *p = c->p;
  for (int l = 0; l < p->layers; l++) p->k->weights(p, q, l, thread);
  if (q->update && q->last && q->rule->max_norm > 0) {
    hdl_pool_barrier(p->pool, thread);
    for (int l = 0; l < p->layers; l++) p->k->max_norm(p, q, l, thread);
  }
}

/* Thread 0 between the barriers: sums in the order of the rows, and the caller's wish to stop. */
static void account(call *c, const hdl_pass *q, int64_t steps_done) {
  hdl_plan *p = c->p;
  for (int r = 0; r < q->rows && q->data->y; r++)
    c->result.cost += (double)p->row_cost[r], c->result.correct += p->row_hit[r];
  c->result.samples += q->rows;
  c->result.steps = steps_done;
  if (!c->progress) return;
  double t = now();
  if (t - c->last_call < 0.05) return;
  c->last_call = t;
  if (c->progress(c->context, steps_done, c->steps)) {
    c->status = HDL_EINTERRUPT;
    atomic_store(&p->stop, 1);
  }
}

static void body(void *argument, int thread) {
  call *c = argument;
  hdl_plan *p = c->p;
  for (int64_t s = 0; s < c->steps; s++) {
    int64_t from = s * c->batch, n = c->count - from < c->batch ? c->count - from : c->batch;
    int64_t blocks = (n + p->block - 1) / p->block;
    hdl_pass q = {.data = c->data, .backward = c->what != FORWARD};
    q.key[0] = c->key[0], q.key[1] = c->key[1];
    prepare(c, &q, s, n);
    for (int64_t b = 0; b < blocks; b++) {
      int64_t lo = n * b / blocks, hi = n * (b + 1) / blocks;
      q.order = c->order ? c->order + from + lo : NULL;
      q.base = from + lo, q.row0 = lo, q.rows = (int)(hi - lo);
      q.first = b == 0, q.last = b + 1 == blocks;
      q.out = c->out ? c->out + (size_t)(from + lo) * (size_t)p->widths[p->layers] : NULL;
      phase_rows(p, &q, thread);
      hdl_pool_barrier(p->pool, thread);
      if (atomic_load(&p->nonfinite)) return;
      if (q.backward) {
        if (p->input_type == HDL_CSR) {
          if (thread == 0) transpose_entries(p, q.rows);
          hdl_pool_barrier(p->pool, thread);
        }
        phase_weights(c, &q, thread);
      }
      if (thread == 0) account(c, &q, q.last ? s + 1 : s);
      hdl_pool_barrier(p->pool, thread);
      if (atomic_load(&p->stop)) return;
    }
  }
}

static hdl_status check_rows(const hdl_plan *p, const hdl_data *data, const int64_t *order, int64_t count) {
  const int32_t *label = data->y && data->y_type == HDL_CLASS ? data->y : NULL;
  int32_t classes = p->widths[p->layers];
  if (!order && count > data->n)
    return hdl_fail(HDL_EINVAL, "count is %lld, the data has %lld samples", (long long)count, (long long)data->n);
  for (int64_t r = 0; r < count; r++) {
    int64_t i = order ? order[r] : r;
    if (i < 0 || i >= data->n)
      return hdl_fail(HDL_EINVAL, "order[%lld] is %lld, the data has %lld samples", (long long)r, (long long)i,
                      (long long)data->n);
    if (label && (label[i] < 0 || label[i] >= classes))
      return hdl_fail(HDL_EINVAL, "the label of sample %lld is %d, expected 0 to %d", (long long)i, label[i],
                      classes - 1);
  }
  return HDL_OK;
}

/* CSR: every index in range, and room for the entries of any block of the call. */
static hdl_status check_sparse(hdl_plan *p, const hdl_data *data, const int64_t *order, int64_t count) {
  const int64_t *ptr = data->indptr;
  if (!ptr || (!data->indices && ptr[data->n])) return hdl_fail(HDL_EINVAL, "CSR needs indptr and indices");
  if (data->shift) return hdl_fail(HDL_EINVAL, "CSR input takes a scale only: a shift would fill the zeros");
  if (ptr[0] < 0) return hdl_fail(HDL_EINVAL, "indptr[0] is %lld", (long long)ptr[0]);
  for (int64_t r = 0; r < data->n; r++)
    if (ptr[r + 1] < ptr[r]) return hdl_fail(HDL_EINVAL, "indptr decreases at row %lld", (long long)r);
  for (int64_t k = ptr[0]; k < ptr[data->n]; k++)
    if (data->indices[k] < 0 || data->indices[k] >= p->widths[0])
      return hdl_fail(HDL_EINVAL, "indices[%lld] is %d, expected 0 to %d", (long long)k, data->indices[k],
                      p->widths[0] - 1);
  int64_t longest = 0;
  for (int64_t r = 0; r < count; r++) {
    int64_t i = order ? order[r] : r, n = ptr[i + 1] - ptr[i];
    if (n > longest) longest = n;
  }
  int64_t room = longest * p->block;
  if (room > INT32_MAX - 1) return hdl_fail(HDL_EINVAL, "rows of %lld entries are too long", (long long)longest);
  if (room <= p->nnz_room) return HDL_OK;
  free(p->row_input), free(p->row_value), free(p->t_row), free(p->t_value);
  size_t bytes = (size_t)room * 4;
  p->nnz_room = 0;
  p->row_input = malloc(bytes), p->row_value = malloc(bytes), p->t_row = malloc(bytes), p->t_value = malloc(bytes);
  if (!p->row_input || !p->row_value || !p->t_row || !p->t_value) {
    free(p->row_input), free(p->row_value), free(p->t_row), free(p->t_value);
    p->row_input = p->t_row = NULL, p->row_value = p->t_value = NULL;
    return hdl_fail(HDL_ENOMEM, "cannot allocate %zu bytes for sparse rows", 4 * bytes);
  }
  p->nnz_room = room;
  return HDL_OK;
}

static hdl_status check(hdl_plan *p, const hdl_data *data, const int64_t *order, int64_t count, bool labelled) {
  if (!p || !data) return hdl_fail(HDL_EINVAL, "no plan or no data");
  if (hdl_pool_foreign(p->pool)) return hdl_fail(HDL_ESYS, "a plan belongs to the process that made it");
  if (data->x_type < HDL_F32 || data->x_type > HDL_CSR) return hdl_fail(HDL_EINVAL, "unknown x_type %d", data->x_type);
  if (data->y_type < HDL_CLASS || data->y_type > HDL_TARGET)
    return hdl_fail(HDL_EINVAL, "unknown y_type %d", data->y_type);
  if (count < 0 || data->n < 0) return hdl_fail(HDL_EINVAL, "count is %lld", (long long)count);
  if (labelled && !data->y) return hdl_fail(HDL_EINVAL, "training needs y");
  hdl_status status = check_rows(p, data, order, count);
  if (!status && data->x_type == HDL_CSR) status = check_sparse(p, data, order, count);
  return status;
}

/* Memory, scales and weights in place. */
static hdl_status load(hdl_plan *p, const hdl_data *data, const float *weights, int states) {
  hdl_status status = hdl_layout(p, data->x_type, states);
  if (status) return status;
  hdl_pack(p, weights, HDL_WEIGHTS);
  for (int l = 0; l < p->layers; l++) p->k->transpose(&p->layer[l]);
  bool sparse = data->x_type == HDL_CSR;
  p->layer[0].x = p->x;
  float *scale = p->scale_room, *shift = p->shift_room;
  p->scale = data->scale || data->shift ? scale : NULL, p->shift = shift;
  for (int i = 0; i < p->widths[0]; i++) {
    scale[i] = data->scale ? data->scale[i] : 1;
    shift[i] = data->shift && !sparse ? data->shift[i] : 0;
  }
  return HDL_OK;
}

static hdl_status run(call *c) {
  hdl_plan *p = c->p;
  c->last_call = c->progress ? now() : 0;
  c->status = HDL_OK;
  atomic_store(&p->nonfinite, 0);
  atomic_store(&p->stop, 0);
  hdl_pool_run(p->pool, body, c);
  if (atomic_load(&p->nonfinite)) return hdl_fail(HDL_ENONFINITE, "the cost became NaN or infinite");
  if (c->status == HDL_EINTERRUPT) return hdl_fail(HDL_EINTERRUPT, "stopped by the caller");
  return c->status;
}

static void dropout_key(hdl_key key, uint32_t out[2]) {
  hdl_random_u32(key.seed, key.round, key.shard, HDL_RNG_DROPOUT, 0, 2, out);
}

hdl_status hdl_train(hdl_plan *p, float *weights, float *state, const hdl_data *data, const int64_t *order,
                     int64_t count, int64_t batch, const hdl_update *update, hdl_key key, hdl_progress progress,
                     void *context, hdl_result *result) {
  if (result) *result = (hdl_result){0};
  hdl_status status = check(p, data, order, count, true);
  if (status) return status;
  if (batch < 1) return hdl_fail(HDL_EINVAL, "batch is %lld, expected at least 1", (long long)batch);
  if (!update || update->rule < HDL_SGD || update->rule > HDL_ADAM)
    return hdl_fail(HDL_EINVAL, "unknown rule %d", update ? update->rule : -1);
  int states = hdl_state_vectors(update->rule);
  size_t P = hdl_parameters(p);
  if (states && !state) return hdl_fail(HDL_EINVAL, "this rule keeps %d vectors of state", states);
  if (update->rule >= HDL_ADAGRAD && !(update->epsilon > 0))
    return hdl_fail(HDL_EINVAL, "epsilon is %g, expected a positive number", (double)update->epsilon);
  if (count == 0) return HDL_OK;
  if (!update->lr) return hdl_fail(HDL_EINVAL, "no learning rates");
  if ((status = load(p, data, weights, states))) return status;
  for (int s = 0; s < states; s++) hdl_pack(p, state + (size_t)s * P, HDL_STATE + (unsigned)s);
  call c = {.p = p, .what = TRAIN, .data = data, .order = order, .count = count, .batch = batch};
  c.steps = (count + batch - 1) / batch, c.rule = update, c.progress = progress, c.context = context;
  dropout_key(key, c.key);
  status = run(&c);
  if (result) *result = c.result;
  if (status == HDL_OK || status == HDL_EINTERRUPT) {
    hdl_unpack(p, weights, HDL_WEIGHTS);
    for (int s = 0; s < states; s++) hdl_unpack(p, state + (size_t)s * P, HDL_STATE + (unsigned)s);
  }
  return status;
}

hdl_status hdl_gradient(hdl_plan *p, const float *weights, const hdl_data *data, const int64_t *order, int64_t count,
                        hdl_key key, float *gradient, hdl_progress progress, void *context, hdl_result *result) {
  if (result) *result = (hdl_result){0};
  hdl_status status = check(p, data, order, count, true);
  if (status) return status;
  memset(gradient, 0, sizeof(float) * hdl_parameters(p));
  if (count == 0) return HDL_OK;
  if ((status = load(p, data, weights, 0))) return status;
  call c = {.p = p, .what = GRADIENT, .data = data, .order = order, .count = count, .batch = count, .steps = 1};
  c.progress = progress, c.context = context;
  dropout_key(key, c.key);
  status = run(&c);
  if (result) *result = c.result;
  if (status == HDL_OK) hdl_unpack(p, gradient, HDL_GRADIENT);
  return status;
}

hdl_status hdl_forward(hdl_plan *p, const float *weights, const hdl_data *data, const int64_t *order, int64_t count,
                       float *out, hdl_progress progress, void *context, hdl_result *result) {
  if (result) *result = (hdl_result){0};
  hdl_status status = check(p, data, order, count, false);
  if (status) return status;
  if (count == 0) return HDL_OK;
  if ((status = load(p, data, weights, 0))) return status;
  call c = {.p = p, .what = FORWARD, .data = data, .order = order, .count = count, .batch = count, .steps = 1};
  c.out = out, c.progress = progress, c.context = context;
  status = run(&c);
  if (result) *result = c.result;
  return status;
}
