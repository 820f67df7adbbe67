/* portable.cuh: covers the few places where a GPU and its emulation differ: tensor cores, asynchronous copies, bits of
 * floats. g = lane / 4 and t = lane % 4 name a lane's part of a fragment (PTX ISA, mma.m16n8k8 and mma.m16n8k16). */
#ifndef HDL_PORTABLE_CUH
#define HDL_PORTABLE_CUH

#ifdef HDL_EMULATED
#include "emulator.h"
#else
#include <cuda_runtime.h>
#include <cuda_bf16.h>
#define HDL_SHARED(name) extern __shared__ __align__(16) unsigned char name[]
#define HDL_SPIN() __nanosleep(20)
#endif
#include <stdint.h>

#ifndef HDL_EMULATED
namespace hdl {

static __device__ __forceinline__ uint32_t tf32(float x) {
  uint32_t y;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(y) : "f"(x));
  return y;
}

/* two neighbours along k, the first in the low half */
static __device__ __forceinline__ uint32_t bf16(float x, float y) {
  __nv_bfloat162 pair = __floats2bfloat162_rn(x, y);
  return *(uint32_t *)&pair;
}

/* c [16, 8] += a [16, 8] b [8, 8] */
static __device__ __forceinline__ void mma_tf32(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/* c [16, 8] += a [16, 16] b [16, 8] */
static __device__ __forceinline__ void mma_bf16(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/* to[0 .. 4) = from[0 .. n), then zeros; from is aligned to 16 bytes. Lands before the wait that follows its commit. */
static __device__ __forceinline__ void copy4(float *to, const float *from, int n) {
  unsigned at = (unsigned)__cvta_generic_to_shared(to);
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(at), "l"(from), "r"(n * 4) : "memory");
}
static __device__ __forceinline__ void copy1(float *to, const float *from, bool real) {
  unsigned at = (unsigned)__cvta_generic_to_shared(to);
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(at), "l"(from), "r"(real ? 4 : 0) : "memory");
}
static __device__ __forceinline__ void commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int PENDING> static __device__ __forceinline__ void wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(PENDING) : "memory");
}

static __device__ __forceinline__ uint32_t bits(float x) { return __float_as_uint(x); }
static __device__ __forceinline__ uint32_t volatile_load(const uint32_t *p) { return *(const volatile uint32_t *)p; }

} // namespace hdl
#endif
#endif
