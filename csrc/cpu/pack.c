/* pack.c: copies between the flat vector (W_l [I, O] row-major, then b_l [O], layer by layer) and the kernels' layout.
 */
#include "internal.h"

#include <string.h>

/* Finds the weights of a layer, or their gradient or state. */
static float *matrix(const hdl_layer *layer, hdl_vector which) {
  return which == HDL_WEIGHTS ? layer->w : which == HDL_GRADIENT ? layer->g : layer->s[which - HDL_STATE];
}

/* Finds the biases of a layer, or their gradient or state. */
static float *vector(const hdl_layer *layer, hdl_vector which) {
  return which == HDL_WEIGHTS ? layer->b : which == HDL_GRADIENT ? layer->gb : layer->sb[which - HDL_STATE];
}

/* Copies n neighbouring floats to where they are stored, or from there. */
static void copy(bool pack, float *flat, float *stored, int n) {
  memcpy(pack ? stored : flat, pack ? flat : stored, sizeof(float) * (size_t)n);
}

enum { COPY_ROWS = 16 }; /* that a panel takes at a time: so many streams go through the flat vector */

/* Copies W_l and b_l of layers from … to into the kernels' layout, or out of it; returns where the flat vector goes on.
 */
static float *copy_layers(const hdl_plan *plan, int from, int to, hdl_vector which, bool pack, float *flat) {
  int vw = plan->kernels->vw;
  for (int l = from; l < to; l++) {
    const hdl_layer *layer = &plan->layer[l];
    float *w = matrix(layer, which);
    size_t I = (size_t)layer->I, O = (size_t)layer->O;
    if (layer->tied) { /* W is the layer below's */
    } else if (layer->along_inputs) {
      for (size_t i = 0; i < I; i++)
        for (size_t o = 0; o < O; o++) copy(pack, flat + i * O + o, w + o * (size_t)layer->ld + i, 1);
      flat += I * O;
    } else {
      int panels = hdl_panels(layer->nv);
      size_t blocks = (I + COPY_ROWS - 1) / COPY_ROWS;
      for (size_t at = 0; at < blocks * (size_t)panels; at++) {
        int panel = (int)(at % (size_t)panels);
        size_t i0 = at / (size_t)panels * COPY_ROWS, i1 = i0 + COPY_ROWS < I ? i0 + COPY_ROWS : I;
        int c0 = hdl_panel_start(layer->nv, panel) * vw, c1 = hdl_panel_start(layer->nv, panel + 1) * vw;
        float *stored = w + (size_t)c0 * (size_t)layer->m_padded;
        for (size_t i = i0; i < i1; i++)
          copy(pack, flat + i * O + c0, stored + i * (size_t)(c1 - c0), (c1 < layer->O ? c1 : layer->O) - c0);
      }
      flat += I * O;
    }
    copy(pack, flat, vector(layer, which), layer->O);
    flat += O;
  }
  return flat;
}

/* Mean activations follow the parameters: every thread has its own copy of them, and no rule keeps a state for them. */
void hdl_pack(const hdl_plan *plan, const float *flat, hdl_vector which) {
  flat = hdl_tables_copy(plan, (float *)flat, which, true);
  flat = copy_layers(plan, 0, plan->layers, which, true, (float *)flat);
  if (plan->gibbs) hdl_rbm_pack(plan, flat, which);
  if (which == HDL_WEIGHTS && plan->autoencoder.beta > 0)
    for (int t = 0; t < plan->most; t++)
      memcpy(hdl_hidden_of(plan, t, HDL_RHO_HAT), flat, sizeof(float) * (size_t)plan->autoencoder.hidden);
}

void hdl_unpack(const hdl_plan *plan, float *flat, hdl_vector which) {
  flat = hdl_tables_copy(plan, flat, which, false);
  flat = copy_layers(plan, 0, plan->layers, which, false, flat);
  if (plan->gibbs) hdl_rbm_unpack(plan, flat, which);
  size_t H = (size_t)plan->autoencoder.hidden;
  if (plan->autoencoder.beta <= 0) return;
  if (which == HDL_WEIGHTS) memcpy(flat, hdl_hidden_of(plan, 0, HDL_RHO_HAT), sizeof(float) * H);
  if (which != HDL_GRADIENT) return;
  memset(flat, 0, sizeof(float) * H);
  flat += H;
  flat = copy_layers(plan, plan->layers, plan->layers + 1, which, false, flat);
  memcpy(flat, plan->sum_a, sizeof(float) * H);
}

size_t hdl_parameters(const hdl_plan *plan) {
  size_t n = plan->tables ? plan->tables->parameters : 0;
  for (int l = 0; l < plan->layers; l++) n += ((size_t)plan->widths[l] + 1) * (size_t)plan->widths[l + 1];
  if (plan->gibbs) n += (size_t)plan->widths[0];
  if (plan->autoencoder.tied) n -= (size_t)plan->autoencoder.hidden * (size_t)plan->autoencoder.inputs;
  return plan->autoencoder.beta > 0 ? n + (size_t)plan->autoencoder.hidden : n;
}

size_t hdl_statistics(const hdl_plan *plan) {
  const hdl_autoencoder *net = &plan->autoencoder;
  size_t extra = net->beta > 0 ? ((size_t)net->inputs + 2) * (size_t)net->hidden : 0;
  if (plan->gibbs && plan->gibbs->beta > 0) extra = (size_t)plan->widths[1];
  return hdl_parameters(plan) + extra;
}
