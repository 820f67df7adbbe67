"""A command line that was sent to a session, and what it takes to be where its sender is."""

from __future__ import annotations

import io
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from hdl.session import places
from hdl.session.client import SHOWN


class Command:
    """A command line that was sent, and who sent it."""

    def __init__(self, channel: socket.socket, fields: dict[str, Any], files: list[int]):
        self.channel, self.files = channel, files
        self.args = [str(word) for word in fields["args"]]
        self.folder, self.umask = str(fields["folder"]), int(fields["umask"])
        self.shown = {name: str(value) for name, value in fields["shown"].items() if name in SHOWN}
        self.version = str(fields["version"])

    def answer(self, message: dict[str, Any]) -> None:
        """Tell whoever sent it; that it may be gone is no matter."""
        with suppress(OSError):
            places.send(self.channel, message)

    def close(self) -> None:
        """Close the files that came with it."""
        for each in self.files:
            os.close(each)
        self.files = []


class Patient(io.FileIO):
    """A file that takes what nobody reads any more: a training goes on though its terminal is gone."""

    def write(self, content: Any) -> int:
        try:
            return super().write(content) or 0
        except OSError:
            return memoryview(content).nbytes


def patient() -> list[io.TextIOWrapper]:
    """Make standard output and error of files that are patient."""
    return [io.TextIOWrapper(io.BufferedWriter(Patient(place, "w", closefd=False)), "utf-8", "surrogateescape",
                             line_buffering=True) for place in (1, 2)]  # fmt: skip


@contextmanager
def as_of(command: Command) -> Iterator[None]:
    """Be where a command was sent from: its folder, umask, standard output and error, and how text is shown there."""
    own = [os.dup(1), os.dup(2)]
    streams, before = (sys.stdout, sys.stderr), {name: os.environ.get(name) for name in SHOWN}
    mask = os.umask(command.umask)
    for stream in streams:
        stream.flush()
    for place, file in enumerate(command.files, 1):
        os.dup2(file, place)
    made = patient()
    try:
        os.chdir(command.folder)
        for name in SHOWN:
            os.environ.pop(name, None)
        os.environ.update(command.shown)
        sys.stdout, sys.stderr = made
        yield
    finally:
        for stream in made:
            with suppress(OSError, ValueError):
                stream.flush()
        sys.stdout, sys.stderr = streams
        for place, file in enumerate(own, 1):
            os.dup2(file, place)
            os.close(file)
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value
        os.umask(mask)
        os.chdir("/")
