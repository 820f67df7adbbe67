"""From what a user names (a file, a folder, a glob, `X,Y`, `FOLDER:test`) to files and their reader."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from typing import Any

from hdl import fs
from hdl.data.base import Options, Source
from hdl.data.delimited import Delimited
from hdl.data.idx import is_idx, open_idx
from hdl.data.libsvm import Libsvm, is_libsvm
from hdl.data.npy import open_npy, open_npz
from hdl.data.pair import TextPair
from hdl.data.streams import check_whole, head, stem
from hdl.errors import DataError

# What lies beside samples: hidden files, engines' marks such as _SUCCESS, texts about the data.
_ASIDE = re.compile(r"^[._]|^(readme|licen[cs]e|copyright|notice|changelog|makefile)\b|\.(md|names|mat|rst|pdf)$", re.I)
# The parts that files of one folder may belong to, by their names.
_TRAIN = re.compile(r"(^|[^a-z])(train(ing)?|tra|tr)([^a-z]|$)", re.I)
_TEST = re.compile(r"(^|[^a-z])(test(ing)?|tes|t10k|te)([^a-z]|$)|\.t(\.|$)", re.I)
_MARK = re.compile(r"[._-]?(test|t)(?=[._-]|$)", re.I)  # a9a and a9a.t, digits.csv and digits_test.csv
_PAIR_X = re.compile(r"images|input|features|(^|[^a-z])(x|data)([^a-z]|$)", re.I)
_PAIR_Y = re.compile(r"labels|output|targets?|(^|[^a-z])(y)([^a-z]|$)", re.I)
_IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".pgm", ".ppm", ".pnm", ".tif", ".tiff", ".webp")

Pairs = list[tuple[str, str | None]]


def open_source(path: str, options: Options | dict[str, Any] | None = None, schema: Any = None) -> Source:
    """Opens a dataset.

    Parameters
    ----------
    path : str
        A file; a folder of files of one format; a glob; features and labels as `X,Y`; any folder or archive that has
        parts as `FOLDER` (its training part) and `FOLDER:test`.
    options : Options or dict, optional
    schema : Schema, optional
        Of the model that will see the data: features are found as in training, and labels may be missing.

    Returns
    -------
    Source

    Raises
    ------
    DataError
        There is nothing, or nothing that can be read; it says what was found.
    """
    path, options = os.fspath(path), Options.make(options)
    found, part = _files(path)
    if len(found) == 1 and found[0][1] is None and fs.isdir(found[0][0]):
        return _images(found[0][0], options)
    filled = [pair for pair in found if fs.size(pair[0])]  # engines leave empty part files
    if not filled:
        raise DataError("the file is empty, expected samples", found[0][0])
    format = options.format or _guess(filled)
    if format == "images":
        raise DataError("a file; expected a folder with one folder of images for each class", filled[0][0])
    if part and format != "npz" and fs.exists(path.rpartition(":")[0]) and not fs.isdir(path.rpartition(":")[0]):
        raise DataError(f"a {format} file has no parts; expected a folder or .npz archive before ':{part}'", path)
    return _OPEN[format](filled, part, options, schema)


def _files(path: str) -> tuple[Pairs, str | None]:
    """The files (with their labels' files) that a user's path means, and the part that was asked for."""
    if fs.exists(path):
        return (_folder(path, None) if fs.isdir(path) else [(path, None)]), None
    if "," in path:
        x, _, y = path.partition(",")
        for name in (x, y):
            if not fs.exists(name):
                raise DataError("there is no such file", name)
        return [(x, y)], None
    if re.search(r"[*?\[]", path):
        names = [name for name in fs.glob(path) if not fs.isdir(name) and not _ASIDE.search(name.rsplit("/", 1)[-1])]
        if not names:
            raise DataError("no file matches", path)
        return [(name, None) for name in names], None
    if match := re.fullmatch(r"(.+):(train|test)", path):
        folder, part = match.groups()
        if fs.exists(folder):
            part = None if part == "train" else part
            return (_folder(folder, part) if fs.isdir(folder) else [(folder, None)]), part
    raise DataError("there is no such file or folder", path)


def _folder(path: str, part: str | None) -> Pairs:
    names = [name for name in fs.list(path) if not _ASIDE.search(name)]
    folders = [name for name in names if fs.isdir(fs.join(path, name))]
    files = [name for name in names if name not in folders]
    if folders and not files:
        chosen = [name for name in folders if (_TEST if part else _TRAIN).fullmatch(name)]
        if chosen and all(_TEST.fullmatch(name) or _TRAIN.fullmatch(name) for name in folders):
            return _folder(fs.join(path, chosen[0]), None)
        if part is None:
            return [(path, None)]  # a folder of images by class
    train, test = _split(files)
    if part and not test:
        raise DataError(f"the folder has no test part; it holds {_some(names)}", path)
    chosen = test if part else train
    if not chosen:
        raise DataError(f"the folder holds {_some(names)}; expected files of samples", path)
    return [(fs.join(path, x), fs.join(path, y) if y else None) for x, y in _paired(chosen)]


def _split(files: list[str]) -> tuple[list[str], list[str]]:
    """Files of the training and of the test part: all of them the former, unless names tell two parts apart."""
    test = [name for name in files if _TEST.search(name) and not _TRAIN.search(name)]
    train = [name for name in files if name not in test]
    if test and train and (all(map(_TRAIN.search, train)) or all(_MARK.sub("", name) in train for name in test)):
        return train, test
    return files, []


def _paired(files: list[str]) -> Pairs:
    """Joins files of features with files of labels, if that is what their names say."""
    xs = [name for name in files if _PAIR_X.search(name)]
    ys = [name for name in files if name not in xs and _PAIR_Y.search(name)]
    if len(xs) == len(ys) and len(xs) + len(ys) == len(files) and xs:
        return list(zip(xs, ys, strict=True))
    return [(name, None) for name in files]


def _some(names: Iterable[str]) -> str:
    names = list(names)
    return (", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")) or "nothing"


def _guess(pairs: Pairs) -> str:
    """The format, by the first decoded bytes of the first file."""
    path, labels = pairs[0]
    if fs.isdir(path):
        raise DataError("a folder among files; expected files of samples", path)
    start = head(path)
    if is_idx(start) or re.search(r"idx\d-u?byte", path):
        return "idx"
    if start.startswith(b"\x93NUMPY") or stem(path).endswith(".npy"):
        return "npy"
    if start.startswith(b"PK\x03\x04") or path.endswith(".npz"):
        return "npz"
    if start.startswith(b"PAR1") or path.endswith((".parquet", ".pq")):
        return "parquet"
    if labels:
        return "pair"
    if path.lower().endswith(_IMAGES):
        raise DataError("a single image; expected a folder with one folder of images for each class", path)
    if b"\0" in start and not start.startswith((b"\xff\xfe", b"\xfe\xff")):
        check_whole(path)
        what = f"a byte 00, so no text; and the file starts with {start[:4].hex(' ')}, as no format that hdl reads"
        raise DataError(what + " (CSV, libsvm, idx, npy, npz, Parquet)", path, offset=start.find(b"\0"))
    return "libsvm" if is_libsvm(start.splitlines(), path) else "csv"


def _images(path: str, options: Options) -> Source:
    from hdl.data.images import Images  # Pillow is optional

    return Images(path, options)


def _parquet(pairs: Pairs, part: str | None, options: Options, schema: Any) -> Source:
    from hdl.data.parquet import Parquet

    return Parquet([x for x, _ in pairs], options, schema)


_OPEN: dict[str, Callable[[Pairs, str | None, Options, Any], Source]] = {
    "csv": lambda pairs, part, options, schema: Delimited([x for x, _ in pairs], options, schema),
    "libsvm": lambda pairs, part, options, schema: Libsvm([x for x, _ in pairs], options, schema),
    "pair": lambda pairs, part, options, schema: TextPair(pairs, options, schema),
    "idx": lambda pairs, part, options, schema: open_idx(pairs, options, schema),
    "npy": lambda pairs, part, options, schema: open_npy(pairs, options, schema),
    "npz": lambda pairs, part, options, schema: open_npz([x for x, _ in pairs], part, options, schema),
    "parquet": _parquet,
}
