/* epilogue.h: applies an activation, or a product's own function, to a tile while it is in L1, after bias and sum. */
#ifndef HDL_EPILOGUE_H
#define HDL_EPILOGUE_H

#include "activation.h"

typedef struct epilogue {
  int kind; /* hdl_activation */
  float leak, keep;
  const float *a; /* output of the layer whose f' is wanted; NULL: f */
  int lda, width;
  /* called instead, unless NULL: rows r … r + n, vectors v0 … v0 + pv of the product; self is the product's own */
  void (*custom)(const struct epilogue *self, float *tile, int ld, int r, int n, int v0, int pv);
} epilogue;

/* Applies f, or f' of a, or the product's own function to rows r … r + n, vectors v0 … v0 + pv of a product. */
INLINE void apply_epilogue(const epilogue *e, float *tile, int ld, int r, int n, int v0, int pv) {
  if (e->custom)
    e->custom(e, tile, ld, r, n, v0, pv);
  else if (e->a)
    derive(e->kind, e->leak, e->keep, e->a + (ptrdiff_t)r * e->lda + v0 * VW, e->lda, tile, ld, n, pv);
  else
    activate(e->kind, e->leak, tile, ld, n, pv, e->width - v0 * VW);
}
#endif
