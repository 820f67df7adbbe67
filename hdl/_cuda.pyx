# cython: language_level=3
"""The CUDA core as Python sees it: tables of operations packed as C has them, and calls that run them on a device.

Memory, streams and contexts are the caller's (`hdl.devices`): all addresses here are numbers. What is wrong with the
arguments of a user is found above, in `hdl.ops.cuda`; here only what C itself refuses.
"""

from libc.stdint cimport int16_t, int32_t, int64_t, uint32_t, uintptr_t

from hdl.errors import DeviceError, DeviceMemory

cdef extern from "hdl.h" nogil:
    ctypedef int hdl_status
    enum:
        HDL_OK, HDL_ENOMEM
    ctypedef struct hdl_data:
        int32_t x_type, y_type
        int64_t n
        const void *x
        const int64_t *indptr
        const int32_t *indices
        const float *scale
        const float *shift
        const void *y

cdef extern from "cuda/hdl_cuda.h" nogil:
    enum:
        HDL_ARENAS
    ctypedef struct hdl_matrix:
        int64_t at, turn
        int32_t ld
        int16_t arena, place
    ctypedef struct hdl_op:
        int32_t kind, finish, tile, m, n, k, function, layer, ahead, decays
        float leak, keep
        uint32_t drop
        float x
        hdl_matrix a, b, c, d, bias
    ctypedef struct hdl_cuda_rule:
        int32_t rule
        float l1, l2, max_norm, momentum, beta1, beta2, rho, epsilon
        uint32_t key[2]
    ctypedef struct hdl_cuda_call:
        const hdl_op *ops
        const int32_t *phase
        int32_t phases, operations, nets, precision
        float *arena[4]
        int64_t stride[4]
        int32_t resident, state_vectors
        int64_t parameters
        hdl_data data
        int32_t inputs, outputs
        const int64_t *order
        int64_t order_stride, count, batch, first, last, first_step
        int32_t by_place, scored
        const float *rates
        int64_t rates_stride
        const hdl_cuda_rule *rules
        double *cost
        int64_t *correct
        int32_t rows, tiles
        uint32_t *barrier
    hdl_status hdl_cuda_run(const hdl_cuda_call *, void *)
    hdl_status hdl_cuda_shape(const hdl_cuda_call *, int32_t *, int32_t *)
    const char *hdl_cuda_last_error()

_NOWHERE = {"at": 0, "turn": 0, "ld": 0, "arena": -1, "place": 0}
_PLAIN = {
    "finish": 0, "tile": 0, "m": 0, "n": 0, "k": 0, "function": 0, "layer": 0, "ahead": 0, "decays": 0, "leak": 0.0,
    "keep": 0.0, "drop": 0, "x": 0.0, "a": _NOWHERE, "b": _NOWHERE, "c": _NOWHERE, "d": _NOWHERE, "bias": _NOWHERE,
}


def operation(**fields) -> bytes:
    """One `hdl_op`, as it lies in a table; what is not given is 0, or no matrix."""
    cdef hdl_op found
    unknown = fields.keys() - _PLAIN.keys() - {"kind"}
    if unknown:
        raise TypeError(f"no such field of an operation: {', '.join(sorted(unknown))}")
    found = {**_PLAIN, **fields}
    return (<char *>&found)[:sizeof(hdl_op)]


def rule(int rule, float l1, float l2, float max_norm, float momentum, float beta1, float beta2, float rho,
         float epsilon, key) -> bytes:
    """One `hdl_cuda_rule`; key: two words."""
    cdef hdl_cuda_rule found
    found.rule, found.l1, found.l2, found.max_norm, found.momentum = rule, l1, l2, max_norm, momentum
    found.beta1, found.beta2, found.rho, found.epsilon = beta1, beta2, rho, epsilon
    found.key[0], found.key[1] = key
    return (<char *>&found)[:sizeof(hdl_cuda_rule)]


cdef class Call:
    """A `hdl_cuda_call`: all but the range of steps is given once.

    Parameters
    ----------
    ops, phase, order, rates, rules, cost, correct, barrier : int
        Addresses on the device; `rates` may be 0.
    arenas : sequence of (address, floats from net to net)
        W, S, T, G.
    data : dict
        x_type, y_type, n and the addresses x, indptr, indices, scale, shift, y.
    others : int
        The fields of the same name.
    """

    cdef hdl_cuda_call c

    def __init__(self, *, uintptr_t ops, uintptr_t phase, int phases, int operations, arenas, data, uintptr_t order,
                 uintptr_t rules, uintptr_t cost, uintptr_t correct, uintptr_t barrier, int64_t count, int64_t batch,
                 int rows, int tiles, int inputs, int outputs, int64_t parameters, int state_vectors=0, int nets=1,
                 int precision=0, bint resident=False, int64_t order_stride=0, int64_t first_step=0,
                 bint by_place=False, bint scored=False, uintptr_t rates=0, int64_t rates_stride=0):
        cdef hdl_cuda_call *c = &self.c
        c.ops, c.phase, c.phases, c.operations = <const hdl_op *>ops, <const int32_t *>phase, phases, operations
        c.nets, c.precision, c.resident, c.state_vectors, c.parameters = nets, precision, resident, state_vectors, parameters
        for i, (address, stride) in enumerate(arenas):
            c.arena[i], c.stride[i] = <float *><uintptr_t>address, stride
        c.data.x_type, c.data.y_type, c.data.n = data["x_type"], data["y_type"], data["n"]
        c.data.x, c.data.y = <const void *><uintptr_t>data["x"], <const void *><uintptr_t>data["y"]
        c.data.indptr = <const int64_t *><uintptr_t>data["indptr"]
        c.data.indices = <const int32_t *><uintptr_t>data["indices"]
        c.data.scale = <const float *><uintptr_t>data["scale"]
        c.data.shift = <const float *><uintptr_t>data["shift"]
        c.inputs, c.outputs, c.order, c.order_stride = inputs, outputs, <const int64_t *>order, order_stride
        c.count, c.batch, c.first_step, c.by_place, c.scored = count, batch, first_step, by_place, scored
        c.rates, c.rates_stride, c.rules = <const float *>rates, rates_stride, <const hdl_cuda_rule *>rules
        c.cost, c.correct, c.rows, c.tiles = <double *>cost, <int64_t *>correct, rows, tiles
        c.barrier = <uint32_t *>barrier

    def run(self, int64_t first, int64_t last, uintptr_t stream):
        """Starts steps first … last on a stream; the two words of each net's barrier must be zero."""
        cdef hdl_status status
        self.c.first, self.c.last = first, last
        with nogil:
            status = hdl_cuda_run(&self.c, <void *>stream)
        _check(status)

    def shape(self) -> tuple[int, bool]:
        """Blocks that a net gets on the current device, and whether its arenas are in shared memory."""
        cdef int32_t blocks = 0, resident = 0
        self.c.first, self.c.last = 0, 1
        _check(hdl_cuda_shape(&self.c, &blocks, &resident))
        return blocks, bool(resident)


cdef _check(hdl_status status):
    if status == HDL_OK:
        return
    kind = DeviceMemory if status == HDL_ENOMEM else DeviceError
    raise kind(hdl_cuda_last_error().decode(errors="replace"))
