"""A worker that counts: `python -m tests.bench.scaling.counted STAGING`, in place of `python -m hdl.yarn.worker`.

After each round it adds a line to its file in the application's folder: messages and bytes of the round's exchange, its
processor time, and the connections and threads that it has.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from hdl.runners.work import Host
from hdl.yarn.comm import local
from hdl.yarn.comm.mesh import Mesh
from hdl.yarn.protocol import RunRound
from hdl.yarn.worker.__main__ import main
from hdl.yarn.worker.rounds import Rounds

COUNTED = "counted-{}.jsonl"
NAMES = "messages", "bytes", "received"


def watch() -> None:
    """Add up what passes the mesh from now on; connections are those between hosts, and no Unix sockets."""
    os.environ.pop(local.VARIABLE, None)
    run_round = Rounds.run

    def counted_round(rounds: Rounds, command: RunRound, host: Host, mesh: Mesh | None) -> Any:
        before = counts(mesh)
        began = time.process_time()
        result = run_round(rounds, command, host, mesh)
        told = {
            **{name: value - before[name] for name, value in counts(mesh).items()},
            "round": command.round,
            "cpu": time.process_time() - began,
            "connections": len(mesh._outward) + len(mesh._inward) if mesh else 0,
            "threads": threading.active_count(),
        }
        with open(Path(sys.argv[1]) / COUNTED.format(command.rank), "a") as file:
            file.write(json.dumps(told) + "\n")
        return result

    Rounds.run = counted_round  # type: ignore[method-assign]


def counts(mesh: Mesh | None) -> dict[str, int]:
    """Read a mesh's counts."""
    return {name: getattr(mesh, f"sent_{name}" if name != "received" else "received_bytes", 0) for name in NAMES}


if __name__ == "__main__":
    watch()
    main()
