/* train.c: the loop over mini-batches, and its special cases gradient, forward and encode.
 *
 * A mini-batch is taken in blocks of rows that fit the caches. Per block, two phases with a barrier after each:
 *   1. a thread takes its rows through all layers, forward and backward;
 *   2. a thread takes its share of the weights: dW over all the block's rows, and, after the last block, the update.
 * An autoencoder's sparsity needs the mini-batch's mean activations before the first delta: phase 1 is then cut in two
 * by a barrier, and a mini-batch of several blocks is encoded once more beforehand.
 * An RBM's two phases are its rows' Gibbs steps and the statistics of its two phases (gibbs.c); its chains are rows
 * after the samples of a mini-batch. So nothing is reduced over threads, and no sum depends on how many there are.
 */
#include "internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef enum { TRAIN, GRADIENT, FORWARD, ENCODE } task;

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
  q->plain = u->rule == HDL_SGD && u->l1 == 0 && !(c->p->ae.contractive > 0);
  q->decay = 1 - q->lr * u->l2, q->eta = q->lr * q->inv_batch;
  bool still = (u->rule == HDL_SGD || u->rule == HDL_ADAGRAD) && u->l1 == 0 && u->l2 == 0;
  q->touched = c->p->input_type == HDL_CSR && still && n <= c->p->block;
  if (u->rule == HDL_ADAM) {
    double t = (double)(q->step + 1);
    q->adam1 = (float)(1 / (1 - pow((double)u->beta1, t)));
    q->adam2 = (float)(1 / (1 - pow((double)u->beta2, t)));
  }
}

/* A thread's rows through the first layer, and, all threads' being there, the mean of what came out. */
static void phase_first(hdl_plan *p, hdl_pass *q, int thread, int r0, int r1) {
  if (r0 < r1) p->k->gather(p, q, r0, r1), p->k->forward(p, q, 0, r0, r1);
  if (!q->mean) return;
  hdl_pool_barrier(p->pool, thread);
  p->k->mean(p, q, thread);
}

static void phase_rows(call *c, hdl_pass *q, int thread) {
  hdl_plan *p = c->p;
  if (p->gibbs) {
    p->k->gibbs(p, q, thread);
    return;
  }
  int r0 = q->rows * thread / p->threads, r1 = q->rows * (thread + 1) / p->threads;
  phase_first(p, q, thread, r0, r1);
  if (r0 == r1) return;
  if (c->what == ENCODE) {
    const hdl_layer *y = &p->layer[0];
    for (int r = r0; r < r1; r++)
      memcpy(q->out + (size_t)r * (size_t)y->O, y->a + (ptrdiff_t)r * y->lda, sizeof(float) * (size_t)y->O);
    return;
  }
  for (int l = 1; l < p->layers; l++) p->k->forward(p, q, l, r0, r1);
  p->k->loss(p, q, r0, r1);
  if (!q->backward) return;
  for (int l = p->layers - 1; l > 0; l--) p->k->backward(p, q, l, r0, r1);
  if (p->ae.contractive > 0 || q->slopes) p->k->penalties(p, q, r0, r1);
}

static void phase_weights(call *c, hdl_pass *q, int thread) {
  hdl_plan *p = c->p;
  if (p->gibbs) {
    p->k->statistics(p, q, thread);
    return;
  }
  if (p->ae.contractive > 0 || q->slopes) p->k->sums(p, q, thread);
  for (int l = 0; l < p->layers + q->slopes; l++) p->k->weights(p, q, l, thread);
  if (!q->update || !q->last) return;
  if (q->rule->max_norm > 0) {
    hdl_pool_barrier(p->pool, thread);
    for (int l = 0; l < p->layers; l++) p->k->max_norm(p, q, l, thread);
  }
  if (p->ae.contractive > 0) {
    hdl_pool_barrier(p->pool, thread);
    p->k->norms(p, thread);
  }
}

/* Thread 0 between the barriers: sums in the order of the rows, and the caller's wish to stop. */
static void account(call *c, const hdl_pass *q, int64_t steps_done) {
  hdl_plan *p = c->p;
  for (int r = 0; r < q->rows && q->scored; r++)
    c->result.cost += (double)p->row_cost[r], c->result.correct += p->row_hit[r];
  c->result.samples += q->rows;
  c->result.steps = steps_done;
  if (!c->progress || (q->chains && !q->last)) return; /* all chains take a step, or none */
  double t = now();
  if (t - c->last_call < 0.05) return;
  c->last_call = t;
  if (c->progress(c->context, steps_done, c->steps)) {
    c->status = HDL_EINTERRUPT;
    atomic_store(&p->stop, 1);
  }
}

/* Rows after the samples of a mini-batch. */
static int64_t chains(const call *c) { return c->p->gibbs && c->what <= GRADIENT ? c->p->gibbs->chains : 0; }

/* Block b of the n samples of a mini-batch that begin at `from`, and of the chains. */
static void choose(const call *c, hdl_pass *q, int64_t from, int64_t n, int64_t b, int64_t blocks) {
  int64_t rows = n + chains(c), first = rows * b / blocks, end = rows * (b + 1) / blocks;
  int64_t lo = first < n ? first : n, hi = end < n ? end : n;
  size_t width = (size_t)c->p->widths[c->what == ENCODE ? 1 : c->p->gibbs ? 0 : c->p->layers];
  q->order = c->order ? c->order + from + lo : NULL;
  q->base = from + lo, q->row0 = lo, q->rows = (int)(hi - lo);
  q->chain0 = first - lo, q->chains = (int)(end - hi - q->chain0);
  q->first = b == 0, q->last = b + 1 == blocks;
  q->out = c->out ? c->out + (size_t)(from + lo) * width : NULL;
}

static void body(void *argument, int thread) {
  call *c = argument;
  hdl_plan *p = c->p;
  for (int64_t s = 0; s < c->steps; s++) {
    int64_t from = s * c->batch, n = c->count - from < c->batch ? c->count - from : c->batch;
    int64_t more = chains(c), room = more ? 2 * p->block : p->block, blocks = (n + more + room - 1) / room;
    hdl_pass q = {.data = c->data, .backward = c->what <= GRADIENT};
    q.scored = (c->data->y || p->reconstructs) && c->what != ENCODE;
    q.mean = c->what == TRAIN && p->ae.beta > 0, q.slopes = c->what == GRADIENT && p->ae.beta > 0;
    q.key[0] = c->key[0], q.key[1] = c->key[1];
    prepare(c, &q, s, n);
    q.chain_weight = more ? (float)n / (float)more : 0;
    for (int64_t b = 0; q.mean && blocks > 1 && b < blocks; b++) {
      choose(c, &q, from, n, b, blocks);
      phase_first(p, &q, thread, q.rows * thread / p->threads, q.rows * (thread + 1) / p->threads);
      hdl_pool_barrier(p->pool, thread);
    }
    q.mean &= blocks == 1;
    for (int64_t b = 0; b < blocks; b++) {
      choose(c, &q, from, n, b, blocks);
      phase_rows(c, &q, thread);
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

/* Memory, scales and weights in place. */
static hdl_status load(hdl_plan *p, const hdl_data *data, const float *weights, int states) {
  bool filled = p->reconstructs && data->x_type == HDL_CSR;
  hdl_status status = hdl_layout(p, filled ? HDL_F32 : data->x_type, states);
  if (status) return status;
  hdl_pack(p, weights, HDL_WEIGHTS);
  for (int l = 0; l < p->layers; l++) p->k->transpose(&p->layer[l]);
  for (int t = 0; t < p->threads && p->ae.contractive > 0; t++) p->k->norms(p, t);
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

static void draws_key(hdl_plan *p, hdl_key key, uint32_t out[2]) {
  hdl_random_u32(key.seed, key.round, key.shard, p->gibbs ? HDL_RNG_GIBBS : HDL_RNG_DROPOUT, 0, 2, out);
  if (p->gibbs) hdl_random_u32(key.seed, key.round, key.shard, HDL_RNG_CHAINS, 0, 2, p->gibbs->key);
}

hdl_status hdl_train(hdl_plan *p, float *weights, float *state, const hdl_data *data, const int64_t *order,
                     int64_t count, int64_t batch, const hdl_update *update, hdl_key key, hdl_progress progress,
                     void *context, hdl_result *result) {
  if (result) *result = (hdl_result){0};
  hdl_status status = hdl_check(p, data, order, count, true);
  if (status) return status;
  if (batch < 1) return hdl_fail(HDL_EINVAL, "batch is %lld, expected at least 1", (long long)batch);
  if (!update || update->rule < HDL_SGD || update->rule > HDL_ADAM)
    return hdl_fail(HDL_EINVAL, "unknown rule %d", update ? update->rule : -1);
  int states = hdl_state_vectors(update->rule);
  size_t P = hdl_parameters(p);
  if (states && !state) return hdl_fail(HDL_EINVAL, "this rule keeps %d vectors of state", states);
  if (p->reconstructs && update->max_norm > 0) return hdl_fail(HDL_EINVAL, "autoencoders and RBMs have no max_norm");
  if (update->rule >= HDL_ADAGRAD && !(update->epsilon > 0))
    return hdl_fail(HDL_EINVAL, "epsilon is %g, expected a positive number", (double)update->epsilon);
  if (count == 0) return HDL_OK;
  if (!update->lr) return hdl_fail(HDL_EINVAL, "no learning rates");
  if ((status = load(p, data, weights, states))) return status;
  for (int s = 0; s < states; s++) hdl_pack(p, state + (size_t)s * P, HDL_STATE + (unsigned)s);
  call c = {.p = p, .what = TRAIN, .data = data, .order = order, .count = count, .batch = batch};
  c.steps = (count + batch - 1) / batch, c.rule = update, c.progress = progress, c.context = context;
  draws_key(p, key, c.key);
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
  hdl_status status = hdl_check(p, data, order, count, true);
  if (status) return status;
  memset(gradient, 0, sizeof(float) * hdl_statistics(p));
  if (count == 0) return HDL_OK;
  if ((status = load(p, data, weights, 0))) return status;
  call c = {.p = p, .what = GRADIENT, .data = data, .order = order, .count = count, .batch = count, .steps = 1};
  c.progress = progress, c.context = context;
  draws_key(p, key, c.key);
  status = run(&c);
  if (result) *result = c.result;
  if (status == HDL_OK) hdl_unpack(p, gradient, HDL_GRADIENT);
  return status;
}

static hdl_status outwards(hdl_plan *p, task what, const float *weights, const hdl_data *data, const int64_t *order,
                           int64_t count, float *out, hdl_progress progress, void *context, hdl_result *result) {
  if (result) *result = (hdl_result){0};
  hdl_status status = hdl_check(p, data, order, count, false);
  if (status) return status;
  if (count == 0) return HDL_OK;
  if ((status = load(p, data, weights, 0))) return status;
  call c = {.p = p, .what = what, .data = data, .order = order, .count = count, .batch = count, .steps = 1};
  c.out = out, c.progress = progress, c.context = context;
  status = run(&c);
  if (result) *result = c.result;
  return status;
}

hdl_status hdl_forward(hdl_plan *p, const float *weights, const hdl_data *data, const int64_t *order, int64_t count,
                       float *out, hdl_progress progress, void *context, hdl_result *result) {
  return outwards(p, FORWARD, weights, data, order, count, out, progress, context, result);
}

hdl_status hdl_encode(hdl_plan *p, const float *weights, const hdl_data *data, const int64_t *order, int64_t count,
                      float *out, hdl_progress progress, void *context, hdl_result *result) {
  if (!p || !p->reconstructs || !out)
    return hdl_fail(HDL_EINVAL, "codes need an autoencoder or RBM, and room for them");
  return outwards(p, ENCODE, weights, data, order, count, out, progress, context, result);
}
