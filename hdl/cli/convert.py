"""`hdl import`."""

from __future__ import annotations

import re
from typing import Any

import click

from hdl.cli.common import Command, Option, hadoop_options
from hdl.cli.common import count as counted
from hdl.cli.data_flags import OFFSET, WEIGHTS, data_options, take_data_options
from hdl.errors import SpecError

PATCHES = "Patches of pictures"
UNITS = {"": 1, "k": 2**10, "m": 2**20, "g": 2**30}


@hadoop_options
@data_options(WEIGHTS, OFFSET)
@click.command(cls=Command)
@click.argument("src", metavar="SRC")
@click.argument("dst", metavar="DST")
@click.option(
    "--shard-size", metavar="SIZE", help="Size of a file's features before compression, such as 64MB.  [default: 64MB]"
)
@click.option("--shard-rows", type=click.IntRange(min=1), metavar="N", help="Samples in a file instead.")
@click.option("--shards", type=click.IntRange(min=1), metavar="N", help="Number of files instead, equally large.")
@click.option("--patches", cls=Option, section=PATCHES, metavar="HxW", help="Random patches of SRC's pictures: 8x8.")
@click.option(
    "--count",
    cls=Option,
    section=PATCHES,
    type=click.IntRange(min=1),
    metavar="N",
    help="How many patches.  [default: 10000]",
)
@click.option(
    "--seed",
    cls=Option,
    section=PATCHES,
    type=click.IntRange(0, 2**63 - 1),
    metavar="N",
    help="Decides which patches.  [default: 1]",
)
@click.option(
    "--whiten",
    cls=Option,
    section=PATCHES,
    is_flag=True,
    help="Whiten the patches (ZCA): values about 0, for a linear decoder or Gaussian units.",
)
@click.option(
    "--whiten-pictures",
    cls=Option,
    section=PATCHES,
    is_flag=True,
    help="Make the pictures' spectrum flat before patches are cut.",
)
def import_(
    src: str,
    dst: str,
    shard_size: str | None,
    shard_rows: int | None,
    shards: int | None,
    patches: str | None,
    count: int | None,
    seed: int | None,
    whiten: bool,
    whiten_pictures: bool,
    **values: Any,
) -> None:
    """Convert SRC, any data that hdl train takes, to Parquet files in the new folder DST.

    uint8 features stay uint8. A table keeps its columns, and the files say which is the label, so that
    hdl train DST needs no flag again. DST appears whole or not at all.

    With --patches SRC is a folder of pictures (its folders too), a glob or one picture, and the dataset
    patches of it at random places, grey and without labels. Each is normalised: its mean is taken away,
    what is beyond 3 standard deviations of all is cut off, and the rest brought to [0.1, 0.9]. --whiten
    does ZCA instead. Pictures that are damaged or too small end the command; --max-bad-records N leaves
    up to N of them out.
    """
    from hdl.cli import progress
    from hdl.data import findings, open_source, write_shards

    given = [
        name
        for name, value in (("--shard-size", shard_size), ("--shard-rows", shard_rows), ("--shards", shards))
        if value is not None
    ]
    if len(given) > 1:
        raise SpecError(f"{' and '.join(given)} say the same in different ways: give one of them")
    size = {} if shard_size is None else {"shard_bytes": size_of(shard_size)}
    options = take_data_options(values)
    if patches is not None:
        if given := [
            name for name, value in options.model_dump(exclude_defaults=True).items() if name != "max_bad_records"
        ]:
            raise SpecError(f"{', '.join(given)}: pictures have no such thing; not with --patches")
        source: Any = patches_of(src, options, patches, count, seed, whiten, whiten_pictures)
    elif alone := [
        flag
        for flag, given in (
            ("--count", count),
            ("--seed", seed),
            ("--whiten", whiten or None),
            ("--whiten-pictures", whiten_pictures or None),
        )
        if given is not None
    ]:
        raise SpecError(f"{' and '.join(alone)}: only with --patches HxW")
    else:
        source = open_source(src, options)
        said = findings.lines({"data": src, "options": options.model_dump(), "schema": source.describe()})
        click.echo(progress.aligned(said), err=True)
    try:
        written = write_shards(source, dst, rows=shard_rows, shards=shards, **size)
    except FileExistsError:
        raise SpecError(f"{dst}: exists already; expected the name of a new folder") from None
    if written.skipped:
        click.echo(
            "\n  ".join(
                [f"{counted(written.skipped, 'bad picture' if patches else 'bad record')} skipped:", *written.places]
            ),
            err=True,
        )
    files, samples, features = (
        counted(number, word)
        for number, word in ((written.files, "file"), (written.samples, "sample"), (written.features, "feature"))
    )
    click.echo(f"{dst}: {samples} of {features} in {files}")


def patches_of(
    src: str, options: Any, size: str, count: int | None, seed: int | None, patches: bool, pictures: bool
) -> Any:
    """Make the dataset of patches that `--patches` and its flags ask for."""
    from hdl.data.patches import Patches

    match = re.fullmatch(r"([1-9]\d{0,3})x([1-9]\d{0,3})", size)
    if match is None:
        raise SpecError(f"--patches: expected height and width, such as 8x8 (given {size!r})")
    if patches and pictures:
        raise SpecError("--whiten whitens the patches, --whiten-pictures the pictures: give one of them")
    whiten = "patches" if patches else "pictures" if pictures else "no"
    number = 10_000 if count is None else count
    return Patches(src, options, (int(match[1]), int(match[2])), number, 1 if seed is None else seed, whiten)


def size_of(text: str) -> int:
    """Read a number of bytes, written as 1000, 64k, 64MB or 1.5GiB.

    Examples
    --------
    >>> size_of("1.5k")
    1536
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmg]?)(?:i?b)?\s*", text, re.I)
    if match is None or float(match[1]) == 0:
        raise SpecError(f"--shard-size: expected a size such as 64MB (given {text!r})")
    return max(1, int(float(match[1]) * UNITS[match[2].lower()]))
