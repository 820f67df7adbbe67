"""The codec of what is neither weights nor an update: a plan, what a worker opens, and an error that a worker raised.

It imports no more than `hdl.wire` when it is loaded: a worker answers before it has opened any data.
"""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Any

from hdl import errors, scratch, wire
from hdl.errors import DataError, HdlError, WorkerError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hdl.data import FileSplit
    from hdl.runners.base import Job, Plan


def error_message(error: BaseException) -> bytes:
    """Pack an exception as a message of kind `error`."""
    return wire.pack("error", error_fields(error))


def error_fields(error: BaseException, most: int | None = None) -> dict[str, Any]:
    """Make plain values of an exception; one that is not hdl's brings its trace.

    Parameters
    ----------
    error : BaseException
    most : int, optional
        Characters of each text; None: all.
    """
    fields: dict[str, Any] = {"type": type(error).__name__, "message": str(error)}
    if isinstance(error, DataError):
        fields |= {"message": error.message, "path": error.path, "line": error.line, "offset": error.offset}
    elif not isinstance(error, HdlError):
        fields["trace"] = "".join(traceback.format_exception(error))
    return {name: value[-most:] if most and isinstance(value, str) else value for name, value in fields.items()}


def error_from(fields: dict[str, Any], who: str) -> HdlError:
    """Make the exception of a message's fields: hdl's own as they were, others as a WorkerError that names them.

    Parameters
    ----------
    fields : dict
        Of the message.
    who : str
        Names the sender, such as 'worker 3'.
    """
    kind = getattr(errors, str(fields.get("type")), None)
    if kind is DataError:
        return DataError(str(fields.get("message")), *(fields.get(name) for name in ("path", "line", "offset")))
    if isinstance(kind, type) and issubclass(kind, HdlError):
        return kind(str(fields.get("message")))
    trace = fields.get("trace", "")
    return WorkerError(f"{who}: {fields.get('type')}: {fields.get('message')}\n{trace}".rstrip())


def open_fields(
    job: Job, splits: Sequence[Sequence[FileSplit]], shards: Iterable[int], threads: int, device: str, memory: int
) -> dict[str, Any]:
    """Make the fields of a command `open`, from which `Host.from_fields` makes a worker's host.

    Parameters
    ----------
    job : Job
    splits : of all shards of the dataset
    shards : of the worker
    threads : int
    device : str
    memory : int
        Bytes of decoded samples.
    """
    return {
        "path": job.data,
        "options": job.options.model_dump(mode="json"),
        "cuts": [[shard, splits[shard]] for shard in shards],
        **({"marks": job.marks} if job.marks else {}),
        **({"content": job.content} if job.content else {}),
        "threads": threads,
        "device": device,
        "memory": memory,
        "encrypt_spill": scratch.encrypting(),
    }


def plan_message(plan: Plan) -> bytes:
    """Pack a plan as a message of kind `plan`."""
    schema, tensors = plan.schema.to_parts()
    fields: dict[str, Any] = {"spec": plan.spec.to_json(), "schema": schema, "table": plan.table, "isa": plan.platform}
    if plan.validation is not None:
        fields["validation"] = plan.validation
    return wire.pack("plan", fields, tensors)


def read_plan(fields: dict[str, Any], tensors: wire.Tensors) -> Plan:
    """Make the plan of a message's fields and tensors: the inverse of `plan_message`."""
    from hdl import spec
    from hdl.data import Schema
    from hdl.runners.base import Plan

    schema = Schema.from_parts(fields["schema"], tensors)
    return Plan(spec.parse(fields["spec"]), schema, fields["table"], fields["isa"], fields.get("validation"))
