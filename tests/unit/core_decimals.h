/* core_decimals.h: lines of numbers (csrc/cpu/decimals.c, pairs.c) in buffers without a byte to spare, cut and changed
 * at every byte, against strtod; core_test.c includes it. */

/* Reads a text up to `size`, with a newline at its end, to buffers of just its size; returns the lines. */
static int64_t decimals_of(const char *text, size_t size, hdl_lines *lines) {
  int64_t n = 0, found;
  char *copy = malloc(size + 1), *end, *texts = malloc(size + 1);
  memcpy(copy, text, size), copy[size] = '\n';
  for (size_t i = 0; i <= size; i++) n += copy[i] == '\n';
  double *out = malloc(sizeof *out * (size_t)(n * lines->columns));
  int32_t *starts = malloc(sizeof *starts * (size_t)(n + 1));
  found = hdl_decimals(copy, (int64_t)size + 1, lines, n, out, starts, texts);
  CHECK(found == -1 || found == n, "%lld of %lld lines", (long long)found, (long long)n);
  if (found > 0 && !lines->to) {
    char *whole = calloc(1, size + 2), *p = whole; /* that a string ends */
    memcpy(whole, copy, size + 1);
    for (int64_t i = 0; i < found * lines->columns; i++, p = end) {
      while (*p == lines->delimiter || *p == ' ' || *p == '\t') p++;
      double value = strtod(p, &end);
      CHECK(!memcmp(&value, out + i, sizeof value), "%.17g for %.20s", out[i], p);
    }
    free(whole);
  }
  if (found > 1) CHECK(hdl_decimals(copy, (int64_t)size + 1, lines, found - 1, out, starts, texts) == -1, "too few");
  free(copy), free(texts), free(out), free(starts);
  return found;
}

/* The same of libsvm's format. */
static int64_t pairs_of(const char *text, size_t size, int labelled) {
  hdl_pair_lines lines = {labelled, 1 << 24, 9e15, 3.4e38};
  int64_t n = 0, most = 0, found;
  char *copy = malloc(size + 1);
  memcpy(copy, text, size), copy[size] = '\n';
  for (size_t i = 0; i <= size; i++) n += copy[i] == '\n', most += copy[i] == ':';
  double *labels = malloc(sizeof *labels * (size_t)n), *values = malloc(sizeof *values * (size_t)most);
  int64_t *starts = malloc(sizeof *starts * (size_t)(n + 1));
  int32_t *indices = malloc(sizeof *indices * (size_t)most);
  found = hdl_pairs(copy, (int64_t)size + 1, &lines, n, most, labels, starts, indices, values);
  CHECK(found >= -1 && found <= n && (found < 0 || starts[found] == most), "%lld lines", (long long)found);
  if (found > 0 && most > 0) {
    CHECK(hdl_pairs(copy, (int64_t)size + 1, &lines, found - 1, most, labels, starts, indices, values) == -1, "lines");
    CHECK(hdl_pairs(copy, (int64_t)size + 1, &lines, n, most - 1, labels, starts, indices, values) == -1, "pairs");
  }
  free(copy), free(labels), free(values), free(starts), free(indices);
  return found;
}

static void decimals(void) {
  static const char *texts[] = {
      "1,-2.5\n33,+4e-5\r\n123456789012345678,0.000000000000000000000000123456789\n-0,9007199254740993\n"
      "179769313486231580000000000e3,5e-324\n1e-400,2.2250738585072011e-308\n7,8",
      " 1  -2.5 \n33 \t4e-5\r\n12345678.87654321 1234567.7654321 \n9999999999999999999 99999999999999999999\n7 8",
      "1,ab\n22,\n333, c d \n4,x"};
  int32_t text[] = {0, HDL_TEXT};
  static const char sparse[] = "1 1:2.5 3:-4e5 \n\n \t\r\n-2.5\n3 16777216:12345678.12345678 \r\n0 7:1\n1 2:3 9:.5";
  CHECK(pairs_of(sparse, strlen(sparse), 1) == 5 && pairs_of(sparse, strlen(sparse), 0) == -1, "pairs");
  CHECK(pairs_of(sparse + 2, 12, 0) == 1 && pairs_of("2:1 1:1", 7, 0) == -1, "pairs alone");
  for (size_t i = 0; i < strlen(sparse); i++) {
    char changed[sizeof sparse];
    pairs_of(sparse, i, 1);
    for (int byte = 0; byte < 256; byte++) {
      memcpy(changed, sparse, sizeof sparse), changed[i] = (char)byte;
      pairs_of(changed, strlen(sparse), byte & 1);
    }
  }
  for (int t = 0; t < 3; t++) {
    hdl_lines lines = {t == 1 ? ' ' : ',', 2, t == 2 ? 1 : 2, t == 2 ? text : NULL, 3.4e38};
    size_t size = strlen(texts[t]);
    char *changed = malloc(size);
    CHECK(decimals_of(texts[t], size, &lines) == (t == 0 ? 7 : t == 1 ? 5 : 4), "text %d", t);
    for (size_t i = 0; i < size; i++) {
      decimals_of(texts[t], i, &lines);
      for (int byte = 0; byte < 256; byte += 1 + byte % 3) {
        memcpy(changed, texts[t], size), changed[i] = (char)byte;
        decimals_of(changed, size, &lines);
      }
    }
    free(changed);
  }
}
