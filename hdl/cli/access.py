"""Flags of `hdl train` on a cluster: who else may look at the application or end it, its tags, the nodes' Python."""

from __future__ import annotations

import os
from typing import Any

import click

from hdl.cli.common import Option
from hdl.errors import SpecError
from hdl.runners import access

SECTION = "Hadoop (--runner yarn, mapreduce, streaming)"
NAMED = "HDL_NODE_PYTHON", "HDL_NODE_ARCHIVE"
ON_HADOOP = "yarn", "mapreduce", "streaming"


def access_options(command: click.Command) -> click.Command:
    """Add the flags to a command."""
    command.params += [
        Option(["--view-acl"], metavar="USERS GROUPS", section=SECTION,
               help="Who else may see the application, its page and logs, as 'ada,bob analysts'.  [default: nobody]"),
        Option(["--modify-acl"], metavar="USERS GROUPS", section=SECTION,
               help="Who else may end it, written in the same way.  [default: nobody]"),
        Option(["--tag", "tags"], multiple=True, metavar="TAG", section=SECTION,
               help="Word by which YARN's lists find it (hdl status --tag); again for another one."),
        Option(["--python", "bare_python"], metavar="PYTHON", section=SECTION,
               help="Name or path of a Python of this version on every node.  [default: one is packed and sent]"),
    ]  # fmt: skip
    return command


def take_access(values: dict[str, Any], runner: str) -> dict[str, Any]:
    """Remove the flags from `values`, and return them as the runner's settings.

    Raises
    ------
    SpecError
        A list or a tag is not as YARN writes it, nothing of Hadoop's is asked for, or the nodes' Python is named twice.
    """
    view, modify, tags = values.pop("view_acl"), values.pop("modify_acl"), values.pop("tags")
    python = values.pop("bare_python", None)
    flags = (("--view-acl", view), ("--modify-acl", modify), ("--tag", tags), ("--python", python))
    given = [name for name, value in flags if value]
    if given and runner not in ON_HADOOP:
        raise SpecError(f"{', '.join(given)}: for --runner {' or '.join(ON_HADOOP)} (given --runner {runner})")
    view, modify = access.acl(view or "", "--view-acl"), access.acl(modify or "", "--modify-acl")
    tags = access.tags(tags, "--tag")
    if not given:
        return {}
    if python and (named := [name for name in NAMED if os.environ.get(name)]):
        raise SpecError(f"--python {python}: {named[0]} names what the nodes run already ({os.environ[named[0]]})")
    settings = {"bare_python": python} if python else {}
    if runner == "yarn":
        return {"view_acl": view, "modify_acl": modify, "tags": tags, **settings}
    return {"settings": access.job_properties(view, modify, tags), **settings}
