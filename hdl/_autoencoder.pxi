# The autoencoder's part of _cpu.pyx, which includes it.

cdef extern from "hdl.h" nogil:
    int HDL_SQUARED, HDL_SIGMOID_SQUARED

    ctypedef struct hdl_autoencoder:
        int32_t inputs, hidden, activation
        float leak
        int32_t decoder, tied
        float rho, beta, memory, corruption, contractive
        int32_t precision

    hdl_status hdl_autoencoder_new(hdl_plan **, const hdl_autoencoder *, int32_t, int32_t, hdl_isa)
    hdl_status hdl_encode(hdl_plan *, const float *, const hdl_data *, const int64_t *, int64_t, float *,
                          hdl_progress, void *, hdl_result *)


cdef class AutoencoderPlan(Plan):
    """Working memory and threads for one autoencoder: a = f(x W1 + b1), r = g(a W2 + b2).

    `train`, `gradient` and `forward` are those of `Plan` (whose `y` is ignored: the target is x), `weights` are W1
    [inputs, hidden], b1, W2 unless tied, b2 and, with beta, the mean activations [hidden]. With beta `gradient` gives
    the sums of x f'(z)', of f'(z) and of a after the gradient.

    Parameters
    ----------
    inputs, hidden : int
    activation : str
        f, one of `ACTIVATIONS`.
    leak : float
    decoder : {'sigmoid', 'linear'}
        g.
    tied : bool
        W2 is W1 transposed.
    rho, beta, memory : float
        Target and weight of the sparsity term, and how much of the running mean activation a step keeps.
    corruption : float
        Probability that an input is set to 0 while training.
    contractive : float
        Weight of the squared norm of the codes' Jacobian.
    max_batch, threads, isa, precision
        As for `Plan`.

    Examples
    --------
    >>> import numpy as np
    >>> from hdl._cpu import AutoencoderPlan
    >>> plan = AutoencoderPlan(4, 2, decoder="linear", tied=True)
    >>> plan.parameters
    14
    >>> plan.encode(np.zeros(14, np.float32), np.eye(4, dtype=np.float32)).shape
    (4, 2)
    """

    cdef readonly int hidden

    def __init__(self, inputs, hidden, activation="sigmoid", float leak=0.01, decoder="sigmoid", bint tied=False,
                 float rho=0.05, float beta=0, float memory=0.9, float corruption=0, float contractive=0,
                 max_batch=256, int threads=1, isa=None, precision="float32"):
        cdef hdl_autoencoder net
        cdef hdl_plan *plan
        net.inputs, net.hidden, net.leak, net.tied = inputs, hidden, leak, tied
        net.activation = _one_of("activation", activation, ACTIVATIONS)
        net.decoder = HDL_SIGMOID_SQUARED if _one_of("decoder", decoder, ("linear", "sigmoid")) else HDL_SQUARED
        net.rho, net.beta, net.memory, net.corruption, net.contractive = rho, beta, memory, corruption, contractive
        net.precision = _one_of("precision", precision, PRECISIONS)
        cdef hdl_isa number = _isa(isa)
        _check(hdl_autoencoder_new(&plan, &net, _rows(max_batch), threads, number), None)
        self._hold(plan, (inputs, hidden, inputs), threads)
        self.hidden, self.labelled = hidden, False
        self.parameters = inputs * hidden * (1 if tied else 2) + inputs + hidden * (2 if beta else 1)
        self.statistics = self.parameters + (hidden * (inputs + 2) if beta else 0)

    def encode(self, weights, x, order=None, scale=None, shift=None, progress=None):
        """Codes [count, hidden]."""
        cdef hdl_result result
        cdef _Data data = _Data(x, None, scale, shift, self.widths[0], self.widths[0], False)
        cdef _Watch watch = _Watch(progress)
        cdef hdl_status status
        weights = _array("weights", weights, np.float32, (self.parameters,))
        order = _array("order", order, np.int64, (None,), optional=True)
        cdef int64_t count = data.c.n if order is None else len(order)
        out = np.empty((count, self.hidden), np.float32)
        cdef const float *w = <const float *>_address(weights)
        cdef float *a = <float *>_address(out)
        cdef const int64_t *o = <const int64_t *>_address(order)
        with self.lock:
            with nogil:
                status = hdl_encode(self.plan, w, &data.c, o, count, a, _tick, <void *>watch, &result)
        _check(status, watch.error)
        return out
