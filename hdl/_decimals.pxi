# Lines of decimal numbers; _cpu.pyx includes it.

from libc.string cimport memchr


def newlines(text):
    """Counts the newlines of some bytes: ten times as fast as bytes.count where lines are long."""
    cdef int64_t found = 0
    cdef const char *p = <const char *>_address(text)
    cdef const char *end = p + <int64_t>len(text)
    with nogil:
        while p < end:
            p = <const char *>memchr(p, 10, end - p)
            if p == NULL:
                break
            found += 1
            p += 1
    return found

def decimals(text, delimiter, double limit, out, to=None, starts=None, texts=None):
    """Reads lines of delimited numbers, each rounded as Python's float() does it: see `hdl_decimals` in csrc/hdl.h.

    Parameters
    ----------
    text : bytes-like
        Whole lines, the last one with its newline.
    delimiter : bytes of one character
        A blank stands for any blanks and tabs.
    limit : float
        Numbers are between it and its negative.
    out : float64 [n, columns], contiguous
        Where the rows go; their numbers are the cells of a line, unless `to` says more.
    to : int32 [width], optional
        Which number of its row each cell is; -1: none, -2: a text, of which a line has one.
    starts, texts : int32 [n + 1] and uint8 [bytes of the text], optional
        Where the texts begin and end, and what they are.

    Returns
    -------
    int
        Lines read; -1 where a line is anything but plain numbers (another number of cells, an empty one, quotes,
        NaN, …), or n are too few.
    """
    cdef hdl_lines lines
    cdef int64_t size = len(text), n = len(out), found
    cdef const char *p = <const char *>_address(text)
    if not isinstance(out, np.ndarray) or out.dtype != np.float64 or out.ndim != 2 or not out.flags.carray:
        raise SpecError("out must be a contiguous float64 array [n, columns], it is overwritten")
    to = _array("to", to, np.int32, (None,), optional=True)
    lines.delimiter, lines.limit, lines.columns = ord(delimiter), limit, out.shape[1]
    lines.width = lines.columns if to is None else len(to)
    if to is not None:
        if not (-2 <= to.min() and to.max() < lines.columns and (to == -2).sum() == (starts is not None)):
            raise SpecError(f"cells go to {to.tolist()}, expected -2 to {lines.columns - 1}, and -2 for texts")
        if starts is not None:
            _sized("starts", starts, np.int32, n + 1)
            _sized("texts", texts, np.uint8, size)
    lines.to = <const int32_t *>_address(to)
    cdef double *o = <double *>_address(out)
    cdef int32_t *begins = <int32_t *>_address(starts)
    cdef char *cells = <char *>_address(texts)
    with nogil:
        found = hdl_decimals(p, size, &lines, n, o, begins, cells)
    return found


def pairs(text, bint labelled, int64_t largest_index, double largest_label, double limit):
    """Reads lines of libsvm's format; blank ones are passed over: see `hdl_pairs` in csrc/hdl.h.

    Returns
    -------
    (float64 [n], int64 [n + 1], int32 [entries], float64 [entries]) or None
        Labels, where each line's pairs start, indices from 0, and values; None where anything is unusual.
    """
    cdef hdl_pair_lines lines
    cdef int64_t size = len(text), n = newlines(text), most = text.count(b":"), found
    cdef const char *p = <const char *>_address(text)
    labels, starts = np.zeros(n), np.empty(n + 1, np.int64)
    indices, values = np.empty(most, np.int32), np.empty(most)
    lines.labelled, lines.largest_index = labelled, largest_index
    lines.largest_label, lines.limit = largest_label, limit
    cdef double *y = <double *>_address(labels)
    cdef int64_t *s = <int64_t *>_address(starts)
    cdef int32_t *i = <int32_t *>_address(indices)
    cdef double *v = <double *>_address(values)
    with nogil:
        found = hdl_pairs(p, size, &lines, n, most, y, s, i, v)
    if found < 0:
        return None
    entries = starts[found]
    return labels[:found], starts[:found + 1], indices[:entries], values[:entries]


def _sized(name, value, dtype, size):
    if not isinstance(value, np.ndarray) or value.dtype != dtype or value.size != size or not value.flags.carray:
        raise SpecError(f"{name} must be a contiguous {np.dtype(dtype).name} array [{size}], it is overwritten")
