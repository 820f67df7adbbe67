"""`--log tensorboard:DIR`: event files, by tensorboardX.

The name of a file ends with the id of its run: by it a resumed training knows its own files, whose last rounds are read
from them. tensorboardX has no reader; the records around its events are the ones that TensorFlow documents as TFRecord:
length, its checksum, data, its checksum.
"""

from __future__ import annotations

import importlib
import os
import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from hdl import fs, strict_json
from hdl.errors import SpecError, Unavailable
from hdl.loggers.base import Point, Training, Writer

_EVENTS = ".tfevents."
_OURS = re.compile(r"\.hdl-([0-9a-f]+)-\d+$")
_RUN_LETTERS = 12


class TensorBoard(Writer):
    """Writes event files into a folder; arguments as those of `Writer`."""

    _events: Any = None

    def __init__(self, scheme: str, target: str):
        super().__init__(scheme, target)
        if fs.is_remote(target) or re.match(r"\w+://", target):
            raise SpecError(f"--log {self.shown}: expected a folder of this machine, which TensorBoard then reads")
        self._library("event_file_writer")

    def _library(self, part: str) -> Any:
        try:
            return importlib.import_module(f"tensorboardX.{part}")
        except ImportError:
            raise Unavailable(
                f"--log {self.shown}: needs tensorboardX, which is not installed: pip install 'hdl-hadoop[log]'"
            ) from None

    def check(self, runs: Mapping[str, str | None], overwrite: bool) -> None:
        for part, run in runs.items():
            folder = self._folder(part)
            if folder.exists() and not folder.is_dir():
                raise SpecError(f"--log {self.shown}: {folder} is a file; expected a folder")
            self.check_folder(folder)
            self._check_ours(folder, None if overwrite else run or "")

    def _check_ours(self, folder: Path, run: str | None) -> None:
        """Refuses a folder with events of something else, or of another run; `run` None means any."""
        for path in _files(folder):
            own = _OURS.search(path.name)
            if own is None or (run is not None and own[1] != run[:_RUN_LETTERS]):
                whose = "another training" if own else "another program"
                raise SpecError(
                    f"--log {self.shown}: {folder} holds events of {whose}; give another folder, such as "
                    f"{os.path.join(self.target, 'NAME')}: TensorBoard shows the folders in one side by side"
                )

    def begin(self, training: Training, overwrite: bool) -> Mapping[str, int]:
        self._close()
        folder, run = self._folder(training.part), training.run[:_RUN_LETTERS]
        if overwrite:
            for path in _files(folder):
                if (own := _OURS.search(path.name)) and own[1] != run:
                    path.unlink()
        self._check_ours(folder, training.run)
        before = _files(folder)
        last: dict[str, int] = {}
        for path in before:
            for event in self._read(path):
                for value in event.summary.value:
                    last[value.tag] = max(event.step, last.get(value.tag, -1))
        folder.mkdir(parents=True, exist_ok=True)
        # Names hold seconds and the host: the number tells files of one second apart.
        writer = self._library("event_file_writer").EventsWriter
        self._events = writer(os.path.join(folder, "events"), f".hdl-{run}-{len(before)}")
        if not before:
            text = f"```json\n{strict_json.dumps({'run': training.run, **training.spec}, indent=2)}\n```"
            self._add(self._library("summary").text("spec", text), 0, None)
            self._events.flush()
        return last

    def write(self, points: Sequence[Point]) -> None:
        for point in points:
            for name, value in point.values.items():
                self._add(self._library("summary").scalar(name, value), point.step, point.time)
        self._events.flush()

    def end(self, state: str) -> None:
        self._close()

    def _add(self, summary: Any, step: int, time: float | None) -> None:
        event = self._library("proto.event_pb2").Event(summary=summary, step=step)
        if time is not None:
            event.wall_time = time
        self._events.write_event(event)

    def _close(self) -> None:
        events, self._events = self._events, None
        with suppress(OSError):  # of a disk that is full, which was told
            if events is not None:
                events.close()

    def _read(self, path: Path) -> Iterator[Any]:
        """Yields the events of a file, and cuts off a last one that is not whole, as its process ended: TensorBoard
        takes some of those for whole."""
        event = self._library("proto.event_pb2").Event
        with open(path, "r+b") as file:
            whole, size = 0, os.fstat(file.fileno()).st_size
            while len(head := file.read(12)) == 12:
                end = whole + 16 + struct.unpack("<Q", head[:8])[0]
                if end > size:
                    break
                yield event.FromString(file.read(end - whole - 12)[:-4])
                whole = end
            if whole < size:
                file.truncate(whole)

    def _folder(self, part: str) -> Path:
        return Path(fs.plain(self.target), part)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if _EVENTS in path.name) if folder.is_dir() else []
