"""The shape of the tree of relays: who passes on whose messages between the master and many workers.

The first F places are the master's own children; place p has the places F(p+1) to F(p+1)+F-1 below it. So a place's
children are neighbours, and the tree over n workers is log n / log F levels deep: with F = 16 three for 273 to 4,368.
"""

from __future__ import annotations

from functools import cache


def parent(place: int, fan: int) -> int | None:
    """Name the place above a place; None: the master is.

    Examples
    --------
    >>> parent(31, 32), parent(32, 32), parent(64, 32)
    (None, 0, 1)
    """
    return None if place < fan else place // fan - 1


def children(place: int | None, size: int, fan: int) -> range:
    """Name the places directly below a place, or below the master (None), of so many.

    Examples
    --------
    >>> children(None, 6, 2), children(0, 6, 2), children(1, 6, 2), children(2, 6, 2)
    (range(0, 2), range(2, 4), range(4, 6), range(6, 6))
    """
    first = 0 if place is None else fan * (place + 1)
    return range(min(first, size), min(first + fan, size))


@cache
def subtree(place: int, size: int, fan: int) -> frozenset[int]:
    """Name a place and all those below it.

    Examples
    --------
    >>> sorted(subtree(0, 8, 2))
    [0, 2, 3, 6, 7]
    """
    below = [subtree(child, size, fan) for child in children(place, size, fan)]
    return frozenset({place}).union(*below)


def towards(place: int, other: int, fan: int) -> int:
    """Name the child of a place that has another place, one below it, in its subtree.

    Examples
    --------
    >>> towards(0, 7, 2), towards(0, 2, 2)
    (2, 2)
    """
    while (above := parent(other, fan)) != place:
        assert above is not None, "the other place is not below"
        other = above
    return other
