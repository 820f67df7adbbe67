/* bf16.c: chooses what multiplies pairs of bfloat16: the processor's own instruction where there is one and it gives
 * the bytes of plain multiply-adds, which every processor has. So a fault in one, or in what is known of it, costs time
 * alone. */
#include "isa.h"

#include <pthread.h>
#include <string.h>

/* avx2_bf16.c, avx512_bf16.c: where the compiler knows the instruction */
extern const micro_table hdl_native_pairs_avx2, hdl_native_pairs_avx512;

static const micro_table *native(hdl_isa isa) {
#ifdef HDL_HAS_NATIVE_PAIRS
  if (__builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vl")) {
    if (isa == HDL_ISA_AVX2) return &hdl_native_pairs_avx2;
    if (isa == HDL_ISA_AVX512) return &hdl_native_pairs_avx512;
  }
#endif
  (void)isa;
  return NULL;
}

/* Floats of a vector, at most; pairs along k, of a kind that a product's last slice has; rows of c */
enum { LANES = HDL_PV * HDL_MAX_VW, CHECKED = 37, FLOATS = CHECKED * LANES };

/* Makes n pairs as rounded factors are: 0, or ± 1.m 2^e of e from -56 on. Sums of products see ties, cancellation, and
 * numbers too small for the sum so far. */
static void fill(hdl_pair *pairs, int n, uint32_t *state) {
  for (int i = 0; i < 2 * n; i++) {
    *state = *state * 1664525u + 1013904223u;
    uint32_t bits = *state >> 8, exponent;
    switch (bits >> 20) {
    case 0:
      exponent = 71 + (bits >> 8 & 3); /* 2^-56 */
      break;
    case 1:
      exponent = 127 + 40 + (bits >> 8 & 15);
      break;
    default:
      exponent = 127 - 12 + (bits >> 8 & 15);
    }
    uint16_t half = (uint16_t)((bits >> 16 & 1) << 15 | exponent << 7 | (bits & 127));
    if (bits >> 17 == 3) half = 0;
    memcpy((char *)pairs + 2 * i, &half, 2);
  }
}

/* Tells whether two tables of kernels of vw lanes give the same bytes: blocks of every size of one, and rows of the
 * other. */
static bool agree(const micro_table *blocks, const micro_table *rows, int vw) {
  static _Alignas(64) float x[FLOATS], p[FLOATS], init[HDL_MICRO_ROWS * LANES];
  static _Alignas(64) float c[2][HDL_MICRO_ROWS * LANES];
  const fused_sgd sgd = {0.99f, 0.01f};
  uint32_t state = 1;
  for (int i = 0; i < HDL_MICRO_ROWS * LANES; i++)
    state = state * 1664525u + 1013904223u, init[i] = (float)(int32_t)state;
  init[0] = 1e-40f, init[1] = -0.f;
  for (int way = 0; way < 8; way++) /* T; init: none, a bias; fused with the update */
    for (int pv = 1; pv <= HDL_PV; pv++)
      for (int mr = 1; mr <= blocks->rows[pv]; mr++) {
        const float *bias = way & 2 ? init : NULL;
        const fused_sgd *update = way & 4 ? &sgd : NULL;
        int T = way & 1, lda = T ? HDL_MICRO_ROWS : CHECKED, ld = pv * vw;
        fill(x, FLOATS, &state), fill(p, FLOATS, &state);
        for (int i = 0; i < 2; i++) memcpy(c[i], init, sizeof init);
        blocks->of[T][pv - 1][mr - 1](NULL, 1, CHECKED, x, lda, p, ld, bias, 0, c[0], ld, update);
        for (int r = 0; r < mr; r++)
          rows->of[T][pv - 1][0](NULL, 1, CHECKED, x + (T ? r : r * lda), lda, p, ld, bias, 0, c[1] + r * ld, ld,
                                 update);
        if (memcmp(c[0], c[1], sizeof c[0])) return false;
      }
  return true;
}

typedef struct {
  const micro_table *table;
  const char *way;
} choice;
static choice chosen[HDL_ISA_AVX512 + 1];

/* Chooses for an instruction set whose own kernels, or NULL, the processor has. */
static choice choice_of(hdl_isa isa, const micro_table *own) {
  const hdl_kernels *kernels = hdl_isa_kernels(isa);
  if (!kernels) return (choice){0};
  if (!own)
    return (choice){kernels->pairs, "portable: no AVX512-BF16 for these kernels, in this processor or this build"};
  if (agree(own, kernels->pairs, kernels->vw)) return (choice){own, "native"};
  return (choice){kernels->pairs, "portable: this processor's own instruction gave other bytes when it was tried"};
}

static void choose(void) {
  for (hdl_isa isa = HDL_ISA_GENERIC; isa <= HDL_ISA_AVX512; isa++) chosen[isa] = choice_of(isa, native(isa));
}

static pthread_once_t once = PTHREAD_ONCE_INIT;

const micro_table *hdl_bf16_kernels(hdl_isa isa) {
  pthread_once(&once, choose);
  return chosen[isa].table;
}

const char *hdl_bf16_way(hdl_isa isa) {
  if ((unsigned)isa > HDL_ISA_AVX512) return "";
  pthread_once(&once, choose);
  return chosen[isa].way ? chosen[isa].way : "";
}
