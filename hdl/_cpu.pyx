# cython: language_level=3, boundscheck=True
"""The CPU core (csrc/hdl.h) for Python: checks shapes and types, releases the GIL, raises hdl's errors.

Parameters are one flat float32 vector [P]: for each layer W [in, out] row-major, then b [out].
"""

import os
import threading
from typing import NamedTuple

import numpy as np

from hdl.errors import HdlError, Interrupted, NonFinite, SpecError, Unavailable

from cpython.buffer cimport PyBUF_SIMPLE, PyBUF_STRIDES, PyBuffer_Release, PyObject_GetBuffer
from cpython.exc cimport PyErr_CheckSignals
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t


include "_header.pxi"


cdef tuple _names(const char *(*name_of)(int32_t) noexcept nogil):
    """Lists what the core calls its numbers, from 0 until it has no more."""
    cdef const char *name = name_of(0)
    names = []
    while name != NULL:
        names.append((<bytes>name).decode())
        name = name_of(len(names))
    return tuple(names)


ACTIVATIONS = _names(hdl_activation_name)
LOSSES = _names(hdl_loss_name)
RULES = _names(hdl_rule_name)
ISAS = ("auto", "generic", "avx2", "avx512")
PRECISIONS = ("float32", "tf32", "bf16")


class Result(NamedTuple):
    """Sums over the samples that a call has seen.

    Attributes
    ----------
    cost : float
        Sum over samples of the data cost (no regulariser), as seen while training, times the weight.
    correct : int or float
        Weight of the samples whose largest output is their class (softmax), or with all outputs on the right side of
        0.5 (sigmoid); 0 of other losses.
    samples, steps : int
        Samples seen; whole steps taken.
    weight : int or float
        Weight of the samples seen: their number where they have none.
    """

    cost: float
    correct: float
    samples: int
    steps: int
    weight: float


include "_arguments.pxi"


include "_dense.pxi"
include "_autoencoder.pxi"
include "_rbm.pxi"
include "_decimals.pxi"


cdef hdl_isa _isa(name) except? -1:
    return _one_of("HDL_ISA", name or os.environ.get("HDL_ISA") or "auto", ISAS)


cdef int32_t _rows(max_batch) except? -1:
    return min(max(int(max_batch), 0), 1 << 20)


cdef _check(hdl_status status, error):
    if error is not None:
        raise error
    if status == HDL_OK:
        return
    message = hdl_last_error().decode()
    if status == HDL_EINVAL:
        raise SpecError(message)
    if status == HDL_ENONFINITE:
        raise NonFinite(message)
    if status == HDL_EINTERRUPT:
        raise Interrupted(message)
    if status == HDL_EISA:
        raise Unavailable(f"HDL_ISA: {message}")
    if status == HDL_ENOMEM:
        raise MemoryError(message)
    raise HdlError(message)


def random_u32(uint64_t seed, uint32_t a, uint32_t b, uint32_t c, uint64_t first, int64_t n):
    """Draws words first .. first+n of the Philox4x32-10 stream keyed by (seed, a, b, c): uint32 array [n]."""
    if n < 0 or first > (<uint64_t>1 << 34) or first + <uint64_t>n > (<uint64_t>1 << 34):
        raise SpecError(f"words {first} to {first + n} of a stream, expected at most 2^34")
    out = np.empty(n, np.uint32)
    cdef uint32_t *p = <uint32_t *>_address(out)
    with nogil:
        hdl_random_u32(seed, a, b, c, first, n, p)
    return out


def join(arrays, program, shares, out):
    """Joins float32 arrays [n] along a tree into `out` [n], in one pass: see `hdl_join` in csrc/hdl.h.

    Parameters
    ----------
    arrays : list of ndarray [n]
    program : list of int
        In postfix order: numbers of arrays, and -1, which joins the last two.
    shares : list of float, or None
        Of each joint; None adds.
    out : float32 [n]
    """
    cdef int64_t n = out.size
    _own("out", out, n)
    arrays = [_array(f"array {number}", array, np.float32, (n,)) for number, array in enumerate(arrays)]
    addresses = np.empty(len(arrays), np.uintp)
    steps = _array("program", np.asarray(program, np.int32), np.int32, (None,))
    joints = None if shares is None else _array("shares", np.asarray(shares, np.float32), np.float32, (None,))
    cdef size_t *p = <size_t *>_address(addresses)
    cdef const int32_t *q = <const int32_t *>_address(steps)
    cdef const float *r = <const float *>_address(joints)
    cdef float *o = <float *>_address(out)
    cdef int32_t count = len(arrays), size = steps.size, joined = 0, at
    for at in range(count):
        p[at] = <size_t>_address(arrays[at])
    for at in range(size):
        joined += q[at] < 0
    if joints is not None and joints.size < joined:
        raise SpecError(f"{joints.size} shares for {joined} joints")
    cdef hdl_status status
    with nogil:
        status = hdl_join(count, <const float *const *>p, size, q, r, n, o)
    _check(status, None)


def rows(parts, out=None):
    """Lays matrices side by side in rows of float32, in one pass with a look whether all of them is finite there.

    Parameters
    ----------
    parts : sequence of ndarray [n, I] or [n]
        Each in any order, of one of the types `NUMBERS`.
    out : float32 [n, columns of all], contiguous, optional
        None: they are only looked at.
    """
    cdef _Strided strided = _Strided(parts)
    lengths = {len(part) for part in strided.keep}
    if len(lengths) != 1:
        raise SpecError(f"parts have {sorted(lengths)} rows, expected as many each")
    if out is not None and _own("out", out, strided.columns * len(parts[0])).shape != (len(parts[0]), strided.columns):
        raise SpecError(f"out has shape {out.shape}, expected {(len(parts[0]), strided.columns)}")
    cdef float *o = <float *>_address(out)
    cdef bint finite
    with nogil:
        finite = hdl_rows(strided.part, strided.parts, o)
    return finite


def state_vectors(rule):
    """Counts the state vectors [P] that an update rule keeps."""
    return hdl_state_vectors(_one_of("rule", rule, RULES))


def best_isa():
    """Names the best kernels that this processor runs: 'avx512', 'avx2' or 'generic'."""
    return hdl_isa_name(hdl_best_isa()).decode()


def isas():
    """Names all kernels that this processor runs, best last."""
    cdef hdl_plan *plan
    cdef hdl_net net
    cdef int32_t[2] widths = [1, 1]
    net.layers, net.widths, net.activation, net.loss = 1, widths, 0, 0
    net.leak = net.dropout_input = net.dropout_hidden = net.loss_parameter = net.label_smoothing = 0
    net.tables = net.numbers = 0
    net.rates = NULL
    net.precision = 0
    names = []
    for number in range(1, len(ISAS)):
        if hdl_plan_new(&plan, &net, 1, 1, number) == HDL_OK:
            names.append(ISAS[number])
            hdl_plan_free(plan)
    return tuple(names)


def caches():
    """Tells the bytes of a core's L1 and L2 for which the work of plans is cut."""
    cdef hdl_caches found = hdl_find_caches()
    return found.l1, found.l2


def set_caches(l1, l2):
    """Cuts the work of plans made from now on for caches of so many bytes; no result depends on them."""
    hdl_set_caches(l1, l2)


def bf16_way(isa):
    """Tells how this processor multiplies bfloat16 with these kernels: 'native', or 'portable: ' and why."""
    return hdl_bf16_way(_one_of("isa", isa, ISAS)).decode()


def peak_gflops(int threads=1, isa=None):
    """Measures the most multiply-adds of float32 that these cores can do, in registers on `threads` threads for some 20 ms."""
    cdef hdl_isa number = _one_of("isa", isa or os.environ.get("HDL_ISA") or "auto", ISAS)
    cdef double speed
    with nogil:
        speed = hdl_peak_gflops(threads, number)
    return speed
