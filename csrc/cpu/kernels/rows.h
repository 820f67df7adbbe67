/* rows.h: lays numbers of any type, whatever order they have in memory, in rows of float32, scaled and shifted on the
 * way, and looks in the same pass whether all of them are finite there. */
#ifndef HDL_ROWS_H
#define HDL_ROWS_H

#include "vec.h"

enum {
  HDL_STRIPE_ROWS = 1024, /* rows that are turned round at a time: so much of a column, a page, is read at once */
  HDL_COLUMNS_AHEAD = 8,  /* a single column is asked for while so many before it are laid */
  HDL_EXPONENT = 0x7f800000
};

typedef double vd __attribute__((vector_size(8 * VW), may_alias));
#define VECTOR(NAME, TYPE)                                                                                             \
  typedef TYPE v##NAME __attribute__((vector_size(sizeof(TYPE) * VW), aligned(__alignof__(TYPE)), may_alias));
HDL_NUMBER_TABLE(VECTOR)
#undef VECTOR

typedef struct { /* the rows r0 … r1 to lay: r is the sample order[r], or base + r */
  const int64_t *order;
  int64_t base, r0, r1;
  float *out; /* [.., ld] or NULL: they are only looked at */
  ptrdiff_t ld;
  const float *scale, *shift; /* [I], or NULL both */
} hdl_place;

/* Loads VW numbers that lie side by side, rounded; what float32 cannot hold is a double before, as in NumPy. */
INLINE vf load_rounded(const char *p, int type) {
  switch (type) {
#define LOAD(NAME, TYPE)                                                                                               \
  case HDL_NUMBER_##NAME:                                                                                              \
    if (sizeof(TYPE) > 4) return __builtin_convertvector(__builtin_convertvector(*(const v##NAME *)p, vd), vf);        \
    return __builtin_convertvector(*(const v##NAME *)p, vf);
    HDL_NUMBER_TABLE(LOAD)
#undef LOAD
  }
  __builtin_unreachable();
}

/* Loads one of them. */
INLINE float one_rounded(const char *p, int type) {
  switch (type) {
#define LOAD(NAME, TYPE)                                                                                               \
  case HDL_NUMBER_##NAME:                                                                                              \
    return sizeof(TYPE) > 4 ? (float)(double)*(const TYPE *)p : (float)*(const TYPE *)p;
    HDL_NUMBER_TABLE(LOAD)
#undef LOAD
  }
  __builtin_unreachable();
}

/* Marks in `wrong` the lanes of x that are infinite or NaN. */
INLINE vi marked(vi wrong, vf x) { return wrong | (((vi)x & viset(HDL_EXPONENT)) == viset(HDL_EXPONENT)); }

/* Tells whether a lane is marked. */
INLINE bool any_marked(vi wrong) {
  int32_t all = 0;
  for (int i = 0; i < VW; i++) all |= wrong[i];
  return all != 0;
}

/* Finds where a row's numbers begin. */
INLINE const char *row_of(const hdl_strided *x, const hdl_place *to, int64_t r) {
  return (const char *)x->at + (to->order ? to->order[r] : to->base + r) * x->row;
}

/* Takes rows [r0, r1) and columns [c0, c1) one number after the other. */
INLINE bool lay_singly(const hdl_strided *x, int type, const hdl_place *to, int64_t r0, int64_t r1, int64_t c0,
                       int64_t c1) {
  const float *scale = to->scale, *shift = to->shift;
  bool finite = true;
  for (int64_t r = r0; r < r1; r++) {
    const char *row = row_of(x, to, r);
    float *out = to->out ? to->out + r * to->ld : NULL;
    for (int64_t c = c0; c < c1; c++) {
      float f = one_rounded(row + c * x->column, type);
      finite &= isfinite(f) != 0;
      if (out) out[c] = scale ? f * scale[c] + shift[c] : f;
    }
  }
  return finite;
}

/* Takes rows that lie side by side already; of the next one, which may be anywhere in memory, each line is asked for
 * along the way. */
INLINE bool lay_along(const hdl_strided *x, int type, ptrdiff_t item, bool look, const hdl_place *to) {
  const float *scale = to->scale, *shift = to->shift;
  int64_t whole = x->I & -VW, r1 = to->r1;
  vi wrong = viset(0);
  for (int64_t r = to->r0; r < r1; r++) {
    const char *row = row_of(x, to, r), *next = row_of(x, to, r + 1 < r1 ? r + 1 : r);
    float *out = to->out ? to->out + r * to->ld : NULL;
    for (int64_t c = 0; c < whole; c += VW) {
      if (c * item % 64 == 0) __builtin_prefetch(next + c * item);
      vf f = load_rounded(row + c * item, type);
      if (look) wrong = marked(wrong, f);
      if (out) *(vfu *)(out + c) = scale ? vfma(f, vloadu(scale + c), vloadu(shift + c)) : f;
    }
  }
  return lay_singly(x, type, to, to->r0, r1, whole, x->I) && !any_marked(wrong);
}

/* Takes columns [c0, x->I), too few to turn round: VW rows of one at a time. */
INLINE bool lay_down(const hdl_strided *x, int type, ptrdiff_t item, bool look, const hdl_place *to, int64_t c0) {
  const char *at = (const char *)x->at + to->base * item;
  int64_t r0 = to->r0, last = r0 + ((to->r1 - r0) & -VW);
  ptrdiff_t ld = to->ld;
  vi wrong = viset(0);
  for (int64_t c = c0; c < x->I; c++) {
    vf scale = vset(to->scale ? to->scale[c] : 1), shift = vset(to->shift ? to->shift[c] : 0);
    for (int64_t r = r0; r < last; r += VW) {
      vf f = load_rounded(at + r * item + c * x->column, type);
      if (look) wrong = marked(wrong, f);
      if (to->scale) f = vfma(f, scale, shift);
#pragma GCC unroll 16
      for (int k = 0; k < VW; k++) to->out[(r + k) * ld + c] = f[k];
    }
  }
  return lay_singly(x, type, to, last, to->r1, c0, x->I) && !any_marked(wrong);
}

/* Turns columns round, VW of them and VW rows in registers; those that come next are asked for along the way, since no
 * prefetcher of a processor follows so many columns. */
INLINE bool lay_across(const hdl_strided *x, int type, ptrdiff_t item, bool look, const hdl_place *to) {
  const float *scale = to->scale, *shift = to->shift;
  const char *at = (const char *)x->at + to->base * item;
  int64_t whole = x->I & -VW, r0 = to->r0, last = r0 + ((to->r1 - r0) & -VW);
  ptrdiff_t column = x->column, ld = to->ld;
  vi wrong = viset(0);
  for (int64_t c = 0; c < whole; c += VW)
    for (int64_t r = r0; r < last; r += VW) {
      const char *p = at + r * item + c * column;
      float *out = to->out + r * ld + c;
      vf t[VW];
#pragma GCC unroll 16
      for (int k = 0; k < VW; k++) {
        __builtin_prefetch(p + (k + VW) * column);
        t[k] = load_rounded(p + k * column, type);
        if (look) wrong = marked(wrong, t[k]);
      }
      vtranspose(t);
#pragma GCC unroll 16
      for (int k = 0; k < VW; k++)
        *(vfu *)(out + k * ld) = scale ? vfma(t[k], vloadu(scale + c), vloadu(shift + c)) : t[k];
    }
  bool finite = lay_singly(x, type, to, last, to->r1, 0, whole) & lay_down(x, type, item, look, to, whole);
  return finite && !any_marked(wrong);
}

/* Lays numbers of one type by the way that fits their order. */
INLINE bool lay_typed(const hdl_strided *x, int type, ptrdiff_t item, bool look, const hdl_place *to) {
  if (x->column == item && x->I > 1) return lay_along(x, type, item, look, to);
  if (x->row != item || to->order) return lay_singly(x, type, to, to->r0, to->r1, 0, x->I);
  if (to->out) return lay_across(x, type, item, look, to);
  hdl_strided turned = {row_of(x, to, to->r0), x->type, x->I, to->r1 - to->r0, x->column, x->row};
  return lay_along(&turned, type, item, look, &(hdl_place){.r1 = x->I});
}

/* Lays rows of a matrix, and where they are looked at tells whether all of them are finite as float32. */
KERNEL bool lay_numbers(const hdl_strided *x, bool look, const hdl_place *to) {
  switch (x->type) {
#define LAY(NAME, TYPE)                                                                                                \
  case HDL_NUMBER_##NAME:                                                                                              \
    look &= (TYPE)0.5 != 0; /* whole numbers are finite */                                                             \
    return look ? lay_typed(x, HDL_NUMBER_##NAME, sizeof(TYPE), true, to)                                              \
                : lay_typed(x, HDL_NUMBER_##NAME, sizeof(TYPE), false, to);
    HDL_NUMBER_TABLE(LAY)
#undef LAY
  }
  return false;
}

/* Asks for rows of a single column, which no prefetcher knows of yet. */
INLINE void ask_for_column(const hdl_strided *x, const hdl_place *to) {
  if (x->I > 1) return;
  const char *at = (const char *)x->at + to->base * x->row;
  for (ptrdiff_t b = to->r0 * x->row; b < to->r1 * x->row; b += 64) __builtin_prefetch(at + b);
}

/* Lays rows of matrices side by side; the same. */
static bool lay_parts(const hdl_strided *parts, int count, bool look, hdl_place to) {
  bool finite = true;
  for (int k = 0; k < count; k++) {
    if (k + HDL_COLUMNS_AHEAD < count) ask_for_column(&parts[k + HDL_COLUMNS_AHEAD], &to);
    finite &= lay_numbers(&parts[k], look, &to);
    if (to.out) to.out += parts[k].I;
    if (to.scale) to.scale += parts[k].I, to.shift += parts[k].I;
  }
  return finite;
}

/* Lays matrices of n rows side by side in out [n, I], or only looks at them where out is NULL. */
KERNEL bool rows(const hdl_strided *parts, int count, float *out) {
  int64_t n = parts->n, I = 0;
  for (int k = 0; k < count; k++) I += parts[k].I;
  bool finite = true;
  for (int64_t r0 = 0; r0 < n && finite; r0 += HDL_STRIPE_ROWS) {
    hdl_place to = {.r0 = r0, .r1 = r0 + HDL_STRIPE_ROWS < n ? r0 + HDL_STRIPE_ROWS : n, .out = out, .ld = I};
    finite = lay_parts(parts, count, true, to);
  }
  return finite;
}
#endif
