/* rbm.c: makes plans of restricted Boltzmann machines: one layer, trained by loop.c over Gibbs steps
 * (kernels/gibbs.h). */
#include "internal.h"

#include <stdlib.h>
#include <string.h>

hdl_status hdl_rbm_new(hdl_plan **plan, const hdl_rbm *rbm, int32_t max_batch, int32_t threads, hdl_isa isa) {
  *plan = NULL;
  if (!rbm) return hdl_fail(HDL_EINVAL, "no RBM");
  if (rbm->k < 1 || rbm->k > 1 << 30) return hdl_fail(HDL_EINVAL, "k is %d, expected 1 to 2^30", rbm->k);
  if (rbm->chains < 0) return hdl_fail(HDL_EINVAL, "chains is %d, expected 0 or more", rbm->chains);
  if (!(rbm->rho >= 0 && rbm->rho <= 1)) return hdl_fail(HDL_EINVAL, "rho is %g, expected [0, 1]", (double)rbm->rho);
  if (!(rbm->beta >= 0)) return hdl_fail(HDL_EINVAL, "beta is %g, expected 0 or more", (double)rbm->beta);
  int32_t widths[2] = {rbm->inputs, rbm->hidden};
  hdl_net net = {.layers = 1, .widths = widths, .activation = HDL_SIGMOID, .loss = HDL_SQUARED};
  hdl_status status = hdl_plan_new(plan, &net, max_batch, threads, isa);
  if (status) return status;
  hdl_gibbs *g = calloc(1, sizeof *g);
  if (!g) {
    hdl_plan_free(*plan);
    *plan = NULL;
    return hdl_fail(HDL_ENOMEM, "out of memory");
  }
  g->gaussian = rbm->gaussian != 0, g->k = rbm->k, g->chains = rbm->chains, g->rho = rbm->rho, g->beta = rbm->beta;
  (*plan)->gibbs = g, (*plan)->reconstructs = true;
  return HDL_OK;
}

hdl_status hdl_rbm_chains(hdl_plan *plan, float *chains) {
  if (!plan || !plan->gibbs) return hdl_fail(HDL_EINVAL, "chains need an RBM");
  plan->gibbs->caller_chains = chains;
  return HDL_OK;
}

/* Finds the visible biases, or their gradient or state. */
static float *visible(const hdl_gibbs *g, hdl_vector which) {
  return which == HDL_WEIGHTS ? g->b : which == HDL_GRADIENT ? g->gb : g->sb[which - HDL_STATE];
}

/* The chains' padding stays zero: nobody writes it. */
void hdl_rbm_pack(const hdl_plan *plan, const float *flat, hdl_vector which) {
  hdl_gibbs *g = plan->gibbs;
  const hdl_layer *layer = &plan->layer[0];
  size_t row = sizeof(float) * (size_t)layer->I;
  memcpy(visible(g, which), flat, row);
  for (size_t c = 0; c < (size_t)g->chains && g->caller_chains && which == HDL_WEIGHTS; c++)
    memcpy(g->chain + c * (size_t)layer->x_ld, g->caller_chains + c * (size_t)layer->I, row);
}

/* Called where a call may overwrite what it was given: the chains with the weights, or with the gradient. */
void hdl_rbm_unpack(const hdl_plan *plan, float *flat, hdl_vector which) {
  hdl_gibbs *g = plan->gibbs;
  const hdl_layer *layer = &plan->layer[0];
  size_t row = sizeof(float) * (size_t)layer->I;
  memcpy(flat, visible(g, which), row);
  if (which == HDL_GRADIENT && g->beta > 0) memcpy(flat + layer->I, g->active, sizeof(float) * (size_t)layer->O);
  for (size_t c = 0; c < (size_t)g->chains && g->caller_chains && which < HDL_STATE; c++)
    memcpy(g->caller_chains + c * (size_t)layer->I, g->chain + c * (size_t)layer->x_ld, row);
}
