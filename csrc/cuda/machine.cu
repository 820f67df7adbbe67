/* machine.cu: runs a program for many mini-batches in one kernel. Grid [blocks of a net, nets]. */
#include "jobs.cuh"
#include "product.cuh"

#include <stdio.h>
#include <string.h>

namespace hdl {

/* All blocks of a net have come, and see what the others wrote. The counter only grows. */
static __device__ inline void meet(uint32_t *counter) {
  __syncthreads();
  if (gridDim.x > 1) {
    if (threadIdx.x == 0) {
      __threadfence();
      uint32_t goal = (atomicAdd(counter, 1) / gridDim.x + 1) * gridDim.x;
      while (volatile_load(counter) < goal) HDL_SPIN();
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

/* Floats of shared memory that the table takes, and the arenas where they are resident. */
static __host__ __device__ inline int64_t table_floats(const hdl_cuda_call &c) {
  return ((int64_t)(c.operations * sizeof(hdl_op) + (c.phases + 1) * sizeof(int32_t)) + 15) / 16 * 4;
}
static __host__ __device__ inline int64_t padded(int64_t n) { return (n + 3) & ~(int64_t)3; }
static __host__ __device__ inline int64_t resident_floats(const hdl_cuda_call &c) {
  return padded(c.parameters) + padded(c.parameters * c.state_vectors) + padded(c.stride[HDL_ARENA_T]);
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
  int64_t last = t.steps() < call.last ? t.steps() : call.last;
  for (int64_t s = call.first; s < last && !volatile_load(failed); s++) {
    t.at(s);
    for (int i = s == call.first ? 0 : 1; i < call.phases; i++) {
      phase<P, SMALL>(t, ops, bounds[i], bounds[i + 1], rest, failed);
      meet(counter);
    }
  }
  if (call.resident) {
    copy(call.arena[HDL_ARENA_W] + t.net * call.stride[HDL_ARENA_W], t.arena[HDL_ARENA_W], P_);
    copy(call.arena[HDL_ARENA_S] + t.net * call.stride[HDL_ARENA_S], t.arena[HDL_ARENA_S], states);
  }
}

/* --- the host's side ---------------------------------------------------------------------------------------------- */

static thread_local char last_error[512];

static hdl_status fail(hdl_status status, const char *what, const char *why, int line) {
  snprintf(last_error, sizeof last_error, "%s: %s (%s:%d)", what, why,
           strrchr(__FILE__, '/') ? strrchr(__FILE__, '/') + 1 : __FILE__, line);
  return status;
}
#define TRY(call)                                                                                                      \
  do {                                                                                                                 \
    cudaError_t error = (call);                                                                                        \
    if (error != cudaSuccess) return fail(HDL_ESYS, #call, cudaGetErrorName(error), __LINE__);                         \
  } while (0)
#define EXPECT(condition)                                                                                              \
  do {                                                                                                                 \
    if (!(condition)) return fail(HDL_EINVAL, "a call is not as expected", #condition, __LINE__);                      \
  } while (0)

typedef void (*kernel)(const hdl_cuda_call);
static const kernel kernels[][2] = {{machine<HDL_FLOAT32, false>, machine<HDL_FLOAT32, true>},
                                    {machine<HDL_TF32, false>, machine<HDL_TF32, true>},
                                    {machine<HDL_BF16, false>, machine<HDL_BF16, true>}};

struct shape {
  int blocks, shared, resident, largest, threads;
  const void *run;
};

/* Bytes of a block's factors in shared memory. */
static int64_t staged(int tile) {
  static const int floats[] = {0, staging<32>::FLOATS, staging<64>::FLOATS, staging<128>::FLOATS};
  return STAGES * 2 * (int64_t)floats[tile] * 4;
}

static hdl_status shape_of(const hdl_cuda_call &c, shape &found) {
  EXPECT(c.ops && c.phase && c.phases >= 2 && c.operations >= 1 && c.nets >= 1 && c.tiles >= 1);
  EXPECT(c.precision >= HDL_FLOAT32 && c.precision <= HDL_BF16);
  EXPECT(c.largest >= HDL_TILE_WARP && c.largest <= HDL_TILE_128);
  EXPECT(c.batch >= 1 && c.first >= 0 && c.first <= c.last && c.rows >= 1);
  EXPECT(c.own && c.barrier && c.cost && c.correct);
  int device, most, processors, each;
  TRY(cudaGetDevice(&device));
  TRY(cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device));
  TRY(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device));
  int64_t table = table_floats(c) * 4, all = table + resident_floats(c) * 4;
  found.resident = c.resident && all <= most;
  found.largest = c.largest;
  while (found.largest > HDL_TILE_32 && table + staged(found.largest) > most) found.largest--;
  int64_t wanted = found.resident ? all : table + staged(found.largest);
  if (wanted > most) return fail(HDL_ENOMEM, "shared memory", "a block needs more than the device has", __LINE__);
  found.shared = (int)wanted;
  bool small = c.largest == HDL_TILE_WARP;
  found.threads = threads(small), found.run = (const void *)kernels[c.precision][small];
  TRY(cudaFuncSetAttribute(found.run, cudaFuncAttributeMaxDynamicSharedMemorySize, found.shared));
  TRY(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&each, found.run, found.threads, found.shared));
  EXPECT(each >= 1);
  found.blocks = each * processors / c.nets;
  if (found.blocks > c.tiles) found.blocks = c.tiles;
  if (found.blocks < 1 || found.resident) found.blocks = 1;
  return HDL_OK;
}

} // namespace hdl

using namespace hdl;

extern "C" const char *hdl_cuda_last_error(void) { return last_error; }

extern "C" hdl_status hdl_cuda_shape(const hdl_cuda_call *call, int32_t *blocks, int32_t *resident) {
  shape found;
  hdl_status status = shape_of(*call, found);
  if (status == HDL_OK) *blocks = found.blocks, *resident = found.resident;
  return status;
}

extern "C" hdl_status hdl_cuda_run(const hdl_cuda_call *call, void *stream) {
  shape found;
  hdl_status status = shape_of(*call, found);
  if (status != HDL_OK) return status;
  hdl_cuda_call own = *call;
  own.resident = found.resident, own.largest = found.largest;
  void *arguments[] = {&own};
  dim3 grid(found.blocks, own.nets), block(found.threads);
  /* Blocks of a net wait for each other, so all must be there at once: a cooperative launch fails where they cannot. */
  if (found.blocks > 1)
    TRY(cudaLaunchCooperativeKernel(found.run, grid, block, arguments, found.shared, (cudaStream_t)stream));
  else
    TRY(cudaLaunchKernel(found.run, grid, block, arguments, found.shared, (cudaStream_t)stream));
  return HDL_OK;
}
