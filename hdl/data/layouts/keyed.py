"""Text tables in folders that are called by their keys, and filtered: keys become columns of what is read."""

from __future__ import annotations

from typing import Any

from hdl.data.base import Options, Source
from hdl.data.layouts.lying import Lying


class Keyed(Source):
    def __init__(self, paths: list[str], options: Options, schema: Any = None, labels: bool = True, lying: Lying | None = None):
        raise NotImplementedError
