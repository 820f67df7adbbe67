"""The report's section of the spec."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hdl import strict_json
from hdl.report import page
from hdl.spec import Spec

# Fields of the spec that say something with one loss alone.
_OF_LOSSES = {"delta": "huber", "quantile": "quantile", "power": "tweedie", "label_smoothing": "softmax sigmoid"}


def section(spec: Mapping[str, Any], table: bool) -> str:
    """List a spec in its own order; of a part its name and what is not as by default.

    Parameters
    ----------
    spec : mapping
        Its JSON.
    table : bool
        Whether it was trained on a table, so that what becomes of columns is of interest.
    """
    defaults = Spec().model_dump(mode="json")
    hidden = {"layer"} if not spec.get("layer") else set()
    hidden |= set() if spec.get("model") in ("stacked", "dbn") else {"finetune"}
    hidden |= {name for name, its in _OF_LOSSES.items() if str(spec.get("loss")) not in its.split()}
    hidden |= {"auto", "numbers", "embeddings"} | (set() if table else {"embedding", "preprocessing"})
    rows = [
        (name.replace("_", " "), _short_value(name, spec[name], default))
        for name, default in defaults.items()
        if name in spec and name not in hidden
    ]
    return page.section(
        "Spec",
        "",
        page.facts([(name, value) for name, value in rows if value]),
        page.details("As JSON, for --spec", strict_json.dumps(spec, indent=2)),
    )


def _short_value(name: str, value: Any, default: Any) -> str:
    """Put a field of the spec into a few words."""
    if isinstance(value, dict) and name != "class_weight":
        default = default if isinstance(default, dict) else {}
        words = [str(value.get("name") or value.get("mode") or "")]
        words += [
            f"{key} {_short_value(key, item, default.get(key))}"
            for key, item in value.items()
            if key not in ("name", "mode") and item != default.get(key)
        ]
        return ", ".join(filter(None, words))
    if name == "class_weight" and isinstance(value, dict):
        return ", ".join(f"{key}={weight:g}" for key, weight in value.items())
    if name == "net" and value:
        return "-".join(str(width) for width in value)
    if name == "batch" and value == 2**31 - 1:
        return "whole shard"
    return "–" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
