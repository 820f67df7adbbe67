"""A worker that counts: `python -m tests.bench.scaling.counted STAGING`, in place of `python -m hdl.yarn.worker`.

After each round it adds a line to its file in the application's folder: messages and bytes of the round's exchange, its
processor time, and the connections and threads that it has.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from hdl.yarn.comm.mesh import Mesh
from hdl.yarn.worker.__main__ import main
from hdl.yarn.worker.worker import Worker

COUNTED = "counted-{}.jsonl"
count: Counter[str] = Counter()
_lock = threading.Lock()


def watch() -> None:
    """Count what passes the mesh from now on."""
    send, receive, run_round = Mesh._send, Mesh._receive, Worker._run_round

    def counted_send(mesh: Mesh, peer: int, pieces: Any) -> None:
        with _lock:
            count["messages"] += 1
            count["sent"] += sum(map(len, pieces))
        send(mesh, peer, pieces)

    def counted_receive(mesh: Mesh, *arguments: Any) -> list[Any]:
        messages = receive(mesh, *arguments)
        with _lock:
            count["received"] += sum(map(len, messages))
        return messages

    def counted_round(worker: Worker, command: Any) -> Any:
        count.clear()
        began = time.process_time()
        result = run_round(worker, command)
        mesh = worker.mesh
        told = {
            **count,
            "round": command.round,
            "cpu": time.process_time() - began,
            "compute": result[1]["compute"],
            "connections": len(mesh._outward) + len(mesh._inward) if mesh else 0,
            "threads": threading.active_count(),
        }
        with open(Path(sys.argv[1]) / COUNTED.format(command.rank), "a") as file:
            file.write(json.dumps(told) + "\n")
        return result

    Mesh._send, Mesh._receive, Worker._run_round = counted_send, counted_receive, counted_round  # type: ignore


if __name__ == "__main__":
    watch()
    main()
