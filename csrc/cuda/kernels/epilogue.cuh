/* epilogue.cuh: finishes a product's value while it is in a register: bias, activation, dropout, its derivative, a
 * draw, the update of the weight that it is the gradient of. Fused, because memory is what a GPU has least of. */
#ifndef HDL_EPILOGUE_CUH
#define HDL_EPILOGUE_CUH

#include "activation.cuh"
#include "autoencoder.cuh"
#include "gibbs.cuh"
#include "update.cuh"

namespace hdl {

/* Takes the values of one operation. */
struct epilogue {
  const minibatch &mb;
  const hdl_op &op;
  float *c;
  float *d;
  const float *bias;
  float *state;
  int m, n;

  __device__ epilogue(const minibatch &mb, const hdl_op &op)
      : mb(mb), op(op), c(mb.locate(op.c)), d(mb.locate(op.d)), bias(mb.locate(op.bias)), state(NULL),
        m(mb.extent(op.m)), n(mb.extent(op.n)) {
    if (op.epilogue == HDL_EPILOGUE_UPDATE) state = mb.arena[HDL_ARENA_S] + op.c.at;
  }

  /* Puts value v of row i, column j where it belongs; outside of the matrix there is nothing to do. */
  __device__ void operator()(int i, int j, float v) const {
    if (i >= m || j >= n) return;
    float *y = c + (int64_t)i * op.c.ld + j, *other = d + (int64_t)i * op.d.ld + j;
    if (bias) { /* of a gradient it is for the weights, if it is times them, or for the biases */
      if (op.epilogue <= HDL_EPILOGUE_DRAW)
        v += bias[j];
      else if ((i < op.penalised_rows) == (d != NULL))
        v += d ? bias[j] * *other : bias[j];
    }
    switch (op.epilogue) {
    case HDL_EPILOGUE_ACTIVATE:
      v = activate(op.function, op.leak, v);
      if (op.drop) /* a dropped unit is -0, a kept zero +0: derive tells them apart */
        v = dropped(mb, op.drop, j, n, i, op.layer) ? -0.f : v * op.keep + 0.f;
      *y = v;
      break;
    case HDL_EPILOGUE_DERIVE: {
      float a = *other;
      if (op.keep > 0)
        v = bits(a) == 0x80000000u ? 0 : v * op.keep * derive(op.function, op.leak, a / op.keep);
      else
        v *= derive(op.function, op.leak, a);
      *y = v;
      break;
    }
    case HDL_EPILOGUE_DRAW:
      v = activate(op.function, op.leak, v);
      if (d) *other = draw_unit(mb, op, i, j, n, v);
      if (c) *y = v * (op.chains ? op.scalar * (float)mb.rows : op.scalar);
      break;
    case HDL_EPILOGUE_SPARSITY:
      *y = sparsity_gradient(mb, op, v, d ? other : NULL);
      break;
    case HDL_EPILOGUE_UPDATE: {
      v = mb.weight > 0 ? v / mb.weight : 0;
      if (i < op.penalised_rows) v += mb.rule->l2 * *y + (*y > 0 ? mb.rule->l1 : *y < 0 ? -mb.rule->l1 : 0);
      update(mb, v, i < op.penalised_rows, op.rate, y, state + (int64_t)i * op.c.ld + j, mb.call->parameters);
      break;
    }
    default:
      *y += v;
    }
  }
};

} // namespace hdl
#endif
