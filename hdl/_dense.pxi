# The dense network's part of _cpu.pyx, which includes it; the other models' plans are subclasses.

cdef class Plan:
    """Working memory and threads for one dense network.

    Parameters
    ----------
    widths : sequence of int
        Inputs, hidden layers, outputs.
    activation : str
        Of the hidden layers: one of `ACTIVATIONS`.
    loss : str
        One of `LOSSES`, with its output: softmax and cross-entropy, sigmoid and summed cross-entropy, linear and half
        squared error, … (csrc/losses.h).
    leak : float
        Slope of the leaky relu below 0.
    dropout_input, dropout_hidden : float
        Probability that an input or a hidden unit is dropped while training; the others are scaled by 1/(1-p).
    max_batch : int
        Rows of one pass at most; larger mini-batches are taken in blocks. Results do not depend on it.
    threads : int
        Threads at most, the caller's included; how many of them work is chosen by timing them while they do. Results do
        not depend on it.
    loss_parameter : float
        Delta of `huber`, level of `quantile`, power of `tweedie`.
    label_smoothing : float
        Share of each label that the classes get in equal parts, in training.
    embeddings : sequence of (levels, vector)
        Of each category of mixed input: how many levels it has, and the length of the vector that stands for one. The
        tables [levels, vector] come first in `weights`; `widths` then begins with all the numbers and levels, as without
        them, but the first layer sees numbers and vectors.
    numbers : int
        Of mixed input; only beside embeddings.
    rates : sequence of float [1 + layers], optional
        Factors of the learning rate: of the tables, and of each layer. What has 0 is frozen.
    isa : {'generic', 'avx2', 'avx512'}, optional
        Kernels; by default the environment's HDL_ISA, else the best that this processor runs.
    precision : {'float32', 'tf32', 'bf16'}
        What the factors of products are rounded to; tf32 is float32 here.

    Examples
    --------
    >>> import numpy as np
    >>> from hdl._cpu import Plan
    >>> plan = Plan([2, 8, 2], "tanh", "softmax")
    >>> w = np.random.default_rng(0).normal(size=plan.parameters).astype(np.float32)
    >>> x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32)
    >>> y = np.array([0, 1, 1, 0], np.int32)
    >>> result = plan.train(w, None, x, y, np.tile(np.arange(4), 500), batch=4, lr=0.5)
    >>> plan.forward(w, x, y)[1].correct
    4
    """

    cdef hdl_plan *plan
    cdef object lock
    cdef readonly tuple widths
    cdef readonly int64_t parameters, statistics
    cdef readonly int threads
    cdef readonly str isa
    cdef bint labelled

    def __cinit__(self, *arguments, **options):
        self.lock = threading.Lock()

    def __init__(self, widths, activation="tanh", loss="softmax", float leak=0.01, float dropout_input=0,
                 float dropout_hidden=0, max_batch=256, int threads=1, isa=None, float loss_parameter=0,
                 float label_smoothing=0, embeddings=(), int numbers=0, rates=None, precision="float32"):
        cdef hdl_net net
        cdef hdl_plan *plan
        cdef int32_t[::1] sizes = np.array(widths, np.int32)
        if sizes.shape[0] < 2:
            raise SpecError(f"widths is {tuple(widths)}, expected inputs and outputs at least")
        cdef int32_t[::1] levels = np.array([each for each, _ in embeddings] + [0], np.int32)
        cdef int32_t[::1] vector = np.array([each for _, each in embeddings] + [0], np.int32)
        net.tables, net.numbers = <int32_t>len(embeddings), numbers
        net.levels, net.vector = &levels[0], &vector[0]
        if embeddings:
            if numbers + np.sum(levels) != sizes[0]:
                raise SpecError(f"widths begins with {sizes[0]}, but there are {numbers} numbers and {np.sum(levels)} levels")
            sizes[0] = numbers + np.sum(vector)
        net.layers = <int32_t>(sizes.shape[0] - 1)
        net.widths = &sizes[0]
        net.activation = _one_of("activation", activation, ACTIVATIONS)
        net.loss = _one_of("loss", loss, LOSSES)
        net.leak, net.dropout_input, net.dropout_hidden = leak, dropout_input, dropout_hidden
        net.loss_parameter, net.label_smoothing = loss_parameter, label_smoothing
        factors = _array("rates", rates, np.float32, (net.layers + 1,), optional=True)
        net.rates = <const float *>_address(factors)
        net.precision = _one_of("precision", precision, PRECISIONS)
        cdef hdl_isa number = _isa(isa)
        _check(hdl_plan_new(&plan, &net, _rows(max_batch), threads, number), None)
        self._hold(plan, widths, threads)
        self.labelled = True
        self.parameters = sum((i + 1) * o for i, o in zip(sizes, sizes[1:]))
        self.parameters += sum(rows * columns for rows, columns in embeddings)
        self.statistics = self.parameters

    cdef _hold(self, hdl_plan *plan, widths, int threads):
        hdl_plan_free(self.plan)  # of an __init__ before
        self.plan = plan
        self.widths = tuple(int(w) for w in widths)
        self.threads = threads
        self.isa = (hdl_isa_name(hdl_plan_isa(plan))).decode()

    @property
    def working(self):
        """Number of threads that worked last."""
        return hdl_plan_working(self.plan)

    def fix_threads(self, int32_t threads):
        """Has so many threads work from now on, or with 0 as many as are fastest."""
        with self.lock:
            _check(hdl_plan_threads(self.plan, threads), None)

    def __dealloc__(self):
        hdl_plan_free(self.plan)

    def train(self, weights, state, x, y, order, int64_t batch, lr, rule="sgd", float l1=0, float l2=0,
              float max_norm=0, float momentum=0.9, float beta1=0.9, float beta2=0.999, float rho=0.9,
              float epsilon=1e-8, int64_t first_step=0, uint64_t seed=0, uint32_t round=0, uint32_t shard=0,
              scale=None, shift=None, progress=None, weight=None, offset=None,
              float weight_decay=0, float l2_sp=0):
        """Trains on mini-batches of `batch` along `order`; overwrites `weights` [P] and `state` [S, P].

        Parameters
        ----------
        weights : float32 array [P]
        state : float32 array [S, P] or None
            S = `state_vectors(rule)`; None where S is 0. Zeros at the very beginning. With `l2_sp` one more: the weights
            that it pulls to.
        x : float32 or uint8 array [n, inputs], or a tuple (values, indptr, indices) of a CSR matrix
        y : int array [n] of classes, or float32 array [n, outputs] of targets
        order : int64 array
            Samples in the order of use, over any number of epochs; repeats and omissions are fine.
        lr : float or float32 array [steps]
            Learning rate, of each step.
        rule : str
            One of `RULES`.
        l1, l2 : float
            l1*|w| + l2/2*|w|^2 is added to the mean cost, biases exempt.
        max_norm : float
            Bound on the norm of each unit's incoming weights; 0 for none.
        first_step : int
            Steps taken before (Adam's bias correction, dropout's masks).
        seed, round, shard : int
            Key of the dropout masks.
        scale, shift : float32 array [inputs], optional
            The network sees x*scale + shift.
        progress : callable(done, steps) -> bool, optional
            Called about every 50 ms; a true result stops after the present step.
        weight : float32 array [n], optional
            What each sample counts, 0 or more; a mini-batch's mean is over the sum of its weights.
        offset : float32 array [n, outputs], optional
            Added to what reaches the output.
        weight_decay : float
            Weights lose lr*weight_decay of themselves at each step, biases and tables of embeddings exempt.
        l2_sp : float
            l2_sp/2*|w - w0|^2 is added to the mean cost, with w0 the last vector of the state; the same are exempt.

        Returns
        -------
        Result
            `steps` is less than expected where `progress` stopped it.

        Raises
        ------
        NonFinite
            The cost became NaN or infinite; `weights` and `state` are as they were.
        KeyboardInterrupt
            Ctrl-C; `weights` and `state` hold the last whole step.
        """
        cdef hdl_update u
        cdef hdl_key key = hdl_key(seed, round, shard)
        cdef hdl_result result
        cdef _Data data = _Data(x, y if self.labelled else None, scale, shift, self.widths[0], self.widths[-1], self.labelled,
                                weight, offset)
        cdef _Watch watch = _Watch(progress)
        cdef hdl_status status
        u.rule = _one_of("rule", rule, RULES)
        if batch < 1:
            raise SpecError(f"batch is {batch}, expected at least 1")
        weights = _own("weights", weights, self.parameters)
        vectors = hdl_state_vectors(u.rule) + (l2_sp > 0)
        if vectors:
            state = _own("state", state, vectors * self.parameters)
        order = _array("order", order, np.int64, (None,))
        cdef int64_t count = len(order)
        batch = min(batch, max(count, 1))  # the sum below must not overflow
        steps = (count + batch - 1) // batch
        if np.ndim(lr) == 0:
            lr = np.full(max(steps, 1), lr, np.float32)
        lr = _array("lr", lr, np.float32, (None,))
        if len(lr) < steps:
            raise SpecError(f"lr has {len(lr)} numbers for {steps} steps")
        u.lr = <const float *>_address(lr)
        u.l1, u.l2, u.max_norm, u.momentum = l1, l2, max_norm, momentum
        u.beta1, u.beta2, u.rho, u.epsilon, u.first_step = beta1, beta2, rho, epsilon, first_step
        u.weight_decay, u.l2_sp = weight_decay, l2_sp
        cdef float *w = <float *>_address(weights)
        cdef float *s = <float *>_address(state if vectors else None)
        cdef const int64_t *o = <const int64_t *>_address(order)
        with self.lock:
            with nogil:
                status = hdl_train(self.plan, w, s, &data.c, o, count, batch, &u, key, _tick, <void *>watch, &result)
        if status == HDL_EINTERRUPT and watch.error is None:
            status = HDL_OK
        _check(status, watch.error)
        return _result(&result, data)

    def gradient(self, weights, x, y, order=None, uint64_t seed=0, uint32_t round=0, uint32_t shard=0, scale=None,
                 shift=None, out=None, progress=None, weight=None, offset=None):
        """Sums over samples the gradient of the data cost (no regulariser), times the weight: (gradient [P], Result)."""
        cdef hdl_key key = hdl_key(seed, round, shard)
        cdef hdl_result result
        cdef _Data data = _Data(x, y if self.labelled else None, scale, shift, self.widths[0], self.widths[-1], self.labelled,
                                weight, offset)
        cdef _Watch watch = _Watch(progress)
        cdef hdl_status status
        weights = _array("weights", weights, np.float32, (self.parameters,))
        order = _array("order", order, np.int64, (None,), optional=True)
        cdef int64_t count = data.c.n if order is None else len(order)
        out = np.empty(self.statistics, np.float32) if out is None else _own("out", out, self.statistics)
        cdef const float *w = <const float *>_address(weights)
        cdef float *g = <float *>_address(out)
        cdef const int64_t *o = <const int64_t *>_address(order)
        with self.lock:
            with nogil:
                status = hdl_gradient(self.plan, w, &data.c, o, count, key, g, _tick, <void *>watch, &result)
        _check(status, watch.error)
        return out, _result(&result, data)

    def forward(self, weights, x, y=None, order=None, scale=None, shift=None, bint outputs=True, progress=None, weight=None,
                offset=None):
        """Computes predictions (probabilities, or values): (out [count, outputs] or None, Result).

        Result's cost and correct are 0 without `y`. `outputs=False` scores only.
        """
        cdef hdl_result result
        cdef _Data data = _Data(x, y if self.labelled else None, scale, shift, self.widths[0], self.widths[-1], False,
                                weight, offset)
        cdef _Watch watch = _Watch(progress)
        cdef hdl_status status
        weights = _array("weights", weights, np.float32, (self.parameters,))
        order = _array("order", order, np.int64, (None,), optional=True)
        cdef int64_t count = data.c.n if order is None else len(order)
        out = np.empty((count, self.widths[-1]), np.float32) if outputs else None
        cdef const float *w = <const float *>_address(weights)
        cdef float *a = <float *>_address(out)
        cdef const int64_t *o = <const int64_t *>_address(order)
        with self.lock:
            with nogil:
                status = hdl_forward(self.plan, w, &data.c, o, count, a, _tick, <void *>watch, &result)
        _check(status, watch.error)
        return out, _result(&result, data)
