"""Flags of `hdl train --runner yarn` about failures and containers: how long nodes are avoided, what YARN is told."""

from __future__ import annotations

import re
from typing import Any

import click

from hdl.cli.common import Option
from hdl.errors import SpecError

SECTION = "YARN (--runner yarn)"
UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
# Field of the settings by flag.
NAMES = {
    "failures_validity": "failures_validity", "avoid_node": "avoid_seconds", "opportunistic": "opportunistic",
    "container_env": "environment",
}  # fmt: skip


class Memory(click.ParamType):
    """An amount of memory, 2g or 1536m, as MiB."""

    name = "memory"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([mg])(?:i?b)?", str(value).strip().lower())
        if isinstance(value, int) or not match:
            self.fail(f"expected an amount like 2g or 1536m (given {value!r})", param, ctx)
        return round(float(match[1]) * (1024 if match[2] == "g" else 1))


class Duration(click.ParamType):
    """A time as 90s, 10m, 1h or 2d, or seconds without a unit; in seconds.

    Parameters
    ----------
    zero : bool
        Whether 0 is one.
    """

    name = "duration"

    def __init__(self, zero: bool = False):
        self.zero = zero

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|min|m|h|d|)", str(value).strip().lower(), re.ASCII)
        seconds = float(match[1]) * UNITS[match[2]] if match else 0.0
        if not match or not (seconds or self.zero):
            self.fail(f"expected a time like 90s, 10m, 1h or 2d (given {value!r})", param, ctx)
        return seconds


class WorkerCount(click.ParamType):
    """A number of workers as (N, N), or the fewest and the most of them, A:B."""

    name = "workers"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        match = re.fullmatch(r"(\d{1,9})(?::(\d{1,9}))?", str(value).strip(), re.ASCII)
        fewest, most = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if not 1 <= fewest <= most:
            self.fail(f"expected a number from 1 on, or the fewest and the most as 2:8 (given {value!r})", param, ctx)
        return fewest, most


def workers_of(given: tuple[int, int] | None, runner: str) -> tuple[int | None, int | None]:
    """Return the most workers, and the fewest where that is another number: YARN's number may change, no other does."""
    fewest, most = given or (None, None)
    if fewest == most:
        return most, None
    if runner != "yarn":
        raise SpecError(
            f"--workers {fewest}:{most}: with --runner yarn their number may change (given --runner {runner}, which "
            "expects one number)"
        )
    return most, fewest


class Variable(click.ParamType):
    """An environment variable NAME=VALUE, as a pair."""

    name = "variable"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[str, str]:
        name, sign, text = ("", "", "") if isinstance(value, tuple) else value.partition("=")
        if isinstance(value, tuple):
            return value
        if not sign:
            self.fail(f"expected NAME=VALUE (given {value!r})", param, ctx)
        return name, text


def container_options(section: str) -> list[click.Option]:
    """Make the flags of what containers are asked for, for each command that starts an application."""
    return [
        Option(["--worker-memory"], type=Memory(), metavar="SIZE", section=section,
               help="Of a YARN worker's container, as 2g or 1536m.  [default: 1g]"),
        Option(["--worker-vcores"], type=click.IntRange(min=1), metavar="N", section=section,
               help="Processors of a YARN worker's container.  [default: 1]"),
        Option(["--master-memory"], type=Memory(), metavar="SIZE", section=section,
               help="Of the container of YARN's master.  [default: 1g]"),
        Option(["--queue"], metavar="NAME", section=section, help="YARN's queue; default: the cluster's own."),
    ]  # fmt: skip


def failure_options() -> list[click.Option]:
    """Make the flags, for `hdl train`."""
    return [
        Option(["--failures-validity"], type=Duration(), metavar="TIME", section=SECTION,
               help="Time after which failures of workers, nodes and the master are forgotten.  [default: 1h]"),
        Option(["--avoid-node"], type=Duration(zero=True), metavar="TIME", section=SECTION,
               help="How long a node is avoided whose disk is full or that fails workers; twice as long each time; "
                    "0: never.  [default: 1m]"),
        Option(["--opportunistic"], is_flag=True, default=None, section=SECTION,
               help="Workers in opportunistic containers, which YARN lets queue on its nodes and ends for others' "
                    "guaranteed ones."),
        Option(["--container-env"], type=Variable(), multiple=True, metavar="NAME=VALUE", section=SECTION,
               help="Set an environment variable in all containers; again for another one. No secrets: YARN shows it. "
                    "YARN_CONTAINER_RUNTIME_… (docker) of this environment are passed on anyway."),
    ]  # fmt: skip
