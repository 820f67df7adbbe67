/* pack.c: between the flat vector (W_l [I, O] row-major, then b_l [O], layer by layer) and the kernels' layout. */
#include "internal.h"

#include <string.h>

static float *matrix(const hdl_layer *y, hdl_vector which) {
  return which == HDL_WEIGHTS ? y->w : which == HDL_GRADIENT ? y->g : y->s[which - HDL_STATE];
}
static float *vector(const hdl_layer *y, hdl_vector which) {
  return which == HDL_WEIGHTS ? y->b : which == HDL_GRADIENT ? y->gb : y->sb[which - HDL_STATE];
}

/* calls f(flat, stored, n): n neighbouring flat floats and where they live; transposed ones lie `ld` apart */
#define WALK(FROM, TO, COPY_ROW, COPY_ONE)                                                                             \
  for (int l = FROM; l < TO; l++) {                                                                                    \
    const hdl_layer *y = &p->layer[l];                                                                                 \
    float *w = matrix(y, which), *b = vector(y, which);                                                                \
    int vw = p->k->vw;                                                                                                 \
    if (y->tied) {                                                                                                     \
      COPY_ROW(flat, b, sizeof(float) * (size_t)y->O);                                                                 \
      flat += y->O;                                                                                                    \
      continue;                                                                                                        \
    }                                                                                                                  \
    if (y->along_inputs) {                                                                                             \
      for (int i = 0; i < y->I; i++)                                                                                   \
        for (int o = 0; o < y->O; o++)                                                                                 \
          COPY_ONE(flat[(size_t)i * (size_t)y->O + (size_t)o], w[(size_t)o * (size_t)y->ld + (size_t)i]);              \
    } else {                                                                                                           \
      for (int panel = 0; panel < hdl_panels(y->nv); panel++) {                                                        \
        int c0 = hdl_panel_start(y->nv, panel) * vw, c1 = hdl_panel_start(y->nv, panel + 1) * vw;                      \
        size_t real = (size_t)((c1 < y->O ? c1 : y->O) - c0) * sizeof(float);                                          \
        for (int i = 0; i < y->I; i++)                                                                                 \
          COPY_ROW(flat + (size_t)i * (size_t)y->O + c0,                                                               \
                   w + (size_t)c0 * (size_t)y->mp + (size_t)i * (size_t)(c1 - c0), real);                              \
      }                                                                                                                \
    }                                                                                                                  \
    flat += (size_t)y->I * (size_t)y->O;                                                                               \
    COPY_ROW(flat, b, sizeof(float) * (size_t)y->O);                                                                   \
    flat += y->O;                                                                                                      \
  }

#define IN_ROW(f, s, n) memcpy(s, f, n)
#define IN_ONE(f, s) s = f
#define OUT_ROW(f, s, n) memcpy(f, s, n)
#define OUT_ONE(f, s) f = s

/* Mean activations follow the parameters: every thread has its own copy of them, and no rule keeps a state for them. */
void hdl_pack(const hdl_plan *p, const float *flat, hdl_vector which) {
  WALK(0, p->layers, IN_ROW, IN_ONE)
  if (p->gibbs) hdl_rbm_pack(p, flat, which);
  if (which == HDL_WEIGHTS && p->ae.beta > 0)
    for (int t = 0; t < p->threads; t++)
      memcpy(hdl_codes_of(p, t, HDL_RHO_HAT), flat, sizeof(float) * (size_t)p->ae.hidden);
}

void hdl_unpack(const hdl_plan *p, float *flat, hdl_vector which) {
  WALK(0, p->layers, OUT_ROW, OUT_ONE)
  if (p->gibbs) hdl_rbm_unpack(p, flat, which);
  size_t H = (size_t)p->ae.hidden;
  if (p->ae.beta <= 0) return;
  if (which == HDL_WEIGHTS) memcpy(flat, hdl_codes_of(p, 0, HDL_RHO_HAT), sizeof(float) * H);
  if (which != HDL_GRADIENT) return;
  memset(flat, 0, sizeof(float) * H);
  flat += H;
  WALK(p->layers, p->layers + 1, OUT_ROW, OUT_ONE)
  memcpy(flat, p->sum_a, sizeof(float) * H);
}

size_t hdl_parameters(const hdl_plan *p) {
  size_t n = 0;
  for (int l = 0; l < p->layers; l++) n += ((size_t)p->widths[l] + 1) * (size_t)p->widths[l + 1];
  if (p->gibbs) n += (size_t)p->widths[0];
  if (p->ae.tied) n -= (size_t)p->ae.hidden * (size_t)p->ae.inputs;
  return p->ae.beta > 0 ? n + (size_t)p->ae.hidden : n;
}

size_t hdl_statistics(const hdl_plan *p) {
  size_t extra = p->ae.beta > 0 ? ((size_t)p->ae.inputs + 2) * (size_t)p->ae.hidden : 0;
  if (p->gibbs && p->gibbs->beta > 0) extra = (size_t)p->widths[1];
  return hdl_parameters(p) + extra;
}
