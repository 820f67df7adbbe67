"""A worker's side of the control channel: commands come in, answers and signs of life go out.

When the master is gone, the next attempt's address is looked for in the application's folder.
"""

from __future__ import annotations

import json
import os
import resource
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from hdl import fs
from hdl.errors import DeadlineError, HdlError
from hdl.yarn.comm.control import Client
from hdl.yarn.comm.credentials import WorkerCredentials
from hdl.yarn.names import MASTER_ADDRESS
from hdl.yarn.protocol import Beat, Hello, MemoryUse, Message, Relayed, read_command
from hdl.yarn.worker.relay import Relay

BEAT_SECONDS = 0.5
ORPHAN_SECONDS = 120.0  # without a master, after which a worker ends
PAGE = resource.getpagesize()
MEMORY_SHARE = 0.9  # of the container's memory, beyond which its use is reported
MEMORY_GROWTH = 1.02  # beyond the last report, before the next one


class MasterLink:
    """Holds the connections of a worker to the application's master.

    The worker's main thread uses it; signs of life have a thread and a connection of their own.

    Parameters
    ----------
    credentials : WorkerCredentials
    address : str
        Of the master's control channel.
    staging : str
        The application's folder.
    master_gone : threading.Event
        Set once the watch of the present master has ended.
    hello : function
        Makes the worker's first message to a master.

    Attributes
    ----------
    generation : int
        Of the last command.
    memory_limit : int
        Bytes of memory that the container may use; 0: not known yet.
    relay : Relay or None
        The worker's place in the tree of relays, set before `start`.
    """

    def __init__(
        self,
        credentials: WorkerCredentials,
        address: str,
        staging: str,
        master_gone: threading.Event,
        hello: Callable[[], Hello],
    ):
        self.generation = self.memory_limit = 0
        self._address, self._staging, self._master_gone, self._hello = address, staging, master_gone, hello
        self._work, self._beats = Client(credentials, address, "work"), Client(credentials, address, "beat")
        self._waiting: Message | None = None  # a command that was seen while another one was being done
        self._came: deque[Message] = deque()  # commands from a relay
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._report_lock = threading.Lock()
        self.relay: Relay | None = None
        self._position: tuple[int, float] = -1, 0.0  # shard that is being worked on, and the share done
        self._moves = 0
        self._reported_memory = 0

    def start(self) -> None:
        """Say hello, and give signs of life from now on."""
        threading.Thread(target=self._beat, daemon=True).start()
        self.send(self._hello())

    def send(self, message: Message) -> None:
        """Send a report to the master."""
        self._work.send(message.to_dict())

    def report(self, message: Message) -> None:
        """Send a report to the master from any thread."""
        with self._report_lock:
            self._beats.send(message.to_dict())

    def deliver(self, command: Message) -> None:
        """Hand a command that a relay has passed on to the thread that waits for commands."""
        self._came.append(command)
        os.eventfd_write(self._wake, 1)

    def moved(self, shard: int, share: float) -> None:
        """Note that the work has got on: the shard that is being worked on, and the share of it that is done."""
        self._position = shard, share
        self._moves += 1

    def command(self) -> Message:
        """Wait for the next command; if the master is gone, for the next attempt's.

        Raises
        ------
        DeadlineError
            No other master appears within `ORPHAN_SECONDS`.
        """
        while True:
            command, self._waiting = self._waiting, None
            command = command or self._receive(1.0)
            if command is not None:
                return command
            if self._master_gone.is_set():
                self._find_master()

    def interrupted(self, seconds: float) -> bool:
        """Tell whether to leave the present work: a command is there or comes in `seconds`, or the master is gone."""
        if self._waiting is None:
            self._waiting = self._receive(seconds)
        return self._waiting is not None or self._master_gone.is_set()

    def close(self) -> None:
        """End the connection for commands, once all that was queued is sent."""
        self._work.close()

    def _receive(self, seconds: float) -> Message | None:
        received = None if self._came else self._work.receive(seconds, self._wake)
        if received is not None:
            command = read_command(received)
            if isinstance(command, Relayed) and self.relay:
                self.relay.forward(command)
            return command
        with suppress(BlockingIOError):
            os.eventfd_read(self._wake)
        return self._came.popleft() if self._came else None

    def _find_master(self) -> None:
        """Wait for the address of the next attempt's master, and say hello to it."""
        until, last = time.monotonic() + ORPHAN_SECONDS, self._address
        prefix = MASTER_ADDRESS.partition("{")[0]
        while time.monotonic() < until:
            with suppress(OSError, HdlError, ValueError):
                names = [name for name in fs.list(self._staging) if name.startswith(prefix)]
                with fs.open(fs.join(self._staging, max(names))) as file:
                    self._address = str(json.loads(file.read())["control"])
                if self._address != last:
                    if self.relay:  # the next master knows nothing of the tree
                        self.relay.leave()
                    self._work.connect(self._address)
                    with self._report_lock:
                        self._beats.connect(self._address)
                    self._master_gone.clear()
                    self.send(self._hello())
                    return
            time.sleep(0.5)
        raise DeadlineError(f"no master for {ORPHAN_SECONDS:g} s; the last one was {last}")

    def _beat(self) -> None:
        while True:
            shard, share = self._position
            used, limit = resident(), self.memory_limit
            if self.relay is None or not self.relay.beat(shard, share, used, self._moves):
                self.report(Beat(shard, share, self.generation, used, self._moves))
            if limit and used > MEMORY_SHARE * limit and used > self._reported_memory * MEMORY_GROWTH:
                self._reported_memory = used
                self.report(MemoryUse(limit, self.generation, used, self._moves))
            time.sleep(BEAT_SECONDS)


def resident() -> int:
    """Return the bytes of memory that this process has in use."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * PAGE
