/* emulator.h: a CUDA block on the CPU, so that the kernels run where there is no GPU. C++17, x86-64.
 *
 * Each thread is a fiber; one runs at a time, and gives way at a barrier, a shuffle or a product of a warp. Which one
 * goes on is drawn from HDL_EMULATED_SEED: results that depend on it miss a barrier. Asynchronous copies happen only
 * at the wait that asks for them, so one that was not waited for is missed too. All blocks of a net run side by side;
 * nets go one after the other. Fragments are laid out as the PTX ISA says.
 */
#ifndef HDL_EMULATOR_H
#define HDL_EMULATOR_H

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <algorithm>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>
#include "hdl_cuda.h"

#define __device__
#define __host__
#define __global__
#define __forceinline__ inline
#define __noinline__
#define __grid_constant__
#define __launch_bounds__(...)
#define HDL_SHARED(name) unsigned char *name = emulated::now->block->shared
#define HDL_SPIN() emulated::give_way()
#define threadIdx (emulated::now->thread)
#define blockIdx (emulated::now->block->index)
#define gridDim (emulated::grid)
#define blockDim (emulated::threads)

struct float4 {
  float x, y, z, w;
};
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

using std::max;
using std::min;

struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

namespace emulated {

struct gate { /* where a number of fibers wait for each other */
  int wanted = 0, arrived = 0;
  unsigned generation = 0;
};
struct warp {
  gate all;
  float value[32];
  uint32_t a[32][4], b[32][2];
};
struct block {
  dim3 index;
  unsigned char *shared;
  int any = 0;
  gate all;
  std::vector<warp> warps;
};
struct fiber {
  dim3 thread;
  emulated::block *block;
  void *stack = nullptr;
  std::vector<char> memory;
  const gate *waits = nullptr;
  unsigned generation = 0; /* of the gate, when it came there */
  bool over = false;
  std::vector<std::vector<std::function<void()>>> copies{1};
};

inline fiber *now;
inline dim3 grid, threads;
inline void *home;
inline std::function<void()> body;
inline uint64_t draws;

/* Saves this stack and goes on with the other one. */
extern "C" void hdl_emulated_switch(void **from, void *to);
asm(R"(
.text
.weak hdl_emulated_switch
hdl_emulated_switch:
  push %rbx
  push %rbp
  push %r12
  push %r13
  push %r14
  push %r15
  mov %rsp, (%rdi)
  mov %rsi, %rsp
  pop %r15
  pop %r14
  pop %r13
  pop %r12
  pop %rbp
  pop %rbx
  ret
)");

inline void give_way() { hdl_emulated_switch(&now->stack, home); }

inline void wait_at(gate &g) {
  if (++g.arrived == g.wanted) {
    g.arrived = 0, g.generation++;
    return;
  }
  now->waits = &g, now->generation = g.generation;
  give_way();
}

inline void start() {
  body();
  now->over = true;
  give_way();
}

inline warp &own() { return now->block->warps[now->thread.x / 32]; }

/* One net's blocks, from beginning to end. */
inline void run(std::vector<block> &blocks, int threads) {
  std::vector<fiber> fibers(blocks.size() * threads);
  for (size_t i = 0; i < fibers.size(); i++) {
    fiber &f = fibers[i];
    f.thread = dim3(i % threads), f.block = &blocks[i / threads];
    f.memory.resize(48 << 10);
    uintptr_t top = ((uintptr_t)f.memory.data() + f.memory.size()) & ~(uintptr_t)15;
    void **stack = (void **)top - 2;
    *stack = (void *)start; /* what the first switch returns to, with the stack as after a call */
    f.stack = stack - 6;
  }
  std::vector<fiber *> left;
  for (fiber &f : fibers) left.push_back(&f);
  while (!left.empty()) {
    bool moved = false;
    draws = draws * 6364136223846793005u + 1442695040888963407u;
    size_t from = (draws >> 33) % left.size(), n = left.size();
    for (size_t i = 0; i < n; i++) {
      fiber *f = left[(i + from) % n];
      if (f->waits && f->waits->generation == f->generation) continue;
      f->waits = nullptr, now = f, moved = true;
      hdl_emulated_switch(&home, f->stack);
    }
    if (!moved) fprintf(stderr, "emulator: %zu threads wait for others that are gone\n", left.size()), abort();
    left.erase(std::remove_if(left.begin(), left.end(), [](fiber *f) { return f->over; }), left.end());
  }
}

} // namespace emulated

inline void __syncthreads() { emulated::wait_at(emulated::now->block->all); }
inline int __syncthreads_or(int x) {
  int &any = emulated::now->block->any;
  any |= x;
  __syncthreads();
  int found = any;
  __syncthreads();
  any = 0;
  __syncthreads();
  return found;
}
inline void __syncwarp() { emulated::wait_at(emulated::own().all); }
inline void __threadfence() {}
inline uint32_t atomicAdd(uint32_t *p, uint32_t n) { return (*p += n) - n; }
template <class T> T __shfl_xor_sync(unsigned, T x, int by) {
  emulated::warp &w = emulated::own();
  int lane = threadIdx.x & 31;
  memcpy(&w.value[lane], &x, 4);
  __syncwarp();
  memcpy(&x, &w.value[lane ^ by], 4);
  __syncwarp();
  return x;
}

namespace hdl {

inline uint32_t bits(float x) {
  uint32_t y;
  memcpy(&y, &x, 4);
  return y;
}
inline float from_bits(uint32_t x) {
  float y;
  memcpy(&y, &x, 4);
  return y;
}
inline uint32_t volatile_load(const uint32_t *p) { return *(const volatile uint32_t *)p; }

/* to the nearest, ties away from zero: cvt.rna */
inline uint32_t tf32(float x) { return (bits(x) + 0x1000u) & ~0x1fffu; }
inline uint32_t bf16(float x, float y) { /* ties to even */
  auto half = [](float v) { return (bits(v) + 0x7fffu + ((bits(v) >> 16) & 1)) >> 16; };
  return half(x) | half(y) << 16;
}

/* D = C + A B over the warp's fragments: a(m, k) and b(k, n) find an element in them. */
template <class FA, class FB>
inline void mma(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], int depth, FA at_a, FB at_b) {
  emulated::warp &w = emulated::own();
  int lane = threadIdx.x & 31, g = lane / 4, t = lane % 4;
  memcpy(w.a[lane], a, sizeof a), memcpy(w.b[lane], b, sizeof b);
  __syncwarp();
  for (int e = 0; e < 4; e++)
    for (int k = 0; k < depth; k++) c[e] += at_a(w, g + 8 * (e >> 1), k) * at_b(w, k, 2 * t + (e & 1));
  __syncwarp();
}
inline void mma_tf32(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  mma(
      c, a, b, 8,
      [](emulated::warp &w, int m, int k) { return from_bits(w.a[m % 8 * 4 + k % 4][m / 8 + 2 * (k / 4)]); },
      [](emulated::warp &w, int k, int n) { return from_bits(w.b[n * 4 + k % 4][k / 4]); });
}
inline void mma_bf16(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  auto half = [](uint32_t pair, int high) { return from_bits(high ? pair & 0xffff0000u : pair << 16); };
  mma(
      c, a, b, 16,
      [=](emulated::warp &w, int m, int k) { return half(w.a[m % 8 * 4 + k % 8 / 2][m / 8 + 2 * (k / 8)], k % 2); },
      [=](emulated::warp &w, int k, int n) { return half(w.b[n * 4 + k % 8 / 2][k / 8], k % 2); });
}

inline void copy4(float *to, const float *from, int n) {
  if (((uintptr_t)to | (uintptr_t)from) & 15) fprintf(stderr, "emulator: a copy of 16 bytes is not aligned\n"), abort();
  emulated::now->copies.back().push_back([=] {
    for (int i = 0; i < 4; i++) to[i] = i < n ? from[i] : 0;
  });
}
inline void copy1(float *to, const float *from, bool real) {
  emulated::now->copies.back().push_back([=] { *to = real ? *from : 0; });
}
inline void commit() { emulated::now->copies.emplace_back(); }
template <int PENDING> inline void wait() {
  auto &groups = emulated::now->copies;
  while (groups.size() > PENDING + 1) {
    for (auto &copy : groups.front()) copy();
    groups.erase(groups.begin());
  }
}

} // namespace hdl

#include "emulated_runtime.h"
#endif
