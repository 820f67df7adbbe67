"""Compares the clocks of workers' nodes with the master's: nothing here needs them, and much around it does."""

from __future__ import annotations

import socket
import time

from hdl.yarn.master.member import Member
from hdl.yarn.protocol import Hello

OFF_SECONDS = 300.0  # that clocks may differ: Kerberos allows as much, and a busy master reads a message late


def told_off(member: Member, hello: Hello, now: float | None = None) -> str:
    """Word how far a worker's clock is off; empty where it is not, or is not known.

    Parameters
    ----------
    member : Member
    hello : Hello
        The worker's, with its node's time.
    now : float, optional
        Unix time here, if not that of the call.
    """
    if hello.clock is None:
        return ""
    ahead = hello.clock - (time.time() if now is None else now)
    if abs(ahead) <= OFF_SECONDS:
        return ""
    much = f"{abs(ahead) / 3600:.1f} h" if abs(ahead) >= 3600 else f"{abs(ahead) / 60:.0f} min"
    return (
        f"the clock of worker {member.rank} on {member.host} is {much} {'ahead of' if ahead > 0 else 'behind'} the "
        f"master's on {socket.gethostname()}: training does not mind, but Kerberos and YARN's tokens may; "
        "are both set by NTP?"
    )
