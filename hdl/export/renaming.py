"""Inputs and outputs of a graph under other names."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from hdl.errors import SpecError

SHOWN = 12  # names in a message


def renamed(model: Any, names: Mapping[str, str]) -> Any:
    """Give inputs and outputs of a model other names; what has such a name within the graph gets another one.

    Raises
    ------
    SpecError
        There is no such input or output, or two would have one name.
    """
    graph = model.graph
    ends = [item.name for item in (*graph.input, *graph.output)]
    shown = ", ".join(ends if len(ends) <= SHOWN else (*ends[: SHOWN - 3], "…", *ends[-2:]))
    for old, new in names.items():
        if old not in ends:
            raise SpecError(f"rename {old}={new}: expected one of {shown}")
        if not new.strip():
            raise SpecError(f"rename {old}={new}: expected a name")
    given = [names.get(name, name) for name in ends]
    if twice := [name for name in given if given.count(name) > 1]:
        raise SpecError(f"rename: {given.count(twice[0])} inputs and outputs would be called {twice[0]!r}")
    inner = {name for node in graph.node for name in node.output} | {tensor.name for tensor in graph.initializer}
    taken, changed = {*given, *inner, *ends}, dict(names)
    for name in sorted(inner - {*ends}):
        if name in given:
            changed[name] = f"{name}_"
            while changed[name] in taken:
                changed[name] += "_"
            taken.add(changed[name])
    for item in (*graph.input, *graph.output, *graph.initializer):
        item.name = changed.get(item.name, item.name)
    for node in graph.node:
        for side in node.input, node.output:
            side[:] = [changed.get(name, name) for name in side]
    for entry in model.metadata_props:
        if entry.key == "hdl.columns":
            columns = {names.get(name, name): column for name, column in json.loads(entry.value).items()}
            entry.value = json.dumps(columns, ensure_ascii=False)
    return model
