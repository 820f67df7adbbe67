"""Makes a fit that a file asks for in a worker, as the estimator would have made it where it is."""

from __future__ import annotations

import mmap
import os
import threading
from collections import OrderedDict
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hdl import fs, ops, wire
from hdl.data import Shard
from hdl.fitting.order import Made, Order, read_samples
from hdl.fitting.rounds import run
from hdl.ops import Samples
from hdl.runners import platform

if TYPE_CHECKING:
    from hdl.runners.watched import Beat

KEPT_SHARE = 0.5  # of a worker's memory for decoded data, for samples that were read from afar
_kept: OrderedDict[str, Samples] = OrderedDict()  # what was used last at the end


def made_at(order: str) -> str:
    """Name the file of what a fit has made.

    Examples
    --------
    >>> made_at("fits/3.order")
    'fits/3.made'
    """
    return order.removesuffix(".order") + ".made"


def title(order: str) -> str:
    """Name a fit for people, by its file in a folder `fits-PROCESS-…`.

    Examples
    --------
    >>> title("/sessions/local/fits-4711-0a1b2c3d/3.order")
    'fit 3 of process 4711'
    """
    path = Path(order)
    return f"fit {path.stem} of process {path.parent.name.partition('-')[2].partition('-')[0]}"


def carry_out(path: str, threads: int, device: str, memory: int, beat: Beat) -> None:
    """Make the fit that a file asks for, and write what it has made beside it.

    Parameters
    ----------
    path : str
    threads : int
    device : str
    memory : int
        Bytes of decoded samples.
    beat : function of a shard and its share
        Called as the work gets on; what it raises ends the fit.
    """
    beat(0, 0.0)
    with fs.open(path) as file:
        order = Order.unpack(file.read())
    content = _fit(order, threads, device, memory, beat).pack()
    if not fs.is_remote(path):
        return write(Path(made_at(path)), [content])
    with suppress(FileExistsError):  # by a worker that has died behind that: its bytes are these
        fs.publish(made_at(path), content, private=True)


def write(path: Path, pieces: Iterable[wire.Buffer]) -> None:
    """Write a file of this machine, for this user alone, that others see when it is whole; it need outlive nobody."""
    fresh = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}.tmp")
    with open(os.open(fresh, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600), "wb") as file:
        for piece in pieces:
            file.write(piece)
    fresh.replace(path)


def _fit(order: Order, threads: int, device: str, memory: int, beat: Beat) -> Made:
    train = samples(order.train, memory)
    held = samples(order.held, memory) if order.held else train.take(slice(0, 0))
    backend, isa = platform.backend(order.platform, device)
    limits, spec = order.limits, order.spec

    def progress(*_: Any) -> None:
        beat(0, 0.5)  # of how many epochs there will be nobody knows

    limits.told = progress  # of short ones the core tells nothing

    try:
        worker = ops.make(spec, backend, threads, isa)
        trained = run(spec, order.weights, Shard(train, held), worker, limits, progress)
    except Exception as error:
        return Made.failed(error)
    return Made(trained, limits.pace)


def samples(path: str, memory: int) -> Samples:
    """Read a file of samples: here where it lies, from afar whole, and kept beside others as far as they fit."""
    if not fs.is_remote(path):
        with open(path, "rb") as file:
            return read_samples(memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)))
    if path not in _kept:
        with fs.open(path) as file:
            _kept[path] = read_samples(file.read())
    _kept.move_to_end(path)
    while len(_kept) > 1 and sum(one.x.nbytes for one in _kept.values()) > KEPT_SHARE * memory:
        _kept.popitem(last=False)
    return _kept[path]
