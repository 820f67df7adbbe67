"""What a worker does when its mailbox is told something at any time, whatever command is being carried out."""

from __future__ import annotations

import os
import sys

from hdl.errors import HdlError
from hdl.yarn.resource_manager import tokens


def take_tokens(content: bytes) -> None:
    """Use fresh tokens from now on; called while the work goes on.

    Raises
    ------
    OSError
        They cannot be used: without an answer the master tries again.
    """
    try:
        tokens.take(content)
    except HdlError as error:
        print(f"hdl worker: {error}", file=sys.stderr)
        raise OSError(str(error)) from None
    print("hdl worker: uses fresh tokens", file=sys.stderr)


def evicted() -> None:
    """End this process at once: another worker has its place, because it was silent for too long."""
    print("hdl worker: was silent for too long and has been replaced", file=sys.stderr)
    sys.stderr.flush()
    os._exit(1)
