"""The packed environment: one archive with all that a node needs: hdl, its requirements, and Python itself.

The archive's root is a folder of packages, with the interpreter in ``python`` and a script that starts it in ``bin``.
Nothing is installed on the nodes, and they need no Python. Its name is the SHA-256 of what went into it, so that the
same environment is packed once and uploaded once, and a task can never run with another one than the driver's.
"""

from hdl.envpack.archive import PYTHON, UNPACKED, needs, pack, upload
from hdl.envpack.nodes import refusal

__all__ = ["PYTHON", "UNPACKED", "needs", "pack", "refusal", "upload"]
