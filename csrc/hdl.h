/* hdl.h: the whole C interface of the core.
 *
 * Letters: L weight matrices, B batch, I in, O out, H hidden, P all parameters, Q statistics, N samples.
 * A model's parameters are one flat float32 vector [P]: for each layer l,
 * W_l [widths[l], widths[l+1]] row-major (input-major), then b_l [widths[l+1]]. Where categories are embedded, their
 * tables E_c [levels[c], vector[c]] come before all layers.
 * An autoencoder's vector is W1 [I, H], b1 [H], W2 [H, I] unless tied, b2 [I] and,
 * where beta > 0, the running mean activation rho_hat [H], which no update rule touches.
 * An RBM's is W [I, H], hidden biases [H], visible biases [I].
 * Every call returns an hdl_status, never exits, prints nothing, and keeps no
 * hidden state: a result is a function of the arguments alone, and does not
 * depend on the number of threads.
 */
#ifndef HDL_H
#define HDL_H

#include <stddef.h>
#include <stdint.h>

#include "activations.h"
#include "losses.h"
#include "rules.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
  HDL_OK = 0,
  HDL_EINVAL = 1,     /* an argument is out of range: see hdl_last_error */
  HDL_ENOMEM = 2,     /* allocation failed */
  HDL_ENONFINITE = 3, /* the cost became NaN or infinite; weights are left as they were at the call */
  HDL_EINTERRUPT = 4, /* the progress callback asked to stop; weights hold the last whole step */
  HDL_EISA = 5,       /* this processor cannot run the kernels asked for */
  HDL_ESYS = 6        /* threads could not be started */
} hdl_status;

typedef enum { HDL_ISA_AUTO = 0, HDL_ISA_GENERIC = 1, HDL_ISA_AVX2 = 2, HDL_ISA_AVX512 = 3 } hdl_isa;
#define ACTIVATION(NUMBER, ...) HDL_##NUMBER,
typedef enum { HDL_ACTIVATION_TABLE(ACTIVATION) HDL_ACTIVATIONS } hdl_activation; /* activations.h; and how many */
#undef ACTIVATION
/* Each loss goes with its output: softmax + cross-entropy, sigmoid + summed cross-entropy, linear + half squared error,
   sigmoid + half squared error. The cost of a sample is the sum over outputs; the delta at the output is
   (prediction - target), for the last one times p (1 - p). After them those of losses.h; and how many. */
#define LOSS(NUMBER, ...) HDL_##NUMBER,
typedef enum {
  HDL_SOFTMAX = 0,
  HDL_SIGMOID_CE = 1,
  HDL_SQUARED = 2,
  HDL_SIGMOID_SQUARED = 3,
  HDL_LOSS_TABLE(LOSS) HDL_LOSSES
} hdl_loss;
#undef LOSS
#define RULE(NUMBER, ...) HDL_##NUMBER,
typedef enum { HDL_RULE_TABLE(RULE) HDL_RULES } hdl_rule; /* rules.h; and how many */
#undef RULE
/* What the factors of products are rounded to; TF32 is for GPUs: here it is FLOAT32. Of the CPU's kernels those for
   BF16 are of one instruction set as well, and give the same bytes on every processor that has it. */
typedef enum { HDL_FLOAT32 = 0, HDL_TF32 = 1, HDL_BF16 = 2 } hdl_precision;
typedef enum { HDL_F32 = 0, HDL_U8 = 1, HDL_CSR = 2, HDL_MIXED = 3, HDL_NUMBERS = 4 } hdl_input;
/* Types of numbers where they lie, and C's; the first two are numbered as above. */
#define HDL_NUMBER_TABLE(NUMBER)                                                                                       \
  NUMBER(F32, float) NUMBER(U8, uint8_t) NUMBER(F64, double) NUMBER(I32, int32_t) NUMBER(I64, int64_t)
#define NUMBER(NAME, TYPE) HDL_NUMBER_##NAME,
typedef enum { HDL_NUMBER_TABLE(NUMBER) HDL_NUMBER_TYPES } hdl_number; /* and how many */
#undef NUMBER
typedef enum { HDL_CLASS = 0, HDL_TARGET = 1 } hdl_output;

typedef struct {
  int32_t layers;        /* L >= 1 */
  const int32_t *widths; /* [L+1], each >= 1 */
  int32_t activation;    /* hdl_activation, hidden layers */
  int32_t loss;          /* hdl_loss */
  float leak;            /* slope of the leaky relu below 0 */
  float dropout_input;   /* probability that an input is dropped, [0, 1) */
  float dropout_hidden;  /* the same for hidden units; kept units are scaled by 1/(1-p) */
  float loss_parameter;  /* HUBER: delta > 0; QUANTILE: its level in (0, 1); TWEEDIE: its power in (1, 2) */
  float label_smoothing; /* s in [0, 1): training's targets are (1-s) t + s/C, with C = O for softmax and 2 for
                            sigmoid (Szegedy et al. 2016, section 7); a forward pass is scored without it */
  /* Embeddings (Guo & Berkhahn 2016): the first layer sees the numbers of mixed input and, after them, of each category
     the row of its table that its code names (0 for no code): widths[0] = numbers + sum of vector[c]. The regularisers
     leave tables alone. */
  int32_t tables;                 /* C; 0: a code names a row of W_0 */
  int32_t numbers;                /* K */
  const int32_t *levels, *vector; /* [C], each >= 1: rows and columns of E_c */
  const float *rates; /* [L + 1] or NULL (1): factors of the learning rate, of the tables and of each layer. What has 0
                         is frozen: no rule, penalty, limit or decay touches it, and its gradient is 0 */
  int32_t precision;  /* hdl_precision; entries of CSR and codes are not multiplied but gathered, always in float32 */
} hdl_net;

/* a = f(x~ W1 + b1), r = g(a W2 + b2); a sample costs |r - x|^2 / 2 + contractive/2 sum_j f'(z_j)^2 |W1_:j|^2.
   x~ is x with inputs set to 0 by the stream that dropout uses, while training; nothing is scaled for it. */
typedef struct {
  int32_t inputs, hidden; /* I, H >= 1 */
  int32_t activation;     /* hdl_activation: f */
  float leak;
  int32_t decoder;         /* g: HDL_SQUARED (linear) or HDL_SIGMOID_SQUARED */
  int32_t tied;            /* W2 = W1' */
  float rho, beta, memory; /* training adds beta sum_j KL(rho | rho_hat_j), rho_hat being a running mean over
                              mini-batches that keeps `memory` of itself at each: needs HDL_SIGMOID */
  float corruption;        /* probability that an input is set to 0, [0, 1) */
  float contractive;
  int32_t precision; /* hdl_precision */
} hdl_autoencoder;

/* A restricted Boltzmann machine, trained by contrastive divergence along the estimated gradient of its log-likelihood
 * (csrc/cpu/kernels/gibbs.h); a sample costs half the squared error of the first Gibbs step's mean reconstruction. */
typedef struct {
  int32_t inputs, hidden; /* I, H >= 1 */
  int32_t gaussian;       /* 0: binary visible units; 1: gaussian ones of variance 1 */
  int32_t k;              /* Gibbs steps, >= 1 */
  int32_t chains;         /* 0: contrastive divergence; C: that many persistent chains */
  float rho, beta;        /* training adds beta*(mean of p(h|v) - rho) to the hidden biases' gradient */
} hdl_rbm;

typedef struct {
  int32_t rule;            /* hdl_rule */
  const float *lr;         /* [steps]: the learning rate of each step (schedules live above the core) */
  float l1, l2, max_norm;  /* l1*|w|_1 + l2/2*|w|^2 added to the mean cost, biases exempt; max_norm 0 = off:
                              the incoming weights of each unit are scaled back to that norm after each update */
  float momentum;          /* MOMENTUM, NESTEROV */
  float beta1, beta2, rho; /* ADAM; ADADELTA and RMSPROP use rho */
  float epsilon;
  int64_t first_step; /* steps taken before this call (Adam's bias correction) */
  float weight_decay; /* d >= 0: beside its step, w loses lr d w (Loshchilov & Hutter 2019), biases and tables exempt */
  float l2_sp; /* a >= 0: a/2 |w - w0|^2 added to the mean cost (Li et al. 2018), biases and tables exempt; above 0 the
                  state has one more vector, its last: w0, which stays */
} hdl_update;

/* A matrix [n, I] of numbers where they lie: its rows and columns are so many bytes apart. */
typedef struct {
  const void *at;
  int32_t type; /* hdl_number */
  int64_t n, I;
  ptrdiff_t row, column;
} hdl_strided;

typedef struct {
  int32_t x_type;         /* hdl_input */
  int32_t y_type;         /* hdl_output */
  int64_t n;              /* N samples */
  const void *x;          /* F32: float [N, I]; U8: uint8 [N, I]; CSR: float values [nnz] */
  const int64_t *indptr;  /* CSR: [N+1] */
  const int32_t *indices; /* CSR: [nnz], ascending in a row, each < I */
  const float *scale;     /* [I] or NULL (1): the net sees x*scale + shift; CSR takes scale only */
  const float *shift;     /* [I] or NULL (0) */
  const void *y;          /* CLASS: int32 [N] in [0, O); TARGET: float [N, O]; NULL for prediction */
  const float *weight; /* [N], 0 or more, or NULL (1): a factor of each sample's cost and gradient; a mini-batch's mean
                          is over the sum of its weights, and where that is 0 the gradient is */
  const float *offset; /* [N, O] or NULL (0): added to what reaches the output; autoencoders and RBMs take neither */
  /* MIXED, as encoded tables are: x is float [N, K], and of each category the one input of K … I - 1 that is 1, or -1
     for none: it takes neither scale nor shift. I counts K and the levels of all categories; those of category c follow
     those of c - 1. */
  int32_t numbers, categories; /* K, C >= 0 */
  const int32_t *codes;        /* [N, C] */
  /* NUMBERS: matrices of N rows, whose columns follow each other, rounded to float32 when they are gathered. A call
     takes them in their order, and ends with HDL_ENONFINITE where one is not finite then. CPU alone. */
  int32_t parts;
  const hdl_strided *part; /* [parts] */
} hdl_data;

/* Key of the random stream for dropout; step and layer are added inside. */
typedef struct {
  uint64_t seed;
  uint32_t round, shard;
} hdl_key;

/* Called at least every 100 ms from the calling thread; a nonzero return stops the call. */
typedef int (*hdl_progress)(void *context, int64_t steps_done, int64_t steps);

typedef struct {
  double cost;    /* sum over samples of the data cost (no regulariser), as seen while training, times the weight */
  double correct; /* sum of the weights of samples whose largest output is their class (softmax); all outputs on the
                     right side of 0.5 (sigmoid); 0 of other losses */
  double weight;  /* sum of the weights: samples, where there are none */
  int64_t samples, steps;
} hdl_result;

typedef struct hdl_plan hdl_plan; /* working memory and threads for one net */

const char *hdl_last_error(void); /* of this thread's last failed call */
hdl_isa hdl_best_isa(void);       /* what this processor runs */
const char *hdl_isa_name(hdl_isa isa);

/* max_batch: rows of one pass (a larger batch is taken in blocks). threads >= 1: the most that work; how many do is
 * chosen while they work, by timing them. */
hdl_status hdl_plan_new(hdl_plan **plan, const hdl_net *net, int32_t max_batch, int32_t threads, hdl_isa isa);
/* The same for an autoencoder; its data needs no y (there must be none), and CSR is filled in block by block. */
hdl_status hdl_autoencoder_new(hdl_plan **plan, const hdl_autoencoder *net, int32_t max_batch, int32_t threads,
                               hdl_isa isa);
void hdl_plan_free(hdl_plan *plan);
/* Tells how this processor multiplies bfloat16 with an instruction set's kernels: "native", or "portable" and why. */
const char *hdl_bf16_way(hdl_isa isa);
hdl_isa hdl_plan_isa(const hdl_plan *plan);
/* Has so many threads work from now on, or with 0 as many as are fastest. */
hdl_status hdl_plan_threads(hdl_plan *plan, int32_t threads);
/* Tells how many worked last. */
int32_t hdl_plan_working(const hdl_plan *plan);

/* The same for an RBM; its data needs no y, and CSR is filled in. Draws are keyed by step and row of the mini-batch. */
hdl_status hdl_rbm_new(hdl_plan **plan, const hdl_rbm *rbm, int32_t max_batch, int32_t threads, hdl_isa isa);
/* The chains [C, I] for the calls of hdl_train and hdl_gradient that follow, which overwrite them as they do weights;
 * NULL when those are done. */
hdl_status hdl_rbm_chains(hdl_plan *plan, float *chains);

int32_t hdl_state_vectors(int32_t rule);             /* S: vectors of [P] that a rule keeps */
const char *hdl_rule_name(int32_t rule);             /* as users write it; NULL: there is no such rule */
const char *hdl_activation_name(int32_t activation); /* the same */
const char *hdl_loss_name(int32_t loss);             /* the same */

/* Mini-batch training over order[0 .. count): step s uses order[s*batch .. min((s+1)*batch, count)).
 * order may repeat or skip samples and covers any number of epochs. weights [P] and state [S, P] are overwritten. */
hdl_status hdl_train(hdl_plan *plan, float *weights, float *state, const hdl_data *data, const int64_t *order,
                     int64_t count, int64_t batch, const hdl_update *update, hdl_key key, hdl_progress progress,
                     void *context, hdl_result *result);

/* gradient [P] = sum over order[0 .. count) of each sample's gradient (no regulariser), times its weight; order NULL =
 * 0 .. count.
 * An autoencoder with beta > 0 has no sparsity in it (0 at rho_hat) but is followed by what that needs, [Q - P]:
 * sum x~ f'(z)' [I, H], sum f'(z) [H], sum a [H]. An RBM's is minus the likelihood's estimated gradient, drawn as in
 * step 0 of one mini-batch, the chains' mean counting for each sample; with beta > 0 sum p(h|v) [H] follows. */
hdl_status hdl_gradient(hdl_plan *plan, const float *weights, const hdl_data *data, const int64_t *order, int64_t count,
                        hdl_key key, float *gradient, hdl_progress progress, void *context, hdl_result *result);

/* Forward only: out [count, O] (probabilities, or values) unless NULL; cost and correct in result if data->y. */
hdl_status hdl_forward(hdl_plan *plan, const float *weights, const hdl_data *data, const int64_t *order, int64_t count,
                       float *out, hdl_progress progress, void *context, hdl_result *result);

/* An autoencoder's codes a, an RBM's p(h|v): out [count, H]; nothing is corrupted or drawn. */
hdl_status hdl_encode(hdl_plan *plan, const float *weights, const hdl_data *data, const int64_t *order, int64_t count,
                      float *out, hdl_progress progress, void *context, hdl_result *result);

/* Philox4x32-10 (Salmon et al. 2011): out [n] = words first .. first+n of the stream keyed by (seed, a, b, c). */
void hdl_random_u32(uint64_t seed, uint32_t a, uint32_t b, uint32_t c, uint64_t first, int64_t n, uint32_t *out);

/* Lays matrices of n rows side by side in rows out [n, I], rounded to float32, unless out is NULL; tells whether all
 * numbers are finite there. */
int32_t hdl_rows(const hdl_strided *part, int32_t parts, float *out);

/* Joins arrays [n] along a tree in one pass over them: out [n]. The program is in postfix order: an entry of 0 or more
 * takes the input of that number, -1 joins the last two, a before b, to a + (b - a) share with the joint's next share,
 * or to a + b where shares is NULL. Each operation is rounded to float32, so the result is the same on every machine.
 */
hdl_status hdl_join(int32_t inputs, const float *const *in, int32_t steps, const int32_t *program, const float *shares,
                    int64_t n, float *out);

/* Lines of cells with a delimiter between them, of which a blank stands for any blanks and tabs. Cell i of a line is
 * the number to[i] of its row, or is passed over, or is the line's one cell of text; to NULL: number i of its row. */
enum { HDL_PASSED = -1, HDL_TEXT = -2 };
typedef struct {
  char delimiter;
  int32_t width, columns; /* cells of a line, numbers of a row */
  const int32_t *to;      /* [width] */
  double limit;           /* each number is below it, and above -limit */
} hdl_lines;

/* Reads the n lines of a text, plain decimal numbers and ASCII, to out [n, columns], as Python's float() rounds them,
 * and the cells of text, unless starts is NULL, to texts [size], where the one of line i is starts[i] .. starts[i + 1].
 * Returns how many lines there were, or -1 where anything about them is not so: whatever it is, others find out. */
int64_t hdl_decimals(const char *text, int64_t size, const hdl_lines *lines, int64_t n, double *out, int32_t *starts,
                     char *texts);

/* Lines of libsvm's format: a label, unless none has one, and pairs index:value of ascending indices from 1. */
typedef struct {
  int32_t labelled;
  int64_t largest_index;
  double largest_label, limit; /* labels and values are below these, and above their negatives */
} hdl_pair_lines;

/* Reads at most n lines that are not blank, and `most` pairs: labels [n] if there are any, where each line's pairs
 * start, [n + 1], indices [most] from 0, and values [most]. Returns how many lines there were, or -1 as hdl_decimals.
 */
int64_t hdl_pairs(const char *text, int64_t size, const hdl_pair_lines *lines, int64_t n, int64_t most, double *labels,
                  int64_t *starts, int32_t *indices, double *values);

/* Bytes of a core's caches, which decide how the work of plans that are made is cut, and no result. Others than those
   of this machine are for tests; 0 leaves one as it is. */
typedef struct {
  size_t l1, l2;
} hdl_caches;
hdl_caches hdl_find_caches(void);
void hdl_set_caches(size_t l1, size_t l2);

/* Best speed of multiply-adds in registers on that many threads just now (about 20 ms): what benchmarks divide by. */
double hdl_peak_gflops(int32_t threads, hdl_isa isa);

#ifdef __cplusplus
}
#endif
#endif
