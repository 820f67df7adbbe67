"""`hdl cluster`: a Hadoop on this machine, to try hdl on."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import click

from hdl.cluster import folders
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
@click.option("--kerberos", is_flag=True, help="Everybody shows a ticket of the cluster's own realm; all is encrypted.")
@click.option("--spnego", is_flag=True, help="Web pages ask for a ticket too.")
@click.option("--https", is_flag=True, help="Web pages are spoken to in TLS, with a certificate of the cluster's own.")
@click.option("--ha", is_flag=True, help="Two NameNodes and two ResourceManagers, of which one each is active.")
@click.option("--federation", is_flag=True, help="Two NameNodes, each with a namespace of its own, and a view of both.")
@click.option("--user", "users", multiple=True, metavar="NAME", help="One more user; may be given several times.")
@click.option("--hadoop", "version", type=click.Choice(VERSIONS), default=DEFAULT_VERSION, show_default=True)
@click.option("--seconds", default=120.0, show_default=True, help="Deadline for the daemons to be ready.")
def start(root: Path, **options) -> None:
    """Start a cluster and return when it is ready. The first start fetches Hadoop (115 MB).

    Without --kerberos a name is only claimed: who claims yours runs jobs as you on this machine.
    """
    started = Cluster.start(root, **options)
    _show(started.status())
    click.echo(f'to use it:       eval "$(hdl cluster env --dir {shlex.quote(str(started.root))})"')


@cluster_.command("add-user")
@folder
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
def add_user(root: Path, names: tuple[str, ...]) -> None:
    """Make users known: a home on HDFS and the right to submit; with Kerberos a principal and a keytab."""
    known = Cluster.load(root)
    for name in names:
        known.add_user(name)
        click.echo(f"{name}: {known.keytab(name) if known.secure else f'/user/{name}'}")


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
@click.option("--user", metavar="NAME", help="As whom; with Kerberos a new ticket of that user.  [default: you]")
def env(root: Path, user: str | None) -> None:
    """Print the exports that make a shell use the cluster: eval "$(hdl cluster env)"."""
    known = Cluster.load(root)
    if known.secure:
        user = user or folders.this_user()
        click.echo("unset HADOOP_USER_NAME")  # Hadoop would not look at it, but others might
    for name, value in known.environment(user).items():
        click.echo(f"export {name}={shlex.quote(value)}")


def _show(state: dict) -> None:
    click.echo(f"Hadoop {state['version']} in {state['dir']}: {'ready' if state['ready'] else 'not ready'}")
    if state["realm"]:
        click.echo(f"Kerberos realm:  {state['realm']}")
    click.echo(f"HDFS:            {state['uri']}{'  (safe mode)' if state['safe_mode'] else ''}")
    for name, address in state["web"].items():
        click.echo(f"{name + ':':16} {address}")
    for kind in ("datanodes", "nodemanagers"):
        click.echo(f"{kind + ':':16} {len(state[kind])}  {', '.join(state[kind])}")
    for name, daemon in state["daemons"].items():
        if not daemon["alive"]:
            click.echo(f"{name} is not running; its log: {daemon['log']}")
