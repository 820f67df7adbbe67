"""The order of layers in files that keep none: by the numbers in their names, or else as their shapes alone fit."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import islice, pairwise, permutations

from numpy.typing import NDArray

from hdl.errors import DataError

_TRIED = 8  # layers whose orders are tried


def ordered(weights: Mapping[str, NDArray], path: str) -> list[str]:
    """Put layers in their order.

    Parameters
    ----------
    weights : mapping of str to float32 [I, O]
        By the layers' names. Those whose names differ in numbers alone follow each other by these.

    Raises
    ------
    DataError
        They make no chain, or several.
    """
    names = sorted(weights, key=lambda name: (_family(name), _numbers(name)))
    families = {_family(name) for name in names}
    if len(families) == 1:
        return names
    if len(names) > _TRIED:
        raise DataError(f"{len(names)} layers whose names are not numbered alike: {', '.join(names[:4])}, …", path)
    rising = (order for order in permutations(names) if _rises(order) and _fits(order, weights))
    found = list(islice(rising, 2))
    if not found:
        raise DataError(f"the layers {', '.join(names)} make no chain in any order", path)
    if len(found) == 2:
        raise DataError(
            f"the layers {', '.join(names)} may stand in several orders, as their shapes say: number their names", path
        )
    return list(found[0])


def _family(name: str) -> str:
    return re.sub(r"\d+", "#", name)


def _numbers(name: str) -> tuple[int, ...]:
    return tuple(map(int, re.findall(r"\d+", name)))


def _rises(order: tuple[str, ...]) -> bool:
    """Tell whether layers whose names differ in numbers alone follow each other by these."""
    last: dict[str, tuple[int, ...]] = {}
    for name in order:
        if last.get(_family(name), ()) > _numbers(name):
            return False
        last[_family(name)] = _numbers(name)
    return True


def _fits(order: tuple[str, ...], weights: Mapping[str, NDArray]) -> bool:
    return all(weights[a].shape[1] == weights[b].shape[0] for a, b in pairwise(order))
