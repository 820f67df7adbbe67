"""Counts connections that a port refused, and tells of them in the process's log without filling it."""

from __future__ import annotations

import sys
import threading
from collections import Counter


class Refusals(Counter[str]):
    """Counts refused connections by reason; the 1st, 10th, 100th, … of a reason is told on standard error.

    Attributes
    ----------
    port : str
        What listens there, for the messages.

    Examples
    --------
    >>> refused = Refusals()
    >>> refused.note("slow", "10.0.0.3", "no proof within 5 s")
    >>> refused["slow"]
    1
    """

    port = "a port"

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()

    def note(self, reason: str, peer: str = "", why: str = "") -> None:
        """Count a refusal; `peer` and `why` are those of the message."""
        with self._lock:
            self[reason] += 1
            count = self[reason]
        if str(count).strip("0") == "1":
            said = f": {why}" if why else ""
            whose = f" from {peer}" if peer else ""
            many = "a connection" if count == 1 else f"{count} connections so far, the last one"
            print(f"hdl: {self.port} refused {many}{whose} ({reason}{said})", file=sys.stderr)
