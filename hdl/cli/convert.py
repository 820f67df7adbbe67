"""`hdl import`."""

from __future__ import annotations

import re
from typing import Any

import click

from hdl.cli.common import Command, count, data_options, take_data_options
from hdl.errors import SpecError

UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30}


@data_options
@click.command(cls=Command)
@click.argument("src", metavar="SRC")
@click.argument("dst", metavar="DST")
@click.option(
    "--shard-size", metavar="SIZE", help="Size of a file's features before compression, such as 64MB.  [default: 64MB]"
)
@click.option("--shard-rows", type=click.IntRange(min=1), metavar="N", help="Samples in a file instead.")
@click.option("--shards", type=click.IntRange(min=1), metavar="N", help="Number of files instead, equally large.")
def import_(
    src: str, dst: str, shard_size: str | None, shard_rows: int | None, shards: int | None, **values: Any
) -> None:
    """Convert SRC, any data that hdl train takes, to Parquet files in the new folder DST.

    uint8 features stay uint8. DST appears whole or not at all.
    """
    from hdl.data import open_source, write_shards

    given = [
        name
        for name, value in (("--shard-size", shard_size), ("--shard-rows", shard_rows), ("--shards", shards))
        if value is not None
    ]
    if len(given) > 1:
        raise SpecError(f"{' and '.join(given)} say the same in different ways: give one of them")
    size = {} if shard_size is None else {"shard_bytes": size_of(shard_size)}
    source = open_source(src, take_data_options(values))
    try:
        written = write_shards(source, dst, rows=shard_rows, shards=shards, **size)
    except FileExistsError:
        raise SpecError(f"{dst}: exists already; expected the name of a new folder") from None
    if written.skipped:
        click.echo("\n  ".join([f"{count(written.skipped, 'bad record')} skipped:", *written.places]), err=True)
    files, samples, features = (
        count(number, word)
        for number, word in ((written.files, "file"), (written.samples, "sample"), (written.features, "feature"))
    )
    click.echo(f"{dst}: {samples} of {features} in {files}")


def size_of(text: str) -> int:
    """Bytes from 1000, 64k, 64MB, 1.5GiB.

    Examples
    --------
    >>> size_of("1.5k")
    1536
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmg]?)(?:i?b)?\s*", text, re.I)
    if match is None or float(match[1]) == 0:
        raise SpecError(f"--shard-size: expected a size such as 64MB (given {text!r})")
    return max(1, int(float(match[1]) * UNITS[match[2].lower()]))
