"""From what a user names (a file, a folder, a glob, `X,Y`, `FOLDER:test`) to files and their reader."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any

from hdl import fs
from hdl.data import opened
from hdl.data.base import Source
from hdl.data.columns import trained
from hdl.data.delimited import Delimited
from hdl.data.folder import Chosen, Pairs, of_file, of_folder, of_pattern
from hdl.data.holdout import COLUMN, FOLDS
from hdl.data.idx import open_idx
from hdl.data.layouts import placed
from hdl.data.layouts.keyed import Keyed
from hdl.data.layouts.lying import Lying
from hdl.data.libsvm import Libsvm
from hdl.data.named_pairs import of_names
from hdl.data.npy import open_npy, open_npz
from hdl.data.options import Options
from hdl.data.pair import TextPair
from hdl.data.parts import check_shapes
from hdl.errors import DataError


def open_source(
    path: str, options: Options | dict[str, Any] | None = None, schema: Any = None, labels: bool = True
) -> Source:
    """Opens a dataset.

    Parameters
    ----------
    path : str
        A file; a folder of files of one format; a glob; features and labels as `X,Y`, each a file or a glob; any
        folder or archive that has parts as `FOLDER` (its training part), `FOLDER:test` and `FOLDER:val`.
    options : Options or dict, optional
    schema : Schema, optional
        Of the model that will see the data: features are found as in training, and labels may be missing.
    labels : bool
        False: the label column is found, so that it is no feature, but neither read nor judged.

    Returns
    -------
    Source

    Raises
    ------
    DataError
        There is nothing, or nothing that can be read, or two readings are equally good; it says what was found.
    """
    path, options = os.fspath(path), Options.make(options)
    labels = labels and options.judged
    if schema is not None:
        return _open(path, options, schema, labels)
    return opened.find(path, options.model_dump_json(), labels, lambda: _open(path, options, None, labels))


def _open(path: str, options: Options, schema: Any, labels: bool) -> Source:
    """Open a dataset anew."""
    with fs.once():
        return _found(path, options, schema, labels)


def _found(path: str, options: Options, schema: Any, labels: bool) -> Source:
    chosen = _choose(path, options, labels and options.labelled)
    if schema is None and chosen.format == "csv" and not options.max_bad_records:
        check_shapes(chosen.tables, path)
    if chosen.lying is None and schema is not None and chosen.format in FILTERED:
        wanted = [column.name for column in trained(schema) or ()] or schema.names or ()
        chosen.lying = placed.of_model([x for x, _ in chosen.pairs], wanted, options)
    if options.where and chosen.format not in FILTERED:
        raise DataError(f"--where picks rows of tables, and {chosen.format} samples are none", path)
    column = options.held and options.held[0] != FOLDS
    if column and chosen.format not in FILTERED:
        raise DataError(f"validation by a column picks rows of tables, and {chosen.format} samples are none", path)
    if chosen.format in _TYPED:
        paths = [x for x, _ in chosen.pairs]
        source: Source = _TYPED[chosen.format](paths, options, schema, labels, chosen.lying)
    elif chosen.format == "csv" and ((chosen.lying and chosen.lying.types) or options.where or column):
        source = Keyed([x for x, _ in chosen.pairs], options, schema, labels, chosen.lying)
    else:
        source = _READERS[chosen.format](chosen.pairs, chosen.part, options, schema, labels)
    source.left_out[:0] = chosen.left_out
    if options.held and options.held[0] == COLUMN:
        source.left_out[:] = [_of_held(line, options.held[1]) for line in source.left_out]
    source.reading = {"files": len(chosen.pairs), "format_by": _format_by(chosen, options), **source.reading}
    if chosen.duplicates:
        source.reading["duplicates"] = [*chosen.duplicates, *source.reading.get("duplicates", [])]
    if schema is not None:
        _check_images(source, schema)
    return source


def _of_held(line: str, name: str) -> str:
    """Say of the column by which rows are held out why it is no feature."""
    own = line.startswith((f"{name}: as ", f"the key {name}: as ")) or f"({name!r}): as " in line
    return f"{line.rpartition(': as ')[0]}: says what is held out" if own else line


def _format_by(chosen: Chosen, options: Options) -> str:
    """Says how the format was found."""
    if options.format:
        return "flag"
    if chosen.lying and chosen.lying.schema is not None:
        return "log"
    return "folders" if chosen.format == "images" else "first bytes"


def _check_images(source: Source, schema: Any) -> None:
    """Refuses images of another shape or depth than those that the model was trained on."""
    ours, depths = source.image, [(of.reading or {}).get("depth") for of in (source, schema)]
    if ours and schema.image and tuple(ours) != tuple(schema.image):
        given, wanted = ("x".join(map(str, shape)) for shape in (ours, schema.image))
        raise DataError(f"images of {given}; the model was trained on images of {wanted}", source.paths[0])
    if all(depths) and depths[0] != depths[1]:
        what = f"pixels of up to {depths[0]}; the model was trained on pixels of up to {depths[1]}"
        raise DataError(what, source.paths[0])


def _choose(path: str, options: Options, labelled: bool) -> Chosen:
    """Chooses the files that a user's path means."""
    if fs.exists(path):
        return _existing(path, None, options, labelled)
    if "," in path and (chosen := of_names(path, options, labelled)) is not None:
        return chosen
    if re.search(r"[*?\[]", path):
        return of_pattern(path, options, labelled)
    if (match := re.fullmatch(r"(.+):(train|test|val)", path)) and fs.exists(match[1]):
        return _existing(match[1], match[2], options, labelled)
    raise DataError("there is no such file or folder", path)


def _existing(path: str, part: str | None, options: Options, labelled: bool) -> Chosen:
    if fs.isdir(path):
        return of_folder(path, part, options, labelled)
    chosen = of_file(path, None, options, labelled)
    chosen.part = None if part == "train" else part
    if chosen.format == "images" and labelled:
        raise DataError("a file; expected a folder with one folder of images for each class", path)
    if part and chosen.format != "npz":
        what = f"a {chosen.format} file has no parts; expected a folder or .npz archive before ':{part}'"
        raise DataError(what, f"{path}:{part}")
    return chosen


def _images(pairs: Pairs, part: str | None, options: Options, schema: Any, labels: bool) -> Source:
    from hdl.data.images import Images  # Pillow is optional

    return Images([x for x, _ in pairs], options, schema, labels)


def _parquet(paths: list[str], options: Options, schema: Any, labels: bool, lying: Lying | None) -> Source:
    from hdl.data.layouts.parquet_table import ParquetTable
    from hdl.data.parquet import Parquet, is_own

    if lying is None and is_own(paths[0]):
        whole = Parquet(paths, options, schema, labels)
        if not options.held or options.held[0] == FOLDS or schema is not None:
            return whole
        from hdl.data.layouts.marked_matrix import MarkedMatrix

        return MarkedMatrix(whole)
    return ParquetTable(paths, options, schema, labels, lying)


def _orc(*rest: Any) -> Source:
    from hdl.data.orc import Orc  # a part of pyarrow's that is loaded only for those who need it

    return Orc(*rest)


def _avro(*rest: Any) -> Source:
    from hdl.data.avro import Avro  # fastavro is optional

    return Avro(*rest)


def _json(*rest: Any) -> Source:
    from hdl.data.json_lines import JsonLines

    return JsonLines(*rest)


# Each takes the files, the part of an archive, and what every reader takes: options, schema, labels.
_READERS: dict[str, Callable[..., Source]] = {
    "csv": lambda pairs, part, *rest: Delimited([x for x, _ in pairs], *rest),
    "libsvm": lambda pairs, part, *rest: Libsvm([x for x, _ in pairs], *rest),
    "pair": lambda pairs, part, *rest: TextPair(pairs, *rest),
    "idx": lambda pairs, part, *rest: open_idx(pairs, *rest),
    "npy": lambda pairs, part, *rest: open_npy(pairs, *rest),
    "npz": lambda pairs, part, *rest: open_npz([x for x, _ in pairs], part, *rest),
    "images": _images,
}
# Tables of typed columns take how their files lie as well.
_TYPED: dict[str, Callable[..., Source]] = {"parquet": _parquet, "orc": _orc, "avro": _avro, "json": _json}
FILTERED = (*_TYPED, "csv")
