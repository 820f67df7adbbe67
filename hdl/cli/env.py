"""`hdl env`: the Python environment that a cluster's nodes run with, and our home folder there."""

from __future__ import annotations

from pathlib import Path

import click

from hdl.cli.common import Command, hadoop_options


@click.group("env")
def env_() -> None:
    """Pack the Python environment for a cluster's nodes, or find our home folder there."""


@hadoop_options
@env_.command(cls=Command)
@click.option("--output", type=click.Path(path_type=Path, file_okay=False), help="Folder for it.  [default: the cache]")
@click.option("--upload", "target", is_flag=False, flag_value="", metavar="[HDFS-FOLDER]",
              help="Also put it on HDFS, once.  [default folder: hdfs:///user/NAME/.hdl/env]")  # fmt: skip
def pack(output: Path | None, target: str | None) -> None:
    """Make one archive of hdl, its core and their requirements, and print where it is.

    On PYTHONPATH, unpacked, it is all that a node needs beside a Python of the same version. Its name is the SHA-256
    of what is in it.
    """
    from hdl import envpack, fs

    archive = envpack.pack(None if output is None else Path(fs.plain(output)))
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
