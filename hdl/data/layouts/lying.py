"""Files of a table that lie in folders whose names, or whose log, say more than the files themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hdl.arrow import pa

Keys = Mapping[str, str | None]  # what a path says of a file's rows: text by column; None is a missing value


@dataclass
class Lying:
    """Holds which files a table has, and what is known of them without opening them.

    Attributes
    ----------
    paths : list of str
        In the order that numbers the samples.
    keys : dict of str to mapping
        By path: values of the columns that its folder, or a table's log, says.
    types : dict of str to DataType
        Of these columns: int64, double, date32, timestamp or string. A table's log may name columns that its files
        have as well.
    names : mapping of str to str, or None
        Columns of the table by what files call them, fields of structs too, as `a.b`; None: by the same names.
    ids : mapping of int to str, or None
        Columns of the table by the number that files give them; a column without one of these numbers is none of it.
    schema : dict of str to DataType, or None
        All columns, where a log says them; a column that a file has not is missing there.
    format : str or None
        Of the files, where a log says it.
    reading : dict
        What is told: how the table lies, its version, its keys.
    left_out : list of str
    snapshot : str or None
        The version that was read.
    """

    paths: list[str]
    keys: Mapping[str, Keys] = field(default_factory=dict)
    types: dict[str, pa.DataType] = field(default_factory=dict)
    names: Mapping[str, str] | None = None
    ids: Mapping[int, str] | None = None
    schema: dict[str, pa.DataType] | None = None
    format: str | None = None
    reading: dict[str, Any] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    snapshot: str | None = None
