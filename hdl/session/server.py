"""The session's own process: `python -m hdl.session.server NAME`, started by `starting.start`.

It carries out one command line after the other, in the order in which they came, each in this process's main thread
with the working folder, the umask and the standard output and error of whoever sent it. Searches go on beside it, in
processes of their own, which send their trials here. Another thread listens.
"""

from __future__ import annotations

import importlib
import os
import queue
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from hdl import quick, session
from hdl.errors import HdlError, SpecError, WorkerError
from hdl.session import orders, places
from hdl.session.beside import Beside
from hdl.session.client import SHOWN
from hdl.session.command import Command, as_of

WARM = ("hdl.cli.train", "hdl.driver", "hdl.report.gather", "hdl.importance", "matplotlib.figure")  # imported early
CHECK_SECONDS = 1.0  # between two looks whether the session has been idle for too long
BESIDE = (["search"],)  # commands that need no process that is warm, and go on for long


class Server:
    """Carries out commands until it is stopped, or has been idle for too long.

    Parameters
    ----------
    own : Path
        The session's folder.
    record : dict
        What the session is: see `starting`.
    workers : LocalWorkers or alike

    Attributes
    ----------
    stopped : bool
        Whether the session is to end.
    ended : str
        Why it has, if nobody wanted that.
    """

    def __init__(self, own: Path, record: dict[str, Any], workers: Any):
        self.own, self.record, self.workers = own, record, workers
        self._listener = places.listen(own)
        self._waiting: queue.Queue[Command | None] = queue.Queue()
        self._lock = threading.Lock()
        self._queued: list[Command] = []
        self._running: Command | None = None
        self._beside: list[Beside] = []
        self._interruptible = self.stopped = False
        self._done, self._fits, self._since = 0, 0, time.time()
        self._main = threading.main_thread().ident or 0
        self.ended = ""

    def run(self) -> None:
        """Carry out commands, until the end of the session."""
        signal.signal(signal.SIGINT, self._interrupted)
        signal.signal(signal.SIGTERM, lambda *_: self._stop())
        threading.Thread(target=self._listen, name="hdl-session-listen", daemon=True).start()
        for name in WARM:
            with suppress(ImportError):  # matplotlib is optional
                importlib.import_module(name)
        while not self.stopped:
            try:
                command = self._waiting.get(timeout=CHECK_SECONDS)
            except queue.Empty:
                idle = not self._beside and not self._fits and time.time() - self._since
                if self.record["idle"] and idle > self.record["idle"]:
                    print(f"idle for {self.record['idle']:g} s: the session ends", flush=True)
                    break
                self._look()
                continue
            if command is not None:
                self._carry_out(command)
        self._end()

    def _look(self) -> None:
        """Look at the workers between two commands; if they are gone for good, the session is over."""
        try:
            self.workers.look()
        except HdlError as error:
            self.ended = getattr(self.workers, "over", "") or f"{error}"
            self.stopped = True
            print(f"the session ends: {self.ended}", flush=True)

    def _end(self) -> None:
        with self._lock:
            left, self._queued = self._queued, []
            beside = [*self._beside]
        for each in beside if not self.ended else ():  # else they are told why
            each.interrupt()
        for each in beside:
            each.close()
        self._listener.close()
        for command in left:
            why = f": {self.ended}" if self.ended else ""
            self._say(command, f"hdl: error: the session has ended before this command began{why}")
            command.answer({"status": WorkerError.exit_code})
            command.close()
        self.workers.close()

    # --- one command --------------------------------------------------------------------------------------------------

    def _carry_out(self, command: Command) -> None:
        with self._lock:
            if command not in self._queued:  # it was taken back
                return
            self._queued.remove(command)
            self._running, self._since = command, time.time()
        print(f"{time.strftime('%F %T')} begins: {' '.join(command.args[:2])}", flush=True)
        status = 1
        try:
            status = self._run(command)
        except BaseException:  # the command's own errors end in `cli.run`; the session outlives what is left
            traceback.print_exc()
        finally:
            with self._lock:
                self._running, self._since = None, time.time()
                self._done += 1
            self._look()
            print(f"{time.strftime('%F %T')} ends with status {status}", flush=True)
            command.answer({"status": status})
            command.close()

    def _run(self, command: Command) -> int:
        from hdl import cli

        if not self._understood(command):
            return SpecError.exit_code
        with as_of(command):
            try:
                self._interruptible = True
                try:
                    return cli.run(command.args)
                finally:
                    self._interruptible = False
            except KeyboardInterrupt:  # it came at the very end
                return 130

    def _understood(self, command: Command) -> bool:
        if command.version != places.version():
            self._say(command, f"hdl: error: the session runs hdl {places.version()}, this is {command.version}: "
                               f"start it again with: {self.record['command']}")  # fmt: skip
        return command.version == places.version()

    def _say(self, command: Command, text: str) -> None:
        with suppress(OSError):
            os.write(command.files[1], f"{text}\n".encode())

    # --- from other threads -------------------------------------------------------------------------------------------

    def _interrupted(self, *_: Any) -> None:
        if self._interruptible:
            raise KeyboardInterrupt

    def _stop(self) -> None:
        self.stopped = True
        self._waiting.put(None)
        if self._interruptible:
            signal.pthread_kill(self._main, signal.SIGINT)

    def _listen(self) -> None:
        while True:
            try:
                channel, _ = self._listener.accept()
            except OSError:  # closed
                return
            if places.peer(channel) != os.geteuid():  # root alone can have come here at all
                channel.close()
                continue
            threading.Thread(target=self._serve, args=(channel,), name="hdl-session-serve", daemon=True).start()

    def _serve(self, channel: socket.socket) -> None:
        """Hear one client out."""
        command: Command | None = None
        with channel:
            try:
                while True:
                    fields, files = places.receive(channel, 2)
                    if fields["do"] == "run" and len(files) == 2 and command is None:
                        command = Command(channel, fields, files)
                        (self._begin_beside if command.args[:1] in BESIDE else self._enqueue)(command)
                    elif fields["do"] in ("train", "fit") and command is None:
                        return orders.carry_out(self, channel, fields)
                    elif fields["do"] == "forget":
                        self.workers.forget(str(fields["folder"]))
                        places.send(channel, {"forgotten": fields["folder"]})
                    elif fields["do"] == "interrupt" and command is not None:
                        self._interrupt(command)
                    elif fields["do"] == "state":
                        places.send(channel, self.state())
                    elif fields["do"] == "stop":
                        places.send(channel, self.state())
                        self._stop()
                    else:
                        return
            except (EOFError, OSError, ValueError, KeyError, TypeError):
                if command is not None:  # what runs goes on
                    self._take_back(command)

    def _enqueue(self, command: Command) -> None:
        with self._lock:
            before = len(self._queued) + (self._running is not None)
            self._queued.append(command)
            if before:
                command.answer({"before": before})
            self._waiting.put(command)

    def _begin_beside(self, command: Command) -> None:
        """Begin a command in a process of its own."""
        status = SpecError.exit_code
        if self._understood(command):
            environment = {key: value for key, value in os.environ.items() if key not in SHOWN} | command.shown
            try:
                with self._lock:
                    self._beside.append(Beside(self.record["name"], command, environment, self._ended_beside))
                return
            except OSError as error:
                self._say(command, f"hdl: error: the search's process cannot begin: {error}")
                status = 1
        command.answer({"status": status})
        command.close()

    def _ended_beside(self, beside: Beside, status: int) -> None:
        with self._lock:
            self._beside.remove(beside)
            self._since, self._done = time.time(), self._done + 1
        beside.command.answer({"status": status if status >= 0 else 128 - status})
        beside.command.close()

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count a fit, while which the session is not idle."""
        with self._lock:
            self._fits += 1
        try:
            yield
        finally:
            with self._lock:
                self._fits, self._since, self._done = self._fits - 1, time.time(), self._done + 1

    def _interrupt(self, command: Command) -> None:
        with self._lock:
            if beside := next((each for each in self._beside if each.command is command), None):
                return beside.interrupt()
            if self._running is command:
                if self._interruptible:
                    signal.pthread_kill(self._main, signal.SIGINT)
                return
        self._take_back(command)

    def _take_back(self, command: Command) -> None:
        """Take a command back that waits."""
        with self._lock:
            if command not in self._queued:
                return
            self._queued.remove(command)
        self._say(command, "hdl: error: interrupted before it began")
        command.answer({"status": 130})
        command.close()

    def state(self) -> dict[str, Any]:
        """Describe the session in plain values."""
        with self._lock:
            running = [self._running] if self._running else []
            running += [each.command for each in self._beside]
            found = {**self.record, "running": [command.args for command in running], "done": self._done,
                     "waiting": [command.args for command in self._queued], "since": self._since}  # fmt: skip
        own = {"threads": self.workers.threads, "device": self.workers.device}
        return {**found, **own, **self.workers.describe()}


def main() -> None:
    """Run the session whose name is the first argument; the second is a descriptor on which its starter is told how it
    began."""
    own = places.place(sys.argv[1])
    ready = int(sys.argv[2])
    record = places.read_record(own)
    held = places.lock(own)
    if held is None:
        raise SystemExit("another process has the session's lock")
    try:
        from hdl.session.starting import make_workers

        session.name, session.current = record["name"], make_workers(record)
        workers = session.current
        server = Server(own, record, workers)
    except HdlError as error:
        os.write(ready, f"{type(error).__name__}\n{error}".encode())
        raise SystemExit(1) from None
    workers.tell_over = lambda why: places.died(record["name"], {**record, "ended": why})
    server.record |= {"pid": os.getpid(), "application": getattr(workers, "application", None)}
    places.write_record(own, server.record)
    os.write(ready, b"ready")
    os.close(ready)
    try:
        server.run()
    finally:
        if server.ended:  # the next command says so
            places.write_record(own, {**server.record, "ended": server.ended})
        else:
            places.remove(own)  # before the lock goes with this process
        quick.leave(0)


if __name__ == "__main__":
    main()
