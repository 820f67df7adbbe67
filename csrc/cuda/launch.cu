/* launch.cu: the host's side: how many blocks and how much shared memory a call gets, and its start. Every call of CUDA
 * is checked; a message has CUDA's name of the error, file and line. */
#include "product.cuh"

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
    cudaError_t found_ = (call);                                                                                       \
    if (found_ != cudaSuccess) return fail(HDL_ESYS, #call, cudaGetErrorName(found_), __LINE__);                       \
  } while (0)
#define EXPECT(condition)                                                                                              \
  do {                                                                                                                 \
    if (!(condition)) return fail(HDL_EINVAL, "a call is not as expected", #condition, __LINE__);                      \
  } while (0)

struct shape {
  int blocks, shared, resident, largest, threads, loop;
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
  EXPECT(c.loop >= HDL_LOOP_AUTO && c.loop <= HDL_LOOP_GRAPH && c.step);
  int device, most, processors, together, each;
  TRY(cudaGetDevice(&device));
  TRY(cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device));
  TRY(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, device));
  TRY(cudaDeviceGetAttribute(&together, cudaDevAttrCooperativeLaunch, device));
  int64_t table = table_floats(c) * 4, all = table + resident_floats(c) * 4;
  found.resident = c.resident && all <= most && c.loop != HDL_LOOP_GRAPH; /* shared memory ends with its kernel */
  found.largest = c.largest;
  while (found.largest > HDL_TILE_32 && table + staged(found.largest) > most) found.largest--;
  int64_t wanted = found.resident ? all : table + staged(found.largest);
  if (wanted > most) return fail(HDL_ENOMEM, "shared memory", "a block needs more than the device has", __LINE__);
  found.shared = (int)wanted;
  bool small = c.largest == HDL_TILE_WARP;
  found.threads = threads(small), found.run = kernel_of(c.precision, small);
  /* The most, whatever this call takes: another thread may be about to launch the same kernel with more. */
  TRY(cudaFuncSetAttribute(found.run, cudaFuncAttributeMaxDynamicSharedMemorySize, most));
  TRY(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&each, found.run, found.threads, found.shared));
  EXPECT(each >= 1);
  found.blocks = each * processors / c.nets;
  if (found.blocks > c.tiles) found.blocks = c.tiles;
  if (found.blocks < 1 || found.resident) found.blocks = 1;
  found.loop = c.loop;
  if (!found.loop) found.loop = found.blocks > 1 && !together ? HDL_LOOP_GRAPH : HDL_LOOP_KERNEL;
  return HDL_OK;
}

/* One mini-batch as kernels of one phase each, and one that goes on to the next; on a stream of its own, so that
 * nothing of another thread is captured. */
static hdl_status capture(const hdl_cuda_call &call, const shape &how, cudaGraphExec_t *made) {
  hdl_cuda_call own = call;
  own.last = INT64_MAX; /* the graph does not know where the call ends: it may gather one mini-batch more */
  void *arguments[] = {&own};
  dim3 grid(how.blocks, own.nets), block(how.threads);
  cudaFuncAttributes loaded;
  TRY(cudaFuncGetAttributes(&loaded, kernel_that_advances())); /* its code is not to be loaded while capturing */
  cudaStream_t stream;
  TRY(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  cudaGraph_t graph = NULL;
  cudaError_t error = cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal);
  if (error == cudaSuccess) {
    for (own.only = 1; own.only < own.phases && error == cudaSuccess; own.only++)
      error = cudaLaunchKernel(how.run, grid, block, arguments, how.shared, stream);
    if (error == cudaSuccess) error = cudaLaunchKernel(kernel_that_advances(), dim3(1), dim3(32), arguments, 0, stream);
    cudaError_t ended = cudaStreamEndCapture(stream, &graph); /* whatever came before, or it stays captured */
    if (error == cudaSuccess) error = ended;
  }
  if (error == cudaSuccess) error = cudaGraphInstantiate(made, graph, 0);
  if (graph) cudaGraphDestroy(graph);
  cudaStreamDestroy(stream);
  TRY(error);
  return HDL_OK;
}

static hdl_status run_graph(const hdl_cuda_call &call, const shape &how, cudaStream_t stream, void **kept) {
  hdl_cuda_call own = call;
  own.only = 0;
  void *arguments[] = {&own};
  TRY(cudaLaunchKernel(how.run, dim3(how.blocks, own.nets), dim3(how.threads), arguments, how.shared, stream));
  if (!*kept) {
    cudaGraphExec_t made = NULL;
    hdl_status status = capture(own, how, &made);
    if (status != HDL_OK) return status;
    *kept = made;
  }
  for (int64_t s = own.first; s < own.last; s++) TRY(cudaGraphLaunch((cudaGraphExec_t)*kept, stream));
  return HDL_OK;
}

} // namespace hdl

using namespace hdl;

extern "C" const char *hdl_cuda_last_error(void) { return last_error; }

extern "C" hdl_status hdl_cuda_run(const hdl_cuda_call *call, void *stream, void **graph) {
  shape found;
  hdl_status status = shape_of(*call, found);
  if (status != HDL_OK) return status;
  hdl_cuda_call own = *call;
  own.resident = found.resident, own.largest = found.largest, own.only = -1;
  if (found.loop == HDL_LOOP_GRAPH) return run_graph(own, found, (cudaStream_t)stream, graph);
  void *arguments[] = {&own};
  dim3 grid(found.blocks, own.nets), block(found.threads);
  /* Blocks of a net wait for each other, so all must be there at once: a cooperative launch fails where they cannot. */
  if (found.blocks > 1)
    TRY(cudaLaunchCooperativeKernel(found.run, grid, block, arguments, found.shared, (cudaStream_t)stream));
  else
    TRY(cudaLaunchKernel(found.run, grid, block, arguments, found.shared, (cudaStream_t)stream));
  return HDL_OK;
}

extern "C" void hdl_cuda_forget(void *graph) {
  if (graph) cudaGraphExecDestroy((cudaGraphExec_t)graph);
}
