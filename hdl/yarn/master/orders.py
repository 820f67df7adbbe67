"""An order of a session, from its coming until it is forgotten."""

from __future__ import annotations

from typing import Any

from hdl.runners.messages import error_fields
from hdl.runners.turns import Turn
from hdl.yarn.dashboard.state import State
from hdl.yarn.protocol.session import Order

KEPT = 64  # orders that are over, of which the client may still ask


class Given:
    """Holds an order and what has come of it.

    Attributes
    ----------
    turn : Turn
    record : State
        What has happened, for the client.
    outcome : dict or None
        In plain values, as an application's; None: it is not over.
    command_id : int
        Of a trial, of the command by which its worker has it.
    cancelled : bool
        Its driver was told to end.
    """

    outcome: dict[str, Any] | None

    def __init__(self, order: Order):
        self.order, self.turn = order, Turn(str(order.config["table"]), not order.alone)
        self.record, self.outcome = State(""), None
        self.command_id, self.cancelled = 0, False


def told_of(error: BaseException) -> dict[str, Any]:
    """Make the outcome of an order that an error has ended."""
    return {"error": error_fields(error)}
