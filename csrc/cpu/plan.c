/* plan.c: a plan's shape, memory and threads. */
#include "isa.h"

#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static _Thread_local char last_error[256] = "";

const char *hdl_last_error(void) { return last_error; }

hdl_status hdl_fail(hdl_status status, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(last_error, sizeof last_error, format, arguments);
  va_end(arguments);
  return status;
}

int32_t hdl_state_vectors(int32_t rule) {
  switch (rule) {
  case HDL_MOMENTUM:
  case HDL_NESTEROV:
  case HDL_ADAGRAD:
  case HDL_RMSPROP:
    return 1;
  case HDL_ADADELTA:
  case HDL_ADAM:
    return 2;
  default:
    return 0;
  }
}

static hdl_status check(const hdl_net *net, int32_t max_batch, int32_t threads) {
  if (!net || net->layers < 1 || !net->widths) return hdl_fail(HDL_EINVAL, "a net needs at least one layer");
  for (int l = 0; l <= net->layers; l++)
    if (net->widths[l] < 1 || net->widths[l] > 1 << 24)
      return hdl_fail(HDL_EINVAL, "width %d is %d, expected 1 to 2^24", l, net->widths[l]);
  if (net->activation < 0 || net->activation > HDL_LEAKY_RELU)
    return hdl_fail(HDL_EINVAL, "unknown activation %d", net->activation);
  if (net->loss < 0 || net->loss > HDL_SIGMOID_SQUARED) return hdl_fail(HDL_EINVAL, "unknown loss %d", net->loss);
  if (!(net->dropout_input >= 0 && net->dropout_input < 1))
    return hdl_fail(HDL_EINVAL, "dropout_input is %g, expected [0, 1)", (double)net->dropout_input);
  if (!(net->dropout_hidden >= 0 && net->dropout_hidden < 1))
    return hdl_fail(HDL_EINVAL, "dropout_hidden is %g, expected [0, 1)", (double)net->dropout_hidden);
  if (max_batch < 1) return hdl_fail(HDL_EINVAL, "max_batch is %d, expected at least 1", max_batch);
  if (threads < 1 || threads > HDL_MAX_THREADS)
    return hdl_fail(HDL_EINVAL, "threads is %d, expected 1 to %d", threads, HDL_MAX_THREADS);
  return HDL_OK;
}

hdl_status hdl_plan_new(hdl_plan **plan, const hdl_net *net, int32_t max_batch, int32_t threads, hdl_isa isa) {
  *plan = NULL;
  hdl_status status = check(net, max_batch, threads);
  if (status) return status;
  if (isa == HDL_ISA_AUTO) isa = hdl_best_isa();
  const hdl_kernels *kernels = hdl_isa_kernels(isa);
  if (!kernels)
    return hdl_fail(HDL_EISA, "this processor cannot run the %s kernels, its best are %s", hdl_isa_name(isa),
                    hdl_isa_name(hdl_best_isa()));
  hdl_plan *p = calloc(1, sizeof *p);
  if (!p) return hdl_fail(HDL_ENOMEM, "out of memory");
  p->layers = net->layers, p->threads = threads, p->isa = isa, p->k = kernels;
  size_t weights = 0;
  for (int l = 0; l < net->layers; l++) weights += (size_t)net->widths[l] * (size_t)net->widths[l + 1];
  int block = weights * sizeof(float) < HDL_LARGE ? HDL_ROWS : HDL_BLOCK;
  p->block = max_batch < block ? max_batch : block;
  p->activation = net->activation, p->loss = net->loss, p->leak = net->leak;
  p->drop_input = (uint32_t)(65536 * net->dropout_input + 0.5f), p->keep_input = 1 / (1 - net->dropout_input);
  p->drop_hidden = (uint32_t)(65536 * net->dropout_hidden + 0.5f), p->keep_hidden = 1 / (1 - net->dropout_hidden);
  p->input_type = -1;
  p->widths = malloc(sizeof *p->widths * ((size_t)net->layers + 1));
  p->layer = calloc((size_t)net->layers + 1, sizeof *p->layer);
  p->range = calloc(((size_t)net->layers + 1) * (size_t)threads, sizeof *p->range);
  p->pool = hdl_pool_new(threads);
  if (!p->widths || !p->layer || !p->range || !p->pool) {
    bool memory = p->pool != NULL;
    hdl_plan_free(p);
    return memory ? hdl_fail(HDL_ENOMEM, "out of memory") : hdl_fail(HDL_ESYS, "cannot start %d threads", threads);
  }
  memcpy(p->widths, net->widths, sizeof *p->widths * ((size_t)net->layers + 1));
  *plan = p;
  return HDL_OK;
}

static bool fraction(float x) { return x >= 0 && x < 1; }

hdl_status hdl_autoencoder_new(hdl_plan **plan, const hdl_autoencoder *net, int32_t max_batch, int32_t threads,
                               hdl_isa isa) {
  *plan = NULL;
  if (!net) return hdl_fail(HDL_EINVAL, "no autoencoder");
  if (net->decoder != HDL_SQUARED && net->decoder != HDL_SIGMOID_SQUARED)
    return hdl_fail(HDL_EINVAL, "unknown decoder %d", net->decoder);
  if (!(net->beta >= 0) || !isfinite(net->beta)) return hdl_fail(HDL_EINVAL, "beta is %g", (double)net->beta);
  if (net->beta > 0 && (net->activation != HDL_SIGMOID || !(net->rho > 0 && net->rho < 1) || !fraction(net->memory)))
    return hdl_fail(HDL_EINVAL, "beta needs a sigmoid (given activation %d), rho %g in (0, 1), memory %g in [0, 1)",
                    net->activation, (double)net->rho, (double)net->memory);
  if (!fraction(net->corruption))
    return hdl_fail(HDL_EINVAL, "corruption is %g, expected [0, 1)", (double)net->corruption);
  if (!(net->contractive >= 0) || !isfinite(net->contractive))
    return hdl_fail(HDL_EINVAL, "contractive is %g", (double)net->contractive);
  int32_t widths[3] = {net->inputs, net->hidden, net->inputs};
  hdl_net dense = {2, widths, net->activation, net->decoder, net->leak, net->corruption, 0};
  hdl_status status = hdl_plan_new(plan, &dense, max_batch, threads, isa);
  if (status) return status;
  (*plan)->reconstructs = true, (*plan)->ae = *net;
  (*plan)->keep_input = 1; /* a denoising autoencoder's remaining inputs stay as they are (Vincent et al. 2010) */
  return HDL_OK;
}

hdl_isa hdl_plan_isa(const hdl_plan *p) { return p->isa; }

void hdl_plan_free(hdl_plan *p) {
  if (!p) return;
  hdl_pool_free(p->pool);
  free(p->memory);
  free(p->row_input), free(p->row_value), free(p->t_row), free(p->t_value);
  free(p->widths), free(p->layer), free(p->range), free(p->gibbs);
  free(p);
}

/* Rows as far apart as needed for 128 of them not to share L1's sets: an odd number of cache lines. */
static int row_length(int n, int vw) {
  int ld = hdl_round_up(n, vw > 4 ? vw : 4);
  if (ld < 128) return hdl_round_up(ld, HDL_MAX_VW);
  ld = hdl_round_up(ld, 16);
  return ld / 16 % 2 ? ld : ld + 16;
}

/* Vectors along the inputs where vectors along O would idle more than an eighth of their lanes, as long as the few
 * rows stay near L1; CSR needs rows of W. */
static bool along_inputs(int I, int O, int vw, bool sparse) {
  int padded = hdl_round_up(O, vw);
  return !sparse && O <= 64 && I >= 8 * vw && I <= 1024 && (padded - O) * 8 > padded;
}

/* Layers beyond the net's only sum x d': they read the inputs, as layer 0 does. */
static int summed(const hdl_plan *p) { return p->layers + (p->ae.beta > 0); }

static void shape(hdl_plan *p, bool sparse) {
  int vw = p->k->vw, pairs = p->ae.tied || (p->gibbs && !p->gibbs->chains) ? 2 : 1;
  bool panels = p->ae.tied || p->ae.contractive > 0 || p->gibbs; /* the encoder's columns are wanted as vectors */
  for (int l = 0; l < summed(p); l++) {
    hdl_layer *y = &p->layer[l];
    int of = l < p->layers ? l : 0;
    memset(y, 0, sizeof *y);
    y->I = p->widths[of], y->O = p->widths[of + 1];
    y->lda = row_length(y->O, vw) * (l < p->layers ? pairs : 1);
    y->x_ld = row_length(y->I, vw) * pairs;
    y->tied = p->ae.tied && l == 1, y->contract = p->ae.contractive > 0 && l == 0;
    y->pairs = l == 0 ? pairs : 1;
    y->along_inputs = !(panels && l == 0) && !y->tied && along_inputs(y->I, y->O, vw, sparse && l == 0);
    y->m = y->along_inputs ? y->O : y->I, y->n = y->along_inputs ? y->I : y->O;
    y->mp = hdl_round_up(y->m, vw), y->nv = (y->n + vw - 1) / vw;
    y->ld = y->along_inputs ? row_length(y->n, vw) : 0;
    y->wr = y->tied ? y[-1].n : y->mp, y->tr = y->tied ? y[-1].mp : y->n;
    y->size = (size_t)y->mp * (size_t)(y->along_inputs ? y->ld : y->nv * vw);
  }
}

typedef struct {
  char *base;
  size_t used;
} arena;

static void *take(arena *a, size_t count) { /* of 4-byte items, on a cache line */
  void *at = a->base ? a->base + a->used : NULL;
  a->used += (count * 4 + 127) & ~(size_t)63; /* and one spare line */
  return at;
}

/* What an autoencoder has beside its layers. */
static void codes(hdl_plan *p, arena *a) {
  size_t width = (size_t)hdl_round_up(p->layer[0].O, HDL_MAX_VW);
  p->codes = take(a, (size_t)p->threads * HDL_CODES * width);
  p->norm = take(a, width), p->sum_a = take(a, width);
  if (summed(p) == p->layers) return;
  hdl_layer *y = &p->layer[p->layers];
  y->g = take(a, y->size), y->gb = take(a, width);
  y->d = take(a, (size_t)p->block * (size_t)y->lda);
  y->x = p->x;
}

/* What an RBM has beside its layer. */
static void beside(hdl_plan *p, arena *a, size_t rows, int states) {
  hdl_gibbs *g = p->gibbs;
  const hdl_layer *y = &p->layer[0];
  size_t width = (size_t)hdl_round_up(y->I, HDL_MAX_VW), x_ld = (size_t)y->x_ld;
  g->b = take(a, width), g->gb = take(a, width);
  for (int s = 0; s < HDL_STATES; s++) g->sb[s] = s < states ? take(a, width) : g->gb;
  g->active = take(a, (size_t)hdl_round_up(y->O, HDL_MAX_VW));
  g->sample = take(a, rows * (size_t)(y->lda / y->pairs));
  g->chain = take(a, (size_t)g->chains * x_ld), g->room = take(a, g->chains ? rows * x_ld : 0);
}

static void carve(hdl_plan *p, arena *a, bool sparse, int states) {
  int vw = p->k->vw;
  size_t block = (size_t)p->block * (p->gibbs && p->gibbs->chains ? 2 : 1);
  p->x = sparse ? NULL : take(a, block * (size_t)p->layer[0].x_ld);
  for (int l = 0; l < p->layers; l++) {
    hdl_layer *y = &p->layer[l];
    size_t width = (size_t)hdl_round_up(y->O, HDL_MAX_VW);
    if (y->tied) {
      y->w = y[-1].wt, y->wt = y[-1].w;
    } else {
      y->w = take(a, y->size);
      y->wt = (l || p->ae.tied || p->gibbs) && !y->along_inputs ? take(a, (size_t)y->n * (size_t)y->mp) : NULL;
      y->g = take(a, y->size);
    }
    y->b = take(a, width), y->gb = take(a, width);
    for (int s = 0; s < HDL_STATES; s++) {
      y->s[s] = s < states && !y->tied ? take(a, y->size) : y->g;
      y->sb[s] = s < states ? take(a, width) : y->gb;
    }
    /* tied: one sum over pairs of rows, (x, d) of the encoder and (d, x) of the decoder, in the order of the samples */
    y->d = y->tied ? p->x + y->lda / 2 : take(a, block * (size_t)y->lda);
    y->a = y->pairs == 2 ? y->d + y->lda / 2 : take(a, block * (size_t)y->lda);
    y->x = l ? y[-1].a : p->x;
  }
  if (p->gibbs) beside(p, a, block, states);
  if (p->reconstructs) codes(p, a);
  p->target = p->reconstructs && !p->drop_input ? p->x : take(a, block * (size_t)p->layer[p->layers - 1].lda);
  p->label = take(a, block);
  p->row_cost = take(a, block), p->row_hit = take(a, block);
  p->scale_room = take(a, (size_t)p->layer[0].x_ld), p->shift_room = take(a, (size_t)p->layer[0].x_ld);
  p->scratch_size = (size_t)hdl_round_up((HDL_ROWS + HDL_STRIPE + vw) * HDL_PV * vw, 16); /* a panel of D; of dW */
  p->scratch = take(a, p->scratch_size * (size_t)p->threads);
  p->row_start = take(a, block + 1);
  if (sparse) p->t_count = take(a, (size_t)p->widths[0]);
  p->t_input = sparse ? take(a, (size_t)p->widths[0]) : NULL;
  p->t_start = sparse ? take(a, (size_t)p->widths[0] + 1) : NULL;
}

/* Shares of dW: all layers' units (VW rows; or single vectors where along_inputs) in one line, cut evenly by cost; the
 * statistics, which only some calls want, by themselves. */
static void divide(hdl_plan *p) {
  int vw = p->k->vw;
  double total = 0, done = 0;
  for (int l = 0; l < p->layers; l++) total += p->layer[l].tied ? 0 : (double)p->layer[l].mp * p->layer[l].nv;
  for (int l = 0; l < summed(p); l++) {
    hdl_layer *y = &p->layer[l];
    if (y->tied) continue;
    if (l == p->layers) total = (double)y->mp * y->nv, done = 0;
    int units = y->along_inputs ? y->nv : y->mp / vw;
    double cost = (double)y->mp * y->nv;
    for (int t = 0; t < p->threads; t++) {
      double lo = (total * t / p->threads - done) / cost, hi = (total * (t + 1) / p->threads - done) / cost;
      hdl_range *r = hdl_share(p, l, t);
      r->lo = lo <= 0 ? 0 : lo >= 1 ? units : (int)(lo * units + 0.5);
      r->hi = hi <= 0 ? 0 : hi >= 1 || t + 1 == p->threads ? units : (int)(hi * units + 0.5);
    }
    done += cost;
  }
}

hdl_status hdl_layout(hdl_plan *p, int input_type, int states) {
  bool sparse = input_type == HDL_CSR;
  if (p->input_type >= 0 && (p->input_type == HDL_CSR) == sparse && states <= p->states) {
    p->input_type = input_type;
    return HDL_OK;
  }
  free(p->memory);
  p->memory = NULL, p->input_type = -1;
  shape(p, sparse);
  arena a = {NULL, 0};
  carve(p, &a, sparse, states);
  size_t huge = 2u << 20, align = a.used >= huge ? huge : 64;
  size_t size = (a.used + align - 1) & ~(align - 1);
  p->memory = aligned_alloc(align, size);
  if (!p->memory) return hdl_fail(HDL_ENOMEM, "cannot allocate %zu bytes for the plan", size);
#if defined(MADV_HUGEPAGE)
  if (align == huge) madvise(p->memory, size, MADV_HUGEPAGE);
#endif
  memset(p->memory, 0, size);
  a = (arena){p->memory, 0};
  carve(p, &a, sparse, states);
  divide(p);
  p->input_type = input_type, p->states = states;
  return HDL_OK;
}
