"""A worker's place in the tree of relays: passes on commands, payloads, signs of life and answers of many workers.

Commands and payloads come from above (another worker, or the master) and go to the workers below; what these say is
joined with the worker's own and goes up in one message. Threads of the mailbox read what the workers below say.

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
from hdl.yarn.comm import bundles
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
from hdl.yarn.worker.collected import Labelled
from hdl.yarn.worker.relay_links import DOWN, Links

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
        self._changed = threading.Condition()
        self.place: int | None = None
        self.generation = 0
        self._command: ConnectMesh | None = None
        self.links = Links()
        self._below: dict[int, tuple[Beats, float]] = {}  # its last signs of life, and when they came
        self._heard = 0.0  # when the worker above has said something
        self._joined = self._detached = False
        self._forget_answers(0)
        mailbox.on_relay, mailbox.on_bundle = self._from_below, self.spread

    # --- joining and leaving ------------------------------------------------------------------------------------------

    def leave(self) -> None:
        """Leave the tree: from now on the worker speaks for itself alone."""
        with self._changed:
            links, self.links = self.links, Links()
            self.place, self._command, self._below, self._joined = None, None, {}, False
            self._forget_answers(0)
        links.close()

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
            channel = self.links.connect(self._context, command.above, hello)
        except (HdlError, OSError) as error:
            raise PeerLost(above, error) from None
        self._heard, self._joined = time.monotonic(), True
        threading.Thread(
            target=self._from_above, args=[channel, command.generation], name="hdl-relay", daemon=True
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
                missing = [place for place in self._places_below() if place not in self.links.below]
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
        for place in [*self.links.below]:
            self.links.tell(place, frame)

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
        for place in [*self.links.below]:
            if everybody:
                self.links.tell(place, frame, [content])
            elif place in below:
                self.links.tell(place, frame, bundles.pack(below[place]))

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
                self.links.forget_above()
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
            silent = command.above is not None and (not self.links.has_above or now - self._heard > patience)
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
                self.links.below[place] = channel, threading.Lock()
                self._changed.notify_all()
                return
        with suppress(OSError, EOFError, HdlError, ValueError), channel:
            while generation == self.generation:
                report = read_report(json.loads(frames.receive(channel)))
                if isinstance(report, Beats):
                    with self._changed:
                        self._below[place] = report, time.monotonic()
                    self.links.tell(place, b"{}")
                elif isinstance(report, Answers):
                    contents = bundles.unpack(frames.receive(channel)) if report.bundle else []
                    self._gather(report, [(label, [part]) for label, part in contents])
        with self._changed:
            if generation == self.generation:
                self._below.pop(place, None)
                self.links.cut(place)

    def _gather(self, answers: Answers, results: Labelled) -> None:
        """Join answers with those that wait to be sent, and send them once all below have answered."""
        with self._changed:
            known = self._collection.command_id
            if answers.generation != self.generation or self.place is None or answers.command_id < known:
                return
            if answers.command_id > known:
                self._forget_answers(answers.command_id)
            self._collection.add(answers, results)
        self._flush(all_of_them=True)

    def _flush(self, all_of_them: bool) -> None:
        """Send the answers that wait; `all_of_them`: only if nobody below is still to answer."""
        with self._changed:
            place, collection = self.place, self._collection
            if place is None or self._command is None or (all_of_them and not self._expected() <= collection.places):
                return
            taken = collection.take()
        if taken is None:
            return
        answers, results = taken[0], self._join_results(taken[1], place)
        with self._changed:
            self._collection.sent.append((answers, results))
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
        if not self.links.say(json.dumps(message.to_dict()).encode(), content):
            self._detach()

    def _detach(self) -> None:
        """Turn to the master itself, and repeat the answers that the worker above may have kept to itself."""
        with self._changed:
            first, self._detached = not self._detached, True
            sent = [*self._collection.sent] if first else []
        for answers, results in sent:
            self._pass_up(answers, results, detached=True)

    def _expected(self) -> set[int]:
        """Name the places whose answers come through this worker: its own and those of all below that are there."""
        assert self._command is not None
        assert self._command.size
        assert self._command.fan
        assert self.place is not None
        below = [subtree(place, self._command.size, self._command.fan) for place in [*self.links.below]]
        return {self.place}.union(*below)

    def _places_below(self) -> range:
        if self._command is None or self.place is None:
            return range(0)
        return children(self.place, self._command.size or 0, self._command.fan or 2)

    def _forget_answers(self, command_id: int) -> None:
        self._collection, self._bundles = collected.Collection(command_id), 0  # bundles that were made of results
        self._mailbox.bundles.clear()
