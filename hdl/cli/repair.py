"""`hdl repair`: whose the versions in a table's folder are, and how one run's become the table."""

from __future__ import annotations

import sys

import click

from hdl import strict_json
from hdl.cli.common import Command, count, hadoop_options, table_of
from hdl.errors import SpecError, TableError

FEW = 6  # numbers of versions that are listed


@hadoop_options
@click.command(cls=Command)
@click.argument("table", metavar="TABLE")
@click.option("--keep", metavar="RUN", help="Make this run's whole versions the table, and move all others away.")
@click.option("--yes", is_flag=True, help="Do it without asking.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON of what is there.")
def repair_(table: str, keep: str | None, yes: bool, as_json: bool) -> None:
    """Show which run's each version in TABLE is, and keep one run's.

    Alone it changes nothing. With --keep it says what it would do, and asks; nothing is deleted: what does
    not belong to the run goes into a folder aside-… in TABLE, which is named. A training that still writes
    to TABLE is stopped.
    """
    from hdl.table import chains

    if yes and keep is None:
        raise SpecError("--yes: answers the question that --keep RUN asks; alone, hdl repair changes nothing")
    if as_json and keep is not None:
        raise SpecError("--json: prints what is there; leave out --keep")
    found = chains.find(table)
    if as_json:
        click.echo(strict_json.dumps({"table": table, "runs": [_plain(chain) for chain in found]}, indent=2))
        return
    rows = [
        (chain.name, "the table's" if chain.counts else "", _numbers(chain.files), _numbers(chain.damaged))
        for chain in found
    ]
    click.echo("\n".join(table_of(("run", "", "versions", "damaged"), rows)))
    for chain in found:
        for number, wrong in sorted(chain.damaged.items()):
            click.echo(f"{chain.files[number]}: {wrong}")
    if keep is None:
        _advise(table, found)
        return
    chain = chains.choose(table, found, keep)
    others = sum(len(each.files) for each in found) - len(chain.whole)
    moved = f", and move {count(others, 'other version')} into a folder in {table}" if others else ""
    click.echo(
        f"\nwill make versions {_numbers(chain.whole)} of run {chain.name} the table, with new names{moved}; "
        "a training that writes there is stopped"
    )
    if not yes:
        if not sys.stdin.isatty():
            raise SpecError("--keep: nothing was changed; --yes does it where nobody can be asked")
        click.confirm("go on?", abort=True, err=True)
    repaired, place = chains.keep(table, chain)
    others_are = f"; the others are in {place}" if place else ""
    click.echo(f"{table} is run {chain.name}'s, up to version {repaired.latest()}{others_are}")
    for wrong in chains.unbroken(repaired):
        click.echo(f"beware: {wrong}", err=True)


def _advise(table: str, found: list) -> None:
    """Say what may be done; raise where the table cannot be used as it is."""
    from hdl.table import Table, chains

    try:
        Table(table).with_zero()
    except TableError as error:
        fit = [chain.name for chain in found if chain.run and 0 in chain.whole]
        one = f"--keep {fit[0] if len(fit) == 1 else 'RUN'} keeps one run's versions"
        said = str(error).split("; hdl repair")[0]
        mended = one if fit else "no run has a whole version 0, so the table cannot be mended"
        raise TableError(f"{said}; {mended}") from None
    chain = found[0]
    wrong = chains.unbroken(Table(table))
    if zeros := chains.lost_zeros(table, chain):
        wrong.append(f"{zeros[0]}; version 0 is whole in its other file, and hdl train --resume makes two of it again")
    if chain.damaged:
        wrong.append(
            f"version{'s' * (len(chain.damaged) > 1)} {_numbers(chain.damaged)} cannot be read, the others can; "
            f"--keep {chain.name} moves what is damaged away"
        )
    if common := chains.lost_common(Table(table)):
        wrong.append(common)
    for said in wrong:
        click.echo(f"beware: {said}", err=True)
    if not wrong:
        others = "; other runs' versions do not count, and the next training removes them" if len(found) > 1 else ""
        click.echo(f"the table is whole{others}")


def _plain(chain) -> dict:
    return {
        "run": chain.run, "tag": chain.tag, "name": chain.name, "counts": chain.counts,
        "versions": sorted(chain.files), "damaged": {str(number): said for number, said in chain.damaged.items()},
    }  # fmt: skip


def _numbers(numbers) -> str:
    """Write numbers of versions, the first and the last ones where they are many."""
    listed = sorted(numbers)
    shown = listed if len(listed) <= FEW else [*listed[: FEW // 2], "…", *listed[-FEW // 2 :]]
    return ", ".join(map(str, shown)) or "–"
