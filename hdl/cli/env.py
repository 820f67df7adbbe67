"""`hdl env`: the Python environment that a cluster's nodes run with, and our home folder there."""

from __future__ import annotations

from pathlib import Path

import click

from hdl.cli.common import Command, hadoop_options
from hdl.errors import SpecError


@click.group("env")
def env_() -> None:
    """Pack the Python environment for a cluster's nodes, or find our home folder there."""


@hadoop_options
@env_.command(cls=Command)
@click.option("--output", type=click.Path(path_type=Path, file_okay=False), help="Folder for it.  [default: the cache]")
@click.option(
    "--upload",
    "target",
    is_flag=False,
    flag_value="",
    metavar="[HDFS-FOLDER]",
    help="Also put it on HDFS, once.  [default folder: hdfs:///user/NAME/.hdl/env]",
)
@click.option("--python", metavar="PYTHON", help="Name or path of a Python on every node: none is packed.")
@click.option(
    "--interpreter",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    metavar="FILE",
    help="Another Python of the same version to pack.  [default: the one that runs this]",
)
@click.option("--glibc", metavar="VERSION", help="Of the oldest node, such as 2.28: refuse what it could not load.")
def pack(
    output: Path | None, target: str | None, python: str | None, interpreter: Path | None, glibc: str | None
) -> None:
    """Make one archive of hdl, its core, their requirements and Python itself, and print where it is.

    Unpacked on a node, bin/python in it runs hdl there: the node needs glibc and no Python. What it asks of a node is
    told on standard error. Its name is the SHA-256 of what went into it.
    """
    from hdl import envpack, fs
    from hdl.envpack import nodes

    if python and interpreter:
        raise SpecError("--python names a Python on the nodes and --interpreter packs one: give one of them")
    archive = envpack.pack(None if output is None else Path(fs.plain(output)), python, interpreter)
    needs = envpack.needs(archive)
    if glibc:
        nodes.check(needs, glibc)
    click.echo(f"{archive.stat().st_size / 1e6:.0f} MB, {needs.told()}", err=True)
    click.echo(archive if target is None else envpack.upload(archive, target or None))


@hadoop_options
@env_.command(cls=Command)
def home() -> None:
    """Print the path of our home folder on the cluster's file system, named as Hadoop names us.

    By a Kerberos ticket, by HADOOP_USER_NAME or by the system's user: as Hadoop decides. Data and tables are best put
    below it: an administrator makes it, and elsewhere an ordinary user may not write.
    """
    from hdl import identity

    click.echo(identity.home())
