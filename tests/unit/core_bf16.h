/* core_bf16.h: of core_test.c: a processor's own bfloat16 kernels are taken if they give the portable ones' bytes. */
#define hdl_bf16_kernels unused_bf16_kernels
#define hdl_bf16_way unused_bf16_way
#include "cpu/bf16.c"

/* Adds a pair's products in the other order. */
static void even_first(micro_next *next, int groups, int K, const float *a, ptrdiff_t lda, const float *p,
                       ptrdiff_t ldp, const float *init, ptrdiff_t ldi, float *c, ptrdiff_t ldc, const fused_sgd *sgd) {
  (void)next, (void)groups, (void)lda, (void)ldi, (void)ldc, (void)sgd;
  for (int lane = 0; lane < 4; lane++) {
    float sum = init ? init[lane] : 0;
    for (int k = 0; k < K; k++)
      for (int half = 0; half < 2; half++) {
        uint32_t x, q;
        memcpy(&x, a + k, 4), memcpy(&q, p + k * ldp + lane, 4);
        x = half ? x & 0xffff0000u : x << 16, q = half ? q & 0xffff0000u : q << 16;
        float one, other;
        memcpy(&one, &x, 4), memcpy(&other, &q, 4);
        sum += one * other;
      }
    c[lane] = sum;
  }
}

extern const micro_table hdl_native_pairs_emulated; /* core_native.c */

static void check_of_bf16(void) {
#ifdef __x86_64__
  CHECK(choice_of(HDL_ISA_AVX2, &hdl_native_pairs_emulated).table == &hdl_native_pairs_emulated, "as Intel says");
#endif
  for (int isa = HDL_ISA_GENERIC; isa <= (int)hdl_best_isa(); isa++) {
    const hdl_kernels *kernels = hdl_isa_kernels(isa);
    CHECK(agree(kernels->pairs, kernels->pairs, kernels->vw), "isa %d", isa);
    CHECK(choice_of(isa, kernels->pairs).table == kernels->pairs, "isa %d", isa);
  }
  const micro_table *portable = hdl_isa_kernels(HDL_ISA_GENERIC)->pairs;
  micro_table other = *portable;
  CHECK(choice_of(HDL_ISA_GENERIC, &other).table == &other, "the same kernels");
  other.of[0][0][0] = even_first;
  choice wrong = choice_of(HDL_ISA_GENERIC, &other);
  CHECK(wrong.table == portable && strstr(wrong.way, "other bytes"), "%s", wrong.way);
}
