/* layout.c: lays out a plan's memory for the kind of input and the update rule of a call. */
#include "internal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* Sets rows as far apart as needed for 128 of them not to share L1's sets: an odd number of cache lines. */
static int row_length(int n, int vw) {
  int ld = hdl_round_up(n, vw > 4 ? vw : 4);
  if (ld < 128) return hdl_round_up(ld, HDL_MAX_VW);
  ld = hdl_round_up(ld, 16);
  return ld / 16 % 2 ? ld : ld + 16;
}

/* Decides for vectors along the inputs where vectors along O would idle more than an eighth of their lanes, as long as
 * the few rows stay near L1; CSR and codes need rows of W. */
static bool along_inputs(int I, int O, int vw, bool sparse) {
  int padded = hdl_round_up(O, vw);
  return !sparse && O <= 64 && I >= 8 * vw && I <= 1024 && (padded - O) * 8 > padded;
}

/* Counts layers with those beyond the net's, which only sum x d': they read the inputs, as layer 0 does. */
static int all_layers(const hdl_plan *plan) { return plan->layers + (plan->autoencoder.beta > 0); }

/* Sets the shape of every layer's matrices. */
static void set_shapes(hdl_plan *plan, int input_type) {
  int vw = plan->kernels->vw, pairs = plan->autoencoder.tied || (plan->gibbs && !plan->gibbs->chains) ? 2 : 1;
  /* the encoder's columns are wanted as vectors */
  bool panels = plan->autoencoder.tied || plan->autoencoder.contractive > 0 || plan->gibbs;
  bool mixed = input_type == HDL_MIXED && !plan->tables, rows = mixed || input_type == HDL_CSR;
  for (int l = 0; l < all_layers(plan); l++) {
    hdl_layer *layer = &plan->layer[l];
    int of = l < plan->layers ? l : 0;
    memset(layer, 0, sizeof *layer);
    layer->I = plan->widths[of], layer->O = plan->widths[of + 1];
    layer->lda = row_length(layer->O, vw) * (l < plan->layers ? pairs : 1);
    layer->x_ld = row_length(mixed && l == 0 ? plan->numbers : layer->I, vw) * pairs;
    layer->tied = plan->autoencoder.tied && l == 1, layer->contract = plan->autoencoder.contractive > 0 && l == 0;
    layer->pairs = l == 0 ? pairs : 1;
    layer->paired = plan->bf16 && l < plan->layers && !(rows && l == 0);
    layer->along_inputs =
        !layer->paired && !(panels && l == 0) && !layer->tied && along_inputs(layer->I, layer->O, vw, rows && l == 0);
    layer->m = layer->along_inputs ? layer->O : layer->I, layer->n = layer->along_inputs ? layer->I : layer->O;
    layer->m_padded = hdl_round_up(layer->m, vw), layer->nv = (layer->n + vw - 1) / vw;
    layer->ld = layer->along_inputs ? row_length(layer->n, vw) : 0;
    layer->w_rows = layer->tied ? layer[-1].n : layer->m_padded;
    layer->wt_rows = layer->tied ? layer[-1].m_padded : layer->n;
    layer->size = (size_t)layer->m_padded * (size_t)(layer->along_inputs ? layer->ld : layer->nv * vw);
  }
}

typedef struct {
  char *base;
  size_t used;
} arena;

/* Takes `count` items of 4 bytes, on a cache line; without a base it only counts them. */
static void *allocate(arena *a, size_t count) {
  void *at = a->base ? a->base + a->used : NULL;
  a->used += (count * 4 + 127) & ~(size_t)63; /* and one spare line */
  return at;
}

/* Lays out what a layer's products read instead of its w, wt, x and d. */
static void lay_pairs(hdl_layer *layer, arena *a, size_t rows, bool transposed) {
  if (!layer->paired) return;
  if (layer->tied) {
    layer->w_pairs = layer[-1].wt_pairs, layer->wt_pairs = layer[-1].w_pairs;
  } else {
    layer->w_pairs = allocate(a, layer->size / 2);
    layer->wt_pairs = transposed ? allocate(a, (size_t)(layer->n + 1) / 2 * (size_t)layer->m_padded) : NULL;
  }
  layer->x_pairs = allocate(a, rows * (size_t)layer->x_ld / 2);
  layer->x_row_pairs = layer->tied ? NULL : allocate(a, rows * (size_t)layer->x_ld / 2);
  layer->d_pairs = allocate(a, rows * (size_t)layer->lda / 2);
}

/* Lays out the panels of a layer's d where its columns are several panels. */
static void lay_panels(hdl_layer *layer, arena *a, size_t rows, int vw) {
  if (layer->along_inputs || layer->tied || (layer->nv <= HDL_PV && !layer->paired)) return;
  rows = rows * (size_t)layer->pairs / (layer->paired ? 2 : 1);
  layer->packed = allocate(a, rows * (size_t)(layer->nv * vw)), layer->packed_rows = (int)rows;
}

/* Lays out an autoencoder's vectors beside its layers: sparsity's, norms, sums. */
static void lay_autoencoder(hdl_plan *plan, arena *a) {
  size_t width = (size_t)hdl_round_up(plan->layer[0].O, HDL_MAX_VW);
  plan->hidden = allocate(a, (size_t)plan->most * HDL_HIDDEN_VECTORS * width);
  plan->norm = allocate(a, width), plan->sum_a = allocate(a, width);
  if (all_layers(plan) == plan->layers) return;
  hdl_layer *layer = &plan->layer[plan->layers];
  layer->g = allocate(a, layer->size), layer->gb = allocate(a, width);
  layer->d = allocate(a, (size_t)plan->block * (size_t)layer->lda);
  lay_panels(layer, a, (size_t)plan->block, plan->kernels->vw);
  layer->x = plan->x;
}

/* Lays out an RBM's memory beside its layer: the Gibbs chains'. */
static void lay_rbm(hdl_plan *plan, arena *a, size_t rows, int states) {
  hdl_gibbs *g = plan->gibbs;
  const hdl_layer *layer = &plan->layer[0];
  size_t width = (size_t)hdl_round_up(layer->I, HDL_MAX_VW), x_ld = (size_t)layer->x_ld;
  g->b = allocate(a, width), g->gb = allocate(a, width);
  for (int s = 0; s < HDL_STATES; s++) g->sb[s] = s < states ? allocate(a, width) : g->gb;
  g->active = allocate(a, (size_t)hdl_round_up(layer->O, HDL_MAX_VW));
  g->sample = allocate(a, rows * (size_t)(layer->lda / layer->pairs));
  g->chain = allocate(a, (size_t)g->chains * x_ld), g->scratch = allocate(a, g->chains ? rows * x_ld : 0);
}

/* Lays out the tables of embedded categories. */
static void lay_tables(hdl_plan *plan, arena *a, size_t rows, int states) {
  hdl_tables *t = plan->tables;
  t->w = allocate(a, t->size), t->g = allocate(a, t->size);
  for (int s = 0; s < HDL_STATES; s++) t->s[s] = s < states ? allocate(a, t->size) : t->g;
  t->dx = allocate(a, rows * (size_t)plan->layer[0].x_ld);
}

/* Lays out the whole plan. */
static void lay_plan(hdl_plan *plan, arena *a, int input_type, int states) {
  bool sparse = input_type == HDL_CSR, entries = sparse || input_type == HDL_MIXED;
  int vw = plan->kernels->vw;
  size_t block = (size_t)plan->block * (plan->gibbs && plan->gibbs->chains ? 2 : 1);
  plan->x = sparse ? NULL : allocate(a, block * (size_t)plan->layer[0].x_ld);
  for (int l = 0; l < plan->layers; l++) {
    hdl_layer *layer = &plan->layer[l];
    size_t width = (size_t)hdl_round_up(layer->O, HDL_MAX_VW);
    bool transposed = l || plan->autoencoder.tied || plan->gibbs || plan->tables;
    lay_pairs(layer, a, block, transposed);
    if (layer->tied) {
      layer->w = layer[-1].wt, layer->wt = layer[-1].w;
    } else {
      layer->w = allocate(a, layer->size);
      bool copy = transposed && !layer->along_inputs && !layer->paired;
      layer->wt = copy ? allocate(a, (size_t)layer->n * (size_t)layer->m_padded) : NULL;
      layer->g = allocate(a, layer->size);
    }
    layer->b = allocate(a, width), layer->gb = allocate(a, width);
    for (int s = 0; s < HDL_STATES; s++) {
      layer->s[s] = s < states && !layer->tied ? allocate(a, layer->size) : layer->g;
      layer->sb[s] = s < states ? allocate(a, width) : layer->gb;
    }
    /* tied: one sum over pairs of rows, (x, d) of the encoder and (d, x) of the decoder, in the order of the samples */
    layer->d = layer->tied ? plan->x + layer->lda / 2 : allocate(a, block * (size_t)layer->lda);
    layer->a = layer->pairs == 2 ? layer->d + layer->lda / 2 : allocate(a, block * (size_t)layer->lda);
    if (l || !sparse) lay_panels(layer, a, block, vw);
    layer->x = l ? layer[-1].a : plan->x;
  }
  if (plan->tables) lay_tables(plan, a, block, states);
  if (plan->gibbs) lay_rbm(plan, a, block, states);
  if (plan->reconstructs) lay_autoencoder(plan, a);
  plan->target = plan->reconstructs && !plan->drop_input
                     ? plan->x
                     : allocate(a, block * (size_t)plan->layer[plan->layers - 1].lda);
  plan->label = allocate(a, block), plan->row_weight = allocate(a, block);
  plan->row_cost = allocate(a, block), plan->row_hit = allocate(a, block);
  size_t width = (size_t)row_length(plan->layer[0].I, vw);
  plan->scale_room = allocate(a, width), plan->shift_room = allocate(a, width);
  /* A thread's: for dW a panel of D, sums of a stripe of W and its inputs; for other products rows of a slice. */
  size_t stripe = (size_t)(hdl_stripe_rows(plan->cache, 0) + vw), panel = (size_t)(HDL_PV * vw), spare = (size_t)vw;
  size_t inputs = HDL_ROWS * stripe + 2 * (size_t)plan->block * spare, sums = (HDL_ROWS + stripe) * panel;
  size_t slice = (HDL_ROWS + spare) * (hdl_slice_bytes(plan->cache) / (4 * panel) + 1);
  plan->scratch_size = ((inputs + sums > slice ? inputs + sums : slice) + 15) & ~(size_t)15;
  plan->scratch = allocate(a, plan->scratch_size * (size_t)plan->most);
  plan->row_start = allocate(a, block + 1);
  if (entries) plan->slot = allocate(a, (size_t)plan->inputs * (sizeof(hdl_slot) / 4));
  plan->t_fresh = entries ? allocate(a, (size_t)plan->inputs) : NULL;
  plan->zeros = entries ? allocate(a, HDL_ZEROS) : NULL;
  plan->t_input = entries ? allocate(a, (size_t)plan->inputs) : NULL;
  plan->t_start = entries ? allocate(a, (size_t)plan->inputs + 1) : NULL;
}

/* Shares dW out to threads: all layers' units (VW rows; or single vectors where along_inputs) in one line, cut evenly
 * by cost; the statistics, which only some calls want, by themselves. */
static void divide(hdl_plan *plan) {
  int vw = plan->kernels->vw;
  double total = 0, done = 0;
  for (int l = 0; l < plan->layers; l++)
    total += plan->layer[l].tied || !hdl_trained(plan, l) ? 0 : (double)plan->layer[l].m_padded * plan->layer[l].nv;
  for (int l = 0; l < all_layers(plan); l++) {
    hdl_layer *layer = &plan->layer[l];
    if (layer->tied || (l < plan->layers && !hdl_trained(plan, l))) continue;
    if (l == plan->layers) total = (double)layer->m_padded * layer->nv, done = 0;
    int units = layer->along_inputs ? layer->nv : layer->m_padded / vw;
    double cost = (double)layer->m_padded * layer->nv;
    for (int t = 0; t < plan->threads; t++) {
      double lo = (total * t / plan->threads - done) / cost, hi = (total * (t + 1) / plan->threads - done) / cost;
      hdl_range *r = hdl_share(plan, l, t);
      r->lo = lo <= 0 ? 0 : lo >= 1 ? units : (int)(lo * units + 0.5);
      r->hi = hi <= 0 ? 0 : hi >= 1 || t + 1 == plan->threads ? units : (int)(hi * units + 0.5);
    }
    done += cost;
  }
}

void hdl_set_threads(hdl_plan *plan, int threads) {
  if (plan->threads == threads) return;
  plan->threads = threads;
  divide(plan);
  size_t own = HDL_HIDDEN_VECTORS * (size_t)hdl_round_up(plan->layer[0].O, HDL_MAX_VW);
  for (int t = 1; t < threads && plan->autoencoder.hidden; t++) /* those that did not work know no means */
    memcpy(hdl_hidden_of(plan, t, 0), hdl_hidden_of(plan, 0, 0), own * sizeof(float));
}

hdl_status hdl_layout(hdl_plan *plan, int input_type, int numbers, int states) {
  /* bytes and floats lie alike */
  int kind = input_type == HDL_U8 ? HDL_F32 : input_type, before = plan->input_type;
  if (before == HDL_U8) before = HDL_F32;
  if (kind == before && numbers == plan->numbers && states <= plan->states) {
    plan->input_type = input_type;
    return HDL_OK;
  }
  free(plan->memory);
  plan->memory = NULL, plan->input_type = -1;
  plan->numbers = numbers;
  set_shapes(plan, input_type);
  arena a = {NULL, 0};
  lay_plan(plan, &a, input_type, states);
  size_t huge = 2u << 20, align = a.used >= huge ? huge : 64;
  size_t size = (a.used + align - 1) & ~(align - 1);
  plan->memory = aligned_alloc(align, size);
  if (!plan->memory) return hdl_fail(HDL_ENOMEM, "cannot allocate %zu bytes for the plan", size);
#if defined(MADV_HUGEPAGE)
  if (align == huge) madvise(plan->memory, size, MADV_HUGEPAGE);
#endif
  memset(plan->memory, 0, size);
  a = (arena){plan->memory, 0};
  lay_plan(plan, &a, input_type, states);
  divide(plan);
  plan->input_type = input_type, plan->states = states;
  return HDL_OK;
}
