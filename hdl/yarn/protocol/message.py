"""The base of all messages of the control channel, and the names of fields on the wire."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Annotated, Any, ClassVar

from pydantic import Field

from hdl.errors import HdlError

Address = tuple[str, Annotated[int, Field(gt=0, lt=65536)]]
Finite = Annotated[float, Field(allow_inf_nan=False)]

# Name here: name on the wire, where they differ.
WIRE_NAMES = {"command_id": "ticket", "incarnation": "life", "address": "bulk", "platform": "isa"}


class ProtocolError(HdlError, ValueError):
    """Says which field of a control message is missing or of a wrong type."""


@dataclass(frozen=True)
class Message:
    """Base of the messages of the control channel."""

    kind: ClassVar[str]

    def to_dict(self) -> dict[str, Any]:
        """Return the message as it travels; what is None is left out."""
        return {"kind": self.kind, **self._fields()}

    def _fields(self) -> dict[str, Any]:
        values = {WIRE_NAMES.get(field.name, field.name): getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is not None}
