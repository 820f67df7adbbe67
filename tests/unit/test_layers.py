"""Who may import whom: the design's table, read from the sources' import statements."""

import ast
from functools import cache
from pathlib import Path

import pytest

# What runs a training step somewhere may know: runners, and what they put into Hadoop's hands beside them.
STEP = {"ops", "models", "optim", "data", "wire", "sync", "step", "fs", "table", "versions", "predict",
        "prediction_writer", "envpack"}  # fmt: skip
# Each layer may import itself and what its line names; `*` is everything. Only at run time: `if TYPE_CHECKING` is free.
BASE = {"errors", "spec", "rng"}
LAYERS = {
    "errors": set(),
    "spec": {"errors"},
    "rng": {"_cpu"},  # the core makes the same words faster
    "_cpu": {"errors"},
    "_cuda": {"errors"},
    "devices": {"errors", "_cuda"},
    "ops": BASE | {"_cpu", "_cuda", "devices"},
    "models": BASE | {"ops"},
    "optim": BASE | {"ops"},
    "fs": BASE | {"hdfs", "libhdfs"},
    "hdfs": BASE | {"fs", "libhdfs"},
    "libhdfs": BASE,
    "data": BASE | {"ops", "fs", "models"},
    "wire": BASE | {"data"},
    "metrics_log": BASE | {"fs"},
    "table": BASE | {"fs", "wire", "metrics_log"},
    "sync": BASE | {"ops", "models", "optim", "wire"},
    "step": BASE | {"ops", "models", "optim", "data", "wire", "sync"},
    "versions": BASE | {"models", "data", "wire", "sync", "metrics_log", "table"},
    "prediction_writer": BASE,
    "envpack": BASE | {"fs"},
    "runners": BASE | STEP | {"devices", "streaming", "yarn"},
    "streaming": BASE | STEP | {"runners"},
    "yarn": BASE | STEP | {"runners", "driver", "report"},  # of the report the pieces of its page alone: see below
    # Of the runners the driver sees the interface alone: see below.
    "publisher": BASE | {"runners", "table"},
    "resume": BASE | {"data"},
    "driver": BASE
    | {
        "publisher",
        "resume",
        "metrics_log",
        "models",
        "data",
        "wire",
        "sync",
        "step",
        "fs",
        "table",
        "runners",
        "versions",
    },
    "predict": BASE | {"devices", "ops", "models", "data", "fs", "table"},
}
# What only some may import, wherever the import stands.
ONLY = {
    "pydoop": {"fs", "hdfs", "libhdfs", "runners/mapreduce"},
    "jpype": {"yarn"},
    "zmq": {"yarn"},
    "pycuda": {"devices"},
}


@cache
def imports(path, package):
    """Dotted names that a source imports at run time, relative ones made absolute."""

    def walk(node):
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

    return set(walk(ast.parse(path.read_text())))


@cache
def sources(root):
    """(layer, module's path without suffix, file) of every module of hdl."""
    home = root / "hdl"
    inside = {path: path.relative_to(home).with_suffix("") for path in sorted(home.rglob("*.py"))}
    return [(name.parts[0], name.as_posix(), path) for path, name in inside.items()]


def reached(names):
    return {name.split(".")[1] for name in names if name.startswith("hdl.") and len(name.split(".")) > 1}


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_imports_only_what_lies_below_it(root, layer):
    for own, module, path in sources(root):
        if own != layer:
            continue
        package = ".".join(["hdl", *Path(module).parts[: -1 if path.name != "__init__.py" else None]])
        package = package.removesuffix(".__init__")
        wrong = reached(imports(path, package)) - LAYERS[layer] - {layer, "__version__"}
        assert not wrong, f"{path} imports {sorted(wrong)}, which lie above {layer}"


def test_of_the_runners_the_driver_knows_the_interface_alone(root):
    names = imports(root / "hdl" / "driver.py", "hdl")
    known = ("Job", "Notify", "Plan", "Progress", "Replaced", "RoundRunner", "Runner")
    assert {name for name in names if name.startswith("hdl.runners")} <= {f"hdl.runners.base.{name}" for name in known}


def test_of_the_report_the_application_knows_the_pieces_of_its_page_alone(root):
    for own, _, path in sources(root):
        names = imports(path, "hdl.yarn") if own == "yarn" else set()
        assert {name for name in names if name.startswith("hdl.report")} <= {"hdl.report.page", "hdl.report.page.text"}


def test_of_the_data_the_wire_knows_the_summary_alone(root):
    names = imports(root / "hdl" / "wire.py", "hdl")
    assert {name for name in names if name.startswith("hdl.data")} <= {"hdl.data.Summary"}


def test_hadoops_and_the_gpus_packages_stay_in_their_corner(root):
    for layer, module, path in sources(root):
        for package, allowed in ONLY.items():
            used = any(name.split(".")[0] == package for name in imports(path, "hdl"))
            assert not used or layer in allowed or module in allowed, f"{path} imports {package}"


def test_nothing_is_unpickled(root):
    for _, _, path in sources(root):
        names = {name.split(".")[0] for name in imports(path, "hdl")}
        assert not names & {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"}, path


def test_the_reader_of_imports_sees_them_all(tmp_path):
    source = tmp_path / "a.py"
    source.write_text(
        "from typing import TYPE_CHECKING\nimport hdl.table\nfrom hdl import wire\n"
        "from . import step\nfrom .sync import x\n"
        "if TYPE_CHECKING:\n    import hdl.driver\ndef f():\n    from hdl.cli import main\n"
    )
    assert reached(imports(source, "hdl")) == {"table", "wire", "step", "sync", "cli"}
