/* emulated_runtime.h: emulates the calls of CUDA's runtime: devices, launches, graphs. emulator.h has the blocks. */
#ifndef HDL_EMULATED_RUNTIME_H
#define HDL_EMULATED_RUNTIME_H

typedef int cudaError_t;
typedef void *cudaStream_t;
enum { cudaSuccess = 0, cudaErrorInvalidValue = 1, cudaErrorNoDevice = 100, cudaErrorCooperativeLaunchTooLarge = 720 };
enum { cudaDevAttrMaxSharedMemoryPerBlockOptin, cudaDevAttrMultiProcessorCount, cudaDevAttrCooperativeLaunch };
enum { cudaStreamNonBlocking, cudaStreamCaptureModeThreadLocal };
enum { cudaFuncAttributeMaxDynamicSharedMemorySize };

namespace emulated {
inline int setting(const char *name, int otherwise) { return getenv(name) ? atoi(getenv(name)) : otherwise; }
} // namespace emulated

inline const char *cudaGetErrorName(cudaError_t e) {
  return e == cudaErrorNoDevice                    ? "cudaErrorNoDevice"
         : e == cudaErrorCooperativeLaunchTooLarge ? "cudaErrorCooperativeLaunchTooLarge"
                                                   : "cudaErrorInvalidValue";
}
inline cudaError_t cudaGetDevice(int *device) {
  *device = 0;
  return getenv("HDL_EMULATED_NONE") ? cudaErrorNoDevice : cudaSuccess;
}
inline cudaError_t cudaDeviceGetAttribute(int *value, int attribute, int) {
  static const char *const names[] = {"HDL_EMULATED_SHARED", "HDL_EMULATED_PROCESSORS", "HDL_EMULATED_COOPERATIVE"};
  static const int usual[] = {227 << 10, 3, 1};
  *value = emulated::setting(names[attribute], usual[attribute]);
  return cudaSuccess;
}
inline cudaError_t cudaFuncSetAttribute(const void *, int, int) { return cudaSuccess; }
inline cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, const void *, int, size_t) {
  *blocks = 1;
  return cudaSuccess;
}
typedef std::vector<std::function<void()>> *cudaGraph_t, *cudaGraphExec_t;
namespace emulated {
inline thread_local cudaGraph_t captured;
}
inline cudaError_t cudaStreamBeginCapture(cudaStream_t, int) {
  emulated::captured = new std::vector<std::function<void()>>;
  return cudaSuccess;
}
inline cudaError_t cudaStreamEndCapture(cudaStream_t, cudaGraph_t *graph) {
  *graph = emulated::captured;
  emulated::captured = nullptr;
  return cudaSuccess;
}
inline cudaError_t cudaGraphInstantiate(cudaGraphExec_t *made, cudaGraph_t graph, int) {
  *made = new std::vector<std::function<void()>>(*graph);
  return cudaSuccess;
}
inline cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  delete graph;
  return cudaSuccess;
}
inline cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph) { return cudaGraphDestroy(graph); }
inline cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t) {
  for (auto &kernel : *graph) kernel();
  return cudaSuccess;
}
inline cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, int) {
  *stream = nullptr;
  return cudaSuccess;
}
inline cudaError_t cudaStreamDestroy(cudaStream_t) { return cudaSuccess; }
struct cudaFuncAttributes {};
inline cudaError_t cudaFuncGetAttributes(cudaFuncAttributes *, const void *) { return cudaSuccess; }
inline cudaError_t cudaLaunchKernel(const void *f, dim3 grid, dim3 threads, void **arguments, size_t shared, void *) {
  const hdl_cuda_call given = *(const hdl_cuda_call *)arguments[0];
  if (emulated::captured) { /* what the arguments are now */
    emulated::captured->push_back([=] {
      hdl_cuda_call call = given;
      void *own[] = {&call};
      cudaLaunchKernel(f, grid, threads, own, shared, nullptr);
    });
    return cudaSuccess;
  }
  static std::mutex one; /* this device has one block at a time: several threads may launch, as with CUDA */
  std::lock_guard<std::mutex> alone(one);
  emulated::grid = grid, emulated::threads = threads;
  emulated::draws = (uint64_t)emulated::setting("HDL_EMULATED_SEED", 1);
  for (unsigned y = 0; y < grid.y; y++) {
    std::vector<emulated::block> blocks(grid.x);
    for (unsigned x = 0; x < grid.x; x++) {
      emulated::block &b = blocks[x];
      b.index = dim3(x, y), b.all.wanted = (int)threads.x;
      b.shared = (unsigned char *)aligned_alloc(16, (shared + 15) & ~(size_t)15);
      memset(b.shared, 0xff, shared); /* NaN: nobody may count on zeros */
      b.warps.resize(threads.x / 32);
      for (emulated::warp &w : b.warps) w.all.wanted = 32;
    }
    emulated::body = [=] { ((void (*)(const hdl_cuda_call))f)(given); };
    emulated::run(blocks, (int)threads.x);
    for (emulated::block &b : blocks) free(b.shared);
  }
  return cudaSuccess;
}
inline cudaError_t cudaLaunchCooperativeKernel(const void *f, dim3 grid, dim3 threads, void **arguments, size_t shared,
                                               void *stream) {
  if (!emulated::setting("HDL_EMULATED_COOPERATIVE", 1)) return cudaErrorCooperativeLaunchTooLarge;
  return cudaLaunchKernel(f, grid, threads, arguments, shared, stream);
}
#endif
