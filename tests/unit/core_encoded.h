/* core_encoded.h: encoded rows of tables, with and without embedded categories; a part of core_test.c. */
#ifndef CORE_ENCODED_H
#define CORE_ENCODED_H

/* Trains one net on encoded rows; returns its weights with what every other call gives added (malloc). */
static float *encoded(int numbers, int categories, bool embed, int rule, hdl_isa isa, int threads, int block,
                      size_t *P) {
  int32_t levels[] = {70, 1, 9}, vector[] = {17, 1, 5}, inputs = numbers, columns = numbers;
  for (int c = 0; c < categories; c++) inputs += levels[c], columns += vector[c];
  int32_t widths[] = {embed ? columns : inputs, 25, 3};
  hdl_net net = {.layers = 2, .widths = widths, .activation = HDL_TANH, .loss = HDL_SOFTMAX, .dropout_input = 0.2f};
  if (embed) net.tables = categories, net.numbers = numbers, net.levels = levels, net.vector = vector;
  *P = (size_t)(widths[0] + 1) * 25 + 26 * 3;
  for (int c = 0; c < categories && embed; c++) *P += (size_t)(levels[c] * vector[c]);
  float *w = malloc(*P * 4), *state = calloc(*P * 2, 4), *g = malloc(*P * 4), *out = malloc(COUNT * 3 * 4);
  /* asked for to the byte: what is read beyond is seen */
  float *x = malloc((size_t)(N * numbers) * 4), lr[COUNT];
  int32_t *codes = malloc((size_t)(N * categories) * 4), label[N];
  int64_t order[COUNT];
  for (size_t i = 0; i < *P; i++) w[i] = uniform(i);
  for (int i = 0; i < N * numbers; i++) x[i] = uniform((uint64_t)i);
  for (int r = 0; r < N; r++) {
    label[r] = r % 3;
    for (int c = 0, first = numbers; c < categories; first += levels[c++])
      codes[r * categories + c] = (r + c) % 5 ? first + (r * r) % levels[c] : -1;
  }
  for (int i = 0; i < COUNT; i++) order[i] = (i * 7) % N, lr[i] = 0.01f;
  hdl_data data = {.x_type = HDL_MIXED, .y_type = HDL_CLASS, .n = N, .x = x, .y = label};
  data.numbers = numbers, data.categories = categories, data.codes = codes;
  hdl_update update = {.rule = rule, .lr = lr, .l2 = 0.01f * (float)(rule % 2), .max_norm = rule % 3 ? 0 : 2.f};
  update.momentum = update.beta1 = update.rho = 0.9f, update.beta2 = 0.99f, update.epsilon = 0.01f;
  update.weight_decay = rule % 4 ? 0 : 0.1f;
  hdl_key key = {5, 6, 7};
  hdl_result result;
  hdl_plan *plan;
  CHECK(hdl_plan_new(&plan, &net, block, threads, isa) == HDL_OK && !hdl_plan_threads(plan, threads), "isa %d", isa);
  CHECK(hdl_train(plan, w, state, &data, order, COUNT, 40, &update, key, NULL, NULL, &result) == HDL_OK, "train");
  CHECK(result.steps == 3 && result.samples == COUNT, "%d steps", (int)result.steps);
  CHECK(hdl_gradient(plan, w, &data, NULL, N, key, g, NULL, NULL, &result) == HDL_OK, "gradient");
  CHECK(hdl_forward(plan, w, &data, order, COUNT, out, NULL, NULL, &result) == HDL_OK, "forward");
  for (size_t i = 0; i < *P; i++) w[i] += g[i];
  for (int i = 0; i < COUNT * 3; i++) w[(size_t)i % *P] += out[i];
  if (categories) {
    codes[3] = inputs;
    CHECK(hdl_forward(plan, w, &data, order, COUNT, out, NULL, NULL, &result) == HDL_EINVAL, "code");
  }
  hdl_plan_free(plan);
  free(state), free(g), free(out), free(x), free(codes);
  return w;
}

static void compare_encoded(int numbers, int categories, bool embed, int rule) {
  size_t P;
  float *expected = encoded(numbers, categories, embed, rule, HDL_ISA_GENERIC, 1, 64, &P), largest = 1;
  for (size_t i = 0; i < P; i++) largest = fmaxf(largest, fabsf(expected[i]));
  for (int isa = HDL_ISA_GENERIC; isa <= (int)hdl_best_isa(); isa++) {
    float *one = encoded(numbers, categories, embed, rule, isa, 1, 64, &P);
    float *other = encoded(numbers, categories, embed, rule, isa, 3, 11, &P), worst = 0;
    CHECK(!memcmp(one, other, P * 4), "threads and blocks: %d numbers, %d categories, embedded %d, rule %d, isa %d",
          numbers, categories, embed, rule, isa);
    for (size_t i = 0; i < P; i++) worst = fmaxf(worst, fabsf(one[i] - expected[i]));
    CHECK(worst <= 2e-3f * largest, "%d numbers, %d categories, embedded %d, rule %d, isa %d: %g of %g", numbers,
          categories, embed, rule, isa, (double)worst, (double)largest);
    free(one), free(other);
  }
  free(expected);
}
#endif
