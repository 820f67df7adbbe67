"""Datasets: one reader a format, splits into shards, one pass for the schema, samples for the core.

`open_source` finds the reader; `summarise` and `fit` make the schema, `resolve` fills in the spec, `load` decodes a
shard, `write_shards` imports any dataset as Parquet.
"""

from hdl.data.arrays import Arrays
from hdl.data.base import FileSplit, Source
from hdl.data.block import Bad, Block
from hdl.data.convert import Written, write_shards
from hdl.data.csr import Csr
from hdl.data.find import open_source
from hdl.data.infer import check_targets, fit, resolve
from hdl.data.options import Options
from hdl.data.schema import Schema
from hdl.data.shard import SPILL_BYTES, Shard, fitting, load
from hdl.data.summary import Labels, Summary, summarise

__all__ = [
    "SPILL_BYTES", "Arrays", "Bad", "Block", "Csr", "FileSplit", "Labels", "Options", "Schema", "Shard",
    "Source", "Summary", "Written", "check_targets", "fit", "fitting", "load", "open_source", "resolve", "summarise",
    "write_shards",
]  # fmt: skip
