"""Guards over hdl's sources, read from their import statements: each gives what breaks its rule, and how many it read.

A guard takes the folder `hdl` of a checkout or of a copy, so that a test can break a rule in a copy and see it fail.
"""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple


class Seen(NamedTuple):
    """What a guard has found.

    Attributes
    ----------
    wrong : list of str
        A sentence for each breach.
    files : int
        How many files the guard has read.
    """

    wrong: list[str]
    files: int


class Module(NamedTuple):
    """A source file: its dotted name, its file, and the modules and names that it imports at run time."""

    name: str
    file: Path
    imports: frozenset[str]

    @property
    def layer(self) -> str:
        """The part right below hdl."""
        return self.name.split(".")[1] if "." in self.name else "hdl"

    @property
    def path(self) -> str:
        """The parts below hdl, joined by slashes."""
        return "/".join(self.name.split(".")[1:])


def python_files(home: Path) -> list[Path]:
    """All Python files, those behind symbolic links too."""
    return sorted(
        Path(folder, name)
        for folder, _, names in os.walk(home, followlinks=True)
        for name in names
        if name.endswith(".py")
    )


def imported(file: Path, package: str) -> frozenset[str]:
    """Dotted names that a source imports at run time, in functions too, relative ones made absolute."""

    def walk(node: ast.AST) -> Iterator[str]:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for child in node.orelse:
                yield from walk(child)
            return
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            base = ".".join(parts[: len(parts) - node.level + 1]) if node.level else ""
            module = ".".join(filter(None, [base, node.module]))
            yield from (f"{module}.{alias.name}" for alias in node.names)
        for child in ast.iter_child_nodes(node):
            yield from walk(child)

    return frozenset(walk(ast.parse(file.read_text())))


@cache
def modules(home: Path) -> dict[str, Module]:
    """All modules of hdl by their dotted names."""
    inside = {}
    for file in python_files(home):
        parts = ("hdl", *file.relative_to(home).with_suffix("").parts)
        package = ".".join(parts[:-1])
        name = package if parts[-1] == "__init__" else ".".join(parts)
        inside[name] = Module(name, file, imported(file, package))
    return inside


def targets(module: Module, known: Mapping[str, Module]) -> set[str]:
    """The modules of hdl that one imports: of `from hdl.data import Options` it is hdl.data."""
    found = set()
    for name in module.imports:
        while name not in known and "." in name:
            name = name.rpartition(".")[0]
        if name in known and name not in (module.name, "hdl"):
            found.add(name)
    return found


def layering(home: Path, layers: Mapping[str, set[str]]) -> Seen:
    """A layer imports itself and what its line of the table names; every module stands in the table."""
    known, wrong = modules(home), []
    for module in known.values():
        if module.layer not in layers:
            wrong.append(f"{module.name} stands in no layer")
            continue
        allowed = layers[module.layer] | {module.layer}
        for target in sorted(targets(module, known)):
            if "*" not in allowed and known[target].layer not in allowed:
                wrong.append(f"{module.name} imports {target}, which lies above it")
    empty = [layer for layer in layers if not any(module.layer == layer for module in known.values())]
    compiled = [layer for layer in empty if (home / f"{layer}.pyx").exists()]
    wrong += [f"the layer {layer} has no file" for layer in empty if layer not in compiled]
    return Seen(wrong, len(known))


def rooms(home: Path, table: Mapping[str, set[str]], most: int) -> Seen:
    """The rooms of hdl.yarn import each other as their table says, by at most so many arrows."""
    known, wrong, arrows = modules(home), [], set()
    inside = [module for module in known.values() if module.name.startswith("hdl.yarn.")]
    for module in inside:
        room = module.name.split(".")[2]
        for target in targets(module, known):
            if target.startswith("hdl.yarn.") and (other := target.split(".")[2]) != room:
                if other not in table.get(room, set()):
                    wrong.append(f"{module.name} imports {target}: an arrow that runs up")
                if table.get(other):  # what everything stands on is no room
                    arrows.add((room, other))
    if len(arrows) > most:
        wrong.append(f"{len(arrows)} arrows between rooms: {sorted(arrows)}")
    return Seen(wrong, len(inside))


def circles(home: Path) -> Seen:
    """No module reaches itself over imports, those inside of functions included."""
    known = modules(home)
    arrows = {name: targets(module, known) for name, module in known.items()}

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        todo = list(arrows[start])
        while todo:
            name = todo.pop()
            if name not in seen:
                seen.add(name)
                todo += arrows[name]
        return seen

    round_trips = [name for name in known if name in reached(name)]
    return Seen([f"a circle of imports: {', '.join(sorted(round_trips))}"] if round_trips else [], len(known))


def corners(home: Path, only: Mapping[str, set[str]]) -> Seen:
    """Some packages are imported by some modules alone."""
    known = modules(home)
    wrong = [
        f"{module.name} imports {package}"
        for module in known.values()
        for package, allowed in only.items()
        if any(name.split(".")[0] == package for name in module.imports)
        and not any(module.path == one or module.path.startswith(f"{one}/") for one in allowed)
    ]
    return Seen(wrong, len(known))


def unpickled(home: Path) -> Seen:
    """Nothing that can run code on reading is imported, nor asked of NumPy."""
    known, wrong = modules(home), []
    unsafe = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "jsonpickle"}
    for module in known.values():
        wrong += [f"{module.name} imports {name}" for name in module.imports if name.split(".")[0] in unsafe]
        for node in ast.walk(ast.parse(module.file.read_text())):
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle" and ast.unparse(node.value) != "False":
                wrong.append(f"{module.name}:{node.value.lineno} allows pickles")
    return Seen(wrong, len(known))


def links(home: Path) -> Seen:
    """No symbolic link stands inside: tools that walk a tree do not follow them."""
    entries = [Path(folder, name) for folder, below, files in os.walk(home) for name in (*below, *files)]
    return Seen([f"{path} is a link" for path in entries if path.is_symlink()], len(python_files(home)))
