"""Events of a training as plain values, for whoever follows it from another process, and back."""

from __future__ import annotations

from typing import Any

from hdl import spec as specs
from hdl.errors import HdlError
from hdl.events import Round, Stage, Started
from hdl.runners.base import Log, Progress, Replaced

EVENTS = (Stage, Started, Progress, Replaced, Round, Log)
OF_TRIALS = (Started, Replaced, Round, Log)  # the rest is for who looks at one training alone


def event_fields(event: Any) -> dict[str, Any] | None:
    """Make plain values of an event that is told of a trial; None of another one."""
    if not isinstance(event, OF_TRIALS):
        return None
    fields = {**vars(event), "kind": type(event).__name__}
    return fields | {"spec": event.spec.to_json()} if isinstance(event, Started) else fields


def event_of(fields: Any) -> Any:
    """Make an event of plain values; None of a kind of event that this hdl does not know."""
    if not isinstance(fields, dict):
        return None
    kinds = {kind.__name__: kind for kind in EVENTS}
    rest = {name: value for name, value in fields.items() if name != "kind"}
    try:
        if fields["kind"] == "Started":
            rest["spec"] = specs.parse(rest["spec"])
        elif fields["kind"] == "Replaced":
            rest["shards"] = tuple(rest["shards"])
        return kinds[fields["kind"]](**rest)
    except (KeyError, TypeError, HdlError):
        return None
