"""A worker's place in the tree of relays: passes on commands, payloads, signs of life and answers of many workers.

Commands and payloads come from above (another worker, or the master) and go to the workers below; what these say is
joined with the worker's own and goes up in one message. To each worker above there are two connections, one a
direction; threads of the mailbox read those of the workers below.

A worker whose relay is gone, or has said nothing for its patience, turns to the master itself, for all below it too: it
says that it is detached, repeats what it has said last, and is told by the master what it may have missed.
"""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

from hdl.errors import HdlError
from hdl.runners import frames
from hdl.wire import Buffer
from hdl.yarn.comm import bundles, tls
from hdl.yarn.comm.mailbox import Mailbox
from hdl.yarn.comm.mesh import CONNECT_SECONDS, PeerLost
from hdl.yarn.protocol import (
    Answers,
    Beats,
    ConnectMesh,
    Done,
    Message,
    Relayed,
    bundle_name,
    read_report,
)
from hdl.yarn.protocol.relay_tree import children, subtree, towards
from hdl.yarn.worker import collected

UP, DOWN = "up", "down"  # the directions of a connection between two relays
Labelled = list[tuple[Any, Sequence[Buffer]]]  # results of several workers: of each [place, name], and its content
Results = Mapping[str, Sequence[Buffer]]


class Relay:
    """Passes on messages of one generation; without a tree it does nothing.

    Parameters
    ----------
    mailbox : Mailbox
        Takes the connections of workers below, and payloads.
    context : ssl.SSLContext
        For connections to the worker above.
    report : function of a message
        Sends it to the master; any thread may call it.
    deliver : function of a command
        Hands one that came from above to the worker's main thread.
    join_results : function of labelled results and this worker's place
        Joins those of several workers as far as they can be.
    """

    def __init__(
        self, mailbox: Mailbox, context: ssl.SSLContext, report: Callable[[Message], Any],
        deliver: Callable[[Relayed], Any],
        join_results: Callable[[Labelled, int], Labelled] = lambda results, place: results,
    ):  # fmt: skip
        self._mailbox, self._context, self._report, self._deliver = mailbox, context, report, deliver
        self._join_results = join_results
        self._answering = self._bundles = 0  # the command that is being answered; bundles that were made of results
        self._answered: set[int] = set()  # places
        self._collected: list[Answers] = []  # to be sent
        self._results: Labelled = []
        self._sent: list[tuple[Answers, Labelled]] = []
        self._changed = threading.Condition()
        self._up_lock = threading.Lock()
        self.place: int | None = None
        self.generation = 0
        self._command: ConnectMesh | None = None
        self._up: Any = None
        self._from: Any = None  # the other connection to the worker above, which is read
        self._down: dict[int, tuple[Any, threading.Lock]] = {}  # by place of a worker below
        self._below: dict[int, tuple[Beats, float]] = {}  # its last signs of life, and when they came
        self._heard = 0.0  # when the worker above has said something
        self._joined = self._detached = False
        self._forget_answers(0)
        mailbox.on_relay, mailbox.on_bundle = self._from_below, self.spread

    # --- joining and leaving ------------------------------------------------------------------------------------------

    def leave(self) -> None:
        """Leave the tree: from now on the worker speaks for itself alone."""
        with self._changed:
            channels = [self._up, self._from, *(channel for channel, _ in self._down.values())]
            self.place, self._command, self._up, self._from, self._down, self._below = None, None, None, None, {}, {}
            self._joined = False
            self._forget_answers(0)
        for channel in channels:
            if channel is not None:
                with suppress(OSError):
                    channel.close()

    def join(self, command: ConnectMesh) -> None:
        """Take the place in the tree that a command names, and connect to the worker above.

        Raises
        ------
        PeerLost
            It cannot be reached.
        """
        self.leave()
        self.generation = command.generation
        if command.place is None:
            return
        with self._changed:
            self.place, self._command, self._detached = command.place, command, False
            self._heard = time.monotonic()
            self._changed.notify_all()
        if command.above is None:
            self._joined = True
            return
        hello = {"purpose": "relay", "generation": command.generation, "place": command.place}
        above = command.place // (command.fan or 1) - 1
        try:
            self._up = tls.connect(self._context, command.above, {**hello, "way": UP}, CONNECT_SECONDS)
            self._from = tls.connect(self._context, command.above, {**hello, "way": DOWN}, CONNECT_SECONDS)
            self._from.settimeout(None)
        except (HdlError, OSError) as error:
            raise PeerLost(above, error) from None
        self._heard, self._joined = time.monotonic(), True
        threading.Thread(
            target=self._from_above, args=[self._from, command.generation], name="hdl-relay", daemon=True
        ).start()

    def wait_for_others(self, check: Callable[[], Any]) -> None:
        """Wait until all workers below have connected.

        Raises
        ------
        PeerLost
            One of them has not; what `check` raises meanwhile.
        """
        until = time.monotonic() + CONNECT_SECONDS
        while True:
            with self._changed:
                missing = [place for place in self._places_below() if place not in self._down]
                if not missing:
                    return
                self._changed.wait(0.1)
            check()
            if time.monotonic() > until:
                raise PeerLost(missing[0], f"has not connected to its relay within {CONNECT_SECONDS:g} s")

    # --- downwards ----------------------------------------------------------------------------------------------------

    def forward(self, command: Relayed) -> None:
        """Pass a command on to the workers below."""
        frame = json.dumps({"command": command.command}).encode()
        for place in [*self._down]:
            self._tell(place, frame)

    def spread(self, name: str, content: Buffer) -> None:
        """Keep a payload for this worker, and pass on what others below are to have.

        Parameters
        ----------
        name : str
        content : buffer
            A bundle: one content for all, without a label, or contents by place.
        """
        parts = bundles.unpack(content)
        everybody = len(parts) == 1 and parts[0][0] is None
        below: dict[int, list[tuple[Any, list[Buffer]]]] = {}
        for label, part in parts:
            if everybody or label == self.place:
                self._mailbox.deliver(name, bytearray(part))
            elif self.place is not None and self._command and self._command.fan:
                below.setdefault(towards(self.place, int(label), self._command.fan), []).append((label, [part]))
        frame = json.dumps({"payload": name}).encode()
        for place in [*self._down]:
            if everybody:
                self._tell(place, frame, [content])
            elif place in below:
                self._tell(place, frame, bundles.pack(below[place]))

    def _tell(self, place: int, frame: bytes, content: Sequence[Buffer] = ()) -> None:
        """Send a message to a worker below; one that does not take it is cut off, and turns to the master."""
        if place not in self._down:
            return
        channel, lock = self._down[place]
        try:
            with lock:
                frames.send(channel, frame, *([[*content]] if content else []))
        except (OSError, ValueError):
            with self._changed:
                self._down.pop(place, None)
            with suppress(OSError):
                channel.close()

    def _from_above(self, channel: Any, generation: int) -> None:
        """Read what the worker above says, until the connection ends."""
        with suppress(OSError, EOFError, HdlError, ValueError):
            while generation == self.generation:
                fields = json.loads(frames.receive(channel))
                self._heard = time.monotonic()
                if "command" in fields:
                    command = Relayed(dict(fields["command"]))
                    self.forward(command)
                    self._deliver(command)
                elif "payload" in fields:
                    self.spread(str(fields["payload"]), frames.receive(channel))
                    self._heard = time.monotonic()
        with suppress(OSError):
            channel.close()
        with self._changed:
            gone = generation == self.generation and self.place is not None
            if gone:
                self._up = None
        if gone:
            self._detach()

    # --- upwards ------------------------------------------------------------------------------------------------------

    def beat(self, shard: int, share: float, rss: int, moves: int) -> bool:
        """Give a sign of life for this worker and all below; False where there is no tree."""
        now = time.monotonic()
        with self._changed:
            command = self._command
            if not self._joined or self.place is None or command is None:
                return False
            places, shards, shares, uses, counts, ages = [self.place], [shard], [share], [rss], [moves], [0.0]
            for beats, when in self._below.values():
                places += beats.places
                shards += beats.shards
                shares += beats.shares
                uses += beats.rss
                counts += beats.moves
                ages += [round(age + now - when, 2) for age in beats.ages]
            patience = float("inf") if command.patience is None else command.patience
            silent = command.above is not None and (self._up is None or now - self._heard > patience)
        mine = Beats(self.generation, places, shards, shares, uses, counts, ages)
        if silent:
            self._detach()
            self._report(replace(mine, detached=True))
        elif command.above is None:
            self._report(mine)
        else:
            self._detached = False
            self._say(mine)
        self._flush(all_of_them=False)
        return True

    def answer(self, done: Done, results: Results) -> None:
        """Answer a relayed command, with results that the master will pull."""
        place = self.place or 0
        mine = collected.of(done, place)
        self._gather(mine, [([place, name], pieces) for name, pieces in results.items()])

    def _from_below(self, channel: Any, hello: dict[str, Any]) -> None:
        """Serve a connection of a worker below: read it here, in the mailbox's thread, or keep it to write to."""
        generation, place = int(hello["generation"]), int(hello["place"])
        with self._changed:
            self._changed.wait_for(lambda: self.generation >= generation and self.place is not None, CONNECT_SECONDS)
            if generation != self.generation or place not in self._places_below():
                channel.close()
                return
            if hello.get("way") == DOWN:
                self._down[place] = channel, threading.Lock()
                self._changed.notify_all()
                return
        with suppress(OSError, EOFError, HdlError, ValueError), channel:
            while generation == self.generation:
                report = read_report(json.loads(frames.receive(channel)))
                if isinstance(report, Beats):
                    with self._changed:
                        self._below[place] = report, time.monotonic()
                    self._tell(place, b"{}")
                elif isinstance(report, Answers):
                    contents = bundles.unpack(frames.receive(channel)) if report.bundle else []
                    self._gather(report, [(label, [part]) for label, part in contents])
        with self._changed:
            if generation == self.generation:
                self._below.pop(place, None)
                lost = self._down.pop(place, None)
                if lost:
                    with suppress(OSError):
                        lost[0].close()

    def _gather(self, answers: Answers, results: Labelled) -> None:
        """Join answers with those that wait to be sent, and send them once all below have answered."""
        with self._changed:
            if answers.generation != self.generation or self.place is None or answers.command_id < self._answering:
                return
            if answers.command_id > self._answering:
                self._forget_answers(answers.command_id)
            self._collected.append(replace(answers, bundle=None))
            self._results += results
            self._answered.update(answers.places)
        self._flush(all_of_them=True)

    def _flush(self, all_of_them: bool) -> None:
        """Send the answers that wait; `all_of_them`: only if nobody below is still to answer."""
        with self._changed:
            if not self._collected or self.place is None or self._command is None:
                return
            if all_of_them and not self._expected() <= self._answered:
                return
            answers, results, place = collected.joined(self._collected), self._results, self.place
            self._collected, self._results = [], []
        results = self._join_results(results, place)
        with self._changed:
            self._sent.append((answers, results))
            detached = self._detached
        self._pass_up(answers, results, detached)

    def _pass_up(self, answers: Answers, results: Labelled, detached: bool) -> None:
        if detached or self._command is None or self._command.above is None:
            if results:
                self._bundles += 1
                name = bundle_name(answers.generation, answers.command_id, self._bundles)
                self._mailbox.bundles[name] = bundles.pack(results)
                answers = replace(answers, bundle=name)
            self._report(answers)
            return
        if results:  # a bundle follows
            self._say(replace(answers, bundle="follows"), bundles.pack(results))
        else:
            self._say(answers)

    def _say(self, message: Message, content: Sequence[Buffer] = ()) -> None:
        """Send a message to the worker above; if that does not take it, turn to the master."""
        try:
            with self._up_lock:
                if self._up is not None:
                    frames.send(self._up, json.dumps(message.to_dict()).encode(), *([[*content]] if content else []))
                    return
        except (OSError, ValueError):
            with suppress(OSError, AttributeError):
                self._up.close()
            self._up = None
        self._detach()

    def _detach(self) -> None:
        """Turn to the master itself, and repeat the answers that the worker above may have kept to itself."""
        with self._changed:
            first, self._detached = not self._detached, True
            sent = [*self._sent] if first else []
        for answers, results in sent:
            self._pass_up(answers, results, detached=True)

    def _expected(self) -> set[int]:
        """Name the places whose answers come through this worker: its own and those of all below that are there."""
        assert self._command is not None
        assert self._command.size
        assert self._command.fan
        assert self.place is not None
        below = [subtree(place, self._command.size, self._command.fan) for place in self._down]
        return {self.place}.union(*below)

    def _places_below(self) -> range:
        if self._command is None or self.place is None:
            return range(0)
        return children(self.place, self._command.size or 0, self._command.fan or 2)

    def _forget_answers(self, command_id: int) -> None:
        self._answering, self._bundles, self._answered = command_id, 0, set()
        self._collected, self._results, self._sent = [], [], []
        self._mailbox.bundles.clear()
