"""`hdl fit`, which is not for people: fits of scikit-learn's searches, sent to a session by `hdl.session.fits`."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from hdl import session
from hdl.cli.common import Command
from hdl.errors import SpecError


@click.command(cls=Command)
@click.argument("orders", nargs=-1, required=True, type=click.Path())
@click.option("--session", "name", required=True, metavar="NAME")
@click.option("--forget", is_flag=True, help="Remove what was copied to the cluster, of all orders of this folder.")
def fit_(orders: tuple[str, ...], name: str, forget: bool) -> None:
    """Make the fits that these files ask for; what they made is written beside them."""
    own = session.current
    if own is None:
        raise SpecError("hdl fit: is for a session's own process")
    near = getattr(own, "application", None) is None
    place: Any = _Here() if near else _Staged(own, Path(orders[0]).parent.name)
    if forget:
        place.forget()
        return
    _made(own, place, [Path(order) for order in orders])


def _made(own: Any, place: Any, orders: list[Path]) -> None:
    """Have the session's workers make fits, and write what each has made."""
    from hdl import measuring, wire
    from hdl.fitting.order import Made
    from hdl.runners import fits
    from hdl.runners.base import Job

    files = [place.put(order) for order in orders]
    job = Job(files[0], place.folder or str(orders[0].parent), asked={fits.KIND: files, **place.asked})
    try:
        with own.runner() as runner:
            gathered = runner.train(job, measuring.gather, lambda event: None)
    finally:
        place.take_back(files)
    for order, one in zip(orders, gathered.whole.values[fits.KIND].fits, strict=True):
        made = order.with_suffix(".made")
        made.write_bytes(wire.pack("made", *Made((one,)).to_parts()))


class _Here:
    """The files lie where the workers read them."""

    folder = ""
    asked: dict[str, Any] = {}  # noqa: RUF012 (never written to)

    def put(self, order: Path) -> str:
        """Return a file as workers know it."""
        return str(order)

    def take_back(self, files: list[str]) -> None:
        """Do nothing: the sender removes its files."""

    def forget(self) -> None:
        """Do nothing: nothing was copied."""


class _Staged:
    """The files are copied to the application's folder on HDFS, samples once, where its user alone may read.

    Parameters
    ----------
    own : YarnWorkers
    name : str
        Of the sender's folder.
    """

    def __init__(self, own: Any, name: str):
        from hdl import fs
        from hdl.yarn.client import client

        self.folder = fs.join(client.staging(own.application), name)
        self.asked = {"parts": own.workers}

    def put(self, order: Path) -> str:
        """Copy an order, and its samples where they are not there yet."""
        from hdl import fs
        from hdl.fitting.order import Order

        asked = Order.unpack(order.read_bytes())
        places = []
        for path in filter(None, (asked.train, asked.held)):
            places.append(fs.join(self.folder, Path(path).name))
            if not fs.exists(places[-1]):
                fs.mkdir(self.folder)
                fs.publish(places[-1], Path(path).read_bytes())
        copied = fs.join(self.folder, order.name)
        fs.publish(copied, asked.at(places).pack())
        return copied

    def take_back(self, files: list[str]) -> None:
        """Remove the orders; the samples stay for the next ones."""
        from hdl import fs

        for path in files:
            with suppress(OSError):
                fs.remove(path)

    def forget(self) -> None:
        """Remove all that was copied for this sender."""
        from hdl import fs

        with suppress(FileNotFoundError):
            fs.remove(self.folder)
