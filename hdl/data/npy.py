""".npy arrays and .npz archives of them. Arrays of objects are refused: nothing is ever unpickled."""

from __future__ import annotations

import re
import zipfile
from typing import Any

from numpy.lib import format as npy_format

from hdl import fs
from hdl.data.leftout import LeftOut
from hdl.data.options import Options
from hdl.data.records import Array, Records, _Member
from hdl.data.streams import open_stream
from hdl.errors import DataError

X_NAMES = ("x", "data", "image", "images", "feature", "features", "input", "inputs")
Y_NAMES = ("y", "target", "targets", "label", "labels", "output", "outputs")
PARTS = {"train": "train", "training": "train", "test": "test", "val": "val", "valid": "val", "validation": "val"}
_PART = "|".join(PARTS)
_NAME = re.compile(rf"(?:({_PART})_)?({'|'.join(X_NAMES + Y_NAMES)})(?:_({_PART}))?", re.I)  # x_train, train_images


def _header(stream: Any, path: str, member: str | None = None) -> Array:
    inside = f"{member}: " if member else ""
    try:
        version = npy_format.read_magic(stream)
        read = {(1, 0): npy_format.read_array_header_1_0}.get(version, npy_format.read_array_header_2_0)
        shape, fortran, dtype = read(stream)
    except ValueError as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"{inside}not a .npy header ({reason})", path, offset=stream.at) from None
    array = Array(path, shape, dtype, stream.at, member, fortran and len(shape) > 1)
    if dtype.hasobject:
        raise array.error("an array of Python objects, which hdl never unpickles; expected numbers or text", 0)
    if dtype.kind not in "buifSU":
        raise array.error(f"an array of {dtype}; expected numbers or text", 0)
    if not shape:
        raise array.error("a single number; expected an array of samples", 0)
    if 0 in shape[1:]:
        raise array.error(f"shape {shape}; expected no dimension of 0", 0)
    return array


def read_header(path: str) -> Array:
    """Reads what array a .npy file promises."""
    with open_stream(path) as stream:
        array = _header(stream, path)
        return array.promise(fs.size(path)) if stream.kind is None else array


class Archive:
    """An .npz archive: which of its arrays are features, and which labels, of the part that is asked for.

    Arrays are known by their names: `x` and `y` or their usual other names, alone or with the name of a part, as in
    `x_train` and `train_images`; or `arr_0` and `arr_1` as NumPy calls those without names.

    Parameters
    ----------
    part : {'test', 'val'} or None
        None: the training part, or what has no part.
    label : str, optional
        Name of the array of labels.
    labelled : bool
        False: labels are not wanted, so it does not matter which of several they are.

    Raises
    ------
    DataError
        The archive is damaged, or two arrays may equally well be the features, or the labels.
    """

    def __init__(self, path: str, part: str | None, label: str | None = None, labelled: bool = True):
        self.path, self.part = path, part
        try:
            with fs.open(path) as file, zipfile.ZipFile(file) as archive:
                self.sizes = {item.filename: item.file_size for item in archive.infolist()}
        except zipfile.BadZipFile as error:
            raise DataError(f"truncated or corrupt zip archive ({error})", path) from None
        self.names = [name.removesuffix(".npy") for name in self.sizes if name.endswith(".npy")]
        self.x, self.y = self._choose(label, labelled)

    def _choose(self, label: str | None, labelled: bool) -> tuple[str, str | None]:
        """Chooses the arrays of features and of labels."""
        roles: dict[str, list[str]] = {"x": [], "y": []}
        for name in self.names:
            if match := _NAME.fullmatch(name):
                before, role, after = (group and group.lower() for group in match.groups())
                part = PARTS.get(before or after or "")
                if part == self.part or (self.part is None and part == "train"):
                    roles["x" if role in X_NAMES else "y"].append(name)
        if label is not None and label in self.names:
            roles = {"x": [name for name in roles["x"] if name != label], "y": [label]}
        for role, names in roles.items():
            if len(names) > 1 and (labelled or role == "x"):
                way = " (--label says which)" if role == "y" else ""
                raise self._unclear(f"{' and '.join(names)} may each be {'features' if role == 'x' else 'labels'}{way}")
        x, y = (names[0] if names else None for names in roles.values())
        if x is None and self.part is None:
            x, y = self._unnamed(y)
        if x is None:
            tail = f"_{self.part}" if self.part else ""
            raise self._unclear(f"no features: there is no x{tail}" + (", no x_train" if not tail else ""))
        return x, y

    def _unnamed(self, y: str | None) -> tuple[str | None, str | None]:
        """Chooses among arrays with other names, where only one reading is left."""
        others = [name for name in self.names if name != y and not _NAME.fullmatch(name)]
        if y is None and sorted(others) == ["arr_0", "arr_1"] == sorted(self.names):
            if len(self.array("arr_0").shape) == 1 < len(self.array("arr_1").shape):
                raise self._unclear("arr_0 holds one number a sample and arr_1 several: labels and features, or not")
            return "arr_0", "arr_1"
        if y is None:
            return (others[0] if len(self.names) == 1 == len(others) and self._tabular(others[0]) else None), None
        rows = self.array(y).shape[:1]
        fitting = [name for name in others if self._tabular(name) and self.array(name).shape[:1] == rows]
        return (fitting[0] if len(fitting) == 1 else None), y

    def _tabular(self, name: str) -> bool:
        return len(self.array(name).shape) > 1

    def _unclear(self, what: str) -> DataError:
        held = ", ".join(sorted(self.sizes)) or "nothing"
        tail = [f"_{self.part}"] if self.part else ["", "_train"]
        wanted = ", ".join(f"x{end}" for end in tail) + " and y to match"
        return DataError(f"the archive holds {held}; expected {wanted}: {what}", self.path)

    def array(self, name: str) -> Array:
        """Reads the header of an array."""
        member = _Member(self.path, f"{name}.npy")
        try:
            return _header(member, self.path, f"{name}.npy").promise(self.sizes[f"{name}.npy"])
        finally:
            member.file.close()

    def left_out(self) -> list[str]:
        """Lists what is in the archive and not read."""
        left = LeftOut()
        for file in self.sizes:
            name = file.removesuffix(".npy")
            match = _NAME.fullmatch(name)
            part = match and PARTS.get((match[1] or match[3] or "").lower())
            if name not in (self.x, self.y):
                left.add(f"the {part} part of the archive" if part else "neither features nor labels", name)
        return left.lines()


def open_npy(pairs: list[tuple[str, str | None]], options: Options, schema: Any = None, labels: bool = True) -> Records:
    """Opens pairs of .npy files (features, labels), or single ones with the labels in a column."""
    wanted = labels and options.labelled
    arrays = [(read_header(x), read_header(y) if y and wanted else None) for x, y in pairs]
    return Records("npy", arrays, options, schema, labels, apart=any(y for _, y in pairs))


def open_npz(paths: list[str], part: str | None, options: Options, schema: Any = None, labels: bool = True) -> Records:
    """Opens .npz archives."""
    label = options.label[0] if len(options.label) == 1 else None
    wanted = labels and options.labelled
    archives = [Archive(path, part, label, wanted) for path in paths]
    arrays = [(file.array(file.x), file.array(file.y) if file.y and wanted else None) for file in archives]
    apart = all(file.y for file in archives)
    if wanted and not apart and any(file.y for file in archives):
        lacking = next(file for file in archives if not file.y)
        raise lacking._unclear("other archives hold labels, and this one does not")
    if wanted and apart and label is not None and label not in archives[0].names:
        raise archives[0]._unclear(f"label {label!r} is not one of its arrays")
    source = Records("npz", arrays, options, schema, labels, apart)
    source.left_out = archives[0].left_out()
    if apart:
        source.reading["label_by"] = f"array {archives[0].y}"
    return source
