/* loop.c: loops over mini-batches; gradient, forward and encode are special cases.
 *
 * A mini-batch is taken in blocks of rows that fit the caches. Per block, two phases with a barrier after each:
 *   1. a thread takes its rows through all layers, forward and backward;
 *   2. a thread takes its share of the weights: dW over all the block's rows, and, after the last block, the update.
 * An autoencoder's sparsity needs the mini-batch's mean activations before the first delta: phase 1 is then cut in two
 * by a barrier, and a mini-batch of several blocks is encoded once more beforehand.
 * An RBM's two phases are its rows' Gibbs steps and the statistics of its two phases (kernels/gibbs.h); its chains are
 * rows after the samples of a mini-batch. So nothing is reduced over threads, and no sum depends on how many there are:
 * while training they may become fewer or more between mini-batches (team.h).
 */
#include "loop.h"

#include <math.h>
#include <string.h>

/* Sums the weights of n samples of a mini-batch, from `from` on, in their order. */
static double sum_of_weights(const hdl_call *call, int64_t from, int64_t n) {
  const float *weight = call->data->weight;
  if (!weight) return (double)n;
  double sum = 0;
  for (int64_t r = from; r < from + n; r++) sum += (double)weight[call->order ? call->order[r] : r];
  return sum;
}

/* Sets the rule, rate and corrections of step s, the same on all threads. */
static void prepare(const hdl_call *call, hdl_context *ctx, int64_t s, int64_t n) {
  const hdl_update *u = call->rule;
  ctx->step = 0;
  if (!u) return;
  ctx->update = true;
  ctx->rule = u;
  ctx->lr = u->lr[s];
  double weight = sum_of_weights(call, s * call->batch, n);
  ctx->inv_batch = weight > 0 ? 1.f / (float)weight : 0;
  ctx->step = u->first_step + s;
  ctx->start = hdl_state_vectors(u->rule);
  ctx->plain = u->rule == HDL_SGD && u->l1 == 0 && u->l2_sp == 0 && !(call->plan->autoencoder.contractive > 0);
  ctx->decay = 1 - ctx->lr * (u->l2 + u->weight_decay), ctx->eta = ctx->lr * ctx->inv_batch;
  ctx->decays = u->l1 != 0 || u->l2 != 0 || u->weight_decay != 0 || u->l2_sp != 0;
  bool still = u->rule == HDL_SGD || u->rule == HDL_ADAGRAD;
  ctx->touched = hdl_has_entries(call->plan) && still && (!ctx->decays || call->plan->tables); /* tables do not decay */
  if (u->rule == HDL_ADAM) {
    double t = (double)(ctx->step + 1);
    ctx->unbias1 = (float)(1 / (1 - pow((double)u->beta1, t)));
    ctx->unbias2 = (float)(1 / (1 - pow((double)u->beta2, t)));
  }
}

/* Finds a thread's first row of the block. */
static int first_row(const hdl_plan *plan, const hdl_context *ctx, int thread) {
  return (int)hdl_cut(plan, ctx->rows, thread, plan->threads);
}

/* Takes a thread's rows through the first layer, and, when all threads' are there, means of its activations. */
static void phase_first(hdl_plan *plan, hdl_context *ctx, int thread, int r0, int r1) {
  if (r0 < r1) plan->kernels->gather(plan, ctx, r0, r1), plan->kernels->forward(plan, ctx, 0, r0, r1);
  if (!ctx->mean) return;
  hdl_pool_barrier(plan->pool, thread);
  plan->kernels->mean_activation(plan, ctx, thread);
}

/* Takes a thread's rows through all layers, forward and backward. */
static void phase_rows(hdl_call *call, hdl_context *ctx, int thread) {
  hdl_plan *plan = call->plan;
  if (plan->gibbs) {
    plan->kernels->gibbs(plan, ctx, thread);
    return;
  }
  int r0 = first_row(plan, ctx, thread), r1 = first_row(plan, ctx, thread + 1);
  phase_first(plan, ctx, thread, r0, r1);
  if (r0 == r1) return;
  if (call->task == HDL_TASK_ENCODE) {
    const hdl_layer *layer = &plan->layer[0];
    for (int r = r0; r < r1; r++)
      memcpy(ctx->out + (size_t)r * (size_t)layer->O, layer->a + (ptrdiff_t)r * layer->lda,
             sizeof(float) * (size_t)layer->O);
    return;
  }
  for (int l = 1; l < plan->layers; l++) plan->kernels->forward(plan, ctx, l, r0, r1);
  plan->kernels->loss(plan, ctx, r0, r1);
  if (!ctx->backward) return;
  for (int l = plan->layers - 1; l > hdl_lowest(plan); l--) plan->kernels->backward(plan, ctx, l, r0, r1);
  if (hdl_trained(plan, -1)) plan->kernels->input_gradient(plan, ctx, r0, r1);
  if (plan->autoencoder.contractive > 0 || ctx->slopes) plan->kernels->contractive_term(plan, ctx, r0, r1);
  plan->kernels->pack_deltas(plan, ctx, ctx->rows, r0, r1);
}

/* Gives the context of a layer, or of the tables, whose learning rate has a factor. */
static hdl_context at_rate(const hdl_context *ctx, float rate) {
  hdl_context own = *ctx;
  if (!own.update || rate == 1) return own;
  own.lr *= rate;
  own.decay = 1 - own.lr * (own.rule->l2 + own.rule->weight_decay), own.eta = own.lr * own.inv_batch;
  return own;
}

/* Takes a thread's share of the weights: their gradients and, after the last block, the update. */
static void phase_weights(hdl_call *call, hdl_context *ctx, int thread) {
  hdl_plan *plan = call->plan;
  if (plan->gibbs) {
    plan->kernels->contrastive_divergence(plan, ctx, thread);
    return;
  }
  if (plan->autoencoder.contractive > 0 || ctx->slopes) plan->kernels->code_sums(plan, ctx, thread);
  for (int l = 0; l < plan->layers + ctx->slopes; l++) {
    if (l < plan->layers && !hdl_trained(plan, l)) continue;
    hdl_context own = at_rate(ctx, l < plan->layers ? plan->rates[l + 1] : 1);
    plan->kernels->weight_gradient(plan, &own, l, thread);
  }
  if (hdl_trained(plan, -1)) {
    hdl_context own = at_rate(ctx, plan->rates[0]);
    plan->kernels->table_gradient(plan, &own, thread);
  }
  if (!ctx->update || !ctx->last) return;
  if (ctx->rule->max_norm > 0) {
    hdl_pool_barrier(plan->pool, thread);
    for (int l = 0; l < plan->layers; l++)
      if (hdl_trained(plan, l)) plan->kernels->max_norm(plan, ctx, l, thread);
  }
  if (plan->autoencoder.contractive > 0) {
    hdl_pool_barrier(plan->pool, thread);
    plan->kernels->squared_norms(plan, thread);
  }
}

/* Adds up costs in the order of the rows, and asks whether the caller wishes to stop: thread 0, between barriers. */
static void account(hdl_call *call, const hdl_context *ctx, int64_t steps_done) {
  hdl_plan *plan = call->plan;
  for (int r = 0; r < ctx->rows; r++) {
    double weight = ctx->data->weight ? (double)plan->row_weight[r] : 1;
    call->result.weight += weight;
    if (ctx->scored) call->result.cost += (double)plan->row_cost[r], call->result.correct += weight * plan->row_hit[r];
  }
  call->result.samples += ctx->rows;
  call->result.steps = steps_done;
  if (!call->progress || (ctx->chains && !ctx->last)) return; /* all chains take a step, or none */
  double t = hdl_now();
  if (t - call->last_call < 0.05) return;
  call->last_call = t;
  if (call->progress(call->context, steps_done, call->steps)) {
    call->status = HDL_EINTERRUPT;
    atomic_store(&plan->stop, 1);
  }
}

/* Counts the rows after the samples of a mini-batch. */
static int64_t chain_rows(const hdl_call *call) {
  return call->plan->gibbs && call->task <= HDL_TASK_GRADIENT ? call->plan->gibbs->chains : 0;
}

/* Counts the floats that go out for a sample. */
static size_t out_width(const hdl_call *call) {
  int layer = call->task == HDL_TASK_ENCODE ? 1 : call->plan->gibbs ? 0 : call->plan->layers;
  return (size_t)call->plan->widths[layer];
}

/* Sets the rows of block b of a mini-batch: n samples from `from` on, then the chains. */
static void set_block(const hdl_call *call, hdl_context *ctx, int64_t from, int64_t n, int64_t b, int64_t blocks) {
  int64_t rows = n + chain_rows(call), first = hdl_cut(call->plan, rows, b, blocks);
  int64_t end = hdl_cut(call->plan, rows, b + 1, blocks);
  int64_t lo = first < n ? first : n, hi = end < n ? end : n;
  ctx->order = call->order ? call->order + from + lo : NULL;
  ctx->base = from + lo, ctx->row0 = lo, ctx->rows = (int)(hi - lo);
  ctx->chain0 = first - lo, ctx->chains = (int)(end - hi - ctx->chain0);
  ctx->first = b == 0, ctx->last = b + 1 == blocks;
  ctx->out = call->out ? call->out + (size_t)(from + lo) * out_width(call) : NULL;
}

/* Runs steps of a call on one thread. */
static void run_steps(void *argument, int thread) {
  hdl_call *call = argument;
  hdl_plan *plan = call->plan;
  for (int64_t s = call->done; s < call->until; s++) {
    int64_t from = s * call->batch, n = call->count - from < call->batch ? call->count - from : call->batch;
    int64_t more = chain_rows(call), room = more ? 2 * plan->block : plan->block, blocks = (n + more + room - 1) / room;
    hdl_context ctx = {.data = call->data, .backward = call->task <= HDL_TASK_GRADIENT};
    ctx.cache = plan->cache, ctx.room = plan->scratch + (size_t)thread * plan->scratch_size;
    ctx.scored = (call->data->y || plan->reconstructs) && call->task != HDL_TASK_ENCODE;
    ctx.mean = call->task == HDL_TASK_TRAIN && plan->autoencoder.beta > 0;
    ctx.slopes = call->task == HDL_TASK_GRADIENT && plan->autoencoder.beta > 0;
    ctx.key[0] = call->key[0], ctx.key[1] = call->key[1];
    prepare(call, &ctx, s, n);
    ctx.chain_weight = more ? (float)n / (float)more : 0;
    for (int64_t b = 0; ctx.mean && blocks > 1 && b < blocks; b++) {
      set_block(call, &ctx, from, n, b, blocks);
      phase_first(plan, &ctx, thread, first_row(plan, &ctx, thread), first_row(plan, &ctx, thread + 1));
      hdl_pool_barrier(plan->pool, thread);
    }
    ctx.mean &= blocks == 1;
    for (int64_t b = 0; b < blocks; b++) {
      set_block(call, &ctx, from, n, b, blocks);
      phase_rows(call, &ctx, thread);
      hdl_pool_barrier(plan->pool, thread);
      if (atomic_load(&plan->nonfinite)) return;
      if (ctx.backward) {
        if (hdl_has_entries(plan) && (hdl_trained(plan, 0) || hdl_trained(plan, -1))) {
          if (thread == 0) hdl_transpose_entries(plan, ctx.rows, ctx.first);
          hdl_pool_barrier(plan->pool, thread);
        }
        phase_weights(call, &ctx, thread);
      }
      if (thread == 0) account(call, &ctx, ctx.last ? s + 1 : s);
      hdl_pool_barrier(plan->pool, thread);
      if (atomic_load(&plan->stop)) return;
    }
  }
}

/* Tells whether a call is over before another thread is awake: it needs about as many multiply-adds as parameters for
 * each sample. */
static bool tiny(const hdl_call *call) { return (double)call->count * (double)hdl_parameters(call->plan) < 1 << 20; }

hdl_status hdl_run(hdl_call *call) {
  hdl_plan *plan = call->plan;
  hdl_team *team = &plan->team[call->task];
  bool alone = tiny(call), chosen = !plan->fixed && !alone && plan->most > 1;
  call->last_call = call->progress ? hdl_now() : 0;
  call->status = HDL_OK;
  atomic_store(&plan->nonfinite, 0);
  atomic_store(&plan->stop, 0);
  int threads = plan->fixed ? plan->fixed : alone ? 1 : plan->most;
  if (chosen) hdl_team_begin(team, plan->most, (call->steps > 1 ? call->batch : 0) * 8 + call->data->x_type);
  while (call->done < call->steps && !atomic_load(&plan->nonfinite) && !atomic_load(&plan->stop)) {
    double samples = INFINITY, start = chosen ? hdl_now() : 0;
    if (chosen) threads = hdl_team_next(team, &samples);
    double steps = ceil(samples / (double)call->batch);
    call->until = steps < (double)(call->steps - call->done) ? call->done + (int64_t)steps : call->steps;
    hdl_set_threads(plan, threads);
    int64_t before = call->result.samples;
    hdl_pool_run(plan->pool, threads, run_steps, call);
    if (chosen) hdl_team_did(team, call->result.samples - before, hdl_now() - start);
    call->done = call->until;
  }
  if (atomic_load(&plan->nonfinite)) {
    hdl_status status = hdl_fail(HDL_ENONFINITE, "the cost became NaN or infinite");
    return call->data->x_type == HDL_NUMBERS ? hdl_fail_number(call->data, call->count) : status;
  }
  if (call->status == HDL_EINTERRUPT) return hdl_fail(HDL_EINTERRUPT, "stopped by the caller");
  return call->status;
}
