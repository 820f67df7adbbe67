"""The control channel's protocol: every message between the master and its workers, and the states of a member.

Messages are small JSON objects over ZeroMQ (`comm.control`). What is large (weights, updates, summaries, plans) travels
beside them over mutual TLS (`comm.mailbox`): the master pushes a command's payload into the worker's mailbox and pulls
results out of it; workers exchange updates among themselves over a mesh of connections (`comm.mesh`).

    member's state    worker                                        master

    REQUESTED                                                       asks YARN for a container
    STARTING          (its container runs)                          launches the worker
                      Hello ─────────────────────────────────────►
    JOINED                                  ◄──── Open + payload    the dataset and the worker's shards
                      Done (GPU) ────────────────────────────────►
                                            ◄─ Prepare + payload    the plan, once the data has been summarised
                      Done ──────────────────────────────────────►
                                                  ◄──────── Load    where the others train already, and do not wait
                      Done ──────────────────────────────────────►
    READY                                       ◄─── ConnectMesh    whenever the group has changed
                      Done, or Disconnected ─────────────────────►
                                                ◄───── Summarise
                      Done; the master pulls the summaries ──────►
                                      ◄──── Measure (+ payload)    of a network that is measured, and not trained
                      Done; the master pulls what was found ─────►
                                       ◄─── RunRound (+ payload)    again and again; payload: weights that it lacks
                      Done (row, seconds), Disconnected, Failed ─►  short rounds: one command for several
                                     ◄─── TrainAsync (+ payload)    mode `async`: until the next command
                      AsyncReport … ─────────────────────────────►
                                                 ◄── TrainAlone    of a session: a trial, which has all shards
                      AloneReport …, Done (outcome), Failed ─────►
                                                 ◄───────── End
    at any time       Beat, twice a second ──────────────────────►
                      MemoryUse, near the container's limit ─────►
    LOST                                                            container ended, or silent: another incarnation

With many workers these messages pass through a tree of relays, which are workers themselves (`relay_tree`):

                      Relayed (a command for all) ◄──────────────   to those next to the master, who pass it on
                      Answers, Beats ────────────────────────────►  theirs and those of all below, in columns

What one worker alone has to say or to be told (Hello, Failed, Disconnected, ConnectMesh) needs no relay.

On a cluster with Kerberos the client that follows an application is heard too, where the master has no keytab:

                      client                                        master
                      FreshTokens ───────────────────────────────►  uses them, and pushes them to all workers
                                         ◄──────── TokensTaken      (`mailbox.give_tokens`), also to those that come

Every command carries the generation of the group and an id. What a worker of an earlier generation says is not heard;
a worker that receives a command while it waits for something leaves that and turns to the new one.

The names on the wire are older than those here and stay: see `message.WIRE_NAMES` and each class's `kind`.

    message.py      the base of all messages, and their names on the wire
    commands.py     master to worker
    reports.py      worker to master
    relay_tree.py   who passes on whose messages, with many workers
    fresh_tokens.py between client and master
    reading.py      from the wire to the dataclasses, checked
"""

from __future__ import annotations

from enum import Enum

from hdl.yarn.protocol.commands import (
    Command,
    ConnectMesh,
    End,
    Header,
    Load,
    Measure,
    Open,
    Prepare,
    Relayed,
    RunRound,
    Summarise,
    TrainAlone,
    TrainAsync,
)
from hdl.yarn.protocol.fresh_tokens import FreshTokens, TokensTaken
from hdl.yarn.protocol.message import Message, ProtocolError
from hdl.yarn.protocol.reading import read_command, read_fresh_tokens, read_report, read_tokens_taken
from hdl.yarn.protocol.reports import (
    AloneReport,
    Answer,
    Answers,
    AsyncReport,
    Beat,
    Beats,
    Disconnected,
    Done,
    Failed,
    Hello,
    MemoryUse,
    joined_seconds,
)

__all__ = [
    "ASYNC_UPDATE",
    "MERGED",
    "UPDATE_SLICE",
    "AloneReport",
    "Answer",
    "Answers",
    "AsyncReport",
    "Beat",
    "Beats",
    "Command",
    "ConnectMesh",
    "Disconnected",
    "Done",
    "End",
    "Failed",
    "FreshTokens",
    "Header",
    "Hello",
    "Load",
    "Measure",
    "MemberState",
    "MemoryUse",
    "Message",
    "Open",
    "Prepare",
    "ProtocolError",
    "Relayed",
    "RunRound",
    "Summarise",
    "TokensTaken",
    "TrainAlone",
    "TrainAsync",
    "bundle_name",
    "joined_seconds",
    "partial_name",
    "read_command",
    "read_fresh_tokens",
    "read_report",
    "read_tokens_taken",
    "weights_name",
]

# Payloads of the bulk channel.
MERGED = "equal"  # pushed: the master's periodic merge, in mode `async`
ASYNC_UPDATE = "free"  # pulled: a worker's last weights, in mode `async`; pushed: the weights it begins with
UPDATE_SLICE = "update"  # pulled: the worker's slice of the update, in a line search


def weights_name(round: int) -> str:
    """Name the payload that holds a round's weights.

    Examples
    --------
    >>> weights_name(3)
    'weights:3'
    """
    return f"weights:{round}"


def partial_name(number: int) -> str:
    """Name the payload that holds what a pass has found, of which a worker has some: joined as far as it goes."""
    return f"partial:{number}"


def bundle_name(generation: int, command_id: int, number: int) -> str:
    """Name a bundle of results that a relay keeps for the master: those of several workers."""
    return f"bundle:{number}@{generation}.{command_id}"


class MemberState(Enum):
    """States of a member's incarnation, which only moves down this list, but between JOINED and READY."""

    REQUESTED = "asked for"  # no container yet
    STARTING = "starting"  # the container is there, the worker has not said hello to this master
    JOINED = "joined"  # it has said hello, and lacks some of what all rounds share
    READY = "ready"  # it has all that
    LOST = "lost"  # evicted: its reports are dropped

    @property
    def here(self) -> bool:
        """Tells whether commands can be given to the member."""
        return self in (MemberState.JOINED, MemberState.READY)
