"""The session's own process: `python -m hdl.session.server NAME`, started by `starting.start`.

It carries out one command line after the other, in the order in which they came, each in this process's main thread
with the working folder, the umask and the standard output and error of whoever sent it. Another thread listens.
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
from contextlib import suppress
from pathlib import Path
from typing import Any

from hdl import session
from hdl.errors import HdlError, WorkerError
from hdl.session import places
from hdl.session.command import Command, as_of

WARM = ("hdl.cli.train", "hdl.driver", "hdl.report.gather", "hdl.importance", "matplotlib.figure")  # imported early
CHECK_SECONDS = 1.0  # between two looks whether the session has been idle for too long


class Server:
    """Carries out commands until it is stopped, or has been idle for too long.

    Parameters
    ----------
    own : Path
        The session's folder.
    record : dict
        What the session is: see `starting`.
    workers : LocalWorkers or alike
    """

    def __init__(self, own: Path, record: dict[str, Any], workers: Any):
        self.own, self.record, self.workers = own, record, workers
        self._listener = places.listen(own)
        self._waiting: queue.Queue[Command | None] = queue.Queue()
        self._lock = threading.Lock()
        self._queued: list[Command] = []
        self._running: Command | None = None
        self._interruptible = self._stopped = False
        self._done, self._since = 0, time.time()
        self._main = threading.main_thread().ident or 0
        self.ended = ""  # why it ended, if nobody wanted that

    def run(self) -> None:
        """Carry out commands, until the end of the session."""
        signal.signal(signal.SIGINT, self._interrupted)
        signal.signal(signal.SIGTERM, lambda *_: self._stop())
        threading.Thread(target=self._listen, name="hdl-session-listen", daemon=True).start()
        for name in WARM:
            with suppress(ImportError):  # matplotlib is optional
                importlib.import_module(name)
        while not self._stopped:
            try:
                command = self._waiting.get(timeout=CHECK_SECONDS)
            except queue.Empty:
                if self.record["idle"] and time.time() - self._since > self.record["idle"]:
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
            self.ended = f"{error}"
            self._stopped = True
            print(f"the session ends: {error}", flush=True)

    def _end(self) -> None:
        self._listener.close()
        with self._lock:
            left, self._queued = self._queued, []
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

        if command.version != places.version():
            self._say(command, f"hdl: error: the session runs hdl {places.version()}, this is {command.version}: "
                               f"start it again with: {self.record['command']}")  # fmt: skip
            return 2
        with as_of(command):
            try:
                self._interruptible = True
                try:
                    return cli.run(command.args)
                finally:
                    self._interruptible = False
            except KeyboardInterrupt:  # it came at the very end
                return 130

    def _say(self, command: Command, text: str) -> None:
        with suppress(OSError):
            os.write(command.files[1], f"{text}\n".encode())

    # --- from other threads -------------------------------------------------------------------------------------------

    def _interrupted(self, *_: Any) -> None:
        if self._interruptible:
            raise KeyboardInterrupt

    def _stop(self) -> None:
        self._stopped = True
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
                        self._enqueue(command)
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

    def _interrupt(self, command: Command) -> None:
        with self._lock:
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
            running = self._running.args if self._running else None
            return {**self.record, "running": running, "waiting": [command.args for command in self._queued],
                    "done": self._done, "since": self._since, **self.workers.describe()}  # fmt: skip


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
        os._exit(0)  # threads that wait in sockets, or in Java, are not waited for


if __name__ == "__main__":
    main()
