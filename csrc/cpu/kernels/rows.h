/* rows.h: lays a matrix of float32 or float64, whatever order it has in memory, side by side in rows of float32, and
 * looks in the same pass whether all of it is finite there. */
#ifndef HDL_ROWS_H
#define HDL_ROWS_H

#include "vec.h"

enum {
  HDL_STRIPE_ROWS = 1024, /* rows of a stripe that is turned round: so much of a column, a page, is read at once */
  HDL_EXPONENT = 0x7f800000
};

typedef double vdu __attribute__((vector_size(8 * VW), aligned(8), may_alias));

/* Loads VW numbers that lie side by side, rounded. */
INLINE vf load_rounded(const char *p, bool wide) {
  return wide ? __builtin_convertvector(*(const vdu *)p, vf) : vloadu((const float *)p);
}

/* Loads one of them. */
INLINE float one_rounded(const char *p, bool wide) { return wide ? (float)*(const double *)p : *(const float *)p; }

/* Marks in `wrong` the lanes of x that are infinite or NaN. */
INLINE vi marked(vi wrong, vf x) { return wrong | (((vi)x & viset(HDL_EXPONENT)) == viset(HDL_EXPONENT)); }

/* Tells whether a lane is marked. */
INLINE bool any_marked(vi wrong) {
  int32_t all = 0;
  for (int i = 0; i < VW; i++) all |= wrong[i];
  return all != 0;
}

/* Takes rows [r0, r1) and columns [c0, c1) one number after the other; out [n, I] or NULL. */
INLINE bool rows_singly(const hdl_strided *x, bool wide, int64_t r0, int64_t r1, int64_t c0, int64_t c1, float *out) {
  bool finite = true;
  for (int64_t r = r0; r < r1; r++)
    for (int64_t c = c0; c < c1; c++) {
      float f = one_rounded((const char *)x->at + r * x->row + c * x->column, wide);
      finite &= isfinite(f) != 0;
      if (out) out[r * x->I + c] = f;
    }
  return finite;
}

/* Takes rows that lie side by side already. */
INLINE bool rows_along(const hdl_strided *x, bool wide, float *out) {
  int64_t whole = x->I & -VW;
  vi wrong = viset(0);
  for (int64_t r = 0; r < x->n; r++) {
    const char *row = (const char *)x->at + r * x->row;
    for (int64_t c = 0; c < whole; c += VW) {
      vf f = load_rounded(row + c * x->column, wide);
      wrong = marked(wrong, f);
      if (out) *(vfu *)(out + r * x->I + c) = f;
    }
  }
  return rows_singly(x, wide, 0, x->n, whole, x->I, out) && !any_marked(wrong);
}

/* Turns columns round, VW of them and VW rows in registers; those that come next are asked for along the way, since no
 * prefetcher of a processor follows so many columns. */
INLINE bool rows_across(const hdl_strided *x, bool wide, float *out) {
  if (!out) {
    hdl_strided turned = {x->at, x->wide, x->I, x->n, x->column, x->row};
    return rows_along(&turned, wide, NULL);
  }
  int64_t whole = x->I & -VW;
  vi wrong = viset(0);
  bool finite = true;
  for (int64_t from = 0; from < x->n; from += HDL_STRIPE_ROWS) {
    int64_t to = from + HDL_STRIPE_ROWS < x->n ? from + HDL_STRIPE_ROWS : x->n, last = from + ((to - from) & -VW);
    for (int64_t c = 0; c < whole; c += VW) {
      for (int64_t r = from; r < last; r += VW) {
        const char *p = (const char *)x->at + r * x->row + c * x->column;
        vf t[VW];
#pragma GCC unroll 16
        for (int k = 0; k < VW; k++) {
          __builtin_prefetch(p + (k + VW) * x->column);
          t[k] = load_rounded(p + k * x->column, wide);
          wrong = marked(wrong, t[k]);
        }
        vtranspose(t);
#pragma GCC unroll 16
        for (int k = 0; k < VW; k++) *(vfu *)(out + (r + k) * x->I + c) = t[k];
      }
    }
    finite &= rows_singly(x, wide, last, to, 0, whole, out) & rows_singly(x, wide, from, to, whole, x->I, out);
  }
  return finite && !any_marked(wrong);
}

/* Lays x [n, I] in rows out [n, I], or only looks at it where out is NULL; tells whether all of it is finite. */
KERNEL bool rows(const hdl_strided *x, float *out) {
  ptrdiff_t item = x->wide ? sizeof(double) : sizeof(float);
  if (x->column == item) return x->wide ? rows_along(x, true, out) : rows_along(x, false, out);
  if (x->row == item) return x->wide ? rows_across(x, true, out) : rows_across(x, false, out);
  return rows_singly(x, x->wide, 0, x->n, 0, x->I, out);
}
#endif
