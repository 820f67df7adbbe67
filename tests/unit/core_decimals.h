/* core_decimals.h: lines of numbers (csrc/cpu/decimals.c) in buffers without a byte to spare, cut and changed at every
 * byte, against strtod; core_test.c includes it. */

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

static void decimals(void) {
  static const char *texts[] = {
      "1,-2.5\n33,+4e-5\r\n123456789012345678,0.000000000000000000000000123456789\n-0,9007199254740993\n"
      "179769313486231580000000000e3,5e-324\n1e-400,2.2250738585072011e-308\n7,8",
      " 1  -2.5 \n33 \t4e-5\r\n12345678.87654321 1234567.7654321 \n9999999999999999999 99999999999999999999\n7 8",
      "1,ab\n22,\n333, c d \n4,x"};
  int32_t text[] = {0, HDL_TEXT};
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
