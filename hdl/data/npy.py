""".npy arrays and .npz archives of them. Arrays of objects are refused: nothing is ever unpickled."""

from __future__ import annotations

import zipfile
from typing import Any

from numpy.lib import format as npy_format

from hdl import fs
from hdl.data.base import Options
from hdl.data.records import Array, Records, _Member
from hdl.data.streams import open_stream
from hdl.errors import DataError

X_NAMES = ("x", "X", "data", "images", "features")
Y_NAMES = ("y", "Y", "target", "labels", "label")


def _header(stream: Any, path: str, member: str | None = None) -> Array:
    inside = f"{member}: " if member else ""
    try:
        version = npy_format.read_magic(stream)
        read = {(1, 0): npy_format.read_array_header_1_0}.get(version, npy_format.read_array_header_2_0)
        shape, fortran, dtype = read(stream)
    except ValueError as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{inside}not a .npy header ({reason})", path, offset=stream.at) from None
    array = Array(path, shape, dtype, stream.at, member)
    if dtype.hasobject:
        raise array.error("an array of Python objects, which hdl never unpickles; expected numbers or text", 0)
    if dtype.kind not in "buifSU":
        raise array.error(f"an array of {dtype}; expected numbers or text", 0)
    if not shape:
        raise array.error("a single number; expected an array of samples", 0)
    if fortran and len(shape) > 1:
        raise array.error("Fortran order, expected C order: save np.ascontiguousarray(x)", 0)
    if 0 in shape[1:]:
        raise array.error(f"shape {shape}; expected no dimension of 0", 0)
    return array


def read_header(path: str) -> Array:
    """The array that a .npy file promises."""
    with open_stream(path) as stream:
        array = _header(stream, path)
        return array.promise(fs.size(path)) if stream.kind is None else array


def read_archive(path: str, part: str | None) -> tuple[Array, Array | None]:
    """Features and labels in an .npz: `x` and `y` (or their usual other names), `x_test` and `y_test` for a part."""
    try:
        with fs.open(path) as file, zipfile.ZipFile(file) as archive:
            sizes = {item.filename: item.file_size for item in archive.infolist()}
    except zipfile.BadZipFile as error:
        raise DataError(f"truncated or corrupt zip archive ({error})", path) from None
    tail = [f"_{part}"] if part else ["", "_train"]

    def find(names: tuple[str, ...]) -> Array | None:
        for name in (name + end + ".npy" for name in names for end in tail):
            if name in sizes:
                member = _Member(path, name)
                try:
                    return _header(member, path, name).promise(sizes[name])
                finally:
                    member.file.close()
        return None

    x = find(X_NAMES)
    if x is None:
        wanted = ", ".join(X_NAMES[0] + end for end in tail)
        raise DataError(f"the archive holds {', '.join(sorted(sizes)) or 'nothing'}; expected {wanted}", path)
    return x, find(Y_NAMES)


def open_npy(pairs: list[tuple[str, str | None]], options: Options, schema: Any = None, labels: bool = True) -> Records:
    """Pairs of .npy files (features, labels), or single ones with the labels in a column."""
    return Records("npy", [(read_header(x), read_header(y) if y else None) for x, y in pairs], options, schema, labels)


def open_npz(paths: list[str], part: str | None, options: Options, schema: Any = None, labels: bool = True) -> Records:
    """.npz archives."""
    return Records("npz", [read_archive(path, part) for path in paths], options, schema, labels)
