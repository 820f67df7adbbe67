/* launch.cu: starts calls from the host: chooses their blocks and shared memory. Every call of CUDA
 * is checked; a message has CUDA's name of the error, file and line. */
#include "kernels/minibatch.cuh"
#include "kernels/staging.cuh"

#include <stdio.h>
#include <string.h>

namespace hdl {

static thread_local char last_error[512];

static hdl_status fail(hdl_status status, const char *what, const char *why, int line) {
  snprintf(last_error, sizeof last_error, "%s: %s (%s:%d)", what, why,
           strrchr(__FILE__, '/') ? strrchr(__FILE__, '/') + 1 : __FILE__, line);
  return status;
}
#define TRY(call)                                                                                                      \
  do {                                                                                                                 \
    cudaError_t error_ = (call);                                                                                       \
    if (error_ != cudaSuccess) return fail(HDL_ESYS, #call, cudaGetErrorName(error_), __LINE__);                       \
  } while (0)
#define EXPECT(condition)                                                                                              \
  do {                                                                                                                 \
    if (!(condition)) return fail(HDL_EINVAL, "a call is not as expected", #condition, __LINE__);                      \
  } while (0)

struct launch_shape {
  int blocks, shared, resident, largest_tile, threads, loop;
  const void *run;
};

/* Counts the bytes of a block's factors in shared memory. */
static int64_t staged(int tile) {
  static const int floats[] = {0, staging<32>::FLOATS, staging<64>::FLOATS, staging<128>::FLOATS};
  return STAGES * 2 * (int64_t)floats[tile] * 4;
}

static hdl_status shape_of(const hdl_cuda_call &c, launch_shape &shape) {
  EXPECT(c.ops && c.phase && c.phases >= 2 && c.operations >= 1 && c.nets >= 1 && c.tiles >= 1);
  EXPECT(c.precision >= HDL_FLOAT32 && c.precision <= HDL_BF16);
  EXPECT(c.largest_tile >= HDL_TILE_WARP && c.largest_tile <= HDL_TILE_128);
  EXPECT(c.batch >= 1 && c.first >= 0 && c.first <= c.last && c.rows >= 1);
  EXPECT(c.net && c.barrier && c.cost && c.correct);
  EXPECT(c.loop >= HDL_LOOP_AUTO && c.loop <= HDL_LOOP_GRAPH && c.step);
  int device, most, processors, together, each;
  TRY(cudaGetDevice(&device));
  TRY(cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device));
  TRY(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device));
  TRY(cudaDeviceGetAttribute(&together, cudaDevAttrCooperativeLaunch, device));
  int64_t table = table_floats(c) * 4, all = table + resident_floats(c) * 4;
  shape.resident = c.resident && all <= most && c.loop != HDL_LOOP_GRAPH; /* shared memory ends with its kernel */
  shape.largest_tile = c.largest_tile;
  while (shape.largest_tile > HDL_TILE_32 && table + staged(shape.largest_tile) > most) shape.largest_tile--;
  int64_t wanted = shape.resident ? all : table + staged(shape.largest_tile);
  if (wanted > most) return fail(HDL_ENOMEM, "shared memory", "a block needs more than the device has", __LINE__);
  shape.shared = (int)wanted;
  bool small = c.largest_tile == HDL_TILE_WARP;
  shape.threads = threads(small), shape.run = interpreter_of(c.precision, small);
  /* The most, whatever this call takes: another thread may be about to launch the same kernel with more. */
  TRY(cudaFuncSetAttribute(shape.run, cudaFuncAttributeMaxDynamicSharedMemorySize, most));
  TRY(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&each, shape.run, shape.threads, shape.shared));
  EXPECT(each >= 1);
  shape.blocks = each * processors / c.nets;
  if (shape.blocks > c.tiles) shape.blocks = c.tiles;
  if (shape.blocks < 1 || shape.resident) shape.blocks = 1;
  shape.loop = c.loop;
  if (!shape.loop) shape.loop = shape.blocks > 1 && !together ? HDL_LOOP_GRAPH : HDL_LOOP_KERNEL;
  return HDL_OK;
}

/* Captures one mini-batch as kernels of one phase each, and one that goes on to the next; on a stream of its own, so
 * that nothing of another thread is captured. */
static hdl_status capture(const hdl_cuda_call &call, const launch_shape &shape, cudaGraphExec_t *made) {
  hdl_cuda_call changed = call;
  changed.last = INT64_MAX; /* the graph does not know where the call ends: it may gather one mini-batch more */
  void *arguments[] = {&changed};
  dim3 grid(shape.blocks, changed.nets), block(shape.threads);
  cudaFuncAttributes loaded;
  TRY(cudaFuncGetAttributes(&loaded, advance_of_graph())); /* its code is not to be loaded while capturing */
  cudaStream_t stream;
  TRY(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  cudaGraph_t graph = NULL;
  cudaError_t error = cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal);
  if (error == cudaSuccess) {
    for (changed.only_phase = 1; changed.only_phase < changed.phases && error == cudaSuccess; changed.only_phase++)
      error = cudaLaunchKernel(shape.run, grid, block, arguments, shape.shared, stream);
    if (error == cudaSuccess) error = cudaLaunchKernel(advance_of_graph(), dim3(1), dim3(32), arguments, 0, stream);
    cudaError_t ended = cudaStreamEndCapture(stream, &graph); /* whatever came before, or it stays captured */
    if (error == cudaSuccess) error = ended;
  }
  if (error == cudaSuccess) error = cudaGraphInstantiate(made, graph, 0);
  if (graph) cudaGraphDestroy(graph);
  cudaStreamDestroy(stream);
  TRY(error);
  return HDL_OK;
}

static hdl_status run_graph(const hdl_cuda_call &call, const launch_shape &shape, cudaStream_t stream, void **kept) {
  hdl_cuda_call changed = call;
  changed.only_phase = 0;
  void *arguments[] = {&changed};
  TRY(cudaLaunchKernel(shape.run, dim3(shape.blocks, changed.nets), dim3(shape.threads), arguments, shape.shared,
                       stream));
  if (!*kept) {
    cudaGraphExec_t made = NULL;
    hdl_status status = capture(changed, shape, &made);
    if (status != HDL_OK) return status;
    *kept = made;
  }
  for (int64_t s = changed.first; s < changed.last; s++) TRY(cudaGraphLaunch((cudaGraphExec_t)*kept, stream));
  return HDL_OK;
}

} // namespace hdl

using namespace hdl;

extern "C" const char *hdl_cuda_last_error(void) { return last_error; }

extern "C" hdl_status hdl_cuda_run(const hdl_cuda_call *call, void *stream, void **graph) {
  launch_shape shape;
  hdl_status status = shape_of(*call, shape);
  if (status != HDL_OK) return status;
  hdl_cuda_call changed = *call;
  changed.resident = shape.resident, changed.largest_tile = shape.largest_tile, changed.only_phase = -1;
  if (shape.loop == HDL_LOOP_GRAPH) return run_graph(changed, shape, (cudaStream_t)stream, graph);
  void *arguments[] = {&changed};
  dim3 grid(shape.blocks, changed.nets), block(shape.threads);
  /* Blocks of a net wait for each other, so all must be there at once: a cooperative launch fails where they cannot. */
  if (shape.blocks > 1)
    TRY(cudaLaunchCooperativeKernel(shape.run, grid, block, arguments, shape.shared, (cudaStream_t)stream));
  else
    TRY(cudaLaunchKernel(shape.run, grid, block, arguments, shape.shared, (cudaStream_t)stream));
  return HDL_OK;
}

extern "C" void hdl_cuda_forget(void *graph) {
  if (graph) cudaGraphExecDestroy((cudaGraphExec_t)graph);
}
