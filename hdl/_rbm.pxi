# The restricted Boltzmann machine's part of _cpu.pyx, which includes it.

cdef extern from "hdl.h" nogil:
    ctypedef struct hdl_rbm:
        int32_t inputs, hidden, gaussian, k, chains
        float rho, beta

    hdl_status hdl_rbm_new(hdl_plan **, const hdl_rbm *, int32_t, int32_t, hdl_isa)
    hdl_status hdl_rbm_chains(hdl_plan *, float *)


cdef class RbmPlan(AutoencoderPlan):
    """Working memory and threads for one restricted Boltzmann machine; parameters are W [I, H], b_h [H], b_v [I].

    `train` and `gradient` are those of `Plan` (whose `y` is ignored) but for `chains`; `forward` gives mean
    reconstructions, `encode` p(h|v). The gradient is minus the estimated one of the log-likelihood, and with a sparsity
    target the sum of p(h|v) [H] follows it.

    Parameters
    ----------
    inputs, hidden : int
    gaussian : bool
        Visible units are gaussian with variance 1, not binary.
    k : int
        Gibbs steps.
    chains : int
        Persistent chains; 0 for contrastive divergence.
    rho, beta : float
        Sparsity target of the hidden units, and its weight.
    max_batch, threads, isa
        As for `Plan`.

    Examples
    --------
    >>> import numpy as np
    >>> from hdl._cpu import RbmPlan
    >>> plan = RbmPlan(4, 8)
    >>> w = np.random.default_rng(0).normal(0, 0.1, plan.parameters).astype(np.float32)
    >>> x = np.array([[1, 1, 0, 0], [0, 0, 1, 1]], np.float32)
    >>> result = plan.train(w, None, x, None, np.tile(np.arange(2), 500), batch=2, lr=0.5)
    >>> plan.forward(w, x)[0].round().tolist()
    [[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, 1.0]]
    """

    cdef readonly int chains
    cdef object busy  # chains belong to one call at a time

    def __init__(self, inputs, hidden, bint gaussian=False, int k=1, int chains=0, float rho=0.05, float beta=0,
                 max_batch=512, int threads=1, isa=None):
        cdef hdl_rbm rbm = hdl_rbm(inputs, hidden, gaussian, k, chains, rho, beta)
        cdef hdl_plan *plan
        cdef hdl_isa number = _isa(isa)
        _check(hdl_rbm_new(&plan, &rbm, _rows(max_batch), threads, number), None)
        self._hold(plan, (inputs, hidden, inputs), threads)
        self.hidden, self.chains, self.labelled = hidden, chains, False
        self.parameters = inputs * hidden + hidden + inputs
        self.statistics = self.parameters + (hidden if beta > 0 else 0)
        self.busy = threading.Lock()

    def _with(self, chains, call, arguments, options):
        if not self.chains and chains is not None:
            raise SpecError("chains are for persistent contrastive divergence: this RBM keeps none")
        if self.chains and chains is None:
            raise SpecError(f"chains is missing, expected {self.chains} particles of {self.widths[0]} units")
        if chains is not None:
            chains = _own("chains", chains, self.chains * self.widths[0])
        with self.busy:
            _check(hdl_rbm_chains(self.plan, <float *>_address(chains)), None)
            try:
                return call(self, *arguments, **options)
            finally:
                hdl_rbm_chains(self.plan, NULL)

    def train(self, *arguments, chains=None, **options):
        """As `Plan.train`; `chains` [C, I] are overwritten too. Result.cost is half the squared error of the first
        Gibbs step's mean reconstruction."""
        return self._with(chains, Plan.train, arguments, options)

    def gradient(self, *arguments, chains=None, **options):
        """As `Plan.gradient`; `chains` [C, I] are overwritten."""
        return self._with(chains, Plan.gradient, arguments, options)
