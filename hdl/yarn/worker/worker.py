"""A worker: the training step's home in a container.

It says hello to the master, carries out one command at a time, and gives a sign of life twice a second. It keeps its
decoded shards, the weights of the last two rounds and the updates that it made last: so a round that is done again for
a worker that died costs the others nothing but the exchange.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from hdl import timeline, wire
from hdl.errors import DeadlineError
from hdl.passes import Pass
from hdl.runners import platform
from hdl.runners.kept import KeptHosts
from hdl.runners.messages import error_message, read_plan
from hdl.runners.work import Host
from hdl.sync import average, tuned
from hdl.wire import Weights
from hdl.yarn.comm import mesh, summaries
from hdl.yarn.comm.credentials import WorkerCredentials
from hdl.yarn.comm.faults import Faults
from hdl.yarn.comm.mailbox import Mailbox, decode_as, payload_name
from hdl.yarn.comm.mesh import Mesh, PeerLost
from hdl.yarn.process import node_fault
from hdl.yarn.protocol import (
    ASYNC_UPDATE,
    MERGED,
    Command,
    ConnectMesh,
    Disconnected,
    Done,
    Failed,
    Hello,
    Load,
    Measure,
    Open,
    Prepare,
    Relayed,
    RunRound,
    Summarise,
    TrainAlone,
    TrainAsync,
    partial_name,
    read_command,
)
from hdl.yarn.worker import alone
from hdl.yarn.worker.async_trainer import AsyncTrainer, Context
from hdl.yarn.worker.callbacks import evicted, take_tokens
from hdl.yarn.worker.master_link import MasterLink
from hdl.yarn.worker.memory import keep_memory
from hdl.yarn.worker.relay import Relay
from hdl.yarn.worker.rounds import Rounds

PAYLOAD_SECONDS = 60.0  # that may pass between a command and its payload


class Aborted(Exception):
    """Says that waiting is of no use any more: a newer command is there, or the master is gone."""


class Worker:
    """Carries out the master's commands until the one that ends it.

    Parameters
    ----------
    credentials : WorkerCredentials
    master : str
        Address of the master's control channel.
    staging : str
        The application's folder.
    host : str
        Name or address of the interface to listen on.
    """

    def __init__(self, credentials: WorkerCredentials, master: str, staging: str, host: str):
        self.faults = Faults()
        self.mailbox = Mailbox(credentials.tls(server=True), host, self._pulled, evicted, take_tokens)
        self.link = MasterLink(credentials, master, staging, self.mailbox.master_gone, self._hello)
        self._peer_context = credentials.tls(server=False)
        self.relay = Relay(
            self.mailbox, self._peer_context, self.link.report, self.link.deliver, summaries.join_results
        )
        self.link.relay = self.relay
        self.mesh: Mesh | None = None
        self.host: Host = None  # type: ignore[assignment]  # until the command Open, and after TrainAlone
        self.kept = KeptHosts()  # of a session
        self.trainer: AsyncTrainer = None  # type: ignore[assignment]  # until mode `async` begins
        self._generation = self._command_id = 0  # of the last command
        self._opened: dict[str, Any] | None = None  # fields of this command, but for the shards
        self._prepared = b""  # payload of this command
        self._results: dict[str, Sequence[wire.Buffer]] = {}  # of the present command, that the master will pull
        self._ranks: dict[int, int] = {}  # by place, of the workers in the mesh
        self.rounds = Rounds(self.faults, self.mailbox, self._payload, self._publish, self.beat)

    def run(self) -> None:
        """Carry out commands until the master ends this worker."""
        self.link.start()
        while isinstance(command := self.link.command(), (Command, Relayed)):
            relayed = isinstance(command, Relayed)
            if isinstance(command, Relayed):
                command = read_command({**command.command, "rank": self.faults.rank, "life": self.faults.incarnation})
                assert isinstance(command, Command)
            # Of a group that is no more, or told again by the master because a relay may have kept it to itself.
            if (command.generation, command.command_id) <= (self._generation, self._command_id):
                continue
            self._results = {}
            self._generation = self.link.generation = command.generation
            self._command_id = command.command_id
            self.faults.rank, self.faults.incarnation = command.rank, command.incarnation
            self.mailbox.discard_before(self._generation, self._command_id)
            header = command.command_id, command.generation
            try:
                done = self._carry_out(command)
                if relayed:
                    self.relay.answer(done, self._results)
                else:
                    self.link.send(done)
                timeline.reached("worker", type(command).kind)
            except Aborted:
                continue
            except PeerLost as error:
                rank = self._ranks.get(error.rank, error.rank)
                self.link.send(Disconnected(*header, rank, f"worker {rank}: {error.reason}"))
            except Exception as error:
                told = node_fault(error) or error  # a full or broken disk: the master looks for another node
                later = (isinstance(command, RunRound) and self.rounds.number > command.round) or None
                self.link.send(Failed(*header, wire.unpack(error_message(told))[1], later))

    def _carry_out(self, command: Command) -> Done:
        header = command.command_id, command.generation
        match command:
            case Open():
                gpu = self._open()
                return Done(*header, gpu=gpu["gpu"], code=gpu.get("code"))
            case Summarise():
                return Done(*header, samples=self._summarise(), summaries=[*self._results])
            case Measure():
                return Done(*header, found=self._measure())
            case Prepare():
                self._prepare()
            case Load():
                for number in self.host.splits:
                    self.beat(number, 0.0)
                    self.host.shard(number, self.beat)
                return Done(*header, spilled=self.host.spilled or None)
            case ConnectMesh():
                self._connect_mesh(command)
            case RunRound():
                (row, seconds), *later = self._run_rounds(command)
                spilled, kept = self.host.spilled or None, self.kept.news()
                return Done(*header, spilled=spilled, row=row, seconds=seconds, kept=kept, later=later or None)
            case TrainAsync():
                self._train_async(command)
            case TrainAlone(config=dict() as config):
                # What was decoded for the rounds of all workers stays, as long as it fits.
                self.host, self._opened = None, None  # type: ignore[assignment]
                self.rounds.forget()
                outcome = alone.train(config, self.kept, self.link, self.faults, self.check, header)
                return Done(*header, kept=self.kept.news(), outcome=outcome)
        return Done(*header)

    # --- commands -----------------------------------------------------------------------------------------------------

    def _open(self) -> dict[str, str]:
        """Open the dataset and this worker's shards, unless they are open: decoded shards that are among them stay.

        Returns
        -------
        dict
            Whether a GPU can be used: see `platform.gpu`.
        """
        _, fields, _ = wire.unpack(bytes(self._payload(Open.kind)))
        gpu = platform.gpu(fields["device"])
        rest = {name: value for name, value in fields.items() if name not in ("cuts", "marks")}
        if rest == self._opened:
            own = Host.from_fields(fields)
            self.host.hold(own.splits, own.marks)
            return gpu
        self.link.memory_limit = fields["limit"]
        self.host = self.kept.open(fields) if fields.get("content") else Host.from_fields(fields)
        self._opened, self._prepared = rest, b""
        self.rounds.forget()
        return gpu

    def _summarise(self) -> int:
        """Publish the shards' summaries, joined where siblings meet; returns the number of samples in all."""
        shards = [*self.host.splits]
        nodes = self.host.summarise(shards, self.beat)
        found = summaries.joined(
            summaries.Node(shard, shard + 1, summary) for shard, summary in zip(shards, nodes, strict=True)
        )
        self._publish({summaries.name(node): wire.encode_parts(node.summary) for node in found})
        return sum(node.summary.samples for node in found)

    def _measure(self) -> int:
        """Carry a pass out over this worker's shards, and publish what was found; returns in how many pieces."""
        asked = Pass.unpack(self._payload(Measure.kind))
        found = self.host.measure(asked, [*self.host.splits], self.beat)
        self._publish({partial_name(number): partial.pack() for number, partial in enumerate(found)})
        return len(found)

    def _pulled(self, name: str) -> None:
        """Pass the fault's point of a version that is pulled, whichever round of a stretch runs meanwhile."""
        number = name.partition(":")[2]
        self.faults.at("publishing", int(number) if number.isdecimal() else None)

    def _publish(self, results: dict[str, Sequence[wire.Buffer]]) -> None:
        """Publish results that the master will pull from all workers; relayed, they go up with the answer."""
        self.mailbox.publish(results)
        self._results = results

    def _prepare(self) -> None:
        content = bytes(self._payload(Prepare.kind))
        if content != self._prepared:
            _, fields, tensors = wire.unpack(content)
            self.host.prepare(read_plan(fields, tensors))
            self._prepared = content
            self.rounds.forget()

    def _connect_mesh(self, command: ConnectMesh) -> None:
        keep_memory()
        if self.mesh:
            self.mesh.close()
        self.mesh, generation = None, command.generation
        self.mailbox.close_peers_before(generation)
        places = command.places or [*range(len(command.peers))]
        self._ranks = dict(zip(places, command.ranks or places, strict=True))
        self._join_tree(command)

        def accept(peer: int) -> socket.socket:
            return self._wait(lambda seconds: self.mailbox.peer(generation, peer, seconds), mesh.CONNECT_SECONDS)

        place = next(place for place, rank in self._ranks.items() if rank == command.rank)
        self.mesh = mesh.connect(
            place,
            command.size or len(places),
            generation,
            dict(zip(places, command.peers, strict=True)),
            self._peer_context,
            accept,
            self.check,
            self.faults.at,
            command.shards,
            everybody=command.everybody,
        )

    def _join_tree(self, command: ConnectMesh) -> None:
        """Take this worker's place in the tree of relays, if there is one."""
        self.relay.join(command)
        self.relay.wait_for_others(self.check)

    def _run_rounds(self, command: RunRound) -> list[tuple[dict[str, Any] | None, dict[str, float]]]:
        """Do rounds one after the other; returns row and seconds of each."""
        done = [self.rounds.run(command, self.host, self.mesh)]
        for number in range(command.round + 1, command.round + (command.count or 1)):
            self.check()
            done.append(self.rounds.run(replace(command, round=number, given=""), self.host, self.mesh))
        return done

    def _train_async(self, command: TrainAsync) -> None:
        if command.given:
            self.mailbox.poll(MERGED)  # drops the merge of an earlier training
            weights = decode_as(Weights, self._payload(ASYNC_UPDATE))
            start = Weights(0, weights.w, average.start(self.host.plan.spec, weights.w) | tuned.kept(weights))
            context = Context(self.host, self.mailbox, self.faults, self.beat, self.link.send, self.link.interrupted)
            self.trainer = AsyncTrainer(context, start, command.done)
        try:
            self.trainer.run(command.last, self.mesh, command.generation)
        finally:
            self.mesh = None

    # --- what commands need -------------------------------------------------------------------------------------------

    def _payload(self, name: str) -> bytearray:
        """Wait for a payload of the present command."""
        own = payload_name(name, self._generation, self._command_id)
        return self._wait(lambda seconds: self.mailbox.payload(own, seconds), PAYLOAD_SECONDS)

    def _wait(self, wait: Callable[[float], Any], seconds: float) -> Any:
        """Call `wait` until it returns in time, for so many seconds.

        Raises
        ------
        Aborted
            A newer command makes waiting useless.
        DeadlineError
        """
        until = time.monotonic() + seconds
        while True:
            try:
                return wait(mesh.POLL)
            except DeadlineError as error:
                self.check()
                if time.monotonic() > until:  # of the pieces of waiting the last one tells its own length
                    raise DeadlineError(f"{str(error).rpartition(' within ')[0]} within {seconds:g} s") from None

    def check(self) -> None:
        """Raise `Aborted` if a newer command is there or the master is gone, so that waiting for peers is of no use."""
        if self.link.interrupted(0.0):
            raise Aborted

    def beat(self, shard: int, share: float) -> None:
        """Note the shard that is being worked on, and the share of it that is done."""
        self.link.moved(shard, share)
        self.faults.at("computing" if shard in self.host._shards else "loading")

    def _hello(self) -> Hello:
        host = socket.gethostname()
        held = sorted(self.host.splits) if self.host else None
        isa, now = platform.best_isa(), time.time()
        return Hello(self.mailbox.address, host, os.getpid(), isa, sorted(self.rounds.weights), held, now)
