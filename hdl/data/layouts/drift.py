"""Joins the columns of a table's files, which are not always the same: added, missing, reordered, of wider types."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from hdl.arrow import pa
from hdl.data.layouts.cells import File, drifted, joined
from hdl.data.layouts.lying import Lying
from hdl.data.names import some
from hdl.errors import DataError

FEW = 5  # columns that are told one by one


def unify(
    files: Sequence[File], lying: Lying, ignored: Collection[str] = ()
) -> tuple[dict[str, pa.DataType], list[str]]:
    """Find the columns that all files have together, and tell where files differ.

    Parameters
    ----------
    ignored : collection of str
        Columns whose types need not fit, since nobody reads them.

    Returns
    -------
    dict of str to DataType, list of str
        The columns in the order of the first file, then those that later ones add, then keys; and what is told.

    Raises
    ------
    DataError
        Two files have types of a column that do not go together, or hardly any column in common.
    """
    if lying.schema is None:
        _alike(files)
    found: dict[str, list[tuple[pa.DataType, File]]] = {}
    for file in files:
        for name, cell in file.cells.items():
            found.setdefault(name, []).append((cell.kind, file))
    types, told = {}, list[str]()
    for name, there in found.items():
        if name in lying.types and lying.schema is None:
            continue
        kind, first = there[0]
        for other, file in there[1:]:
            wider = joined(kind, other)
            if wider is None and name not in ignored:
                what = f"column {name!r} is {other}; in {first.path} it is {kind}, and no type holds both"
                raise DataError(
                    f"{what}; name files of one kind by a glob, or leave it out by --ignore {name}", file.path
                )
            kind = kind if wider is None else wider
        types[name] = kind
        if len(several := drifted(each for each, _ in there)) > 1:
            told.append(f"{name}: {' and '.join(several)}, read as {kind}")
        if len(there) < len(files):
            told.append(f"{name}: missing in {len(files) - len(there)} of {len(files)} files")
    if lying.schema is not None:
        types = _as_logged(types, lying.schema)
    shadowed = [name for name in lying.types if lying.schema is None and name in found]
    told += [f"{name}: as the folders say, not as the files do" for name in shadowed]
    types |= {name: kind for name, kind in lying.types.items() if name not in types}
    if len(told) > 4 * FEW:
        told = [*told[: 4 * FEW], f"and {len(told) - 4 * FEW} more"]
    return types, told


def _as_logged(types: dict[str, pa.DataType], schema: dict[str, pa.DataType]) -> dict[str, pa.DataType]:
    """Put columns into the order of a table's log; those that no file has yet are of the log's type."""
    out = dict[str, pa.DataType]()
    for name, kind in schema.items():
        inside = [each for each in types if each == name or each.startswith(f"{name}.")]
        out |= {each: types[each] for each in inside}
        if not inside and kind is not None:
            out[name] = kind
    for name, kind in schema.items():  # a type that was widened since no file was written holds what files have
        if name in types and kind is not None and (wider := joined(types[name], kind)) is not None:
            out[name] = wider
    return out


def _alike(files: Sequence[File]) -> None:
    """Refuse files that have hardly a column in common: they are no parts of one table."""
    known = set[str]()
    for file in files:
        names = set(file.cells)
        if known and 2 * len(names & known) < min(len(names), len(known)):
            first = files[0]
            what = (
                f"a table of other columns ({some([*file.cells], 5)}) than {first.path} has ({some([*first.cells], 5)})"
            )
            raise DataError(f"{what}; name those that are meant by a glob", file.path)
        known |= names
