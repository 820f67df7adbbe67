"""A worker: `python -m hdl.yarn.worker` in a container, the training step's home.

It says hello to the master, does what it is told, one command at a time, and gives a sign of life twice a second. It
keeps its decoded shards, the weights of the last two rounds and the updates that it made last: so a round that is done
again for a worker that died costs the others nothing but the exchange.

Its argument is the application's folder, where a second master's address appears; keys and the first one's come in the
container's credentials, and YARN's NM_HOST says where to listen.
"""

from __future__ import annotations

import faulthandler
import json
import os
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np

from hdl import fs, optim, sync, wire
from hdl.data import FileSplit, Options
from hdl.errors import DeadlineError, HdlError
from hdl.runners import platform
from hdl.runners.base import Plan
from hdl.runners.messages import error_message, read_plan
from hdl.runners.work import Host
from hdl.sync import average
from hdl.wire import Update, Weights
from hdl.yarn.comm import tls, tokens
from hdl.yarn.comm.allreduce import POLL, Mesh, PeerLost, allreduce, reduce_scatter
from hdl.yarn.comm.control import Client
from hdl.yarn.comm.credentials import WorkerSecrets
from hdl.yarn.comm.faults import Faults
from hdl.yarn.comm.mailbox import Mailbox, decoded, titled
from hdl.yarn.process import run_and_exit
from hdl.yarn.settings import CONTROL
from hdl.yarn.worker.async_trainer import AsyncTrainer

BEAT_SECONDS = 0.5
GIFT_SECONDS = 60.0  # that may pass between a command and what belongs to it
MESH_SECONDS = 10.0  # for all peers to connect
ORPHAN_SECONDS = 120.0  # without a master, after which a worker ends
PAGE = resource.getpagesize()


class Aborted(Exception):
    """Waiting is of no use any more: a newer command is there, or the master is gone."""


class Worker:
    """Does what the master says until it is told to end.

    Parameters
    ----------
    keys : WorkerSecrets
    master : str
        Address of its control.
    staging : str
        The application's folder.
    host : str
        To listen on.
    """

    def __init__(self, keys: WorkerSecrets, master: str, staging: str, host: str):
        self.keys, self.staging = keys, staging
        self.outward = keys.tls(server=False)
        self.desk = Mailbox(keys.tls(server=True), host, lambda: self.faults.at("publishing"), dismissed)
        self.work, self.beats = Client(keys, master, "work"), Client(keys, master, "beat")
        self.address = master
        self.generation = self.ticket = 0  # of the last command
        self.host: Host = None  # type: ignore[assignment]  # until it is told to open
        self.opened = self.planned = b""
        self.mesh: Mesh | None = None
        self.held: dict[int, Weights] = {}
        self.made: tuple[tuple[int, bool], list[Update]] | None = None
        self.pending: dict[str, Any] | None = None
        self.doing: tuple[int, float] = -1, 0.0  # shard and share, for the beats
        self.moves = 0  # how often the work has got on: a process may beat and hang all the same
        self.limit = 0  # bytes of the container
        self.faults = Faults()
        self.free: AsyncTrainer = None  # type: ignore[assignment]  # until mode `async` begins
        self.warned = 0

    def run(self) -> None:
        """The loop over commands."""
        threading.Thread(target=self._beat, daemon=True).start()
        self._hello()
        while True:
            command = self._next()
            if command["kind"] == "end":
                return
            if command["generation"] < self.generation:  # of a crew that is no more
                continue
            self.generation = command["generation"]
            self.faults.rank, self.faults.life = command["rank"], command["life"]
            self.ticket = command["ticket"]
            self.desk.tidy(self.generation, self.ticket)
            answer: dict[str, Any] = {"ticket": self.ticket, "generation": self.generation}
            try:
                answer |= {"kind": "done", **(getattr(self, f"on_{command['kind']}")(command) or {})}
            except Aborted:
                continue
            except PeerLost as error:
                answer |= {"kind": "lost", "peer": error.rank, "reason": str(error)}
            except Exception as error:
                answer |= {"kind": "failed", "error": wire.unpack(error_message(error))[1]}
            self.work.send(answer)

    # --- commands -----------------------------------------------------------------------------------------------------

    def on_open(self, command: dict[str, Any]) -> dict[str, Any]:
        """The dataset and this worker's shards. What is open already stays, with its decoded shards."""
        content = bytes(self._gift("open"))
        _, fields, _ = wire.unpack(content)
        offered = platform.gpu(fields["device"])
        if content == self.opened:
            return offered
        cuts = {number: [FileSplit(*portion) for portion in portions] for number, portions in fields["cuts"]}
        rest = {name: fields[name] for name in ("threads", "device", "memory")}
        self.limit = fields["limit"]
        self.host = Host(fields["path"], Options.make(fields["options"]), cuts, **rest)
        self.opened, self.planned, self.made, self.held = content, b"", None, {}
        return offered

    def on_summarise(self, command: dict[str, Any]) -> dict[str, Any]:
        found = self.host.summarise([*self.host.cuts], self.beat)
        self.desk.offer({f"summary:{n}": wire.encode_parts(one) for n, one in zip(self.host.cuts, found, strict=True)})
        return {"samples": sum(one.samples for one in found)}

    def on_plan(self, command: dict[str, Any]) -> None:
        content = bytes(self._gift("plan"))
        if content != self.planned:
            _, fields, tensors = wire.unpack(content)
            self.host.prepare(read_plan(fields, tensors))
            self.planned, self.made, self.held = content, None, {}

    def on_mesh(self, command: dict[str, Any]) -> None:
        """New connections among the crew of a generation, `peers` by rank."""
        if self.mesh:
            self.mesh.close()
        self.mesh, generation, rank = None, command["generation"], command["rank"]
        self.desk.forget(generation)
        peers = command["peers"]
        if len(peers) == 1:
            return
        hello = {"purpose": "peer", "generation": generation, "rank": rank}
        outward, inward = {}, {}
        for other, address in enumerate(peers):
            if other != rank:
                try:
                    outward[other] = tls.connect(self.outward, tuple(address), hello, MESH_SECONDS)
                except (HdlError, OSError) as error:
                    raise PeerLost(other, error) from None
        for other in outward:
            try:
                inward[other] = self._wait(
                    lambda seconds, rank=other: self.desk.peer(generation, rank, seconds),  # type: ignore[misc]
                    MESH_SECONDS,
                )
            except DeadlineError as error:
                raise PeerLost(other, error) from None
        self.mesh = Mesh(rank, len(peers), generation, outward, inward, self.check, point=self.faults.at)

    def on_round(self, command: dict[str, Any]) -> dict[str, Any]:
        """One round: this worker's shards, then with the others the next weights; or, `central`, the master's slice."""
        number, measured, began = command["round"], command["evaluate_only"], time.perf_counter()
        self.faults.round = number
        weights = self._weights(command)
        key = number, measured
        if self.made is None or self.made[0] != key:
            self.made = key, self.host.round(weights, [*self.host.cuts], measured, self.beat)
        spec, updates = self._plan().spec, self.made[1]
        ready = time.perf_counter()
        seconds = {name: sum(one.seconds.get(name, 0.0) for one in updates) for name in updates[0].seconds}
        size = max((tensor.shape[-1] for tensor in updates[0].tensors.values()), default=0)
        if command["central"]:
            own = reduce_scatter(self.mesh, spec, updates, size) if self.mesh else None
            self.desk.offer({"update": wire.encode_parts(own or sync.complete(spec, updates))})
            row: dict[str, Any] = {}
        else:
            total = allreduce(self.mesh, spec, updates, size)
            merging = time.perf_counter()
            self.faults.at("merging")
            after, row = sync.advance(spec, weights, [total], measured)
            seconds["merge"] = time.perf_counter() - merging
            wanted = {number, after.round, *command["keep"]}
            self.held = {n: one for n, one in {**self.held, after.round: after}.items() if n in wanted}
            self.desk.offer({f"weights:{n}": wire.encode_parts(one) for n, one in self.held.items()})
        seconds |= {"compute": ready - began, "exchange": time.perf_counter() - ready - seconds.get("merge", 0.0)}
        return {"row": row, "seconds": seconds}

    def on_free(self, command: dict[str, Any]) -> None:
        """Trains without waiting for anybody, until the next command."""
        if command["given"]:
            self.desk.came("equal")  # of what was trained before
            weights = decoded(Weights, self._gift("free"))
            start = average.start(self._plan().spec, weights.w)
            self.free = AsyncTrainer(self, Weights(0, weights.w, start), command["done"])
        self.free.run(command["last"])

    # --- what commands need -------------------------------------------------------------------------------------------

    def _weights(self, command: dict[str, Any]) -> Weights:
        """The round's weights: held from the round before, given whole, or given in slices that the workers share."""
        number, given = command["round"], command["given"]
        if not given:
            return self.held[number]
        content = self._gift(f"weights:{number}")
        if given == "slice":
            weights = self._gathered(number, content)
        else:
            weights = decoded(Weights, content)
        self.held[number] = weights
        return weights

    def _gathered(self, number: int, own: bytearray) -> Weights:
        """The weights of a line search's trial, of which each worker was given its slice."""
        contents = [own, *(self.mesh.share([[own]]) if self.mesh else ())]
        slices = sorted((wire.unpack(content)[1:] for content in contents), key=lambda pair: pair[0]["rank"])
        whole = {name: np.concatenate([tensors[name] for _, tensors in slices]) for name in slices[0][1]}
        return Weights(number, whole.get("w", whole["trial"]), optim.trying(whole["trial"]))

    def _plan(self) -> Plan:
        assert self.host.plan is not None  # the master gives it before any round
        return self.host.plan

    def _wait(self, wait: Callable[[float], Any], seconds: float) -> Any:
        """What `wait` gives, unless a newer command makes waiting useless."""
        until = time.monotonic() + seconds
        while True:
            try:
                return wait(POLL)
            except DeadlineError:
                self.check()
                if time.monotonic() > until:
                    raise

    def _gift(self, name: str) -> bytearray:
        """What belongs to the present command."""
        own = titled(name, self.generation, self.ticket)
        return self._wait(lambda seconds: self.desk.gift(own, seconds), GIFT_SECONDS)

    def check(self) -> None:
        """Called while waiting for peers."""
        if self.next_command(0.0) is not None:
            raise Aborted

    def next_command(self, seconds: float) -> Any:
        """A command that waits, or something else if the master is gone: what is being done is to be left."""
        if self.pending is None:
            self.pending = self.work.receive(seconds)
        return self.pending or (True if self.desk.master_gone.is_set() else None)

    def beat(self, shard: int, share: float) -> None:
        self.doing = shard, share
        self.moves += 1
        self.faults.at("computing" if shard in self.host._shards else "loading")

    # --- the master ---------------------------------------------------------------------------------------------------

    def _hello(self) -> None:
        host = socket.gethostname()
        self.work.send({"kind": "hello", "bulk": list(self.desk.address), "host": host, "pid": os.getpid(),
                        "isa": platform.best_isa(), "held": sorted(self.held)})  # fmt: skip

    def _next(self) -> dict[str, Any]:
        """The next command; meanwhile a master that is gone is looked for."""
        while True:
            command, self.pending = self.pending, None
            command = command or self.work.receive(1.0)
            if command is not None:
                return command
            if self.desk.master_gone.is_set():
                self._find_master()

    def _find_master(self) -> None:
        """Waits for the address of the next attempt's master and says hello to it."""
        until, last = time.monotonic() + ORPHAN_SECONDS, self.address
        while time.monotonic() < until:
            with suppress(OSError, HdlError, ValueError):
                names = [name for name in fs.list(self.staging) if name.startswith("master-")]
                with fs.open(fs.join(self.staging, max(names))) as file:
                    self.address = str(json.loads(file.read())["control"])
                if self.address != last:
                    self.work.connect(self.address)
                    self.beats.connect(self.address)
                    self.desk.master_gone.clear()
                    self._hello()
                    return
            time.sleep(0.5)
        raise DeadlineError(f"no master for {ORPHAN_SECONDS:g} s; the last one was {last}")

    def _beat(self) -> None:
        """Signs of life, with what is being done and the memory that is used."""
        while True:
            shard, share = self.doing
            used = resident()
            told = {"generation": self.generation, "rss": used, "moves": self.moves}
            self.beats.send({"kind": "beat", "shard": shard, "share": share, **told})
            if self.limit and used > 0.9 * self.limit and used > self.warned * 1.02:
                self.warned = used
                self.beats.send({"kind": "memory", "limit": self.limit, **told})
            time.sleep(BEAT_SECONDS)


def dismissed() -> None:
    """Ends at once: another worker has this one's place, because it was silent for too long."""
    print("hdl worker: was silent for too long and has been replaced", file=sys.stderr)
    sys.stderr.flush()
    os._exit(1)


def resident() -> int:
    """Bytes of memory that this process has in use."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * PAGE


def main() -> None:
    faulthandler.enable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    staging, credentials = sys.argv[1], tokens.read()
    keys, master = WorkerSecrets.from_dict(credentials), credentials[CONTROL].decode()
    # The way to HDFS takes half a second to open: meanwhile the worker says hello.
    threading.Thread(target=lambda: fs.exists(staging), daemon=True).start()
    worker = Worker(keys, master, staging, os.environ["NM_HOST"])
    run_and_exit("worker", worker.run, worker.work.close)


if __name__ == "__main__":
    main()
