"""`hdl inspect`, `report`, `export`, `doctor`: looking at tables, and at the machine."""

from __future__ import annotations

import json
from typing import Any

import click

from hdl.cli.common import Command


def _at(command: Any) -> Any:
    """Add the flag that names a version."""
    about = "Number of a version, or best or last; default: the best by validation."
    return click.option("--version", "which", metavar="N|best|last", default="best", help=about)(command)


@click.command(cls=Command)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor_(as_json: bool) -> int:
    """Show what this machine offers: instruction set, threads, memory, Java, Hadoop, GPU, packages.

    Each missing piece comes with the command that gets it. The exit status is 8 if something that
    training on this machine needs is missing.
    """
    from hdl import doctor

    findings = doctor.examine()
    told = doctor.as_dict(findings)
    if as_json:
        click.echo(json.dumps(told, indent=2))
    else:
        topic = None
        width = max(len(finding.name) for finding in findings) + 2
        for finding in findings:
            if finding.topic != topic:
                click.secho(("" if topic is None else "\n") + finding.topic, bold=True)
                topic = finding.topic
            mark = click.style("✓", fg="green") if finding.ok else click.style("✗" if finding.needed else "·", fg="red")
            click.echo(f"  {mark} {finding.name:{width}}{finding.found or 'missing'}")
            if finding.fix:
                click.echo(f"    {'':{width}}→ {finding.fix}")
        click.echo("\nReady to train on this machine." if told["ready"] else "\nNot ready: see ✗ above.")
    return 0 if told["ready"] else 8
