/* isa.c: finds the kernels that this processor and its operating system can run (GCC's check reads CPUID and XCR0). */
#include "isa.h"

#include "../rng.h"

hdl_isa hdl_best_isa(void) {
  if (hdl_isa_kernels(HDL_ISA_AVX512)) return HDL_ISA_AVX512;
  if (hdl_isa_kernels(HDL_ISA_AVX2)) return HDL_ISA_AVX2;
  return HDL_ISA_GENERIC;
}

const char *hdl_isa_name(hdl_isa isa) {
  static const char *const names[] = {"auto", "generic", "avx2", "avx512"};
  return (unsigned)isa < 4 ? names[isa] : "unknown";
}

const hdl_kernels *hdl_isa_kernels(hdl_isa isa) {
  switch (isa) {
  case HDL_ISA_GENERIC:
    return &hdl_kernels_generic;
#if defined(__x86_64__) || defined(__i386__)
  case HDL_ISA_AVX2:
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? &hdl_kernels_avx2 : NULL;
#if defined(HDL_TEST_WIDE) /* tests: the 16-lane source, its vectors split by the compiler */
  case HDL_ISA_AVX512:
    return hdl_isa_kernels(HDL_ISA_AVX2) ? &hdl_kernels_wide : NULL;
#else
  case HDL_ISA_AVX512:
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                   __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
                   __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")
               ? &hdl_kernels_avx512
               : NULL;
#endif
#endif
  default:
    return NULL;
  }
}

void hdl_random_u32(uint64_t seed, uint32_t a, uint32_t b, uint32_t c, uint64_t first, int64_t n, uint32_t *out) {
  uint32_t x[4] = {0, 0, 0, 0};
  for (int64_t i = 0; i < n; i++) {
    uint64_t word = first + (uint64_t)i;
    if (i == 0 || word % 4 == 0) {
      x[0] = (uint32_t)(word / 4), x[1] = a, x[2] = b, x[3] = c;
      hdl_philox(x, (uint32_t)seed, (uint32_t)(seed >> 32));
    }
    out[i] = x[word % 4];
  }
}

int32_t hdl_rows(const hdl_strided *part, int32_t parts, float *out) {
  return hdl_isa_kernels(hdl_best_isa())->rows(part, parts, out);
}
