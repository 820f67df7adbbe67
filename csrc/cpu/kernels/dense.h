/* dense.h: computes dense layers: forward, the input's gradient, the weights' gradient with its update. Shapes:
 * X [B, I], W [I, O], A = f(X W + b) [B, O], D = dcost/d(X W + b) [B, O]. */
#ifndef HDL_DENSE_H
#define HDL_DENSE_H

#include "dot.h"
#include "gemm.h"
#include "sparse.h"
#include "tables.h"
#include "update.h"

/* Tells whether the codes of mixed input name rows of the first layer's W. */
static bool has_codes(const hdl_plan *plan) { return plan->input_type == HDL_MIXED && !plan->tables; }

/* A = f(X W + b), with dropout in training. The output layer stays linear: its loss applies f. */
KERNEL void forward(hdl_plan *plan, const hdl_context *ctx, int l, int r0, int r1) {
  hdl_layer *layer = &plan->layer[l];
  bool output = l + 1 == plan->layers;
  epilogue e = {.kind = output ? HDL_LINEAR : plan->activation, .leak = plan->leak, .width = layer->O};
  float *a = layer->a + (ptrdiff_t)r0 * layer->lda;
  const float *x = layer->x + (ptrdiff_t)r0 * layer->x_ld;
  if (l == 0 && plan->input_type == HDL_CSR) {
    sparse_forward(plan, ctx, r0, r1);
    activate(e.kind, e.leak, a, layer->lda, r1 - r0, layer->nv, layer->O);
  } else if (l == 0 && has_codes(plan)) { /* numbers are the first rows of every panel of W */
    gemm_call gemm = {.cache = plan->cache, .K = plan->numbers, .nv = layer->nv, .a = x, .lda = layer->x_ld};
    epilogue linear = {.kind = HDL_LINEAR, .width = layer->O};
    gemm.p = layer->w, gemm.rows_p = layer->w_rows, gemm.bias = layer->b, gemm.c = a, gemm.ldc = layer->lda,
    gemm.e = &linear;
    if (plan->numbers) multiply(gemm, r1 - r0);
    code_forward(plan, r0, r1);
    activate(e.kind, e.leak, a, layer->lda, r1 - r0, layer->nv, layer->O);
  } else if (layer->along_inputs) {
    dot(layer, plan->cache, x, r1 - r0, a);
    activate(e.kind, e.leak, a, layer->lda, r1 - r0, (layer->O + VW - 1) / VW, layer->O);
  } else {
    gemm_call gemm = {
        .cache = plan->cache, .room = ctx->room, .K = layer->I, .nv = layer->nv, .a = x, .lda = layer->x_ld};
    gemm.p = layer->w, gemm.rows_p = layer->w_rows, gemm.bias = layer->b, gemm.c = a, gemm.ldc = layer->lda;
    gemm.e = &e;
    if (layer->paired) in_pairs(&gemm, plan, r1 - r0, layer->x_pairs + (ptrdiff_t)r0 * layer->x_ld / 2, layer->w_pairs);
    multiply(gemm, r1 - r0);
  }
  if (!output && ctx->backward && plan->drop_hidden)
    for (int r = r0; r < r1; r++) {
      float *row = layer->a + (ptrdiff_t)r * layer->lda;
      dropout(ctx, row, layer->O, layer->O, (uint32_t)l + 1, ctx->row0 + r, plan->drop_hidden, plan->keep_hidden);
    }
}

/* D of the layer below = (D W' + sparsity gradient) * f'(its output); overwrites. */
KERNEL void backward(hdl_plan *plan, const hdl_context *ctx, int l, int r0, int r1) {
  hdl_layer *layer = &plan->layer[l], *below = layer - 1;
  epilogue e = {.kind = plan->activation, .leak = plan->leak, .keep = plan->drop_hidden ? plan->keep_hidden : 0};
  e.a = below->a + (ptrdiff_t)r0 * below->lda, e.lda = below->lda, e.width = below->O;
  gemm_call gemm = {.cache = plan->cache,
                    .room = ctx->room,
                    .K = layer->O,
                    .a = layer->d + (ptrdiff_t)r0 * layer->lda,
                    .lda = layer->lda};
  gemm.c = below->d + (ptrdiff_t)r0 * below->lda, gemm.ldc = below->lda, gemm.bias = ctx->sparsity_gradient;
  gemm.e = &e;
  if (layer->along_inputs)
    gemm.p = layer->w, gemm.ldp = layer->ld, gemm.nv = layer->nv;
  else
    gemm.p = layer->wt, gemm.rows_p = layer->wt_rows, gemm.nv = layer->m_padded / VW;
  if (layer->paired) in_pairs(&gemm, plan, r1 - r0, layer->d_pairs + (ptrdiff_t)r0 * layer->lda / 2, layer->wt_pairs);
  multiply(gemm, r1 - r0);
}

/* Gives what dW's products are to ask for: NULL where the layer's w and g are not beyond L2. */
static micro_next *unless_near(const hdl_layer *layer, const hdl_context *ctx, micro_next *next) {
  return layer->size * sizeof(float) > hdl_kept_bytes(ctx->cache) ? next : NULL;
}

/* Rows, or pairs of rows, s0 … s1 of the block in dW; the sums go on from g unless first; after the last the weights
 * are updated. */
typedef struct {
  int s0, s1;
  bool first, last;
  const micro_table *pairs; /* what multiplies pairs; else NULL */
} row_part;

/* Sums a tile of dW [rows r0 … r1, vectors v0 … v0 + pv] = A' D. Plain SGD updates w in the registers that hold the
 * sums; other rules read g back from L1. a, d begin with row s0; g is where the sums of row r0 are kept. */
static void weight_tile(hdl_layer *layer, const hdl_context *ctx, row_part s, micro_next *next, const float *a, int lda,
                        const float *d, int ldd, int v0, int pv, int r0, int r1, float *g) {
  const micro_table *micro = s.pairs ? s.pairs : &micro_single;
  int mr = micro->rows[pv], groups = (r1 - r0 + mr - 1) / mr;
  ptrdiff_t ld = layer->along_inputs ? layer->ld : pv * VW;
  bool apply = ctx->update && s.last, fused = apply && ctx->plain;
  fused_sgd sgd = {ctx->decay, ctx->eta};
  int few = (r1 - r0) / groups, more = (r1 - r0) % groups;
  bool each = (apply && !fused) || (layer->contract && s.last); /* more is done while a few rows' sums are in L1 */
  for (int r = r0, n, k = 0, run; k < groups; k += run, r += run * n, g += run * n * ld, a += run * n) {
    n = few + (k < more), run = each ? 1 : (k < more ? more : groups) - k;
    float *w = tile_at(layer, layer->w, v0, pv, r);
    micro->of[1][pv - 1][n - 1](next, run, s.s1 - s.s0, a, lda, d, ldd, s.first ? NULL : g, ld, fused ? w : g, ld,
                                fused ? &sgd : NULL);
    if (layer->contract && s.last)
      for (int i = 0; i < n; i++)
        for (int v = 0; v < pv; v++) {
          float *sum = g + (i * pv + v) * VW;
          vstore(sum, vfma(vload(ctx->contraction + (v0 + v) * VW), vload(w + (i * pv + v) * VW), vload(sum)));
        }
    if (apply && !ctx->plain) {
      int runs = layer->along_inputs ? n : 1, length = layer->along_inputs ? pv * VW : n * pv * VW;
      for (int i = 0; i < runs; i++) {
        ptrdiff_t at = w - layer->w + i * ld;
        update(ctx, false, length, g + i * ld, layer->w + at, layer->s[0] + at, layer->s[1] + at,
               layer->s[ctx->start] + at);
      }
    }
  }
}

/* Tells whether a block of so many rows is laid in panels once for all stripes: fewer lay a panel each, while it is in
 * L1. */
static bool shares_panels(const hdl_plan *plan, const hdl_layer *layer, int rows) {
  if (!layer->packed) return false;
  return layer->paired || layer->m_padded > 2 * hdl_stripe_rows(plan->cache, rows * layer->pairs);
}
static float *packed_at(const hdl_layer *layer, int v0, int pv, int r) {
  return layer->packed + (size_t)v0 * VW * (size_t)layer->packed_rows + (size_t)r * (size_t)(pv * VW);
}

/* Lays `rows` rows of pv vectors of D side by side. */
INLINE void pack_panel(float *packed, const float *d, int ldd, int rows, int pv) {
  for (int r = 0; r < rows; r++)
    for (int v = 0; v < pv; v++) vstore(packed + (r * pv + v) * VW, vload(d + (ptrdiff_t)r * ldd + v * VW));
}

/* Lays rows r0 … r1 of the block's `rows` in the panels that all stripes of W, on all threads, read D from; where dW
 * takes its factors in pairs of rows, X as well. */
KERNEL void pack_deltas(hdl_plan *plan, const hdl_context *ctx, int rows, int r0, int r1) {
  for (int l = 0; l < plan->layers + ctx->slopes; l++) {
    const hdl_layer *layer = &plan->layer[l];
    if (!shares_panels(plan, layer, rows) || (l < plan->layers && !hdl_trained(plan, l))) continue;
    int ldd = layer->lda / layer->pairs, s0 = r0 * layer->pairs, n = (r1 - r0) * layer->pairs;
    for (int panel = 0; panel < hdl_panels(layer->nv); panel++) {
      int v0 = hdl_panel_start(layer->nv, panel), pv = hdl_panel_start(layer->nv, panel + 1) - v0;
      const float *d = layer->d + (ptrdiff_t)s0 * ldd + v0 * VW;
      if (layer->paired)
        pair_rows(d, ldd, n, pv, packed_at(layer, v0, pv, s0 / 2), pv * VW);
      else
        pack_panel(packed_at(layer, v0, pv, s0), d, ldd, n, pv);
    }
    if (!layer->paired) continue;
    int ldx = layer->x_ld / layer->pairs, nv = (layer->I + VW - 1) / VW;
    pair_rows(layer->x + (ptrdiff_t)s0 * ldx, ldx, n, nv, layer->x_row_pairs + (ptrdiff_t)(s0 / 2) * ldx, ldx);
  }
}

/* Lays rows lo … hi (in VW) of X' side by side: [hi - lo][rows][VW]. */
static void pack_inputs(float *packed, const float *x, int ldx, int rows, int lo, int hi) {
  for (int r = 0; r < rows; r++)
    for (int b = lo; b < hi; b++)
      vstore(packed + ((ptrdiff_t)(b - lo) * rows + r) * VW, vload(x + (ptrdiff_t)r * ldx + b * VW));
}

/* Sums rows lo … hi (in VW) of dW, all panels, and updates them. Where many panels go by, X is laid for them first. */
static void weight_stripe(hdl_plan *plan, const hdl_context *ctx, hdl_layer *layer, int lo, int hi) {
  int blocks = hi - lo, chunks = blocks / 3 > 0 ? blocks / 3 : 1, rows = ctx->rows * layer->pairs;
  if (layer->paired) rows = (rows + 1) / 2; /* of pairs */
  int ldx = layer->x_ld / layer->pairs, stripe = hdl_stripe_rows(plan->cache, 0) + VW;
  bool shared = shares_panels(plan, layer, ctx->rows);
  float *packed = ctx->room, *sums = packed + HDL_ROWS * HDL_PV * VW;
  float *x_packed = shared ? sums + stripe * HDL_PV * VW : NULL;
  int part = shared ? (int)hdl_slice_bytes(plan->cache) / (HDL_PV * VW * 4) : HDL_ROWS;
  int parts = (rows + part - 1) / part;
  bool whole = ctx->first && ctx->last && ctx->update; /* all sums are done here: they need not go to memory */
  if (shared) pack_inputs(x_packed, layer->paired ? layer->x_row_pairs : layer->x, ldx, rows, lo, hi);
  for (int i = 0; i < hdl_panels(layer->nv) * parts; i++) {
    int panel = i / parts, v0 = hdl_panel_start(layer->nv, panel), pv = hdl_panel_start(layer->nv, panel + 1) - v0;
    int ldd = layer->lda / layer->pairs, k = i % parts, s0 = rows * k / parts, s1 = rows * (k + 1) / parts;
    row_part s = {s0, s1, ctx->first && k == 0, ctx->last && k + 1 == parts, layer->paired ? plan->bf16 : NULL};
    const float *d = layer->d + (ptrdiff_t)s0 * ldd + v0 * VW;
    if (layer->nv > HDL_PV || shared) { /* the panel of D is read for every row of W */
      if (shared)
        d = packed_at(layer, v0, pv, s0);
      else
        pack_panel(packed, d, ldd, s1 - s0, pv), d = packed;
      ldd = pv * VW;
    }
    micro_next next = {0};
    if (shared && i + 1 < hdl_panels(layer->nv) * parts) {
      int v = hdl_panel_start(layer->nv, (i + 1) / parts), n = hdl_panel_start(layer->nv, (i + 1) / parts + 1) - v;
      int from = rows * ((i + 1) % parts) / parts, to = rows * ((i + 1) % parts + 1) / parts;
      next = ask_meanwhile(packed_at(layer, v, n, from), (to - from) * n * VW, blocks * VW / MR3, s1 - s0);
    }
    for (int c = 0; c < chunks; c++) {
      int b0 = lo + blocks * c / chunks, b1 = lo + blocks * (c + 1) / chunks, n = shared ? 1 : b1 - b0;
      for (int b = b0; b < b1; b += n) {
        if (shared && copied(layer) && ctx->update && s.last) prefetch_copy(layer, b, panel);
        float *g = whole ? sums + (b - lo) * VW * pv * VW : tile_at(layer, layer->g, v0, pv, b * VW);
        const float *x = layer->x + (ptrdiff_t)s0 * ldx + b * VW;
        if (shared) x = x_packed + ((ptrdiff_t)(b - lo) * rows + s0) * VW;
        int end = (b + n) * VW < layer->m ? (b + n) * VW : layer->m;
        weight_tile(layer, ctx, s, unless_near(layer, ctx, &next), x, shared ? VW : ldx, d, ldd, v0, pv, b * VW, end,
                    g);
      }
      if (copied(layer) && ctx->update && s.last && !(ctx->rule->max_norm > 0))
        transpose_part(layer, b0, b1, panel, panel + 1);
    }
  }
}

/* Sums rows lo … hi of dW, which are of the numbers of mixed input, and updates them: as if they were entries. */
static void number_gradient(hdl_plan *plan, const hdl_context *ctx, int lo, int hi) {
  hdl_layer *layer = &plan->layer[0];
  hdl_context unfused = *ctx;
  int parts = (ctx->rows + HDL_ROWS - 1) / HDL_ROWS;
  unfused.plain = false;
  for (int i = 0; i < hdl_panels(layer->nv) * parts && lo < hi; i++) {
    int panel = i / parts, k = i % parts, s0 = ctx->rows * k / parts, s1 = ctx->rows * (k + 1) / parts;
    int v0 = hdl_panel_start(layer->nv, panel), pv = hdl_panel_start(layer->nv, panel + 1) - v0;
    row_part s = {s0, s1, ctx->first && k == 0, ctx->last && k + 1 == parts, NULL};
    const float *d = layer->d + (ptrdiff_t)s0 * layer->lda + v0 * VW;
    float *g = tile_at(layer, layer->g, v0, pv, lo);
    micro_next next = {0};
    weight_tile(layer, &unfused, s, unless_near(layer, ctx, &next), layer->x + (ptrdiff_t)s0 * layer->x_ld + lo,
                layer->x_ld, d, layer->lda, v0, pv, lo, hi, g);
  }
}

/* Sums db = D's rows, a thread's share of the vectors, and updates b (no decay). */
KERNEL void bias_gradient(hdl_plan *plan, const hdl_context *ctx, int l, int thread) {
  hdl_layer *layer = &plan->layer[l];
  int nv = (layer->O + VW - 1) / VW, v0 = nv * thread / plan->threads, v1 = nv * (thread + 1) / plan->threads;
  int at = v0 * VW;
  sum_columns(layer->d, layer->lda, ctx->rows, ctx->first, layer->gb, v0, v1);
  if (ctx->update && ctx->last && v1 > v0)
    update(ctx, true, (v1 - v0) * VW, layer->gb + at, layer->b + at, layer->sb[0] + at, layer->sb[1] + at, NULL);
}

/* Sums a thread's share of dW = X' D, and updates W; dW is added to g between the blocks of a mini-batch. */
KERNEL void weight_gradient(hdl_plan *plan, const hdl_context *ctx, int l, int thread) {
  hdl_layer *layer = &plan->layer[l];
  hdl_range range = *hdl_share(plan, l, thread);
  if (!plan->gibbs) bias_gradient(plan, ctx, l, thread);
  if (l == 0 && plan->input_type == HDL_CSR) {
    int hi = range.hi * VW < layer->m ? range.hi * VW : layer->m;
    sparse_weight_gradient(plan, ctx, thread, range.lo * VW, hi);
    return;
  }
  if (l == 0 && has_codes(plan)) {
    int K = plan->numbers, codes = layer->m - K, T = plan->threads;
    number_gradient(plan, ctx, K * thread / T, K * (thread + 1) / T);
    sparse_weight_gradient(plan, ctx, thread, K + (int)((int64_t)codes * thread / T),
                           K + (int)((int64_t)codes * (thread + 1) / T));
    return;
  }
  if (range.lo >= range.hi) return; /* also of tied weights: the layer below has their gradient */
  if (layer->along_inputs) {        /* rows are outputs, vectors run along this thread's inputs */
    int nv = range.hi - range.lo, parts = (ctx->rows + HDL_ROWS - 1) / HDL_ROWS;
    for (int i = 0; i < hdl_panels(nv) * parts; i++) {
      int panel = i / parts, k = i % parts, s0 = ctx->rows * k / parts, s1 = ctx->rows * (k + 1) / parts;
      int v0 = range.lo + hdl_panel_start(nv, panel), pv = range.lo + hdl_panel_start(nv, panel + 1) - v0;
      row_part s = {s0, s1, ctx->first && k == 0, ctx->last && k + 1 == parts, NULL};
      const float *x = layer->x + (ptrdiff_t)s0 * layer->x_ld + v0 * VW;
      float *g = tile_at(layer, layer->g, v0, pv, 0);
      micro_next next = {0};
      weight_tile(layer, ctx, s, unless_near(layer, ctx, &next), layer->d + (ptrdiff_t)s0 * layer->lda, layer->lda, x,
                  layer->x_ld, v0, pv, 0, layer->O, g);
    }
    return;
  }
  int n = range.hi - range.lo, samples = ctx->rows * layer->pairs;
  int rows = hdl_stripe_rows(plan->cache, layer->paired ? (samples + 1) / 2 : samples);
  int stripes = (n * VW + rows - 1) / rows;
  for (int i = 0; i < stripes; i++)
    weight_stripe(plan, ctx, layer, range.lo + n * i / stripes, range.lo + n * (i + 1) / stripes);
}
#endif
