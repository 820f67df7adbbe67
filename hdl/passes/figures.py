"""Figures by name, found in parts of the work."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hdl import wire


@dataclass(frozen=True)
class Figures:
    """Numbers by name; None for one that is not defined.

    Parameters
    ----------
    values : dict of str to list of float or None
    """

    values: dict[str, list[float | None]] = field(default_factory=dict)

    def join(self, other: Figures) -> Figures:
        """Put both together; neither changes."""
        return Figures(self.values | other.values)

    def to_parts(self) -> tuple[dict[str, Any], wire.Tensors]:
        """Split into plain values and tensors, of which there are none."""
        return {"values": self.values}, {}

    @classmethod
    def from_parts(cls, fields: dict[str, Any], tensors: wire.Tensors) -> Figures:
        """Make figures of what `to_parts` gave."""
        return cls(fields["values"])
