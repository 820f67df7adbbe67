"""YARN's messages, by the numbers of Hadoop's public ``yarn_protos.proto`` and ``yarn_service_protos.proto``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from hdl.yarn.api.interface import MASTER_VCORES, TYPE, Offer, Report, Submission, Unable, checked
from hdl.yarn.api.protobuf import Message
from hdl.yarn.comm.tokens import to_tokens
from hdl.yarn.names import GPU

STATES = ("", "NEW", "NEW_SAVING", "SUBMITTED", "ACCEPTED", "RUNNING", "FINISHED", "FAILED", "KILLED")
FINALS = ("UNDEFINED", "SUCCEEDED", "FAILED", "KILLED", "ENDED")
ARCHIVE, FILE = 1, 2  # kinds of what a container gets
PRIVATE, APPLICATION = 2, 3  # for whom a node keeps it
VIEW, MODIFY = 1, 2  # what a list lets its users do


def numbered(application: str) -> dict[int, Any]:
    """Make the message of an application's id."""
    stamp, number = checked(application)
    return {1: number, 2: stamp}


def offer(answer: Message) -> Offer:
    """Read the answer to who wants a new application."""
    most = answer.message(2)
    resources = {each.text(1): each.number(2) for each in most.messages(3)}
    return Offer(_name(answer.message(1)), most.number(1), most.number(2), resources.get(GPU))


def report(one: Message) -> Report:
    """Read a report about an application."""
    state, final = one.number(8), one.number(13)
    return Report.made(
        application=_name(one.message(1)),
        name=one.text(4),
        user=one.text(2),
        queue=one.text(3),
        state=STATES[state] if 0 < state < len(STATES) else f"STATE_{state}",
        final=FINALS[final] if 0 <= final < len(FINALS) else f"STATUS_{final}",
        progress=one.real(17),
        started=one.number(11) / 1000,
        finished=one.number(12) / 1000,
        url=one.text(9),
        host=one.text(5),
        diagnostics=one.text(10),
        attempt=one.message(16).number(2) if 16 in one else 0,
        tags=one.texts(20),
    )


def queues(queue: Message) -> list[str]:
    """List the names of the queues below one."""
    names, todo = [], [queue]
    while todo:
        for child in todo.pop().messages(6):
            names.append(child.text(1))
            todo.append(child)
    return names


def context(submission: Submission) -> dict[int, Any]:
    """Make the message that describes an application; what is None in it is the queue's to say."""
    settings = submission.settings
    files = [{1: name, 2: _resource(file)} for name, file in submission.files.items()]
    variables = [{1: name, 2: value} for name, value in submission.variables.items()]
    lists = [{1: VIEW, 2: settings.view_acl or " "}, {1: MODIFY, 2: settings.modify_acl or " "}]  # a blank: nobody
    container = {1: files, 2: to_tokens(submission.secret_keys), 4: variables, 5: [submission.command], 6: lists}
    return {
        1: numbered(submission.application),
        2: settings.name,
        3: settings.queue or None,
        5: container,
        8: settings.attempts,
        9: {1: settings.master_memory, 2: MASTER_VCORES},
        10: TYPE,
        11: True,  # containers are kept for the next attempt of the master
        12: list(settings.tags),
        13: round(1000 * settings.failures_validity),
        16: settings.label or None,
    }


def _resource(file: Mapping[str, Any]) -> dict[int, Any]:
    match = re.fullmatch(r"(\w+)://([^/:@]+)(?::(\d+))?(/.*)", file["path"], re.DOTALL)
    if not match:
        raise Unable(f"{file['path']}: Hadoop's client knows its address")
    where = {1: match[1], 2: match[2], 3: int(match[3] or -1), 4: match[4]}
    kept = PRIVATE if file["shared"] else APPLICATION
    return {1: where, 2: file["size"], 3: file["time"], 4: ARCHIVE if file["archive"] else FILE, 5: kept}


def _name(number: Message) -> str:
    return f"application_{number.number(2)}_{number.number(1):04d}"
