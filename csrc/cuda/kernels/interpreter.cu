/* interpreter.cu: the kernel that interprets a program, for many mini-batches or one phase of one. Grid [blocks of a
 * net, nets].
 */
#include "autoencoder.cuh"
#include "gather.cuh"
#include "gemm.cuh"
#include "loss.cuh"
#include "update.cuh"

namespace hdl {

/* Waits for all blocks of a net, so that each sees what the others wrote. The counter only grows, round and round;
 * every block passes the same barriers, so each knows where it must have come to. */
static __device__ inline void grid_barrier(uint32_t *counter, uint32_t &goal) {
  __syncthreads();
  if (gridDim.x > 1) {
    goal += gridDim.x;
    if (threadIdx.x == 0) {
      __threadfence();
      atomicAdd(counter, 1);
      while ((int32_t)(volatile_load(counter) - goal) < 0) HDL_SPIN();
      __threadfence();
    }
    __syncthreads();
  }
}

/* Chooses an operation's tile; a smaller one gives the same bits. */
static __device__ inline int tile_of(const minibatch &mb, const hdl_op &op) {
  return min(op.tile, mb.call->largest_tile);
}

/* Counts the tiles, or rows, that an operation is cut into; `warps`: each is a warp's. */
static __device__ inline int tiles(const minibatch &mb, const hdl_op &op, bool &warps) {
  int m = mb.extent(op.m), n = mb.extent(op.n), size = 16 << tile_of(mb, op);
  warps = op.kind > HDL_OP_TN || op.tile == HDL_TILE_WARP;
  if (op.kind == HDL_OP_MAX_NORM) return (n + 31) / 32;
  if (op.kind == HDL_OP_NORMS) return (n + 7) / 8;
  if (op.kind > HDL_OP_TN) return m;
  if (warps) return (m + 15) / 16 * ((n + 7) / 8);
  return (m + size - 1) / size * ((n + size - 1) / size);
}

template <int P, bool SMALL, int KIND>
static __device__ void multiply_tile(const minibatch &mb, const hdl_op &op, int i, float *staging) {
  int tile = tile_of(mb, op);
  if constexpr (SMALL)
    warp_product<P, KIND>(mb, op, i);
  else if (tile == HDL_TILE_WARP)
    warp_product<P, KIND>(mb, op, i);
  else if (tile == HDL_TILE_32)
    block_product<P, KIND, 32>(mb, op, i, staging);
  else if (tile == HDL_TILE_64)
    block_product<P, KIND, 64>(mb, op, i, staging);
  else
    block_product<P, KIND, 128>(mb, op, i, staging);
}

/* Runs this block's share of a phase. Tiles are dealt out to blocks, then to their warps, operation after operation. */
template <int P, bool SMALL>
static __device__ void run_phase(const minibatch &now, const hdl_op *ops, int from, int to, float *staging,
                                 uint32_t *failed) {
  int dealt = 0, blocks = gridDim.x, warp = threadIdx.x / 32;
  for (int i = from; i < to; i++) {
    const hdl_op &op = ops[i];
    minibatch mb = now;
    if (op.ahead) {
      if (now.step + 1 >= now.call->last || now.step + 1 >= now.steps()) continue;
      mb.enter(now.step + 1);
    }
    bool warps;
    int count = tiles(mb, op, warps), own = (int)((blockIdx.x + blocks - dealt % blocks) % blocks);
    int share = warps ? own + blocks * warp : own, every = warps ? blocks * (blockDim.x / 32) : blocks;
    for (int u = share; u < count; u += every) {
      if (op.kind == HDL_OP_NN)
        multiply_tile<P, SMALL, HDL_OP_NN>(mb, op, u, staging);
      else if (op.kind == HDL_OP_NT)
        multiply_tile<P, SMALL, HDL_OP_NT>(mb, op, u, staging);
      else if (op.kind == HDL_OP_TN)
        multiply_tile<P, SMALL, HDL_OP_TN>(mb, op, u, staging);
      else if (op.kind == HDL_OP_GATHER)
        gather(mb, op, u);
      else if (op.kind == HDL_OP_LOSS)
        loss(mb, op, u, failed);
      else if (op.kind == HDL_OP_MAX_NORM)
        max_norm(mb, op, u);
      else if (op.kind == HDL_OP_NORMS)
        squared_norms(mb, op, u);
      else if (op.kind == HDL_OP_CONTRACTIVE)
        contractive_term(mb, op, u, failed);
      else
        fill(mb, op, u);
    }
    dealt = (dealt + count) % blocks;
  }
}

static __device__ inline void copy(float *to, const float *from, int64_t n) {
  for (int64_t i = threadIdx.x; i < n; i += blockDim.x) to[i] = from[i];
}

/* SMALL: every product goes by warps, which takes fewer registers, so there may be more of them to wait for memory. */
template <int P, bool SMALL>
__global__ void __launch_bounds__(threads(SMALL), 1) interpreter(const __grid_constant__ hdl_cuda_call call) {
  HDL_SHARED(shared);
  minibatch mb = {};
  mb.call = &call, mb.index = blockIdx.y, mb.net = call.net + blockIdx.y, mb.rule = &mb.net->rule;
  for (int a = 0; a < HDL_ARENAS; a++) mb.arena[a] = call.arena[a] + mb.index * call.stride[a];
  hdl_op *ops = (hdl_op *)shared;
  int32_t *bounds = (int32_t *)(ops + call.operations);
  copy((float *)ops, (const float *)call.ops, (int64_t)call.operations * (sizeof(hdl_op) / 4));
  copy((float *)bounds, (const float *)call.phase, call.phases + 1);
  float *rest = (float *)shared + table_floats(call);
  int64_t P_ = call.parameters, states = P_ * call.state_vectors;
  if (call.resident) {
    float *w = rest, *s = w + padded(P_);
    copy(w, mb.arena[HDL_ARENA_W], P_);
    copy(s, mb.arena[HDL_ARENA_S], states);
    mb.arena[HDL_ARENA_W] = w, mb.arena[HDL_ARENA_S] = s, mb.arena[HDL_ARENA_T] = s + padded(states);
  }
  __syncthreads();
  uint32_t *counter = call.barrier + 2 * mb.index, *failed = counter + 1;
  bool alone = call.only_phase >= 0;
  if (call.only_phase == 0 && blockIdx.x == 0 && blockIdx.y == 0 && threadIdx.x == 0) *call.step = call.first;
  int64_t s = call.only_phase > 0 ? *call.step : call.first, last = alone ? s + 1 : call.last;
  if (last > mb.steps()) last = mb.steps();
  uint32_t goal = 0;
  /* All threads of a block go on or none: in a graph, others of the phase may be saying just now that it failed. */
  for (; s < last && !__syncthreads_or(volatile_load(failed) != 0); s++) {
    mb.enter(s);
    int from = alone ? call.only_phase : s == call.first ? 0 : 1, to = alone ? from + 1 : call.phases;
    for (int i = from; i < to; i++) {
      run_phase<P, SMALL>(mb, ops, bounds[i], bounds[i + 1], rest, failed);
      if (!alone) grid_barrier(counter, goal);
    }
  }
  if (call.resident) {
    copy(call.arena[HDL_ARENA_W] + mb.index * call.stride[HDL_ARENA_W], mb.arena[HDL_ARENA_W], P_);
    copy(call.arena[HDL_ARENA_S] + mb.index * call.stride[HDL_ARENA_S], mb.arena[HDL_ARENA_S], states);
  }
}

/* Goes on to the next mini-batch of a graph. */
__global__ void advance(const __grid_constant__ hdl_cuda_call call) {
  if (threadIdx.x == 0) ++*call.step;
}

const void *interpreter_of(int precision, bool small) {
  typedef void (*kernel)(const hdl_cuda_call);
  static const kernel kernels[][2] = {{interpreter<HDL_FLOAT32, false>, interpreter<HDL_FLOAT32, true>},
                                      {interpreter<HDL_TF32, false>, interpreter<HDL_TF32, true>},
                                      {interpreter<HDL_BF16, false>, interpreter<HDL_BF16, true>}};
  return (const void *)kernels[precision][small];
}

const void *advance_of_graph() { return (const void *)advance; }

} // namespace hdl
