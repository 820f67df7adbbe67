/* hdl_cuda.h: the whole C interface of the CUDA core: an interpreter that runs programs of operations on a GPU.
 *
 * A program is a table made by hdl/ops/cuda/program.py: operations in phases. The operations of a phase do not depend
 * on each other and are cut into tiles, which blocks (or warps) share out; between phases is a barrier. A call runs
 * the program once a mini-batch, in one kernel for as many mini-batches as asked. What a tile sums, and in which
 * order, depends on the shapes alone: not on the number of blocks, nor on the GPU. No sum uses an atomic.
 *
 * Letters: B rows of a mini-batch, I in, O out, P parameters, N samples, M nets trained side by side.
 */
#ifndef HDL_CUDA_H
#define HDL_CUDA_H

#include "hdl.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { HDL_CUDA_THREADS = 256 }; /* of a block that computes whole tiles; one whose warps do has more */

typedef enum {
  HDL_ARENA_W = 0, /* weights [P] */
  HDL_ARENA_S = 1, /* the rule's state [S, P] */
  HDL_ARENA_T = 2, /* working memory */
  HDL_ARENA_G = 3, /* what goes out: sums of gradients, outputs, chains */
  HDL_ARENAS = 4
} hdl_arena;

/* A matrix in an arena. */
typedef struct {
  int64_t at;            /* floats from the arena's beginning */
  int64_t buffer_stride; /* floats from the first of two buffers to the second, which odd steps use; 0: there is one */
  int32_t ld;            /* floats from row to row */
  int16_t arena;         /* hdl_arena; -1: there is none */
  int16_t place;         /* 1: row 0 is the mini-batch's place in the order, not its own first row */
} hdl_matrix;

/* Kinds of operations. Products are C [m, n] = A [m, k] B [k, n], each value then passed to the epilogue
 * (hdl_epilogue). */
typedef enum {
  HDL_OP_NN = 0,     /* A [m, k], B [k, n] */
  HDL_OP_NT = 1,     /* A [m, k], B [n, k] */
  HDL_OP_TN = 2,     /* A [k, m], B [k, n] */
  HDL_OP_GATHER = 3, /* C [B, n] = the samples of a mini-batch, scaled, dropped; D: as they were before (may be none) */
  HDL_OP_LOSS = 4,   /* A [B, n] = what reaches the output: C = its delta, D = predictions, and costs; the targets are
                        B, or the data's y where there is no B, smoothed by beta; C and D may be none */
  HDL_OP_MAX_NORM = 5,   /* C [k, n]: columns scaled back to the rule's max_norm */
  HDL_OP_FILL = 6,       /* C [m, n] = A, or x where there is none */
  HDL_OP_NORMS = 7,      /* C [n] = x times the squared norms of the columns of A [k, n] */
  HDL_OP_CONTRACTIVE = 8 /* A [B, n] = codes: D = their slopes f' and, where BIAS = squared norms s of W's columns,
                            the contractive term: costs x/2 f'² s, and C, the codes' delta, += x f' f'' s */
} hdl_op_kind;

typedef enum {
  HDL_EPILOGUE_ACTIVATE = 0, /* C = f(v + bias), dropped as layer `layer` */
  HDL_EPILOGUE_DERIVE = 1,   /* C = (v + bias) f'(a), with D = a = f(…) */
  HDL_EPILOGUE_DRAW = 2,     /* p = f(v + bias): C = x p, and D = 1 or 0 with probability p, or normal about it if f is
                              linear; draws of `layer`; C or D may be none */
  HDL_EPILOGUE_UPDATE = 3,   /* v is the sum of a gradient: C, in the weights, takes the rule's step; a bias, if any, is
                              added to v: in the weights' rows times D, or without D in the biases' row */
  HDL_EPILOGUE_ADD = 4,      /* C += v, with a bias as above */
  HDL_EPILOGUE_SPARSITY = 5  /* v is the sum of codes: C = the sparsity cost's gradient by each; D = running mean, which
                                moves */
} hdl_epilogue;

typedef enum { HDL_TILE_WARP = 0, HDL_TILE_32 = 1, HDL_TILE_64 = 2, HDL_TILE_128 = 3 } hdl_tile;

typedef struct {
  int32_t kind, epilogue, tile; /* hdl_op_kind, hdl_epilogue, hdl_tile */
  int32_t m, n, k;              /* negative: that many times B */
  int32_t function;             /* hdl_activation of the epilogue, hdl_loss of LOSS */
  int32_t layer;          /* of the dropout stream; DRAW: 2t for hidden units of Gibbs step t, 2t + 1 for visible */
  int32_t ahead;          /* GATHER: 1 is of the next mini-batch */
  int32_t penalised_rows; /* UPDATE: the first rows, which l1, l2, L2-SP and weight decay are for; then biases */
  float rate;             /* UPDATE: a factor of the learning rate */
  float leak, keep;       /* slope of the leaky relu; 1/(1-p) of dropout, 0 for none */
  uint32_t drop;          /* 65536 p */
  float scalar; /* SPARSITY: share that the running mean keeps of itself; DRAW, NORMS, CONTRACTIVE: a factor; FILL: the
                   value; LOSS: hdl_net.loss_parameter */
  int32_t extra_k; /* products: rows along k beside those k */
  int32_t chains;  /* 1: rows are persistent chains, with draws of their own, and the scalar is times B */
  float rho, beta; /* SPARSITY: target of the mean, and strength; LOSS: beta is hdl_net.label_smoothing */
  hdl_matrix a, b, c, d, bias;
} hdl_op;

/* How mini-batches follow each other: in one kernel whose blocks wait for each other between phases, or as a graph of
 * kernels, one a phase, launched once a mini-batch. The same bytes. AUTO: the kernel, where the device can do that. */
typedef enum { HDL_LOOP_AUTO = 0, HDL_LOOP_KERNEL = 1, HDL_LOOP_GRAPH = 2 } hdl_loop;

typedef struct { /* hdl_update without its rates, and the key of the draws */
  int32_t rule;
  float l1, l2, max_norm, momentum, beta1, beta2, rho, epsilon, weight_decay, l2_sp;
  uint32_t key[4]; /* of the dropout or the Gibbs stream, and of the chains' */
} hdl_cuda_rule;

typedef struct { /* one of the nets; addresses on the device */
  hdl_cuda_rule rule;
  int32_t scored; /* there are targets */
  hdl_data data;
  const int64_t *order; /* [count] */
  const float *rates; /* [steps, 4]: learning rate, Adam's 1/(1 - beta1^t) and 1/(1 - beta2^t), sum of the mini-batch's
                         weights; may be NULL */
  int64_t count;      /* mini-batch s is order[s*batch .. min((s+1)*batch, count)) */
  int64_t first_step; /* what was before: steps, or where draws are named by place, samples */
} hdl_cuda_net;

typedef struct {
  const hdl_op *ops;       /* on the device: [phase[phases]] */
  const int32_t *phase;    /* on the device: [phases + 1]; phase 0 runs once, before all steps */
  const hdl_cuda_net *net; /* on the device: [M] */
  int32_t phases, operations;
  int32_t nets;      /* M */
  int32_t precision; /* hdl_precision */
  float *arena[HDL_ARENAS];
  int64_t stride[HDL_ARENAS]; /* floats from net to net */
  int32_t resident;           /* 1: W, S and T lie in shared memory during the call, if the device has as much */
  int32_t state_vectors;      /* S; with L2-SP the last one holds the weights that it pulls to */
  int64_t parameters;         /* P: first floats of W that are kept, and from state to state */
  int64_t batch;
  int64_t first, last;  /* steps of this call; a net that has fewer is done sooner */
  int32_t by_place;     /* 1: draws are named by the place in the order, in step 0 */
  int32_t rows;         /* of cost and correct: rows of the largest mini-batch */
  int32_t tiles;        /* of the phase that has most: more blocks than that have nothing to do */
  int32_t largest_tile; /* hdl_tile that the program has at most: a device with less memory takes less */
  double *cost;         /* [M, rows]: += costs of each row of the mini-batches, times its weight */
  double *correct;      /* [M, rows]: += weights of the rows that are right */
  uint32_t *barrier;    /* [M, 2], zero: a counter, and the step (from 1) whose cost was not finite */
  int32_t loop;         /* hdl_loop */
  int32_t only_phase;   /* set inside: the one phase of a kernel in a graph; -1: all of them */
  int64_t *step;        /* on the device: of a graph, the next step */
} hdl_cuda_call;

/* Starts the call on a stream of the current context and returns; `barrier` must be zero. A graph is kept in *graph,
 * NULL at first, for the next run of the same call. */
hdl_status hdl_cuda_run(const hdl_cuda_call *call, void *stream, void **graph);
void hdl_cuda_forget(void *graph); /* may be NULL */

const char *hdl_cuda_last_error(void); /* of this thread: CUDA's name of it, file and line */

#ifdef __cplusplus
}
#endif
#endif
