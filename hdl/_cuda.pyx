# cython: language_level=3
"""Binds the CUDA core: packs tables of operations as C has them, and makes calls that run them on a device.

Memory, streams and contexts are the caller's (`hdl.devices`): all addresses here are numbers. `hdl.ops.cuda` checks a
user's arguments; here an error is raised only where C itself refuses.
"""

from libc.stdint cimport int16_t, int32_t, int64_t, uint32_t, uint64_t, uintptr_t

from hdl.errors import DeviceError, DeviceMemory

include "_header.pxi"

cdef extern from "cuda/hdl_cuda.h" nogil:
    ctypedef struct hdl_matrix:
        int64_t at, buffer_stride
        int32_t ld
        int16_t arena, place
    ctypedef struct hdl_op:
        int32_t kind, epilogue, tile, m, n, k, function, layer, ahead, penalised_rows
        float rate, leak, keep
        uint32_t drop
        float scalar
        int32_t extra_k, chains
        float rho, beta
        hdl_matrix a, b, c, d, bias
    ctypedef struct hdl_cuda_rule:
        int32_t rule
        float l1, l2, max_norm, momentum, beta1, beta2, rho, epsilon, weight_decay, l2_sp
        uint32_t key[4]
    ctypedef struct hdl_cuda_net:
        hdl_cuda_rule rule
        int32_t scored
        hdl_data data
        const int64_t *order
        const float *rates
        int64_t count, first_step
    ctypedef struct hdl_cuda_call:
        const hdl_op *ops
        const int32_t *phase
        const hdl_cuda_net *net
        int32_t phases, operations, nets, precision
        float *arena[4]
        int64_t stride[4]
        int32_t resident, state_vectors
        int64_t parameters, batch, first, last
        int32_t by_place, rows, tiles, largest_tile
        double *cost
        double *correct
        uint32_t *barrier
        int32_t loop
        int64_t *step
    hdl_status hdl_cuda_run(const hdl_cuda_call *, void *, void **)
    void hdl_cuda_forget(void *)
    const char *hdl_cuda_last_error()

_NOWHERE = {"at": 0, "buffer_stride": 0, "ld": 0, "arena": -1, "place": 0}
_PLAIN = {
    "epilogue": 0, "tile": 0, "m": 0, "n": 0, "k": 0, "function": 0, "layer": 0, "ahead": 0, "penalised_rows": 0,
    "rate": 1.0,
    "leak": 0.0, "keep": 0.0, "drop": 0, "scalar": 0.0, "extra_k": 0, "chains": 0, "rho": 0.0, "beta": 0.0,
    "a": _NOWHERE, "b": _NOWHERE, "c": _NOWHERE, "d": _NOWHERE, "bias": _NOWHERE,
}


def operation(**fields) -> bytes:
    """Packs one `hdl_op` as it lies in a table; a field that is not given is 0, or no matrix."""
    cdef hdl_op packed
    unknown = fields.keys() - _PLAIN.keys() - {"kind"}
    if unknown:
        raise TypeError(f"no such field of an operation: {', '.join(sorted(unknown))}")
    packed = {**_PLAIN, **fields}
    return (<char *>&packed)[:sizeof(hdl_op)]


def net(rule, key, data, uintptr_t order, int64_t count, int64_t first_step=0, uintptr_t rates=0,
        bint scored=False) -> bytes:
    """Packs one `hdl_cuda_net` as it lies in a table.

    Parameters
    ----------
    rule : dict
        The fields of `hdl_cuda_rule` but for the key.
    key : sequence of int
        Two words, or four where there are chains.
    data : dict
        x_type, y_type, n, the addresses x, indptr, indices, scale, shift, y, weight, offset, and of encoded rows
        numbers, categories and the address codes.
    order, rates : int
        Addresses on the device; `rates` may be 0.
    """
    cdef hdl_cuda_net c
    c.rule = {**rule, "key": [*key, 0, 0][:4]}
    c.scored, c.count, c.first_step = scored, count, first_step
    c.data.x_type, c.data.y_type, c.data.n = data["x_type"], data["y_type"], data["n"]
    c.data.x, c.data.y = <const void *><uintptr_t>data["x"], <const void *><uintptr_t>data["y"]
    c.data.indptr = <const int64_t *><uintptr_t>data["indptr"]
    c.data.indices = <const int32_t *><uintptr_t>data["indices"]
    c.data.scale = <const float *><uintptr_t>data["scale"]
    c.data.shift = <const float *><uintptr_t>data["shift"]
    c.data.weight = <const float *><uintptr_t>data["weight"]
    c.data.offset = <const float *><uintptr_t>data["offset"]
    c.data.numbers, c.data.categories = data.get("numbers", 0), data.get("categories", 0)
    c.data.codes = <const int32_t *><uintptr_t>data.get("codes", 0)
    c.order, c.rates = <const int64_t *>order, <const float *>rates
    return (<char *>&c)[:sizeof(hdl_cuda_net)]


cdef class Call:
    """Holds a `hdl_cuda_call`: all but the range of steps is given once.

    Parameters
    ----------
    ops, phase, net, cost, correct, barrier, step : int
        Addresses on the device.
    arenas : sequence of (address, floats from net to net)
        W, S, T, G.
    others : int
        The fields of the same name.
    """

    cdef hdl_cuda_call c
    cdef void *graph

    def __init__(self, *, uintptr_t ops, uintptr_t phase, uintptr_t net, int phases, int operations, arenas,
                 uintptr_t cost, uintptr_t correct, uintptr_t barrier, uintptr_t step, int64_t batch, int rows,
                 int tiles, int largest_tile, int64_t parameters, int state_vectors=0, int nets=1, int precision=0,
                 bint resident=False, bint by_place=False, int loop=0):
        cdef hdl_cuda_call *c = &self.c
        c.ops, c.phase, c.phases, c.operations = <const hdl_op *>ops, <const int32_t *>phase, phases, operations
        c.net, c.nets, c.precision, c.resident = <const hdl_cuda_net *>net, nets, precision, resident
        for i, (address, stride) in enumerate(arenas):
            c.arena[i], c.stride[i] = <float *><uintptr_t>address, stride
        c.state_vectors, c.parameters, c.batch, c.by_place = state_vectors, parameters, batch, by_place
        c.rows, c.tiles, c.largest_tile = rows, tiles, largest_tile
        c.cost, c.correct = <double *>cost, <double *>correct
        c.barrier, c.step, c.loop = <uint32_t *>barrier, <int64_t *>step, loop

    def __dealloc__(self):
        hdl_cuda_forget(self.graph)

    def forget(self):
        """Frees the graph that runs have left on the device, whose context is current."""
        hdl_cuda_forget(self.graph)
        self.graph = NULL

    def run(self, int64_t first, int64_t last, uintptr_t stream):
        """Starts steps first … last on a stream; the two words of each net's barrier must be zero."""
        cdef hdl_status status
        self.c.first, self.c.last = first, last
        with nogil:
            status = hdl_cuda_run(&self.c, <void *>stream, &self.graph)
        _check(status)


cdef _check(hdl_status status):
    if status == HDL_OK:
        return
    kind = DeviceMemory if status == HDL_ENOMEM else DeviceError
    raise kind(hdl_cuda_last_error().decode(errors="replace"))
