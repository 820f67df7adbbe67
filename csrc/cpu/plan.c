/* plan.c: makes and frees plans; keeps the last error. layout.c has their memory. */
#include "isa.h"

#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Thread_local char last_error[256] = "";

const char *hdl_last_error(void) { return last_error; }

hdl_status hdl_fail(hdl_status status, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(last_error, sizeof last_error, format, arguments);
  va_end(arguments);
  return status;
}

#define RULE(NUMBER, name, vectors, ...) [HDL_##NUMBER] = {name, vectors},
static const struct {
  const char *name;
  int32_t vectors;
} rules[] = {HDL_RULE_TABLE(RULE)};
#undef RULE

#define ACTIVATION(NUMBER, name, ...) [HDL_##NUMBER] = name,
static const char *const activations[] = {HDL_ACTIVATION_TABLE(ACTIVATION)};
#undef ACTIVATION

const char *hdl_rule_name(int32_t rule) { return rule >= 0 && rule < HDL_RULES ? rules[rule].name : NULL; }

int32_t hdl_state_vectors(int32_t rule) { return rule >= 0 && rule < HDL_RULES ? rules[rule].vectors : 0; }

#define LOSS(NUMBER, name, ...) [HDL_##NUMBER] = name,
static const char *const losses[] = {[HDL_SOFTMAX] = "softmax",
                                     [HDL_SIGMOID_CE] = "sigmoid",
                                     [HDL_SQUARED] = "squared",
                                     [HDL_SIGMOID_SQUARED] = "sigmoid_squared",
                                     HDL_LOSS_TABLE(LOSS)};
#undef LOSS

const char *hdl_loss_name(int32_t loss) { return loss >= 0 && loss < HDL_LOSSES ? losses[loss] : NULL; }

const char *hdl_activation_name(int32_t activation) {
  return activation >= 0 && activation < HDL_ACTIVATIONS ? activations[activation] : NULL;
}

/* The parameter of the loss, and label smoothing. */
static hdl_status check_loss(const hdl_net *net) {
  float k = net->loss_parameter, s = net->label_smoothing;
  if (!hdl_loss_name(net->loss)) return hdl_fail(HDL_EINVAL, "unknown loss %d", net->loss);
  if (net->loss == HDL_HUBER && !(k > 0 && isfinite(k)))
    return hdl_fail(HDL_EINVAL, "delta of the huber loss is %g, expected a positive number", (double)k);
  if (net->loss == HDL_QUANTILE && !(k > 0 && k < 1))
    return hdl_fail(HDL_EINVAL, "level of the quantile loss is %g, expected (0, 1)", (double)k);
  if (net->loss == HDL_TWEEDIE && !(k > 1 && k < 2))
    return hdl_fail(HDL_EINVAL, "power of the tweedie loss is %g, expected (1, 2)", (double)k);
  if (!(s >= 0 && s < 1)) return hdl_fail(HDL_EINVAL, "label_smoothing is %g, expected [0, 1)", (double)s);
  if (s > 0 && net->loss > HDL_SIGMOID_CE)
    return hdl_fail(HDL_EINVAL, "label_smoothing needs labels: the softmax or the sigmoid loss");
  return HDL_OK;
}

static hdl_status check_net(const hdl_net *net, int32_t max_batch, int32_t threads) {
  if (!net || net->layers < 1 || !net->widths) return hdl_fail(HDL_EINVAL, "a net needs at least one layer");
  for (int l = 0; l <= net->layers; l++)
    if (net->widths[l] < 1 || net->widths[l] > 1 << 24)
      return hdl_fail(HDL_EINVAL, "width %d is %d, expected 1 to 2^24", l, net->widths[l]);
  if (!hdl_activation_name(net->activation)) return hdl_fail(HDL_EINVAL, "unknown activation %d", net->activation);
  if (!(net->dropout_input >= 0 && net->dropout_input < 1))
    return hdl_fail(HDL_EINVAL, "dropout_input is %g, expected [0, 1)", (double)net->dropout_input);
  if (!(net->dropout_hidden >= 0 && net->dropout_hidden < 1))
    return hdl_fail(HDL_EINVAL, "dropout_hidden is %g, expected [0, 1)", (double)net->dropout_hidden);
  if (net->precision < HDL_FLOAT32 || net->precision > HDL_BF16)
    return hdl_fail(HDL_EINVAL, "unknown precision %d", net->precision);
  if (max_batch < 1) return hdl_fail(HDL_EINVAL, "max_batch is %d, expected at least 1", max_batch);
  if (threads < 1 || threads > HDL_MAX_THREADS)
    return hdl_fail(HDL_EINVAL, "threads is %d, expected 1 to %d", threads, HDL_MAX_THREADS);
  for (int l = 0; net->rates && l <= net->layers; l++)
    if (!(net->rates[l] >= 0) || !isfinite(net->rates[l]))
      return hdl_fail(HDL_EINVAL, "rate %d is %g, expected a finite number of at least 0", l, (double)net->rates[l]);
  return check_loss(net);
}

hdl_status hdl_plan_new(hdl_plan **plan, const hdl_net *net, int32_t max_batch, int32_t threads, hdl_isa isa) {
  *plan = NULL;
  hdl_status status = check_net(net, max_batch, threads);
  if (status) return status;
  if (isa == HDL_ISA_AUTO) isa = hdl_best_isa();
  const hdl_kernels *kernels = hdl_isa_kernels(isa);
  if (!kernels)
    return hdl_fail(HDL_EISA, "this processor cannot run the %s kernels, its best are %s", hdl_isa_name(isa),
                    hdl_isa_name(hdl_best_isa()));
  hdl_plan *made = calloc(1, sizeof *made);
  if (!made) return hdl_fail(HDL_ENOMEM, "out of memory");
  made->layers = net->layers, made->most = made->threads = threads, made->isa = isa, made->kernels = kernels;
  made->cache = hdl_find_caches();
  size_t weights = 0;
  for (int l = 0; l < net->layers; l++) weights += (size_t)net->widths[l] * (size_t)net->widths[l + 1];
  int block = weights * sizeof(float) < hdl_large_bytes(made->cache) ? HDL_ROWS : HDL_BLOCK;
  made->block = hdl_round_up(max_batch < block ? max_batch : block, 2);
  made->bf16 = net->precision == HDL_BF16 ? hdl_bf16_kernels(isa) : NULL;
  made->activation = net->activation, made->loss = net->loss, made->leak = net->leak;
  made->loss_parameter = net->loss_parameter, made->label_smoothing = net->label_smoothing;
  made->drop_input = (uint32_t)(65536 * net->dropout_input + 0.5f), made->keep_input = 1 / (1 - net->dropout_input);
  made->drop_hidden = (uint32_t)(65536 * net->dropout_hidden + 0.5f), made->keep_hidden = 1 / (1 - net->dropout_hidden);
  made->input_type = -1;
  made->inputs = net->widths[0];
  made->widths = malloc(sizeof *made->widths * ((size_t)net->layers + 1));
  made->layer = calloc((size_t)net->layers + 1, sizeof *made->layer);
  made->range = calloc(((size_t)net->layers + 1) * (size_t)threads, sizeof *made->range);
  made->rates = malloc(sizeof *made->rates * ((size_t)net->layers + 1));
  made->pool = hdl_pool_new(threads);
  if (!made->widths || !made->layer || !made->range || !made->rates || !made->pool) {
    bool memory = made->pool != NULL;
    hdl_plan_free(made);
    return memory ? hdl_fail(HDL_ENOMEM, "out of memory") : hdl_fail(HDL_ESYS, "cannot start %d threads", threads);
  }
  memcpy(made->widths, net->widths, sizeof *made->widths * ((size_t)net->layers + 1));
  for (int l = 0; l <= net->layers; l++) made->rates[l] = net->rates ? net->rates[l] : 1;
  if (net->tables && (status = hdl_tables_new(made, net))) {
    hdl_plan_free(made);
    return status;
  }
  *plan = made;
  return HDL_OK;
}

static bool fraction(float x) { return x >= 0 && x < 1; }

hdl_status hdl_autoencoder_new(hdl_plan **plan, const hdl_autoencoder *net, int32_t max_batch, int32_t threads,
                               hdl_isa isa) {
  *plan = NULL;
  if (!net) return hdl_fail(HDL_EINVAL, "no autoencoder");
  if (net->decoder != HDL_SQUARED && net->decoder != HDL_SIGMOID_SQUARED)
    return hdl_fail(HDL_EINVAL, "unknown decoder %d", net->decoder);
  if (!(net->beta >= 0) || !isfinite(net->beta)) return hdl_fail(HDL_EINVAL, "beta is %g", (double)net->beta);
  if (net->beta > 0 && (net->activation != HDL_SIGMOID || !(net->rho > 0 && net->rho < 1) || !fraction(net->memory)))
    return hdl_fail(HDL_EINVAL, "beta needs a sigmoid (given activation %d), rho %g in (0, 1), memory %g in [0, 1)",
                    net->activation, (double)net->rho, (double)net->memory);
  if (!fraction(net->corruption))
    return hdl_fail(HDL_EINVAL, "corruption is %g, expected [0, 1)", (double)net->corruption);
  if (!(net->contractive >= 0) || !isfinite(net->contractive))
    return hdl_fail(HDL_EINVAL, "contractive is %g", (double)net->contractive);
  int32_t widths[3] = {net->inputs, net->hidden, net->inputs};
  hdl_net dense = {.layers = 2, .widths = widths, .activation = net->activation, .loss = net->decoder};
  dense.leak = net->leak, dense.dropout_input = net->corruption, dense.precision = net->precision;
  hdl_status status = hdl_plan_new(plan, &dense, max_batch, threads, isa);
  if (status) return status;
  (*plan)->reconstructs = true, (*plan)->autoencoder = *net;
  (*plan)->keep_input = 1; /* a denoising autoencoder's remaining inputs stay as they are (Vincent et al. 2010) */
  return HDL_OK;
}

hdl_isa hdl_plan_isa(const hdl_plan *plan) { return plan->isa; }

hdl_status hdl_plan_threads(hdl_plan *plan, int32_t threads) {
  if (threads < 0 || threads > plan->most)
    return hdl_fail(HDL_EINVAL, "threads is %d, expected 0 to %d", threads, plan->most);
  plan->fixed = threads;
  return HDL_OK;
}

int32_t hdl_plan_working(const hdl_plan *plan) { return plan->threads; }

void hdl_plan_free(hdl_plan *plan) {
  if (!plan) return;
  hdl_pool_free(plan->pool);
  free(plan->memory);
  free(plan->row_input), free(plan->row_value), free(plan->t_row), free(plan->t_value);
  free(plan->widths), free(plan->layer), free(plan->range), free(plan->rates), free(plan->gibbs);
  hdl_tables_free(plan->tables);
  free(plan);
}
