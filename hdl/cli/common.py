"""Parts that all commands share: options in groups, the data's flags, numbers and times in words."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import Any

import click

from hdl import fs, scratch, session
from hdl.errors import SpecError


class Option(click.Option):
    """An option that belongs to a section of the help."""

    def __init__(self, *args: Any, section: str = "Options", **settings: Any):
        super().__init__(*args, **settings)
        self.section = section


PATHS = ("data", "table", "out", "src", "dst", "test", "spec")  # parameters that name files and folders


class Command(click.Command):
    """A command whose help shows options by section, and that takes `--traceback` at its end too.

    Each of its paths may be written as `file:///PATH`, both of `X,Y` too; behind it they are plain.
    """

    def __init__(self, *args: Any, **settings: Any):
        settings.setdefault("context_settings", {})
        names = {"help_option_names": ["-h", "--help"], "max_content_width": 110}
        settings["context_settings"] = {**names, **settings["context_settings"]}
        super().__init__(*args, **settings)
        self.params.append(
            Option(["--traceback"], is_flag=True, expose_value=False, help="Show a traceback on errors.")
        )

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        left = super().parse_args(ctx, args)
        for name in PATHS:
            if isinstance(path := ctx.params.get(name), str) and "file:/" in path:
                ctx.params[name] = re.sub(r"(^|,)(file:/[^,]*)", lambda match: match[1] + fs.plain(match[2]), path)
        return left

    def invoke(self, ctx: click.Context) -> Any:
        _to_hadoop(ctx)
        return super().invoke(ctx)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            if isinstance(param, click.Option) and (record := param.get_help_record(ctx)):
                sections.setdefault(getattr(param, "section", "Options"), []).append(record)
        sections["Options"] = sections.pop("Options", [])  # the general ones last
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)


HADOOP_SECTION = "Hadoop"
HADOOP = "hdl.hadoop"  # key of the flags' values in click's meta


def _keep(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    if value is not None:
        ctx.meta.setdefault(HADOOP, {})[param.name] = value


HADOOP_OPTIONS = [
    Option(["--principal"], metavar="NAME@REALM", section=HADOOP_SECTION, expose_value=False, callback=_keep,
           help="Log in to Kerberos as this principal, by --keytab; default: the ticket that kinit got."),
    Option(["--keytab"], metavar="FILE", section=HADOOP_SECTION, expose_value=False, callback=_keep,
           help="The principal's keys."),
    Option(["--proxy-user"], metavar="NAME", section=HADOOP_SECTION, expose_value=False, callback=_keep,
           help="Act for this user, where Hadoop lets you; default: HADOOP_PROXY_USER."),
]  # fmt: skip


def hadoop_options(command: click.Command) -> click.Command:
    """Add the flags that say who one is to Hadoop; `Command` logs in before the command begins."""
    command.params.extend(HADOOP_OPTIONS)
    return command


def _to_hadoop(ctx: click.Context) -> None:
    """Log in to Hadoop as the flags say."""
    flags = ctx.meta.get(HADOOP, {})
    if flags and session.current is not None:
        given = ", ".join("--" + name.replace("_", "-") for name in flags)
        raise SpecError(f"{given}: the session is logged in as it was when it was started; leave it out, or --session")
    principal, keytab, proxy = (flags.get(name) for name in ("principal", "keytab", "proxy_user"))
    for name, value in (("principal", principal), ("keytab", keytab), ("proxy-user", proxy)):
        if value is not None and not value.strip():
            raise SpecError(f"--{name}: expected a name (given {value!r})")
    if (principal is None) != (keytab is None):
        one, other = ("--principal", "--keytab FILE") if keytab is None else ("--keytab", "--principal NAME@REALM")
        raise SpecError(f"{one} needs {other} beside it; without both, the ticket that kinit got is used")
    if proxy is not None:
        os.environ["HADOOP_PROXY_USER"] = proxy  # Hadoop's client reads it, in Java and hdfs-native
    if principal is not None and keytab is not None:
        from hdl import kerberos

        kerberos.login(kerberos.Login(principal, fs.plain(keytab)), lambda text: click.echo(text, err=True))


def log_option(command: Any = None, section: str = "Options") -> Any:
    """Add the flag that names logs of the rounds to a command; without one, make the flag."""
    option = Option(
        ["--log", "logs"], multiple=True, metavar="KIND:PLACE", section=section,
        help="Log the scalars of every round to tensorboard:DIR, mlflow:URI or csv:FILE; again for another place.",
    )  # fmt: skip
    if command is None:
        return option
    command.params.append(option)
    return command


def at_option(command: Any) -> Any:
    """Add the flag that names a version of a table."""
    about = "Number of a version, best or last; default: the best by validation."
    return click.option("--version", "which", metavar="N|best|last", default="best", help=about)(command)


def threshold_option(command: Any) -> Any:
    """Add the flag that says from which probability on the second of two classes is answered."""
    about = "Of two classes: probability from which on the second is answered; or the best for a measure."
    return click.option("--threshold", metavar="X|f1|mcc|balanced", help=about)(command)


def take_threshold(model: Any, given: str | None) -> Any:
    """Find the threshold that `--threshold` means, and tell it."""
    from hdl import thresholds

    if given is None:
        return None
    try:
        known = thresholds.find(model, given)
    except SpecError as error:
        raise SpecError(f"--{error}") from None
    number, comma, source = known.told.partition(",")
    said = f"'{model.schema.classes[1]}' is answered from a probability of {number} on{comma}{source}"
    click.echo(said, err=True)
    return known


class OneNumber(click.IntRange):
    """A number of workers of commands to which a training's range A:B means nothing."""

    def __init__(self) -> None:
        super().__init__(min=1)

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        if re.fullmatch(r"\d*:\d*", str(value)):
            self.fail(f"expected one number from 1 on (given {value!r}); a range is for hdl train", param, ctx)
        return super().convert(value, param, ctx)


class DeviceName(click.ParamType):
    """The name of a device: see `hdl.devices`."""

    name = "device"

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        from hdl.devices import parse

        try:
            parse(value)
        except SpecError as error:
            self.fail(str(error).removeprefix("device: "), param, ctx)
        return value


def core_options(command: Any) -> Any:
    """Add the flags for what computes: the device, and the CPU's threads."""
    about = "cpu, cuda (the first GPU), cuda:N or auto (a GPU where one can be used).  [default: cpu]"
    command = click.option("--device", type=DeviceName(), metavar="NAME", default="cpu", help=about)(command)
    about = "Threads; default: all processors."
    return click.option("--threads", type=click.IntRange(min=1), metavar="N", help=about)(command)


def spill_option(section: str = "Options") -> Option:
    """Make the flag of encrypted temporary data, which has effect when it is read."""
    about = "Encrypt what memory does not hold and this computer's or the nodes' disks take for a while."
    return Option(
        ["--encrypt-spill"], is_flag=True, expose_value=False, section=section, help=about,
        callback=lambda ctx, param, value: scratch.encrypt(value),
    )  # fmt: skip


def with_spill(command: click.Command) -> click.Command:
    """Add the flag of encrypted temporary data."""
    command.params.append(spill_option())
    return command


def at(table: str, which: str) -> int | None:
    """Return the number of the version that `--version` names, or None for the best."""
    if which == "best":
        return None
    if which == "last":
        from hdl.table import Table

        return Table(table).header()["number"]
    if not which.isdecimal():
        raise SpecError(f"--version: expected a number, best or last (given {which!r})")
    return int(which)


def open_model(table: str, which: str, threads: int | None = None, device: str = "cpu") -> Any:
    """Open the network of a table's version as `hdl.predict.Model`."""
    from hdl import devices
    from hdl.predict import Model

    device = devices.resolve(device, lambda text: click.echo(text, err=True))
    return Model(table, at(table, which), threads or devices.cores(), device)


def tell_reading(source: Any, model: Any) -> None:
    """Say how text is read that is not read as it stands, where training has not said so already."""
    known = (model.schema.reading or {}).get("cells") or ()
    for note in source.reading.get("cells") or ():
        if note not in known:
            click.echo(f"{source.paths[0]}: {note}", err=True)


def count(number: int, thing: str) -> str:
    """Write a number of things: 1 round, 2 rounds, 1,000 rounds."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def aligned(lines: Sequence[tuple[str, str]]) -> str:
    """Aligns names and values in two columns of plain text."""
    width = max((len(name) for name, _ in lines), default=0) + 2
    return "\n".join(f"{name:{width}}" + value.replace("\n", "\n" + " " * width) for name, value in lines)


def table_of(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Write a table of text, its first column to the left and the others to the right."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = []
    for first, *rest in (head, *rows):
        cells = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))]
        lines.append("  ".join(cells).rstrip())
    return lines


def version() -> str:
    """Return the installed version of hdl."""
    import hdl

    return hdl.__version__


def percent(value: float | None, digits: int = 2) -> str:
    """Write a share as text: 97.53 %."""
    return "–" if value is None else f"{100 * value:.{digits}f} %"


def shown_rmse(value: Any) -> str:
    """Write a root of a mean squared error, of several outputs the first few: 12,345.7."""
    values = list(value) if isinstance(value, (list, tuple)) else [value]
    more = ", …" if len(values) > 4 else ""
    return ", ".join(f"{one:,.1f}" if 1e3 <= abs(one) < 1e15 else f"{one:.5g}" for one in values[:4]) + more


def duration(seconds: float) -> str:
    """Write seconds as text: 80 ms, 1.2 s, 12 s, 3 min 20 s, 2 h 5 min, 3 days."""
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours = minutes // 60
    return f"{hours} h {minutes % 60} min" if hours < 48 else f"{min(hours / 24, 1e6):,.0f} days"
