"""Fits of a session on YARN: their files are copied to the application's folder, which its user alone may read."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hdl import fs
from hdl.errors import SpecError
from hdl.fitting.order import Order
from hdl.runners.fits import made_at, write


class Staged:
    """Keeps copies of fits' files, samples once each.

    Parameters
    ----------
    folder : str
        Of the application.
    """

    def __init__(self, folder: str):
        self.folder = folder
        self._one_at_a_time = threading.Lock()  # samples are copied once

    @contextmanager
    def copied(self, order: Path) -> Iterator[str]:
        """Give, as a context, the path of an order's copy; at a clean end what it made is beside the order."""
        path = self._put(order)
        made = made_at(path)
        try:
            yield path
            with fs.open(made) as file:
                write(Path(made_at(str(order))), [file.read()])
        finally:
            for each in (path, made):
                with suppress(OSError):
                    fs.remove(each)

    def _put(self, order: Path) -> str:
        """Copy an order, and its samples where they are not there yet."""
        asked, folder, places = Order.unpack(order.read_bytes()), self._of(order.parent.name), []
        with self._one_at_a_time:
            for path in filter(None, (asked.train, asked.held)):
                places.append(fs.join(folder, Path(path).name))
                if not fs.exists(places[-1]):
                    fs.mkdir(folder)
                    fs.publish(places[-1], Path(path).read_bytes())
        copied = fs.join(folder, order.name)
        fs.publish(copied, asked.at(places).pack())
        return copied

    def forget(self, name: str) -> None:
        """Remove all that was copied of a folder of orders."""
        with suppress(FileNotFoundError):
            fs.remove(self._of(name))

    def _of(self, name: str) -> str:
        if Path(name).name != name:
            raise SpecError(f"a folder of fits: expected a name (given {name!r})")
        return fs.join(self.folder, name)
