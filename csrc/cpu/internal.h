/* internal.h: declares what the files of the CPU core share. Letters as in hdl.h; VW: lanes of a vector.
 *
 * Matrices of weights live in the plan during a call, in the layout that the kernels read, never repacked per step:
 *   across O (the usual): rows are inputs, vectors run along outputs, cut into panels of up to 3 vectors:
 *     w = panels [m = I, padded to VW][panel's columns], one after another. Forward reads it directly; the input's
 *     gradient reads wt, the same matrix transposed, panels [n = O][panel's columns of I], kept by register transposes.
 *   along I (narrow O, where vectors along O would waste lanes): w [m = O][ld], vectors run along inputs. Forward is a
 *     dot product, the input's gradient and dW read it directly: no copy.
 *   Tied weights lie once, across O: the decoder's w is the encoder's wt, and the other way round.
 * Padding lanes and rows of weights, activations and deltas are zero and stay zero.
 */
#ifndef HDL_INTERNAL_H
#define HDL_INTERNAL_H

#include "../rng.h"
#include "micro.h"
#include "team.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <time.h>

enum {
  HDL_MAX_VW = 16,
  HDL_ROWS = 128,
  HDL_BLOCK = 512,
  HDL_MAX_THREADS = 256,
  HDL_ZEROS = 4096,
  HDL_STATES = 3 /* of a rule, and the weights that L2-SP pulls to */
};

/* The caches decide how the work is cut, never in what order a sum is taken. Of L1 a slice of a panel takes five
 * eighths, while rows go by. Of L2 what is read again and again, rows or weights, takes seven sixteenths; the inputs of
 * a stripe of weights nine of 32, beside a panel of deltas. */
static inline size_t hdl_slice_bytes(hdl_caches cache) { return cache.l1 / 8 * 5; }
static inline size_t hdl_kept_bytes(hdl_caches cache) { return cache.l2 / 16 * 7; }
static inline size_t hdl_stripe_bytes(hdl_caches cache) { return cache.l2 / 32 * 9; }

/* Rows of the mini-batch are taken HDL_ROWS at a time where that keeps them in L2. Nets whose weights are more than
 * twice L2, which come from beyond it, take blocks of HDL_BLOCK rows through, so that they come less often. */
static inline size_t hdl_large_bytes(hdl_caches cache) { return 2 * cache.l2; }

/* Rows of W whose inputs, for so many rows, stay in L2 while the panels go by. */
static inline int hdl_stripe_rows(hdl_caches cache, int rows) {
  return (int)(hdl_stripe_bytes(cache) / sizeof(float)) / (rows > HDL_ROWS ? rows : HDL_ROWS);
}

typedef struct {
  int I, O;
  bool along_inputs;
  bool tied;                      /* w and wt belong to the layer below, which also has their gradient */
  bool paired;                    /* products take their factors as pairs of bfloat16 (kernels/bf16.h) */
  bool contract;                  /* dW has a term contraction * W (kernels/autoencoder.h) */
  int m, n, m_padded, nv;         /* matrix as stored: rows, columns, rows padded to VW, vectors of columns */
  int w_rows, wt_rows;            /* rows of a panel of w, of wt */
  int ld;                         /* floats from row to row where along_inputs */
  int pairs;                      /* dW = X' D sums over so many rows a sample: 2 with tied weights, whose x and d rows
                                     alternate with the decoder's d and x rows */
  size_t size;                    /* floats of w */
  float *w, *wt, *g;              /* weights, transposed copy or NULL, gradient: w and g have the same layout */
  float *s[HDL_STATES];           /* the rule's state, layout of w */
  float *b, *gb, *sb[HDL_STATES]; /* [O padded] biases, their gradient, their state */
  float *a, *d;  /* [block, lda] output (after activation), delta (gradient of the cost at the input of act.) */
  float *packed; /* d in panels, as dW may read it: [panel][packed_rows][panel's columns]; or NULL */
  int packed_rows;
  /* Pairs along the k of each product: W, and W' in place of wt, in panels; X and D; rows of X, beside those of D in
     packed. */
  hdl_pair *w_pairs, *wt_pairs, *x_pairs, *d_pairs, *x_row_pairs;
  int lda;
  int x_ld;       /* of this layer's input */
  const float *x; /* [block, x_ld] this layer's input: the gathered data or the layer below's a */
} hdl_layer;

/* One pass over a block of rows: each thread has its own, all with the same values but for its room. */
typedef struct {
  hdl_caches cache;
  float *room; /* [scratch_size] */
  const hdl_data *data;
  const int64_t *order; /* of this block, or NULL: base, base+1, … */
  int64_t base;
  int rows;     /* of this block */
  int64_t row0; /* of its first row in the mini-batch (dropout's counter) */
  int64_t step;
  bool backward, first, last;     /* first, last block of the mini-batch */
  bool update;                    /* the last block updates the weights */
  bool scored;                    /* the loss has something to compare with */
  bool mean;                      /* rows are encoded for the mean activation, which backward needs */
  bool slopes;                    /* the statistics of an autoencoder's sparsity are wanted */
  const float *sparsity_gradient; /* [H] by each mean activation, or NULL: added to the delta before f' */
  const float *contraction;       /* [H] contractive * sum of f'^2 */
  bool touched;                   /* entries: only rows of w, or of tables, with an input need an update */
  bool decays;                    /* weights whose gradient is 0 change: a penalty, or weight decay */
  const hdl_update *rule;
  int start;              /* which state holds the weights that L2-SP pulls to */
  float lr, inv_batch;    /* 1/(sum of the mini-batch's weights) */
  float eta, decay;       /* plain SGD: w = decay*w - eta*sum of gradients */
  bool plain;             /* plain SGD: fused into the kernel */
  float unbias1, unbias2; /* 1/(1-beta1^t), 1/(1-beta2^t) */
  uint32_t key[2];        /* dropout */
  float *out;             /* forward: [rows, O] or NULL */
  int chains;             /* RBM: rows of the block that are chains, after those that are samples */
  int64_t chain0;         /* of the first of them */
  float chain_weight;     /* samples of the mini-batch to one chain */
} hdl_context;

/* The restricted Boltzmann machine of a plan of one layer. Its x rows are v_pos, and in pairs with them v_neg;
 * its d rows minus p(h|v_pos), and in pairs with them p(h|v_neg): dW is one product over both. With persistent chains x
 * and d hold the samples, then the chains. */
typedef struct {
  bool gaussian;
  int k, chains; /* chains: 0 for contrastive divergence */
  float rho, beta;
  float *b, *gb, *sb[HDL_STATES]; /* [I padded] visible biases, their gradient, their state */
  float *active;                  /* [H padded] sum of p(h|v_pos) over the mini-batch */
  float *sample;                  /* [rows of x, H padded] h drawn */
  float *chain;                   /* [chains, x_ld] */
  float *scratch;                 /* chains: [2 block, x_ld] samples' reconstructions; chains' draws */
  float *caller_chains;           /* [chains, I] during a call */
  uint32_t key[2];                /* the chains' draws */
} hdl_gibbs;

/* Of an input that entries name: how many a block has of it, in passing; and the last mini-batch that it occurred in,
 * or 1 for one before this call, or 0 while its row of weights has no state. */
typedef struct {
  int32_t count;
  uint32_t stamp;
} hdl_slot;

/* Tables of embedded categories. Table c is [levels[c], padded[c]], at `place[c]` floats of w, g, s: its columns are
 * padded to vectors, padding is zero and stays zero. Its vector enters the first layer at x[column[c]]. */
typedef struct {
  int *levels, *vector, *padded, *column;
  int *first; /* [C+1] number of the input that is its level 0; at the end: of all inputs */
  size_t *place;
  size_t size, parameters; /* floats of w; of the flat vector */
  float *w, *g, *s[HDL_STATES];
  float *dx; /* [block, x_ld] the cost's gradient by what enters the first layer */
} hdl_tables;

typedef struct { /* a thread's share of a layer's dW: rows (across O) or vectors (along I) */
  int lo, hi;
} hdl_range;

/* The kernels of one instruction set (kernels/). Rows r0 … r1 are of the block; thread says whose share of the weights.
 */
typedef struct {
  int vw;
  void (*gather)(hdl_plan *plan, const hdl_context *ctx, int r0, int r1);
  void (*forward)(hdl_plan *plan, const hdl_context *ctx, int l, int r0, int r1);
  void (*loss)(hdl_plan *plan, const hdl_context *ctx, int r0, int r1);
  void (*backward)(hdl_plan *plan, const hdl_context *ctx, int l, int r0, int r1);
  void (*pack_deltas)(hdl_plan *plan, const hdl_context *ctx, int rows, int r0, int r1);
  void (*weight_gradient)(hdl_plan *plan, const hdl_context *ctx, int l, int thread);
  void (*max_norm)(hdl_plan *plan, const hdl_context *ctx, int l, int thread);
  void (*transpose)(hdl_layer *layer);
  void (*input_gradient)(hdl_plan *plan, const hdl_context *ctx, int r0, int r1);
  void (*table_gradient)(hdl_plan *plan, const hdl_context *ctx, int thread);
  void (*mean_activation)(hdl_plan *plan, hdl_context *ctx, int thread);
  void (*contractive_term)(hdl_plan *plan, const hdl_context *ctx, int r0, int r1);
  void (*code_sums)(hdl_plan *plan, hdl_context *ctx, int thread);
  void (*squared_norms)(hdl_plan *plan, int thread);
  void (*gibbs)(hdl_plan *plan, const hdl_context *ctx, int thread);
  void (*contrastive_divergence)(hdl_plan *plan, const hdl_context *ctx, int thread);
  bool (*rows)(const hdl_strided *parts, int count, float *out);
  float (*peak)(int64_t n);
  const micro_table *pairs; /* by plain multiply-adds */
} hdl_kernels;

/* generic.c, avx2.c, avx512.c; tests/unit/core_wide.c has the 16-lane source split into smaller vectors */
extern const hdl_kernels hdl_kernels_generic, hdl_kernels_avx2, hdl_kernels_avx512, hdl_kernels_wide;

typedef enum { HDL_TASK_TRAIN, HDL_TASK_GRADIENT, HDL_TASK_FORWARD, HDL_TASK_ENCODE, HDL_TASKS } hdl_task;

typedef struct hdl_pool hdl_pool;
struct hdl_pool *hdl_pool_new(int threads);
void hdl_pool_free(struct hdl_pool *pool);
/* Runs body(argument, t) for t in [0, threads), t = 0 in the caller; the barrier is for these. */
void hdl_pool_run(struct hdl_pool *pool, int threads, void (*body)(void *, int thread), void *argument);
void hdl_pool_barrier(struct hdl_pool *pool, int thread);
bool hdl_pool_foreign(const struct hdl_pool *pool); /* in a forked child */

struct hdl_plan {
  int layers, block;
  int most, threads, fixed; /* threads that there are; that work just now; that always work, or 0: team.h chooses */
  hdl_team team[HDL_TASKS];
  hdl_isa isa;
  hdl_caches cache;
  const hdl_kernels *kernels;
  const micro_table *bf16; /* multiplies pairs of bfloat16; NULL: products are in float32 */
  int activation, loss;
  float leak, loss_parameter, label_smoothing;
  uint32_t drop_input, drop_hidden; /* round(65536 p) */
  float keep_input, keep_hidden;    /* 1/(1-p) */
  float *rates;                     /* [L + 1] factors of the learning rate: of the tables, of each layer */
  int *widths;
  hdl_layer *layer; /* [L], and for an autoencoder's sum of x f'(z)' one without weights */
  struct hdl_pool *pool;
  void *memory; /* everything below and in the layers */
  size_t memory_size;
  int input_type, states; /* what memory is laid out for; -1: nothing yet */
  float *x;               /* [block, layer[0].x_ld] */
  float *target;          /* [block, layer[L-1].lda] */
  int32_t *label;         /* [block] */
  float *row_weight;      /* [block] */
  float *scale, *shift;   /* [padded I]; scale NULL where the data has neither */
  float *scale_room, *shift_room;
  float *row_cost;  /* [block] */
  int32_t *row_hit; /* [block] */
  float *scratch;   /* [most][scratch_size] */
  size_t scratch_size;
  hdl_range *range;  /* [most][L + 1] */
  bool reconstructs; /* an autoencoder or an RBM */
  hdl_gibbs *gibbs;  /* NULL: no RBM */
  hdl_autoencoder autoencoder;
  float *hidden;                   /* [most][HDL_HIDDEN_VECTORS][H padded]: each thread's own, all equal */
  float *norm;                     /* [H padded] |W1_:j|^2 */
  float *sum_a;                    /* [H padded] */
  int inputs, numbers, categories; /* of the data: I; of mixed data K, C */
  hdl_tables *tables;              /* NULL: categories are not embedded */
  /* CSR, and codes of MIXED: the block's entries by row (scaled, dropped), and their transpose: inputs touched, their
     entries in row order */
  int64_t nnz_room;
  int32_t *row_start, *row_input;               /* [block+1], [nnz]; an input of -1 is none */
  float *row_value;                             /* [nnz] */
  int32_t *t_input, *t_start, *t_row, *t_fresh; /* [touched], [touched+1], [nnz], [touched] 1: first of mini-batch */
  float *t_value;                               /* [nnz] */
  int touched;
  hdl_slot *slot; /* [I] */
  uint32_t stamp; /* of the mini-batch */
  float *zeros;   /* [HDL_ZEROS]: the gradient of rows that do not occur */
  atomic_int nonfinite, stop;
};

/* pack.c: between a flat vector [P] and the layout above */
typedef enum { HDL_WEIGHTS, HDL_GRADIENT, HDL_STATE /* + s */ } hdl_vector;
void hdl_pack(const hdl_plan *plan, const float *flat, hdl_vector which);
void hdl_unpack(const hdl_plan *plan, float *flat, hdl_vector which);
size_t hdl_parameters(const hdl_plan *plan);
size_t hdl_statistics(const hdl_plan *plan);

/* layout.c: (re)lays memory for a call; numbers: K of mixed input */
hdl_status hdl_layout(hdl_plan *plan, int input_type, int numbers, int states);
/* Shares the work out to so many threads from now on, between mini-batches. */
void hdl_set_threads(hdl_plan *plan, int threads);

/* tables.c: takes the tables that a net asks for; copies them between the flat vector, in which they come first, and
 * their padded rows; says where the flat vector goes on */
hdl_status hdl_tables_new(hdl_plan *plan, const hdl_net *net);
void hdl_tables_free(hdl_tables *tables);
float *hdl_tables_copy(const hdl_plan *plan, float *flat, hdl_vector which, bool pack);

/* entries.c: transposes the block's entries, of a mini-batch the first block or another; finds the inputs whose rows of
 * weights have a state, before training */
void hdl_transpose_entries(hdl_plan *plan, int rows, bool first);
void hdl_find_states(hdl_plan *plan, const float *state, int states);

/* Tells whether the first layer reads entries of rows beside, or instead of, a dense x. */
static inline bool hdl_has_entries(const hdl_plan *plan) {
  return plan->input_type == HDL_CSR || plan->input_type == HDL_MIXED;
}

/* rbm.c: copies an RBM's visible biases, which follow its layer in the flat vector, and the caller's chains */
void hdl_rbm_pack(const hdl_plan *plan, const float *flat, hdl_vector which);
void hdl_rbm_unpack(const hdl_plan *plan, float *flat, hdl_vector which);

/* check.c: refuses data that the plan cannot take; makes room for CSR rows too */
hdl_status hdl_check(hdl_plan *plan, const hdl_data *data, const int64_t *order, int64_t count, bool labelled);

/* Names the first number of so many samples that is not finite, in place of the error that there is. */
hdl_status hdl_fail_number(const hdl_data *data, int64_t count);

hdl_status hdl_fail(hdl_status status, const char *format, ...) __attribute__((format(printf, 2, 3)));

static inline double hdl_now(void) { /* seconds */
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static inline int hdl_round_up(int n, int to) { return (n + to - 1) / to * to; }

/* The first row of part i of so many parts of a block; pairs of rows stay together. */
static inline int64_t hdl_cut(const hdl_plan *plan, int64_t rows, int64_t i, int64_t parts) {
  if (!plan->bf16) return rows * i / parts;
  return i == parts ? rows : (rows + 1) / 2 * i / parts * 2;
}

static inline hdl_range *hdl_share(const hdl_plan *plan, int l, int thread) {
  return &plan->range[thread * (plan->layers + 1) + l];
}

typedef enum { HDL_RHO_HAT, HDL_SPARSITY_GRADIENT, HDL_SUM, HDL_CONTRACTION, HDL_HIDDEN_VECTORS } hdl_hidden_vector;
static inline float *hdl_hidden_of(const hdl_plan *plan, int thread, hdl_hidden_vector which) {
  int width = hdl_round_up(plan->layer[0].O, HDL_MAX_VW);
  return plan->hidden + ((size_t)thread * HDL_HIDDEN_VECTORS + which) * (size_t)width;
}

/* Tells whether a layer, or where it is -1 the tables, are trained. */
static inline bool hdl_trained(const hdl_plan *plan, int l) {
  return plan->rates[l + 1] != 0 && (l >= 0 || plan->tables);
}
/* The lowest layer whose delta is wanted: below it nothing is trained. */
static inline int hdl_lowest(const hdl_plan *plan) {
  int l = 0;
  while (l + 1 < plan->layers && !hdl_trained(plan, l)) l++;
  return hdl_trained(plan, -1) ? 0 : l;
}

/* Panels of a matrix of nv vectors: even widths, at most HDL_PV. */
static inline int hdl_panels(int nv) { return (nv + HDL_PV - 1) / HDL_PV; }
static inline int hdl_panel_start(int nv, int panel) {
  int np = hdl_panels(nv), base = nv / np, extra = nv % np;
  return panel * base + (panel < extra ? panel : extra);
}
/* The panel that holds vector v. */
static inline int hdl_panel_of(int nv, int v) {
  int np = hdl_panels(nv), base = nv / np, extra = nv % np, wide = extra * (base + 1);
  return v < wide ? v / (base + 1) : extra + (v - wide) / base;
}
#endif
