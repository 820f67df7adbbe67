/* machine.cu: the kernel that runs a program, for many mini-batches or one phase of one. Grid [blocks of a net, nets].
 */
#include "jobs.cuh"
#include "product.cuh"

namespace hdl {

/* All blocks of a net have come, and see what the others wrote. The counter only grows, round and round; every block
 * passes the same barriers, so each knows where it must have come to. */
static __device__ inline void meet(uint32_t *counter, uint32_t &goal) {
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

/* A smaller tile gives the same bits. */
static __device__ inline int tile_of(const turn &t, const hdl_op &o) { return min(o.tile, t.call->largest); }

/* How many tiles, or rows, an operation is cut into; `warps`: each is a warp's. */
static __device__ inline int tiles(const turn &t, const hdl_op &o, bool &warps) {
  int m = t.extent(o.m), n = t.extent(o.n), size = 16 << tile_of(t, o);
  warps = o.kind > HDL_OP_TN || o.tile == HDL_TILE_WARP;
  if (o.kind == HDL_OP_LIMIT) return (n + 31) / 32;
  if (o.kind == HDL_OP_NORMS) return (n + 7) / 8;
  if (o.kind > HDL_OP_TN) return m;
  if (warps) return (m + 15) / 16 * ((n + 7) / 8);
  return (m + size - 1) / size * ((n + size - 1) / size);
}

template <int P, bool SMALL, int KIND>
static __device__ void product(const turn &t, const hdl_op &o, int i, float *staging) {
  int tile = tile_of(t, o);
  if constexpr (SMALL)
    warp_product<P, KIND>(t, o, i);
  else if (tile == HDL_TILE_WARP)
    warp_product<P, KIND>(t, o, i);
  else if (tile == HDL_TILE_32)
    block_product<P, KIND, 32>(t, o, i, staging);
  else if (tile == HDL_TILE_64)
    block_product<P, KIND, 64>(t, o, i, staging);
  else
    block_product<P, KIND, 128>(t, o, i, staging);
}

/* This block's share of a phase. Tiles are dealt out to blocks, then to their warps, operation after operation. */
template <int P, bool SMALL>
static __device__ void phase(const turn &now, const hdl_op *ops, int from, int to, float *staging, uint32_t *failed) {
  int dealt = 0, blocks = gridDim.x, warp = threadIdx.x / 32;
  for (int i = from; i < to; i++) {
    const hdl_op &o = ops[i];
    turn t = now;
    if (o.ahead) {
      if (now.step + 1 >= now.call->last || now.step + 1 >= now.steps()) continue;
      t.at(now.step + 1);
    }
    bool warps;
    int count = tiles(t, o, warps), own = (int)((blockIdx.x + blocks - dealt % blocks) % blocks);
    int share = warps ? own + blocks * warp : own, every = warps ? blocks * (blockDim.x / 32) : blocks;
    for (int u = share; u < count; u += every) {
      if (o.kind == HDL_OP_NN)
        product<P, SMALL, HDL_OP_NN>(t, o, u, staging);
      else if (o.kind == HDL_OP_NT)
        product<P, SMALL, HDL_OP_NT>(t, o, u, staging);
      else if (o.kind == HDL_OP_TN)
        product<P, SMALL, HDL_OP_TN>(t, o, u, staging);
      else if (o.kind == HDL_OP_GATHER)
        gather(t, o, u);
      else if (o.kind == HDL_OP_LOSS)
        loss(t, o, u, failed);
      else if (o.kind == HDL_OP_LIMIT)
        limit(t, o, u);
      else if (o.kind == HDL_OP_NORMS)
        norms(t, o, u);
      else if (o.kind == HDL_OP_BEND)
        contract(t, o, u, failed);
      else
        fill(t, o, u);
    }
    dealt = (dealt + count) % blocks;
  }
}

static __device__ inline void copy(float *to, const float *from, int64_t n) {
  for (int64_t i = threadIdx.x; i < n; i += blockDim.x) to[i] = from[i];
}

/* SMALL: every product goes by warps, which takes fewer registers, so there may be more of them to wait for memory. */
template <int P, bool SMALL>
__global__ void __launch_bounds__(threads(SMALL), 1) machine(const __grid_constant__ hdl_cuda_call call) {
  HDL_SHARED(shared);
  turn t = {};
  t.call = &call, t.net = blockIdx.y, t.own = call.own + blockIdx.y, t.rule = &t.own->rule;
  for (int a = 0; a < HDL_ARENAS; a++) t.arena[a] = call.arena[a] + t.net * call.stride[a];
  hdl_op *ops = (hdl_op *)shared;
  int32_t *bounds = (int32_t *)(ops + call.operations);
  copy((float *)ops, (const float *)call.ops, (int64_t)call.operations * (sizeof(hdl_op) / 4));
  copy((float *)bounds, (const float *)call.phase, call.phases + 1);
  float *rest = (float *)shared + table_floats(call);
  int64_t P_ = call.parameters, states = P_ * call.state_vectors;
  if (call.resident) {
    float *w = rest, *s = w + padded(P_);
    copy(w, t.arena[HDL_ARENA_W], P_);
    copy(s, t.arena[HDL_ARENA_S], states);
    t.arena[HDL_ARENA_W] = w, t.arena[HDL_ARENA_S] = s, t.arena[HDL_ARENA_T] = s + padded(states);
  }
  __syncthreads();
  uint32_t *counter = call.barrier + 2 * t.net, *failed = counter + 1;
  bool alone = call.only >= 0;
  if (call.only == 0 && blockIdx.x == 0 && blockIdx.y == 0 && threadIdx.x == 0) *call.step = call.first;
  int64_t s = call.only > 0 ? *call.step : call.first, last = alone ? s + 1 : call.last;
  if (last > t.steps()) last = t.steps();
  uint32_t goal = 0;
  /* All threads of a block go on or none: in a graph, others of the phase may be saying just now that it failed. */
  for (; s < last && !__syncthreads_or(volatile_load(failed) != 0); s++) {
    t.at(s);
    int from = alone ? call.only : s == call.first ? 0 : 1, to = alone ? from + 1 : call.phases;
    for (int i = from; i < to; i++) {
      phase<P, SMALL>(t, ops, bounds[i], bounds[i + 1], rest, failed);
      if (!alone) meet(counter, goal);
    }
  }
  if (call.resident) {
    copy(call.arena[HDL_ARENA_W] + t.net * call.stride[HDL_ARENA_W], t.arena[HDL_ARENA_W], P_);
    copy(call.arena[HDL_ARENA_S] + t.net * call.stride[HDL_ARENA_S], t.arena[HDL_ARENA_S], states);
  }
}

__global__ void advance(const __grid_constant__ hdl_cuda_call call) {
  if (threadIdx.x == 0) ++*call.step;
}

const void *kernel_of(int precision, bool small) {
  typedef void (*kernel)(const hdl_cuda_call);
  static const kernel kernels[][2] = {{machine<HDL_FLOAT32, false>, machine<HDL_FLOAT32, true>},
                                      {machine<HDL_TF32, false>, machine<HDL_TF32, true>},
                                      {machine<HDL_BF16, false>, machine<HDL_BF16, true>}};
  return (const void *)kernels[precision][small];
}

const void *kernel_that_advances() { return (const void *)advance; }

} // namespace hdl
