# Arrays and callbacks as C takes them, checked, and kept as long as C points into them; _cpu.pyx includes it.

def _one_of(field, value, names):
    if value not in names:
        raise SpecError(f"{field} is {value!r}, expected one of {', '.join(names)}")
    return names.index(value)


def _array(name, value, dtype, shape, optional=False):
    """Returns `value` as it is where it fits, else a copy that does; raises an error that names what was expected."""
    if value is None:
        if optional:
            return None
        raise SpecError(f"{name} is missing")
    if not isinstance(value, np.ndarray) or value.dtype != dtype or not (value.flags.c_contiguous and value.flags.aligned):
        given = np.asarray(value)
        with np.errstate(invalid="ignore"):
            value = np.require(given, dtype, ("C", "A"))
        if value.dtype.kind == "i" and not np.array_equal(value, given):
            raise SpecError(f"{name} holds numbers that are no {value.dtype}")
    if value.ndim != len(shape) or any(s is not None and s != t for s, t in zip(shape, value.shape)):
        raise SpecError(f"{name} has shape {value.shape}, expected {tuple('n' if s is None else s for s in shape)}")
    return value


def _own(name, value, size):
    """Returns an array that the core overwrites, never copied."""
    if not isinstance(value, np.ndarray) or value.dtype != np.float32 or not (value.flags.c_contiguous and value.flags.aligned):
        raise SpecError(f"{name} must be a contiguous float32 array, it is overwritten")
    if value.size != size:
        raise SpecError(f"{name} has {value.size} numbers, expected {size}")
    if not value.flags.writeable:
        raise SpecError(f"{name} must be writeable, it is overwritten")
    return value


cdef const void *_address(value) noexcept:
    """Returns where a contiguous array's numbers lie, NULL of None; quicker than `value.ctypes`, as small joins need."""
    cdef Py_buffer view
    if value is None:
        return NULL
    PyObject_GetBuffer(value, &view, PyBUF_SIMPLE)
    cdef const void *address = view.buf
    PyBuffer_Release(&view)
    return address


cdef class _Watch:
    """Reports progress, and checks for signals, about every 50 ms while the core works."""

    cdef object progress
    cdef object error

    def __init__(self, progress):
        self.progress = progress
        self.error = None

    cdef int tick(self, int64_t done, int64_t steps) noexcept:
        try:
            PyErr_CheckSignals()
            return 1 if self.progress is not None and self.progress(done, steps) else 0
        except BaseException as error:
            self.error = error
            return 1


cdef int _tick(void *context, int64_t done, int64_t steps) noexcept nogil:
    with gil:
        return (<_Watch>context).tick(done, steps)


cdef object _result(const hdl_result *result, _Data data):
    """Gives a result to Python; without weights, counts stay whole numbers."""
    if data.c.weight == NULL:
        return Result(result.cost, int(result.correct), result.samples, result.steps, result.samples)
    return Result(result.cost, result.correct, result.samples, result.steps, result.weight)


_NUMBERS = {
    np.dtype(np.float32): HDL_NUMBER_F32,
    np.dtype(np.float64): HDL_NUMBER_F64,
    np.dtype(np.uint8): HDL_NUMBER_U8,
    np.dtype(np.bool_): HDL_NUMBER_U8,
    np.dtype(np.int32): HDL_NUMBER_I32,
    np.dtype(np.int64): HDL_NUMBER_I64,
}
NUMBERS = frozenset(_NUMBERS)  # types of numbers that the core reads where they lie


cdef class _Strided:
    """Matrices [n, I] and columns [n] where they lie, as C takes them: what lies as one matrix is one.

    A column is apart from the one before by so many bytes, whatever lies between them.
    """

    cdef hdl_strided *part
    cdef int32_t parts
    cdef int64_t columns
    cdef tuple keep

    def __cinit__(self, arrays):
        cdef hdl_strided one
        cdef hdl_strided *last = NULL
        cdef Py_buffer view
        cdef ptrdiff_t apart
        self.keep = tuple(arrays)
        self.part = <hdl_strided *>PyMem_Malloc(max(1, len(self.keep)) * sizeof(hdl_strided))
        if self.part == NULL:
            raise MemoryError
        for array in self.keep:
            number = _NUMBERS.get(array.dtype)
            if number is None or array.ndim not in (1, 2) or not array.flags.aligned:
                raise SpecError(f"x is {array.dtype} of shape {array.shape}, expected aligned numbers [n, I] or [n]")
            PyObject_GetBuffer(array, &view, PyBUF_STRIDES)
            one.at, one.type, one.n, one.row = view.buf, number, view.shape[0], view.strides[0]
            one.I, one.column = 1, view.itemsize
            if view.ndim == 2:
                one.I, one.column = view.shape[1], view.strides[1]
            PyBuffer_Release(&view)
            self.columns += one.I
            if last != NULL and one.I == 1 and (one.type, one.n, one.row) == (last.type, last.n, last.row):
                apart = <const char *>one.at - <const char *>last.at
                if last.I == 1 or apart == last.I * last.column:
                    last.I, last.column = last.I + 1, apart // last.I
                    continue
            last = &self.part[self.parts]
            last[0] = one
            self.parts += 1

    def __dealloc__(self):
        PyMem_Free(self.part)


cdef class _Data:
    """Holds hdl_data with the arrays that it points into."""

    cdef hdl_data c
    cdef list keep

    def __init__(self, x, y, scale, shift, int inputs, int outputs, bint labelled, weight=None, offset=None):
        self.keep = []
        self.c.indptr = NULL
        self.c.indices = NULL
        self.c.numbers = self.c.categories = 0
        self.c.codes = NULL
        self.c.parts, self.c.part = 0, NULL
        cdef _Strided strided
        if hasattr(x, "parts"):
            strided = _Strided(x.parts)
            self.keep.append(strided)
            self.c.x_type, self.c.x = HDL_NUMBERS, NULL
            self.c.n = strided.part[0].n if strided.parts else 0
            self.c.parts, self.c.part = strided.parts, strided.part
        elif hasattr(x, "codes"):
            codes = _array("codes", x.codes, np.int32, (None, None))
            numbers = _array("numbers", x.numbers, np.float32, (len(codes), None))
            if x.shape[1] != inputs:
                raise SpecError(f"mixed x has {x.shape[1]} inputs, expected {inputs}")
            self.keep += [numbers, codes]
            self.c.x_type = HDL_MIXED
            self.c.n = len(codes)
            self.c.x = _address(numbers)
            self.c.numbers, self.c.categories = <int32_t>numbers.shape[1], <int32_t>codes.shape[1]
            self.c.codes = <const int32_t *>_address(codes)
        elif isinstance(x, tuple):
            if len(x) != 3:
                raise SpecError("sparse x must be (values, indptr, indices)")
            values, indptr, indices = x
            indptr = _array("indptr", indptr, np.int64, (None,))
            if len(indptr) < 1:
                raise SpecError("indptr is empty, expected n + 1 numbers")
            values = _array("values", values, np.float32, (None,))
            indices = _array("indices", indices, np.int32, (None,))
            if len(values) != len(indices) or indptr[-1] > len(values):
                raise SpecError(f"sparse x has {len(values)} values, {len(indices)} indices, indptr ends at {indptr[-1]}")
            self.keep += [values, indptr, indices]
            self.c.x_type = HDL_CSR
            self.c.n = len(indptr) - 1
            self.c.x = _address(values)
            self.c.indptr = <const int64_t *>_address(indptr)
            self.c.indices = <const int32_t *>_address(indices)
        else:
            x = np.asarray(x)
            x = _array("x", x, np.uint8 if x.dtype == np.uint8 else np.float32, (None, inputs))
            self.keep.append(x)
            self.c.x_type = HDL_U8 if x.dtype == np.uint8 else HDL_F32
            self.c.n = x.shape[0]
            self.c.x = _address(x)
        scale = _array("scale", scale, np.float32, (inputs,), optional=True)
        shift = _array("shift", shift, np.float32, (inputs,), optional=True)
        self.keep += [scale, shift]
        self.c.scale = <const float *>_address(scale)
        self.c.shift = <const float *>_address(shift)
        weight = _array("weight", weight, np.float32, (self.c.n,), optional=True)
        offset = _array("offset", offset, np.float32, (self.c.n, outputs), optional=True)
        self.keep += [weight, offset]
        self.c.weight = <const float *>_address(weight)
        self.c.offset = <const float *>_address(offset)
        self.c.y_type = HDL_CLASS
        self.c.y = NULL
        if y is None:
            if labelled:
                raise SpecError("y is missing")
            return
        y = np.asarray(y)
        if y.ndim == 1 and y.dtype.kind in "iu":
            y = _array("y", y, np.int32, (self.c.n,))
        elif y.ndim == 1 and outputs == 1:
            y = _array("y", y.reshape(-1, 1), np.float32, (self.c.n, 1))
            self.c.y_type = HDL_TARGET
        else:
            y = _array("y", y, np.float32, (self.c.n, outputs))
            self.c.y_type = HDL_TARGET
        self.keep.append(y)
        self.c.y = _address(y)
