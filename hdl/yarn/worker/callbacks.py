"""What a worker does when its mailbox is told something at any time, whatever command is being carried out."""

from __future__ import annotations

import os

from hdl.errors import HdlError
from hdl.yarn.process import say


def take_tokens(content: bytes) -> None:
    """Use fresh tokens from now on; called while the work goes on.

    Raises
    ------
    OSError
        They cannot be used: without an answer the master tries again.
    """
    from hdl.yarn.resource_manager import tokens  # where a cluster has any: what speaks to Java comes with it

    try:
        tokens.take(content)
    except HdlError as error:
        say(f"hdl worker: {error}")
        raise OSError(str(error)) from None
    say("hdl worker: uses fresh tokens")


def evicted() -> None:
    """End this process at once: another worker has its place, because it was silent for too long."""
    say("hdl worker: was silent for too long and has been replaced")
    os._exit(1)
