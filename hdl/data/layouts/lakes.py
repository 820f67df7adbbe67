"""Recognises tables whose folder holds more than what is live: Delta Lake, Iceberg, Hive's ACID tables."""

from __future__ import annotations

import re
from collections.abc import Iterable

from hdl.data.layouts import delta, iceberg
from hdl.data.layouts.lying import Lying
from hdl.errors import DataError

_ACID = re.compile(r"(delta|delete_delta|base)_\d+(_\d+)*(_v\d+)?")
_HUDI = ".hoodie"


def find(folder: str, names: Iterable[str], snapshot: str | None = None) -> Lying | None:
    """Find the live files of a folder that is a table with a log; None of any other folder.

    Parameters
    ----------
    names : iterable of str
        What is in the folder.
    snapshot : str, optional
        Version to read; None: the last one.

    Raises
    ------
    DataError
        The table cannot be read; with the reason and what helps.
    """
    names = set(names)
    if delta.LOG in names and delta.is_delta(folder):
        return delta.read(folder, snapshot)
    if iceberg.FOLDER in names and iceberg.is_iceberg(folder):
        return iceberg.read(folder, snapshot)
    refuse(folder, names)
    return None


def refuse(folder: str, names: Iterable[str]) -> None:
    """Refuse Hive's ACID tables and Hudi's, by the names in their folder: dead rows lie among live ones there."""
    names = set(names)
    if acid := sorted(name for name in names if _ACID.fullmatch(name)):
        what = f"a table of Hive's with transactions ({acid[0]}/): updated and deleted rows are still in its files"
        way = "INSERT OVERWRITE DIRECTORY … SELECT exports the live rows; of a table that was only inserted into, "
        way += "ALTER TABLE … COMPACT 'major' makes one base_N folder, which can be named"
        raise DataError(f"{what}; {way}", folder)
    if _HUDI in names:
        what = "a Hudi table: older versions of its rows are still in its files, which hdl does not tell apart"
        raise DataError(f"{what}; export the live rows as Parquet", folder)
