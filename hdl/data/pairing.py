"""Which files hold features and which hold labels, and which two belong together, as their names tell.

Words say it: `images`, `input`, `features` and a lone `x` on one side, `labels`, `output`, `target` and a lone `y` on
the other. `data` says that a file has features where nothing else in its name says what it has: it may be the dataset's
name, as in `mnist_data_1.X` and `mnist_data_1.Y`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_FEATURES = re.compile(r"images|input|features|(?<![a-z])x(?![a-z])", re.I)
PAIR_Y = re.compile(r"labels|output|targets?|(?<![a-z])y(?![a-z])", re.I)
_DATA = re.compile(r"(?<![a-z])data(?![a-z])", re.I)


def roles(names: Sequence[str]) -> list[str]:
    """Tell of each file whether its name says 'features' or 'labels'; '' where it says neither.

    A name that says both is what its partner is not, where another name differs from it in one such word alone; else
    it has features.

    Examples
    --------
    >>> roles(["mnist_data_1.X", "mnist_data_1.Y", "notes.txt"])
    ['features', 'labels', '']
    >>> roles(["input_data.npy", "input_labels.npy"])
    ['features', 'labels']
    """
    out = []
    for name in names:
        features, labels = _FEATURES.search(name), PAIR_Y.search(name)
        if features and labels:
            # without its word for labels: what a file of features that belongs to it would be called
            others = {key for other in names if other != name for key in stems(other, "features")}
            out.append("labels" if others & stems(name, "labels") else "features")
        elif labels:
            out.append("labels")
        else:
            out.append("features" if features or _DATA.search(name) else "")
    return out


def stems(name: str, role: str) -> set[str]:
    """Strip a name of one word that says what it holds, whichever word that is, and of all of them.

    Examples
    --------
    >>> sorted(stems("mnist_data_1.X", "features"))
    ['mnist__1.', 'mnist__1.X', 'mnist_data_1.']
    """
    name = re.sub(r"idx\d", "idx", name)
    patterns = (PAIR_Y,) if role == "labels" else (_FEATURES, _DATA)
    out, bare = set[str](), name
    for pattern in patterns:
        out |= {name[: found.start()] + name[found.end() :] for found in pattern.finditer(name)}
        bare = pattern.sub("", bare)
    return out | {bare} if out else out


def matched(features: Sequence[str], labels: Sequence[str]) -> list[tuple[int, int]] | None:
    """Match names of features with names of labels that differ from them in one word alone.

    Returns
    -------
    list of (int, int), or None
        Numbers of the two, in the order of `features`; None where one has no partner, or two.
    """
    wanted = [stems(name, "labels") for name in labels]
    out: list[tuple[int, int]] = []
    for i, name in enumerate(features):
        own = stems(name, "features")
        partners = [j for j, keys in enumerate(wanted) if keys & own]
        if len(partners) != 1:
            return None
        out.append((i, partners[0]))
    return out if len({j for _, j in out}) == len(labels) == len(out) else None
