/* minibatch.cuh: holds all that an operation reads beside its own fields: the call, where this block's arenas lie, and
 * the mini-batch. */
#ifndef HDL_MINIBATCH_CUH
#define HDL_MINIBATCH_CUH

#include "../hdl_cuda.h"
#include "portable.cuh"
#include "../../rng.h"

namespace hdl {

/* Threads of a block. */
static constexpr int threads(bool small) { return small ? 2 * HDL_CUDA_THREADS : HDL_CUDA_THREADS; }

/* One mini-batch, as this block's net sees it. */
struct minibatch {
  const hdl_cuda_call *call;
  const hdl_cuda_net *net; /* this block's */
  const hdl_cuda_rule *rule;
  float *arena[HDL_ARENAS];
  const int64_t *order; /* of this mini-batch */
  int index, rows;      /* of the net; B */
  int64_t step, place;  /* of this call's order: mini-batches before this one, and samples */
  uint32_t draw_step;   /* names of draws: see rng.h */
  int64_t draw_row;
  float lr, unbias1, unbias2;
  float weight; /* sum of its samples' weights */

  /* Counts the mini-batches of this net. */
  __device__ int64_t steps() const { return (net->count + call->batch - 1) / call->batch; }

  /* Becomes mini-batch s of the call. */
  __device__ void enter(int64_t s) {
    int64_t left = net->count - s * call->batch;
    step = s, place = s * call->batch, rows = (int)(left < call->batch ? left : call->batch);
    order = net->order + place;
    draw_step = call->by_place ? 0 : (uint32_t)(net->first_step + s);
    draw_row = call->by_place ? net->first_step + place : 0;
    if (!net->rates) return;
    const float *own = net->rates + 4 * s;
    lr = own[0], unbias1 = own[1], unbias2 = own[2], weight = own[3];
  }

  /* Finds a matrix; NULL where there is none. */
  __device__ float *locate(const hdl_matrix &m) const {
    if (m.arena < 0) return NULL;
    return arena[m.arena] + m.at + (step & 1) * m.buffer_stride + (m.place ? place * m.ld : 0);
  }

  /* Gives a number of rows, which is negative for that many times B. */
  __device__ int extent(int n) const { return n < 0 ? -n * rows : n; }
};

/* Decides whether unit u of n is dropped. Slow beside the stream's own order, but a unit needs nobody else. */
static __device__ inline bool dropped(const minibatch &mb, uint32_t threshold, int u, int n, int row, int layer) {
  int blocks = HDL_DROP_BLOCKS(n), q = u / blocks;
  uint32_t x[4] = {(uint32_t)(u % blocks), (uint32_t)(mb.draw_row + row), mb.draw_step, (uint32_t)layer};
  hdl_philox(x, mb.rule->key[0], mb.rule->key[1]);
  return ((x[q / 2] >> (16 * (q & 1))) & 0xffffu) < threshold;
}

/* Counts floats of shared memory: of the table, and of the arenas where they are resident. */
static __host__ __device__ inline int64_t table_floats(const hdl_cuda_call &c) {
  return ((int64_t)(c.operations * sizeof(hdl_op) + (c.phases + 1) * sizeof(int32_t)) + 15) / 16 * 4;
}
static __host__ __device__ inline int64_t padded(int64_t n) { return (n + 3) & ~(int64_t)3; }
static __host__ __device__ inline int64_t resident_floats(const hdl_cuda_call &c) {
  return padded(c.parameters) + padded(c.parameters * c.state_vectors) + padded(c.stride[HDL_ARENA_T]);
}

/* interpreter.cu */
const void *interpreter_of(int precision, bool small);
const void *advance_of_graph();

} // namespace hdl
#endif
