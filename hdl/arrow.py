"""Arrow's modules, each imported when something of it is first asked for.

Whoever trains on arrays or images needs none of it, and importing it takes a tenth of a second of each process.
"""

from __future__ import annotations

import importlib
import sys
from functools import cache
from typing import TYPE_CHECKING, Any

from hdl import quick

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
            _arrow()
            value = getattr(importlib.import_module(self._module), name)
            setattr(self, name, value)  # next time it is found without this function
            return value

    class _NoPandas:
        """Finds no pandas, among those who find modules."""

        def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
            if name == "pandas":
                raise ModuleNotFoundError(f"no module named {name!r} is looked for", name=name)

    @cache
    def _arrow() -> None:
        """Import Arrow; in a program of hdl's own, where nobody has pandas' objects, let it believe that there is none.

        It would import pandas with the first array that it makes, which takes longer than all of hdl's modules.
        """
        arrow = importlib.import_module("pyarrow")
        if quick.begun and "pandas" not in sys.modules:
            finder: Any = _NoPandas()
            sys.meta_path.insert(0, finder)
            try:
                arrow.array([])
            finally:
                sys.meta_path.remove(finder)

    pa, pc, pq = _Later("pyarrow"), _Later("pyarrow.compute"), _Later("pyarrow.parquet")
    pycsv, pyjson, pyorc = _Later("pyarrow.csv"), _Later("pyarrow.json"), _Later("pyarrow.orc")

__all__ = ["pa", "pc", "pq", "pycsv", "pyjson", "pyorc"]
