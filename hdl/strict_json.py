"""JSON as its standard has it: numbers that it cannot hold, NaN and infinities, become null."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any


def dumps(value: Any, **settings: Any) -> str:
    """JSON text of plain values; `settings` are those of `json.dumps`.

    Examples
    --------
    >>> dumps({"cost": float("nan"), "rows": [1.5, float("inf")]})
    '{"cost": null, "rows": [1.5, null]}'
    """
    try:
        return json.dumps(value, allow_nan=False, **settings)
    except ValueError:
        return json.dumps(finite(value), allow_nan=False, **settings)


def finite(value: Any) -> Any:
    """The value with None in place of every number, however deep, that is not finite."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {finite(key) if isinstance(key, float) else key: finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value
