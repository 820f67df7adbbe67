"""Runs containers as processes of this machine: quick tests run the application without YARN."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import hdl
from hdl.yarn.process import NODE_STATUS
from hdl.yarn.resource_manager.resources import Changes, Container, Ended, Resources

HOST = "127.0.0.1"


class Processes(Resources):
    """Grants each request at once.

    Parameters
    ----------
    folder : Path
        The application's, for standard error and token file of each container.
    hosts : list of str
        Addresses of this machine that stand for nodes; containers go to one after the other.

    Attributes
    ----------
    running : dict of str to Popen
        By the container's id; tests kill some.
    module : str
        That is run as a worker.
    """

    module = "hdl.yarn.worker"

    def __init__(self, folder: Path, hosts: Sequence[str] = (HOST,)):
        self.folder, self.hosts = folder, [*hosts]
        self.avoided: list[str] = []
        self.running: dict[str, subprocess.Popen] = {}
        self.refuse: set[int] = set()  # requests that are never granted
        self.outcome: tuple[bool, str] | None = None
        self._asked: dict[int, None] = {}
        self._stopped: set[str] = set()
        self._count = 0

    def register(self, host: str, port: int, url: str) -> list[Container]:
        return []

    def ask(self, number: int, hosts: Sequence[str] = (), strict: bool = False) -> None:
        self._asked[number] = None

    def cancel(self, number: int) -> None:
        self._asked.pop(number, None)

    def avoid(self, hosts: Sequence[str]) -> None:
        self.avoided = [*hosts]

    def poll(self, progress: float) -> Changes:
        changes = Changes(available="as much as this machine has", nodes=len(self.hosts))
        free = [host for host in self.hosts if host not in self.avoided]
        for number in [number for number in self._asked if number not in self.refuse and free]:
            del self._asked[number]
            self._count += 1
            name, host = f"container_{os.getpid()}_{self._count:06d}", free[self._count % len(free)]
            changes.granted.append(Container(name, host, number))
        for name, process in list(self.running.items()):
            if process.poll() is not None:
                del self.running[name]
                own = "node" if process.returncode == NODE_STATUS else "exited"
                kind = "stopped" if name in self._stopped else own
                changes.ended.append(Ended(name, kind, self._reason(name, process.returncode)))
        return changes

    def launch(self, container: Container, secret_keys: Mapping[str, bytes]) -> None:
        tokens = self.folder / f"{container.id}.tokens"
        with open(os.open(tokens, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600), "wb") as file:
            file.write(token_file(secret_keys))
        root = str(Path(hdl.__file__).resolve().parent.parent)
        path = [root, *(entry for entry in sys.path if entry and entry != root)]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(path),
            "HADOOP_TOKEN_FILE_LOCATION": str(tokens),
            "NM_HOST": container.host,
            "LOCAL_DIRS": str(self.folder),
        }
        with open(self.folder / f"{container.id}.stderr", "wb") as errors:
            self.running[container.id] = subprocess.Popen(
                [sys.executable, "-P", "-m", self.module, str(self.folder)],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors, env=environment,
            )  # fmt: skip

    def stop(self, container: str) -> None:
        if container in self.running:
            self._stopped.add(container)
            self.running[container].kill()

    def unregister(self, succeeded: bool, message: str, url: str = "") -> None:
        self.outcome = succeeded, message

    def close(self) -> None:
        for process in self.running.values():
            process.kill()
            process.wait()

    def _reason(self, name: str, status: int) -> str:
        how = f"killed by signal {-status}" if status < 0 else f"exit status {status}"
        text = (self.folder / f"{name}.stderr").read_text(errors="replace")[-6000:].strip()
        return f"{how}; its standard error: {text}" if text else how


def token_file(secret_keys: Mapping[str, bytes]) -> bytes:
    """Encode a token file with these secret keys, as Hadoop writes it (format 1, protobuf)."""

    def number(value: int) -> bytes:
        low = bytes([value & 127 | (128 if value > 127 else 0)])
        return low + (number(value >> 7) if value > 127 else b"")

    def field(which: int, content: bytes) -> bytes:
        return bytes([which << 3 | 2]) + number(len(content)) + content

    message = b"".join(field(2, field(1, name.encode()) + field(3, secret)) for name, secret in secret_keys.items())
    return b"HDTS\x01" + number(len(message)) + message
