"""Datasets: one reader a format, splits into shards, one pass for the schema, samples for the core.

`open_source` finds the reader; `summarise` and `fit` make the schema, `resolve` fills in the spec, `load` decodes a
shard, `write_shards` imports any dataset as Parquet.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from hdl.data.base import FileSplit, Source
from hdl.data.block import Bad, Block
from hdl.data.csr import Csr
from hdl.data.find import open_source
from hdl.data.infer import check_targets, fit, resolve
from hdl.data.options import Options
from hdl.data.schema import Schema
from hdl.data.shard import SPILL_BYTES, Shard, fitting, load
from hdl.data.summary import Labels, Summary, summarise

if TYPE_CHECKING:
    from hdl.data.arrays import Arrays
    from hdl.data.convert import Written, write_shards

__all__ = [
    "SPILL_BYTES", "Arrays", "Bad", "Block", "Csr", "FileSplit", "Labels", "Options", "Schema", "Shard",
    "Source", "Summary", "Written", "check_targets", "fit", "fitting", "load", "open_source", "resolve", "summarise",
    "write_shards",
]  # fmt: skip

# What most programs do without, and takes long to import, is so when it is first asked for.
_LATER = {"Arrays": "hdl.data.arrays", "Written": "hdl.data.convert", "write_shards": "hdl.data.convert"}


def __getattr__(name: str) -> Any:
    """Loads a public name when it is first asked for (PEP 562)."""
    if name in _LATER:
        return getattr(importlib.import_module(_LATER[name]), name)
    raise AttributeError(f"module 'hdl.data' has no attribute {name!r}")
