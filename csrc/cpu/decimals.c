/* decimals.c: reads lines of delimited numbers. */
#include "decimal.h"
#include "../hdl.h"

/* What is written between cells, or around them, for nothing: all blanks where they part cells. */
static inline bool blank(char c, char delimiter) { return (c == ' ' || c == '\t') && c != delimiter; }

static inline bool ends(char c) { return c == '\n' || c == '\r'; }

/* Passes over a cell of any text without quotes; NULL if there is something else in it. */
static inline const char *passed(const char *p, char delimiter, bool ascii) {
  for (; !ends(*p) && *p != delimiter && *p != '\t'; p++)
    if (*p == '"' || (unsigned char)*p < ' ' || (ascii && (unsigned char)*p > '~')) return NULL;
  return p;
}

static inline int64_t read(const char *p, const char *end, const hdl_lines *l, bool blanks, int64_t n, double *out,
                           int32_t *starts, char *texts) {
  char delimiter = l->delimiter, aside = blanks ? 0 : delimiter;
  int32_t text = 0;
  int64_t row = 0;
  for (; p < end; row++, out += l->columns) {
    if (row == n) return -1;
    if (starts) starts[row] = text;
    for (int32_t i = 0; i < l->width; i++) {
      const char *before = p;
      while (blank(*p, aside)) p++;
      if (blanks && i && p == before) return -1;
      int32_t to = l->to ? l->to[i] : i;
      if (to >= 0) {
        if (!(p = hdl_decimal(p, end, out + to))) return -1;
        if (!(out[to] < l->limit && out[to] > -l->limit)) return -1;
      } else {
        const char *cell = p;
        if (!(p = passed(p, delimiter, to == HDL_TEXT)) || (blanks && p == cell)) return -1;
        if (to == HDL_TEXT) memcpy(texts + text, cell, (size_t)(p - cell)), text += (int32_t)(p - cell);
      }
      if (blanks) continue;
      while (blank(*p, aside)) p++;
      if (i + 1 < l->width && *p++ != delimiter) return -1;
    }
    while (blanks && blank(*p, 0)) p++;
    p += *p == '\r';
    if (*p++ != '\n') return -1;
  }
  if (starts) starts[row] = text;
  return row;
}

int64_t hdl_decimals(const char *text, int64_t size, const hdl_lines *lines, int64_t n, double *out, int32_t *starts,
                     char *texts) {
  if (size < 1 || size > INT32_MAX || text[size - 1] != '\n') return -1;
  if (lines->delimiter == ' ') return read(text, text + size, lines, true, n, out, starts, texts);
  return read(text, text + size, lines, false, n, out, starts, texts);
}
