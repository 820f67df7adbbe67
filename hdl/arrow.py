"""Arrow's modules, each imported when something of it is first asked for.

Whoever trains on arrays or images needs none of it, and importing it takes a tenth of a second of each process.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.csv as pycsv
    import pyarrow.json as pyjson
    import pyarrow.orc as pyorc
    import pyarrow.parquet as pq
else:

    class _Later:
        """Stands for a module until something of it is asked for, and keeps what was."""

        def __init__(self, module: str):
            self._module = module

        def __getattr__(self, name: str) -> Any:
            if name.startswith("__"):  # of those who look at any object, as doctest does
                raise AttributeError(name)
            value = getattr(importlib.import_module(self._module), name)
            setattr(self, name, value)  # next time it is found without this function
            return value

    pa, pc, pq = _Later("pyarrow"), _Later("pyarrow.compute"), _Later("pyarrow.parquet")
    pycsv, pyjson, pyorc = _Later("pyarrow.csv"), _Later("pyarrow.json"), _Later("pyarrow.orc")

__all__ = ["pa", "pc", "pq", "pycsv", "pyjson", "pyorc"]
