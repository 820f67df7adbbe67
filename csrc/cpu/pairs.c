/* pairs.c: reads lines of libsvm's format. */
#include "decimal.h"
#include "../hdl.h"

static inline bool blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

static inline bool below(double value, double limit) { return value < limit && value > -limit; }

int64_t hdl_pairs(const char *text, int64_t size, const hdl_pair_lines *lines, int64_t n, int64_t most, double *labels,
                  int64_t *starts, int32_t *indices, double *values) {
  int64_t row = 0, entries = 0;
  if (size < 1 || text[size - 1] != '\n') return -1;
  for (const char *p = text, *end = text + size; p < end; p++) {
    while (blank(*p)) p++;
    if (*p == '\n') continue;
    if (row == n) return -1;
    starts[row] = entries;
    if (lines->labelled) {
      if (!(p = hdl_decimal(p, end, labels + row)) || !below(labels[row], lines->largest_label)) return -1;
      if (*p != '\n' && !blank(*p)) return -1;
    }
    for (int64_t before = 0;; entries++) {
      while (blank(*p)) p++;
      if (*p == '\n') break;
      uint64_t index = 0;
      const char *first = p;
      p = hdl_digits(p, end, &index);
      if (p == first || p - first > 18 || *p != ':' || entries == most) return -1;
      if ((int64_t)index <= before || (int64_t)index > lines->largest_index) return -1;
      if (!(p = hdl_decimal(p + 1, end, values + entries)) || !below(values[entries], lines->limit)) return -1;
      if (*p != '\n' && !blank(*p)) return -1;
      indices[entries] = (int32_t)(index - 1), before = (int64_t)index;
    }
    row++;
  }
  starts[row] = entries;
  return row;
}
