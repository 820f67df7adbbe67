"""Guards over hdl's sources, Python and Cython: each lists the breaches of its rule, and counts the files it has read.

A guard takes the folder `hdl` of a checkout or of a copy, so that a test can break a rule in a copy and see it fail.
"""

from __future__ import annotations

import ast
import os
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple


class Seen(NamedTuple):
    """The result of a guard.

    Attributes
    ----------
    wrong : list of str
        A sentence for each breach.
    files : int
        Number of files that the guard has read.
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
        """The name right below hdl: `sync` for hdl.sync.average."""
        return self.name.split(".")[1] if "." in self.name else "hdl"

    @property
    def path(self) -> str:
        """The names below hdl, joined by slashes: `sync/average` for hdl.sync.average."""
        return "/".join(self.name.split(".")[1:])


def sources(home: Path) -> list[Path]:
    """Lists all Python and Cython files, those behind symbolic links too."""
    return sorted(
        Path(folder, name)
        for folder, _, names in os.walk(home, followlinks=True)
        for name in names
        if name.endswith((".py", ".pyx"))
    )


@cache
def parsed(text: str, suffix: str) -> ast.AST:
    """Parses a source; of Cython, which `ast` does not know, the import statements alone."""
    if suffix == ".pyx":
        text = "\n".join(re.findall(r"^[ \t]*((?:import|from [\w.]+ import) .*)$", text, re.M))
    return ast.parse(text)


def named(node: ast.AST) -> str:
    """Returns the last part of a dotted name: `path` of `os.path`; of what is no name, nothing."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


@cache
def imported(text: str, suffix: str, package: str) -> frozenset[str]:
    """Lists the dotted names that a source imports at run time, in functions too, relative ones made absolute.

    The calls `import_module("name")` and `__import__("name")` import; of an f-string the constant beginning counts.
    """

    def walk(node: ast.AST) -> Iterator[str]:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in map(named, ast.walk(node.test)):
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
        elif isinstance(node, ast.Call) and node.args:
            name = node.args[0].values[0] if isinstance(node.args[0], ast.JoinedStr) else node.args[0]
            if named(node.func) in ("import_module", "__import__") and isinstance(name, ast.Constant):
                yield name.value.rstrip(".")
        for child in ast.iter_child_nodes(node):
            yield from walk(child)

    return frozenset(walk(parsed(text, suffix)))


@cache
def modules(home: Path) -> dict[str, Module]:
    """Reads all modules of hdl, by their dotted names."""
    inside = {}
    for file in sources(home):
        parts = ("hdl", *file.relative_to(home).with_suffix("").parts)
        package = ".".join(parts[:-1])
        name = package if parts[-1] == "__init__" else ".".join(parts)
        inside[name] = Module(name, file, imported(file.read_text(), file.suffix, package))
    return inside


def targets(module: Module, known: Mapping[str, Module]) -> set[str]:
    """Lists the modules of hdl that a module imports: by `from hdl.data import Options` that is hdl.data."""
    names = set()
    for name in module.imports:
        while name not in known and "." in name:
            name = name.rpartition(".")[0]
        if name in known and name not in (module.name, "hdl"):
            names.add(name)
    return names


def layering(home: Path, layers: Mapping[str, set[str]]) -> Seen:
    """Checks that each layer imports itself and those of its line in the table, and that every module has a layer."""
    known, wrong = modules(home), []
    for module in known.values():
        if module.layer not in layers:
            wrong.append(f"{module.name} stands in no layer")
            continue
        allowed = layers[module.layer] | {module.layer}
        for target in sorted(targets(module, known)):
            if "*" not in allowed and known[target].layer not in allowed:
                wrong.append(f"{module.name} imports {target}, which lies above it")
    wrong += [f"the layer {layer} has no file" for layer in layers.keys() - {module.layer for module in known.values()}]
    return Seen(wrong, len(known))


def rooms(home: Path, table: Mapping[str, set[str]], most: int) -> Seen:
    """Checks that the rooms of hdl.yarn import each other as their table says, by at most so many arrows."""
    known, wrong, arrows = modules(home), [], set()
    inside = [module for module in known.values() if module.name.startswith("hdl.yarn.")]
    for module in inside:
        room = module.name.split(".")[2]
        for target in targets(module, known):
            if target.startswith("hdl.yarn.") and (other := target.split(".")[2]) != room:
                if other not in table.get(room, set()):
                    wrong.append(f"{module.name} imports {target}: an arrow that runs up")
                if table.get(other):  # settings, protocol and the like, on which all rooms stand, do not count
                    arrows.add((room, other))
    if len(arrows) > most:
        wrong.append(f"{len(arrows)} arrows between rooms: {sorted(arrows)}")
    return Seen(wrong, len(inside))


def circles(home: Path) -> Seen:
    """Checks that no module imports itself over others, by imports inside of functions too."""
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
    """Checks that the packages of a table are imported by the modules that it names alone."""
    known = modules(home)
    wrong = [
        f"{module.name} imports {package}"
        for module in known.values()
        for package, allowed in only.items()
        if any(name.split(".")[0] == package for name in module.imports)
        and not any(module.path == one or module.path.startswith(f"{one}/") for one in allowed)
    ]
    return Seen(wrong, len(known))


def users(home: Path, allowed: set[str]) -> Seen:
    """Checks that only the modules of a set ask the operating system for a user, or write down a user's folder."""
    known, wrong = modules(home), []
    for module in known.values():
        if any(module.path == one or module.path.startswith(f"{one}/") for one in allowed):
            continue
        wrong += [
            f"{module.name} imports {name}" for name in module.imports if name.split(".")[0] in ("getpass", "pwd")
        ]
        wrong += [f"{module.name}:{said}" for said in _asked_for_users(module.file.read_text(), module.file.suffix)]
    return Seen(wrong, len(known))


@cache
def _asked_for_users(text: str, suffix: str) -> tuple[str, ...]:
    """Lists where a source asks for the user, or reads their name or builds a path of theirs."""
    found = []
    for node in ast.walk(parsed(text, suffix)):
        if isinstance(node, ast.Attribute) and node.attr in ("getlogin", "getpwuid"):
            found.append(f"{node.lineno} asks for {node.attr}")
        for word in _read_or_joined(node):
            if word in ("USER", "LOGNAME", "USERNAME", "HADOOP_USER_NAME") or "/user/" in word:
                found.append(f"{node.lineno} reads or builds {word!r}")
    return tuple(found)


def _read_or_joined(node: ast.AST) -> Iterator[str]:
    """Lists the constants that a node reads out of a mapping, or puts together with others to a new text."""
    parts: list[ast.AST] = []
    if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load):
        parts = [node.slice]
    elif isinstance(node, ast.Call) and named(node.func) in ("get", "getenv", "join"):
        parts = node.args
    elif isinstance(node, ast.JoinedStr):
        parts = node.values
    elif isinstance(node, ast.BinOp):
        parts = [node.left, node.right]
    yield from (part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str))


def unpickled(home: Path) -> Seen:
    """Checks that no module imports a package that can run code on reading, or lets NumPy unpickle.

    Of joblib, whose processes unpickle, its threads are free: they hand over nothing.
    """
    known, wrong = modules(home), []
    threads = {f"joblib.{name}" for name in ("register_parallel_backend", "parallel.SequentialBackend",
                                             "parallel.ThreadingBackend")}  # fmt: skip
    unsafe = {"pickle", "_pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "jsonpickle"}
    for module in known.values():
        wrong += [f"{module.name} imports {name}" for name in module.imports - threads if name.split(".")[0] in unsafe]
        wrong += [f"{module.name}:{said}" for said in _unpickling(module.file.read_text(), module.file.suffix)]
    return Seen(wrong, len(known))


@cache
def _unpickling(text: str, suffix: str) -> tuple[str, ...]:
    """Lists where a source lets NumPy unpickle; allow_pickle is the third argument of numpy.load."""
    found = []
    for node in ast.walk(parsed(text, suffix)):
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle" and ast.unparse(node.value) != "False":
            found.append(f"{node.value.lineno} allows pickles")
        if isinstance(node, ast.Call) and len(node.args) > 2 and ast.unparse(node.func) in ("np.load", "numpy.load"):
            found.append(f"{node.lineno} gives numpy.load a third argument")
    return tuple(found)


def links(home: Path) -> Seen:
    """Checks that there is no symbolic link inside: tools that walk a tree do not follow them."""
    entries = [Path(folder, name) for folder, below, files in os.walk(home) for name in (*below, *files)]
    return Seen([f"{path} is a link" for path in entries if path.is_symlink()], len(sources(home)))
