/* check.c: checks that a plan can take the data that it is given. Nothing beyond it is checked again. */
#include "internal.h"

#include <math.h>
#include <stdlib.h>

static hdl_status check_rows(const hdl_plan *plan, const hdl_data *data, const int64_t *order, int64_t count) {
  const int32_t *label = data->y && data->y_type == HDL_CLASS ? data->y : NULL;
  int32_t classes = plan->widths[plan->layers];
  if (!order && count > data->n)
    return hdl_fail(HDL_EINVAL, "count is %lld, the data has %lld samples", (long long)count, (long long)data->n);
  for (int64_t r = 0; r < count; r++) {
    int64_t i = order ? order[r] : r;
    if (i < 0 || i >= data->n)
      return hdl_fail(HDL_EINVAL, "order[%lld] is %lld, the data has %lld samples", (long long)r, (long long)i,
                      (long long)data->n);
    if (label && (label[i] < 0 || label[i] >= classes))
      return hdl_fail(HDL_EINVAL, "the label of sample %lld is %d, expected 0 to %d", (long long)i, label[i],
                      classes - 1);
    if (data->weight && !(data->weight[i] >= 0 && isfinite(data->weight[i])))
      return hdl_fail(HDL_EINVAL, "the weight of sample %lld is %g, expected a finite number of at least 0",
                      (long long)i, (double)data->weight[i]);
    for (int o = 0; data->offset && o < classes; o++)
      if (!isfinite(data->offset[i * classes + o]))
        return hdl_fail(HDL_EINVAL, "the offset of sample %lld is %g, expected a finite number", (long long)i,
                        (double)data->offset[i * classes + o]);
  }
  return HDL_OK;
}

/* Makes room for blocks of rows with so many entries each. */
static hdl_status make_room(hdl_plan *plan, int64_t longest) {
  int64_t room = longest * plan->block;
  if (room > INT32_MAX - 1) return hdl_fail(HDL_EINVAL, "rows of %lld entries are too long", (long long)longest);
  if (room <= plan->nnz_room) return HDL_OK;
  free(plan->row_input), free(plan->row_value), free(plan->t_row), free(plan->t_value);
  size_t bytes = (size_t)room * 4;
  plan->nnz_room = 0;
  plan->row_input = malloc(bytes), plan->row_value = malloc(bytes), plan->t_row = malloc(bytes),
  plan->t_value = malloc(bytes);
  if (!plan->row_input || !plan->row_value || !plan->t_row || !plan->t_value) {
    free(plan->row_input), free(plan->row_value), free(plan->t_row), free(plan->t_value);
    plan->row_input = plan->t_row = NULL, plan->row_value = plan->t_value = NULL;
    return hdl_fail(HDL_ENOMEM, "cannot allocate %zu bytes for sparse rows", 4 * bytes);
  }
  plan->nnz_room = room;
  return HDL_OK;
}

/* CSR: every index in range, and room for the entries of any block of the call. */
static hdl_status check_sparse(hdl_plan *plan, const hdl_data *data, const int64_t *order, int64_t count) {
  const int64_t *ptr = data->indptr;
  if (!ptr || (!data->indices && ptr[data->n])) return hdl_fail(HDL_EINVAL, "CSR needs indptr and indices");
  if (data->shift) return hdl_fail(HDL_EINVAL, "CSR input takes a scale only: a shift would fill the zeros");
  if (ptr[0] < 0) return hdl_fail(HDL_EINVAL, "indptr[0] is %lld", (long long)ptr[0]);
  for (int64_t r = 0; r < data->n; r++)
    if (ptr[r + 1] < ptr[r]) return hdl_fail(HDL_EINVAL, "indptr decreases at row %lld", (long long)r);
  for (int64_t k = ptr[0]; k < ptr[data->n]; k++)
    if (data->indices[k] < 0 || data->indices[k] >= plan->widths[0])
      return hdl_fail(HDL_EINVAL, "indices[%lld] is %d, expected 0 to %d", (long long)k, data->indices[k],
                      plan->widths[0] - 1);
  if (plan->reconstructs) return HDL_OK; /* its rows are filled in */
  int64_t longest = 0;
  for (int64_t r = 0; r < count; r++) {
    int64_t i = order ? order[r] : r, n = ptr[i + 1] - ptr[i];
    if (n > longest) longest = n;
  }
  return make_room(plan, longest);
}

/* MIXED: every code in the range of its category's inputs, as far as it is known, and room for those of a block. */
static hdl_status check_mixed(hdl_plan *plan, const hdl_data *data, const int64_t *order, int64_t count) {
  int32_t K = data->numbers, C = data->categories, I = plan->inputs;
  const hdl_tables *tables = plan->tables;
  if (K < 0 || C < 0 || K > I || (C && !data->codes && data->n) || (K && !data->x && data->n))
    return hdl_fail(HDL_EINVAL, "mixed input has %d numbers and %d categories, expected at most %d inputs", K, C, I);
  if (tables && (K != tables->first[0] || C != plan->categories))
    return hdl_fail(HDL_EINVAL, "mixed input has %d numbers and %d categories, expected %d and %d", K, C,
                    tables->first[0], plan->categories);
  if (data->scale || data->shift) return hdl_fail(HDL_EINVAL, "mixed input takes no scale: its numbers are final");
  bool chosen = order && count < data->n; /* else one look at all samples is less */
  int64_t rows = order && !chosen ? data->n : count;
  for (int c = 0; c < C; c++) {
    int32_t lo = tables ? tables->first[c] : K, hi = tables ? tables->first[c + 1] : I;
    for (int64_t r = 0; r < rows; r++) {
      int64_t i = chosen ? order[r] : r;
      int32_t code = data->codes[i * C + c];
      if (code != -1 && (code < lo || code >= hi))
        return hdl_fail(HDL_EINVAL, "codes[%lld, %d] is %d, expected -1 or %d to %d", (long long)i, c, code, lo,
                        hi - 1);
    }
  }
  return plan->reconstructs ? HDL_OK : make_room(plan, C);
}

/* NUMBERS: matrices of N rows, of as many columns as there are inputs, in their order. */
static hdl_status check_numbers(const hdl_plan *plan, const hdl_data *data, const int64_t *order) {
  int64_t I = 0;
  if (order) return hdl_fail(HDL_EINVAL, "numbers where they lie are taken in their order");
  for (int k = 0; k < data->parts; k++) {
    const hdl_strided *part = &data->part[k];
    if (part->type < 0 || part->type >= HDL_NUMBER_TYPES) return hdl_fail(HDL_EINVAL, "unknown number %d", part->type);
    if (part->n != data->n || part->I < 1 || (!part->at && data->n))
      return hdl_fail(HDL_EINVAL, "part %d is [%lld, %lld], expected %lld rows", k, (long long)part->n,
                      (long long)part->I, (long long)data->n);
    I += part->I;
  }
  if (I == plan->widths[0]) return HDL_OK;
  return hdl_fail(HDL_EINVAL, "x has %lld columns, expected %d", (long long)I, plan->widths[0]);
}

/* Reads a number where it lies. */
static double number_at(const hdl_strided *x, int64_t r, int64_t c) {
  const char *at = (const char *)x->at + r * x->row + c * x->column;
  switch (x->type) {
#define READ(NAME, TYPE)                                                                                               \
  case HDL_NUMBER_##NAME:                                                                                              \
    return (double)*(const TYPE *)at;
    HDL_NUMBER_TABLE(READ)
#undef READ
  }
  return 0;
}

hdl_status hdl_fail_number(const hdl_data *data, int64_t count) {
  for (int64_t r = 0; r < count; r++)
    for (int64_t k = 0, first = 0; k < data->parts; first += data->part[k++].I)
      for (int64_t c = 0; c < data->part[k].I; c++) {
        double x = number_at(&data->part[k], r, c);
        if (!isfinite((float)x))
          return hdl_fail(HDL_ENONFINITE, "x[%lld, %lld] is %g, expected a finite number of float32", (long long)r,
                          (long long)(first + c), x);
      }
  return HDL_ENONFINITE;
}

/* Everything about the data that a call relies on. */
hdl_status hdl_check(hdl_plan *plan, const hdl_data *data, const int64_t *order, int64_t count, bool labelled) {
  if (!plan || !data) return hdl_fail(HDL_EINVAL, "no plan or no data");
  if (hdl_pool_foreign(plan->pool)) return hdl_fail(HDL_ESYS, "a plan belongs to the process that made it");
  if (data->x_type < HDL_F32 || data->x_type > HDL_NUMBERS)
    return hdl_fail(HDL_EINVAL, "unknown x_type %d", data->x_type);
  if (data->y_type < HDL_CLASS || data->y_type > HDL_TARGET)
    return hdl_fail(HDL_EINVAL, "unknown y_type %d", data->y_type);
  if (plan->reconstructs && data->y) return hdl_fail(HDL_EINVAL, "an autoencoder's or RBM's target is its input: no y");
  if (plan->reconstructs && (data->weight || data->offset))
    return hdl_fail(HDL_EINVAL, "autoencoders and RBMs take no weights of samples and no offset");
  if (plan->tables && data->x_type != HDL_MIXED) return hdl_fail(HDL_EINVAL, "embeddings need mixed input");
  if (count < 0 || data->n < 0) return hdl_fail(HDL_EINVAL, "count is %lld", (long long)count);
  if (labelled && !data->y && !plan->reconstructs) return hdl_fail(HDL_EINVAL, "training needs y");
  if (labelled && plan->gibbs && plan->gibbs->chains && !plan->gibbs->caller_chains)
    return hdl_fail(HDL_EINVAL, "%d persistent chains are missing", plan->gibbs->chains);
  hdl_status status = check_rows(plan, data, order, count);
  if (!status && data->x_type == HDL_CSR) status = check_sparse(plan, data, order, count);
  if (!status && data->x_type == HDL_MIXED) status = check_mixed(plan, data, order, count);
  if (!status && data->x_type == HDL_NUMBERS) status = check_numbers(plan, data, order);
  return status;
}
