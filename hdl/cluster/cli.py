"""`hdl cluster`: a Hadoop on this machine, to try hdl on."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import click

from hdl.cluster.assemble import DEFAULT_VERSION, VERSIONS
from hdl.cluster.daemons import Cluster, default_folder

folder = click.option(
    "--dir", "root", type=click.Path(path_type=Path, file_okay=False), default=default_folder,
    help="The cluster's folder; one cluster a folder.  [default: the user's state folder]",
)  # fmt: skip


@click.group("cluster")
def cluster_() -> None:
    """Start, stop and look at a Hadoop on this machine's loopback."""


@cluster_.command()
@folder
@click.option("--datanodes", default=1, show_default=True, help="Number of DataNodes.")
@click.option("--nodemanagers", default=1, show_default=True, help="Number of NodeManagers.")
@click.option("--memory", default=4096, show_default=True, help="MiB that one NodeManager offers.")
@click.option("--vcores", default=4, show_default=True, help="Virtual cores that one NodeManager offers.")
@click.option("--gpus", default=0, show_default=True, help="GPUs that one NodeManager says it offers.")
@click.option("--hadoop", "version", type=click.Choice(VERSIONS), default=DEFAULT_VERSION, show_default=True)
@click.option("--seconds", default=120.0, show_default=True, help="Deadline for the daemons to be ready.")
def start(root: Path, **options) -> None:
    """Start a cluster and return when it is ready. The first start fetches Hadoop (95 MB)."""
    started = Cluster.start(root, **options)
    _show(started.status())
    click.echo(f'to use it:       eval "$(hdl cluster env --dir {shlex.quote(str(started.root))})"')


@cluster_.command()
@folder
@click.option("--purge", is_flag=True, help="Remove its folder, data and logs too.")
def stop(root: Path, purge: bool) -> None:
    """Stop a cluster; its data stays unless it is purged."""
    stopped = Cluster.load(root)
    stopped.stop(purge)
    click.echo(f"stopped{' and purged' if purge else ''}: {stopped.root}")


@cluster_.command()
@folder
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_context
def status(context: click.Context, root: Path, as_json: bool) -> None:
    """Say what runs; exit status 1 unless the cluster is ready."""
    state = Cluster.load(root).status()
    if as_json:
        click.echo(json.dumps(state))
    else:
        _show(state)
    context.exit(0 if state["ready"] else 1)


@cluster_.command()
@folder
def env(root: Path) -> None:
    """Print the exports that make a shell use the cluster: eval "$(hdl cluster env)"."""
    for name, value in Cluster.load(root).environment().items():
        click.echo(f"export {name}={shlex.quote(value)}")


def _show(state: dict) -> None:
    click.echo(f"Hadoop {state['version']} in {state['dir']}: {'ready' if state['ready'] else 'not ready'}")
    click.echo(f"HDFS:            {state['uri']}{'  (safe mode)' if state['safe_mode'] else ''}")
    for name, address in state["web"].items():
        click.echo(f"{name + ':':16} {address}")
    for kind in ("datanodes", "nodemanagers"):
        click.echo(f"{kind + ':':16} {len(state[kind])}  {', '.join(state[kind])}")
    for name, daemon in state["daemons"].items():
        if not daemon["alive"]:
            click.echo(f"{name} is not running; its log: {daemon['log']}")
