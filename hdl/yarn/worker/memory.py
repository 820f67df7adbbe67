"""Makes the C library keep memory that is free for a moment: a round needs what the last one had."""

from __future__ import annotations

import ctypes
import os

# mallopt(3): what is above 32 MiB is mapped anew each time, whatever M_MMAP_THRESHOLD says, and clearing
# their pages costs more than the exchange.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4
_KEPT = (2 << 30) - 1  # bytes: the most that mallopt takes


def keep_memory() -> bool:
    """Keep memory that is freed from now on, up to 2 GiB, for what is allocated next.

    Called once shards are loaded: what loading needed for a moment has gone back to the system by then.

    Returns
    -------
    bool
        False: the C library is none of GNU, or its settings are the user's own (`MALLOC_…` or `GLIBC_TUNABLES`).
    """
    if any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ):
        return False
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018  # another library's mallopt has other numbers
        settings = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, _KEPT), (_M_TOP_PAD, 0))
        return all(library.mallopt(name, value) for name, value in settings)
    except (OSError, AttributeError):
        return False
