/* core_test.c: the C core by itself, for the sanitizers: every input, rule and instruction set on odd shapes, each
 * result equal for any threads and blocks and close to the portable kernels'. Built by test_cpu_sanitizers.py, with
 * HDL_TEST_WIDE: HDL_ISA_AVX512 then names the 16-lane source split into smaller vectors. */
#include "hdl.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures;
static int precision; /* of what is trained from now on */
#define CHECK(condition, ...)                                                                                          \
  do {                                                                                                                 \
    if (!(condition)) {                                                                                                \
      failures++;                                                                                                      \
      printf("%s:%d: %s: ", __FILE__, __LINE__, #condition);                                                           \
      printf(__VA_ARGS__);                                                                                             \
      printf(" (%s)\n", hdl_last_error());                                                                             \
    }                                                                                                                  \
  } while (0)

enum { N = 37, COUNT = 90 };

/* How far from each other instruction sets may be: they round a factor of bfloat16 up or down where they differ. */
static float near(void) { return precision == HDL_BF16 ? 2e-2f : 2e-3f; }

static float uniform(uint64_t i) {
  uint32_t u;
  hdl_random_u32(1, 2, 3, 4, i, 1, &u);
  return (float)u / 4294967296.f - 0.5f;
}

static int stop_at_once(void *context, int64_t done, int64_t steps) {
  (void)done, (void)steps;
  ++*(int *)context;
  return 1;
}

#include "core_bf16.h"
#include "core_encoded.h"
#include "core_decimals.h"
#include "core_team.h"

/* Trains one net; returns its weights (malloc) and their number. */
static float *train(const int32_t *widths, int layers, int loss, int rule, int x_type, hdl_isa isa, int threads,
                    int block, size_t *P) {
  int I = widths[0], O = widths[layers];
  hdl_net net = {.layers = layers, .widths = widths, .activation = 1 + rule % 5, .loss = loss, .leak = 0.1f};
  net.dropout_input = 0.2f, net.dropout_hidden = 0.3f, net.loss_parameter = loss == HDL_TWEEDIE ? 1.3f : 0.4f;
  net.precision = precision;
  if (loss <= HDL_SIGMOID_CE && rule % 2) net.label_smoothing = 0.1f;
  *P = 0;
  for (int l = 0; l < layers; l++) *P += (size_t)(widths[l] + 1) * (size_t)widths[l + 1];
  float *w = malloc(*P * 4), *state = calloc(*P * 2, 4), *g = malloc(*P * 4), *out = malloc(COUNT * (size_t)O * 4);
  for (size_t i = 0; i < *P; i++) w[i] = uniform(i);
  float *x = malloc(N * (size_t)I * 4), *scale = malloc((size_t)I * 4), *target = calloc(N * (size_t)O, 4);
  uint8_t *bytes = malloc(N * (size_t)I);
  int32_t *indices = malloc(N * (size_t)I * 4), *label = malloc(N * 4);
  int64_t indptr[N + 1] = {0}, order[COUNT];
  for (int r = 0; r < N; r++) {
    int64_t n = indptr[r];
    for (int i = 0; i < I; i++) {
      float v = uniform((uint64_t)(r * I + i));
      bytes[r * I + i] = (uint8_t)(100 * (v + 0.5f));
      if (x_type != HDL_CSR)
        x[r * I + i] = v;
      else if (v > 0.2f)
        x[n] = v, indices[n++] = i;
    }
    indptr[r + 1] = n;
    label[r] = r % O, target[r * O + r % O] = 1;
  }
  for (int i = 0; i < I; i++) scale[i] = x_type == HDL_U8 ? 0.01f : 1.5f;
  for (int i = 0; i < COUNT; i++) order[i] = (i * 7) % N;
  bool classes = rule % 2 && loss <= HDL_SIGMOID_SQUARED;
  float weight[N], *offset = malloc(N * (size_t)O * 4);
  for (int r = 0; r < N; r++) weight[r] = (float)(r % 5) / 2;
  for (int i = 0; i < N * O; i++) offset[i] = uniform((uint64_t)i), target[i] += loss > HDL_SIGMOID_SQUARED ? 0.1f : 0;
  hdl_data data = {.x_type = x_type, .y_type = classes ? HDL_CLASS : HDL_TARGET, .n = N};
  data.x = x_type == HDL_U8 ? (void *)bytes : (void *)x, data.y = classes ? (void *)label : (void *)target;
  data.indptr = indptr, data.indices = indices, data.scale = scale, data.shift = x_type == HDL_CSR ? NULL : scale;
  if (rule % 3) data.weight = weight, data.offset = offset;
  float lr[COUNT];
  for (int i = 0; i < COUNT; i++) lr[i] = 0.01f;
  hdl_update update = {rule,
                       lr,
                       0.001f * (float)(rule % 3),
                       0.01f * (float)(rule % 2),
                       rule % 3 == 1 ? 1.f : 0.f,
                       0.9f,
                       0.9f,
                       0.99f,
                       0.9f,
                       0.01f,
                       3,
                       0.1f * (float)(rule % 2)};
  hdl_key key = {5, 6, 7};
  hdl_result result;
  hdl_plan *plan;
  CHECK(hdl_plan_new(&plan, &net, block, threads, isa) == HDL_OK && !hdl_plan_threads(plan, threads), "isa %d", isa);
  CHECK(hdl_train(plan, w, state, &data, order, COUNT, 40, &update, key, NULL, NULL, &result) == HDL_OK, "train");
  CHECK(result.steps == 3 && result.samples == COUNT, "%d steps", (int)result.steps);
  CHECK(hdl_gradient(plan, w, &data, NULL, N, key, g, NULL, NULL, &result) == HDL_OK, "gradient");
  CHECK(hdl_forward(plan, w, &data, order, COUNT, out, NULL, NULL, &result) == HDL_OK, "forward");
  for (size_t i = 0; i < *P; i++) w[i] += g[i];
  for (int i = 0; i < COUNT * O; i++) w[(size_t)i % *P] += out[i];
  order[3] = N;
  CHECK(hdl_forward(plan, w, &data, order, COUNT, out, NULL, NULL, &result) == HDL_EINVAL, "order");
  weight[N - 1] = -1, data.weight = weight;
  CHECK(hdl_forward(plan, w, &data, NULL, N, out, NULL, NULL, &result) == HDL_EINVAL, "weight");
  hdl_plan_free(plan);
  free(state), free(g), free(out), free(x), free(scale), free(target), free(bytes), free(indices), free(label);
  free(offset);
  return w;
}

static void compare(const int32_t *widths, int layers, int loss, int rule, int x_type) {
  size_t P;
  float *expected = train(widths, layers, loss, rule, x_type, HDL_ISA_GENERIC, 1, 64, &P), largest = 1;
  for (size_t i = 0; i < P; i++) largest = fmaxf(largest, fabsf(expected[i]));
  for (int isa = HDL_ISA_GENERIC; isa <= (int)hdl_best_isa(); isa++) {
    float *one = train(widths, layers, loss, rule, x_type, isa, 1, 64, &P);
    float *other = train(widths, layers, loss, rule, x_type, isa, 3, 11, &P);
    CHECK(!memcmp(one, other, P * 4), "threads and blocks: loss %d rule %d x %d isa %d", loss, rule, x_type, isa);
    float worst = 0;
    for (size_t i = 0; i < P; i++) worst = fmaxf(worst, fabsf(one[i] - expected[i]));
    CHECK(worst <= near() * largest, "isa %d loss %d rule %d x %d: %g of %g", isa, loss, rule, x_type, (double)worst,
          (double)largest);
    free(one), free(other);
  }
  free(expected);
}

/* Trains one autoencoder; returns its weights with what every other call gives added (malloc) and their number. */
static float *autoencode(int variant, int I, int H, int x_type, hdl_isa isa, int threads, int block, size_t *P) {
  int rule = variant % 7, tied = variant % 2;
  float beta = variant % 3 ? 0.3f : 0;
  hdl_autoencoder net = {I,
                         H,
                         HDL_SIGMOID,
                         0.1f,
                         tied ? HDL_SQUARED : HDL_SIGMOID_SQUARED,
                         tied,
                         0.2f,
                         beta,
                         0.8f,
                         variant % 4 ? 0.3f : 0,
                         variant % 5 ? 0.1f : 0,
                         precision};
  *P = (size_t)(I * H * (tied ? 1 : 2) + I + (beta > 0 ? 2 : 1) * H);
  size_t Q = *P + (beta > 0 ? (size_t)(I + 2) * (size_t)H : 0);
  float *w = malloc(*P * 4), *state = calloc(*P * 2, 4), *g = malloc(Q * 4), *out = malloc(COUNT * (size_t)(I + H) * 4);
  float *x = malloc(N * (size_t)I * 4), lr[COUNT];
  int32_t *indices = malloc(N * (size_t)I * 4);
  int64_t indptr[N + 1], order[COUNT];
  for (size_t i = 0; i < *P; i++) w[i] = uniform(i) + 0.3f * (i + (size_t)H >= *P);
  for (int i = 0; i < N * I; i++) x[i] = uniform((uint64_t)i), indices[i] = i % I;
  for (int r = 0; r <= N; r++) indptr[r] = r * I;
  for (int i = 0; i < COUNT; i++) order[i] = (i * 7) % N, lr[i] = 0.01f;
  hdl_data data = {.x_type = x_type, .n = N, .x = x, .indptr = indptr, .indices = indices};
  hdl_update update = {rule, lr, 0, 0.01f, 0, 0.9f, 0.9f, 0.99f, 0.9f, 0.01f, 3, 0.1f};
  hdl_key key = {5, 6, 7};
  hdl_result result;
  hdl_plan *plan;
  CHECK(hdl_autoencoder_new(&plan, &net, block, threads, isa) == HDL_OK && !hdl_plan_threads(plan, threads), "isa %d",
        isa);
  CHECK(hdl_train(plan, w, state, &data, order, COUNT, 40, &update, key, NULL, NULL, &result) == HDL_OK, "train");
  CHECK(hdl_gradient(plan, w, &data, NULL, N, key, g, NULL, NULL, &result) == HDL_OK, "gradient");
  CHECK(hdl_forward(plan, w, &data, order, COUNT, out, NULL, NULL, &result) == HDL_OK, "forward");
  CHECK(hdl_encode(plan, w, &data, order, COUNT, out + COUNT * I, NULL, NULL, &result) == HDL_OK, "encode");
  for (size_t i = 0; i < Q; i++) w[i % *P] += g[i];
  for (int i = 0; i < COUNT * (I + H); i++) w[(size_t)i % *P] += out[i];
  data.y = indices;
  CHECK(hdl_encode(plan, w, &data, order, COUNT, out, NULL, NULL, &result) == HDL_EINVAL, "y");
  hdl_plan_free(plan);
  free(state), free(g), free(out), free(x), free(indices);
  return w;
}

static void compare_autoencoders(int variant, int I, int H, int x_type) {
  size_t P;
  float *expected = autoencode(variant, I, H, x_type, HDL_ISA_GENERIC, 1, 64, &P), largest = 1;
  for (size_t i = 0; i < P; i++) largest = fmaxf(largest, fabsf(expected[i]));
  for (int isa = HDL_ISA_GENERIC; isa <= (int)hdl_best_isa(); isa++) {
    float *one = autoencode(variant, I, H, x_type, isa, 1, 64, &P);
    float *other = autoencode(variant, I, H, x_type, isa, 3, 11, &P), worst = 0;
    CHECK(!memcmp(one, other, P * 4), "threads and blocks: autoencoder %d x %d isa %d", variant, x_type, isa);
    for (size_t i = 0; i < P; i++) worst = fmaxf(worst, fabsf(one[i] - expected[i]));
    CHECK(worst <= near() * largest, "autoencoder %d x %d isa %d: %g of %g", variant, x_type, isa, (double)worst,
          (double)largest);
    free(one), free(other);
  }
  free(expected);
}

static void stopping(void) {
  int32_t widths[] = {300, 200, 10};
  hdl_net net = {.layers = 2, .widths = widths, .activation = HDL_TANH, .loss = HDL_SOFTMAX};
  enum { ROWS = 100, STEPS = 20000 };
  static float x[ROWS * 300], w[301 * 200 + 201 * 10], lr[STEPS];
  static int32_t y[ROWS];
  int64_t *order = malloc(sizeof *order * ROWS * STEPS);
  for (int64_t i = 0; i < (int64_t)ROWS * STEPS; i++) order[i] = i % ROWS;
  hdl_data data = {.x_type = HDL_F32, .y_type = HDL_CLASS, .n = ROWS, .x = x, .y = y};
  hdl_update update = {.rule = HDL_SGD, .lr = lr};
  hdl_result result;
  hdl_plan *plan;
  int calls = 0;
  CHECK(hdl_plan_new(&plan, &net, 100, 2, HDL_ISA_AUTO) == HDL_OK, "plan");
  CHECK(hdl_train(plan, w, NULL, &data, order, (int64_t)ROWS * STEPS, ROWS, &update, (hdl_key){0}, stop_at_once, &calls,
                  &result) == HDL_EINTERRUPT,
        "interrupt");
  CHECK(calls == 1 && result.steps < STEPS, "%d calls", calls);
  x[5] = NAN;
  CHECK(hdl_train(plan, w, NULL, &data, order, ROWS, ROWS, &update, (hdl_key){0}, NULL, NULL, &result) ==
            HDL_ENONFINITE,
        "NaN");
  CHECK(hdl_train(plan, w, NULL, &data, order, 0, ROWS, &update, (hdl_key){0}, NULL, NULL, &result) == HDL_OK, "empty");
  hdl_plan_free(plan);
  CHECK(hdl_plan_new(&plan, &net, 0, 1, HDL_ISA_AUTO) == HDL_EINVAL, "max_batch");
  CHECK(hdl_plan_new(&plan, &net, 1, 1, (hdl_isa)9) == HDL_EISA, "isa");
  free(order);
}

/* Trains one RBM; returns its weights, statistics and outputs mixed, then its chains (malloc), all n of them. */
static float *boltzmann(int I, int H, int chains, int rule, int x_type, hdl_isa isa, int threads, int block,
                        size_t *n) {
  hdl_rbm rbm = {I, H, rule % 2, 1 + rule % 3, chains, 0.1f, 0.5f * (float)(rule % 2)};
  size_t P = (size_t)(I * H + I + H), Q = P + (size_t)(rbm.beta > 0 ? H : 0);
  *n = P + (size_t)(chains * I);
  float *w = malloc(*n * 4), *v = w + P, *state = calloc(P * 2, 4), *g = malloc(Q * 4), *scale = malloc((size_t)I * 4);
  float *out = malloc(COUNT * (size_t)(I + H) * 4), *x = malloc(N * (size_t)I * 4);
  uint8_t *bytes = malloc(N * (size_t)I);
  int32_t *indices = malloc(N * (size_t)I * 4);
  int64_t indptr[N + 1] = {0}, order[COUNT];
  for (size_t i = 0; i < *n; i++) w[i] = i < P ? 0.2f * uniform(i) : uniform(i) > 0;
  for (int r = 0; r < N; r++) {
    indptr[r + 1] = indptr[r];
    for (int i = 0; i < I; i++) {
      bool on = uniform((uint64_t)(r * I + i)) > 0.1f;
      bytes[r * I + i] = on;
      if (x_type != HDL_CSR)
        x[r * I + i] = on;
      else if (on)
        x[indptr[r + 1]] = 1, indices[indptr[r + 1]++] = i;
    }
  }
  for (int i = 0; i < I; i++) scale[i] = 0.9f;
  for (int i = 0; i < COUNT; i++) order[i] = (i * 7) % N;
  hdl_data data = {.x_type = x_type, .n = N, .indptr = indptr, .indices = indices, .scale = scale};
  data.x = x_type == HDL_U8 ? (void *)bytes : (void *)x;
  float lr[COUNT];
  for (int i = 0; i < COUNT; i++) lr[i] = 0.01f;
  hdl_update update = {.rule = rule, .lr = lr, .l2 = 0.01f, .momentum = 0.5f, .beta1 = 0.9f, .beta2 = 0.99f};
  update.rho = 0.9f, update.epsilon = 0.01f;
  hdl_key key = {5, 6, 7};
  hdl_result result;
  hdl_plan *plan;
  CHECK(hdl_rbm_new(&plan, &rbm, block, threads, isa) == HDL_OK && !hdl_plan_threads(plan, threads), "isa %d", isa);
  CHECK(hdl_rbm_chains(plan, v) == HDL_OK, "chains");
  CHECK(hdl_train(plan, w, state, &data, order, COUNT, 40, &update, key, NULL, NULL, &result) == HDL_OK, "train");
  CHECK(result.steps == 3 && result.samples == COUNT && result.cost > 0, "%d steps", (int)result.steps);
  CHECK(hdl_gradient(plan, w, &data, NULL, N, key, g, NULL, NULL, &result) == HDL_OK, "gradient");
  CHECK(hdl_rbm_chains(plan, NULL) == HDL_OK, "no chains");
  CHECK(hdl_forward(plan, w, &data, order, COUNT, out, NULL, NULL, &result) == HDL_OK, "forward");
  CHECK(hdl_encode(plan, w, &data, order, COUNT, out + COUNT * I, NULL, NULL, &result) == HDL_OK, "encode");
  for (size_t i = 0; i < Q; i++) w[i % P] += 0.01f * g[i];
  for (int i = 0; i < COUNT * (I + H); i++) w[(size_t)i % P] += 0.01f * out[i];
  CHECK(!chains || hdl_gradient(plan, w, &data, NULL, N, key, g, NULL, NULL, &result) == HDL_EINVAL, "no chains");
  hdl_plan_free(plan);
  free(state), free(g), free(scale), free(out), free(x), free(bytes), free(indices);
  return w;
}

static void boltzmanns(int I, int H, int chains, int rule, int x_type) {
  size_t n;
  float *expected = boltzmann(I, H, chains, rule, x_type, HDL_ISA_GENERIC, 1, 64, &n);
  for (int isa = HDL_ISA_GENERIC; isa <= (int)hdl_best_isa(); isa++) {
    float *one = boltzmann(I, H, chains, rule, x_type, isa, 1, 64, &n);
    float *other = boltzmann(I, H, chains, rule, x_type, isa, 3, 11, &n);
    CHECK(!memcmp(one, other, n * 4), "RBM %d-%d, %d chains, rule %d x %d isa %d", I, H, chains, rule, x_type, isa);
    size_t far = 0; /* a draw within rounding of its probability may fall on either side */
    for (size_t i = 0; i < n; i++) far += fabsf(one[i] - expected[i]) > 0.01f;
    CHECK(far <= n / 50, "RBM %d-%d, %d chains, rule %d x %d isa %d: %d far", I, H, chains, rule, x_type, isa,
          (int)far);
    free(one), free(other);
  }
  free(expected);
}

/* Of three choices every pair meets, and not every triple: that finds as much here, for half of the time. */
static void compare_nets(int loss, int rule, int x_type, bool many) {
  int32_t narrow[] = {131, 25, 10}, deep[] = {19, 53, 35, 7, 3};
  compare(many ? deep : narrow, many ? 4 : 2, loss, rule, x_type);
}

int main(void) {
  int32_t small[] = {1, 2};
  for (int x = HDL_F32; x <= HDL_CSR; x++)
    for (int rule = HDL_SGD; rule <= HDL_ADAM; rule++) compare_nets((rule + x) % 3, rule, x, (rule + x) % 2);
  compare(small, 1, HDL_SOFTMAX, HDL_SGD, HDL_F32);
  check_of_bf16();
  decimals();
  precision = HDL_BF16;
  compare(small, 1, HDL_SOFTMAX, HDL_SGD, HDL_F32);
  for (int rule = HDL_SGD; rule <= HDL_ADAM; rule++) {
    compare_nets((rule + 1) % 3, rule, rule % 3, rule % 2);
    compare_autoencoders(rule, rule % 2 ? 131 : 19, rule % 3 ? 25 : 53, rule % 2 ? HDL_CSR : HDL_F32);
  }
  precision = HDL_FLOAT32;
  choices_of_threads();
  for (int loss = HDL_HUBER; loss < HDL_LOSSES; loss++)
    for (int x = HDL_F32; x <= HDL_CSR; x++) compare_nets(loss, HDL_SGD + (loss + x) % 2, x, x % 2);
  for (int variant = 0; variant < 36; variant += 1 + variant % 3)
    compare_autoencoders(variant, variant % 2 ? 131 : 19, variant % 5 ? 25 : 53, variant % 2 ? HDL_CSR : HDL_F32);
  for (int rule = HDL_SGD; rule <= HDL_ADAM; rule++)
    for (int embed = 0; embed < 2; embed++)
      (rule + embed) % 2 ? compare_encoded(19, 3, embed, rule) : compare_encoded(0, 1 + rule % 3, embed, rule);
  compare_encoded(7, 0, false, HDL_SGD);
  stopping();
  for (int x = HDL_F32; x <= HDL_CSR; x++)
    for (int rule = HDL_SGD; rule <= HDL_ADAM; rule++)
      (rule + x) % 2 ? boltzmanns(131, 67, 0, rule, x) : boltzmanns(19, 53, rule < 4 ? 5 : 77, rule, x);
  boltzmanns(1, 1, 1, HDL_SGD, HDL_F32);
  printf("%d failures, best %s\n", failures, hdl_isa_name(hdl_best_isa()));
  return failures != 0;
}
