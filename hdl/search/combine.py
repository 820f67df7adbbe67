"""One network of the best trials' networks: an ensemble, whose answers are the mean of theirs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hdl import fs, spec, versions
from hdl.data import FileSplit, Options, Schema
from hdl.errors import SpecError
from hdl.table import Table

# Of a spec what members of one ensemble have in common; how each was trained is its own.
_SAME = ("model", "net", "activation", "leak", "loss", "delta", "quantile", "power", "scale", "preprocessing",
         "embedding", "numbers", "embeddings", "seed", "validation", "holdout", "shards")  # fmt: skip


def ensemble(out: str, tables: Sequence[tuple[str, int]], count: int, target: str) -> list[str]:
    """Makes a table of one version, an ensemble of the best network and of those below it that have its shape.

    Parameters
    ----------
    out : str
        Folder of the trials' tables.
    tables : sequence of (name, version)
        The best first.
    count : int
        Trials that become members.
    target : str
        Folder of the new table; what is there is replaced.

    Returns
    -------
    list of str
        Names of the tables whose networks are members.

    Raises
    ------
    SpecError
        Fewer than `count` trials have networks of the best one's shape.
    """
    first, names, weights = None, list[str](), []
    members = 0
    for name, number in tables:
        version = Table(fs.join(out, name)).read(number)
        found = spec.parse(version.spec)
        if first is None:
            first = found
        if found.model == "mlp" and all(getattr(found, field) == getattr(first, field) for field in _SAME):
            names.append(name)
            weights.append(version.weights.w)
            members += found.members
        if len(names) == count:
            break
    if first is None or len(names) < count:
        shape = "-".join(map(str, first.net or ())) if first else "none"
        raise SpecError(f"--ensemble {count}: expected so many trials with the best "
                        f"one's network, {shape} {first.activation if first else ''} (there are {len(names)}); a "
                        "smaller number, or net and activation not among --param, helps")  # fmt: skip
    zero = Table(fs.join(out, names[0])).read(0)
    about = dict(zero.about)
    schema = Schema.from_parts(about.pop("schema"), zero.schema)
    data, options, cuts = about.pop("data"), Options.make(about.pop("options")), about.pop("cuts")
    platform, device, _ = about.pop("isa"), about.pop("device"), about.pop("samples")
    splits = [[FileSplit(*split) for split in own] for own in cuts]
    whole = first.with_(members=members)
    if fs.exists(target):
        fs.remove(target)
    table = Table(target)
    table.begin()
    made = versions.zero(data, options, whole, schema, splits, platform, device, np.concatenate(weights), **about)
    table.publish(made)
    return names
