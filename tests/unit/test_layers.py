"""Who may import whom: the design's table, held against all of hdl's sources."""

import shutil

import pytest

from tests.unit import guards

BASE = {"errors", "spec", "rng"}
# What runs a training step somewhere may know: runners, and what they put into Hadoop's hands beside them.
STEP = {"ops", "models", "optim", "data", "wire", "sync", "step", "fs", "table", "versions", "predict",
        "prediction_writer", "envpack"}  # fmt: skip
TOP = {"*"}
# Each layer may import itself and what its line names; `*` is everything. Only at run time: `if TYPE_CHECKING` is free.
LAYERS = {
    "errors": set(),
    "spec": {"errors"},
    "commands": {"errors"},
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
    "outputs": BASE | {"fs", "prediction_writer"},
    "envpack": BASE | {"fs"},
    "runners": BASE | STEP | {"commands", "devices", "streaming", "yarn"},
    "streaming": BASE | STEP | {"runners"},
    "yarn": BASE | STEP | {"commands", "runners", "driver", "report"},  # of the report its page's pieces alone: below
    # Of the runners the driver sees the interface alone: see below.
    "publisher": BASE | {"runners", "table"},
    "resume": BASE | {"data", "table"},
    "common_samples": BASE | {"data", "fs", "table"},
    "stack": BASE | {"models", "table"},
    "driver": BASE | STEP | {"publisher", "resume", "common_samples", "stack", "metrics_log", "runners"},
    "predict": BASE | {"devices", "ops", "models", "data", "fs", "table"},
    "search": BASE | {"ops", "data", "fs", "runners", "driver", "table", "metrics_log", "outputs"},
    "export": BASE | {"predict", "models", "data", "ops"},
    "estimators": BASE | {"devices", "ops", "models", "optim", "data", "wire", "sync", "step", "table"},
    "cluster": BASE | {"commands"},
    "report": TOP,
    "cli": TOP,
    "study": TOP,
    "demo": TOP,
    "doctor": TOP,
    "hdl": {"errors", "estimators"},
    "__main__": {"cli"},
}
# The rooms of hdl.yarn, from the ground upwards; those that import none are what all stand on.
ROOMS = {
    "settings": set(),
    "protocol": set(),
    "process": set(),
    "comm": {"settings", "protocol"},
    "resource_manager": {"settings", "protocol", "comm"},
    "worker": {"settings", "protocol", "comm", "resource_manager", "process"},
    "dashboard": {"settings", "protocol"},
    "master": {"settings", "protocol", "comm", "resource_manager", "worker", "dashboard", "process"},
    "client": {"settings", "protocol", "comm", "resource_manager"},
}
# What only some may import, wherever the import stands.
ONLY = {
    "pydoop": {"fs", "hdfs", "libhdfs", "runners/mapreduce"},
    "jpype": {"yarn"},
    "zmq": {"yarn"},
    "pycuda": {"devices"},
}
GUARDS = {
    "layers": lambda home: guards.layering(home, LAYERS),
    "rooms": lambda home: guards.rooms(home, ROOMS, most=12),
    "circles": guards.circles,
    "corners": lambda home: guards.corners(home, ONLY),
    "pickles": guards.unpickled,
    "links": guards.links,
}
# A line that breaks each rule, and the file that it is put into.
BREACHES = {
    "layers": ("wire.py", "from hdl.driver import train"),
    "rooms": ("yarn/comm/tokens.py", "def f():\n    from hdl.yarn.master import master"),
    "circles": ("errors.py", "def f():\n    from hdl import spec"),
    "corners": ("table.py", "import zmq"),
    "pickles": ("yarn/worker/worker.py", "import numpy\nnumpy.load('x', allow_pickle=True)"),
}


@pytest.mark.parametrize("name", GUARDS)
def test_the_rule_holds_in_every_file(root, name, capsys):
    wrong, files = GUARDS[name](root / "hdl")
    with capsys.disabled():
        print(f" [{name}: {files} files read]", end="")
    assert not wrong, "\n".join(wrong)
    # Nothing is left out: all that there are, links followed, and not so few that something must be missing.
    if name == "rooms":
        assert files == len(guards.python_files(root / "hdl" / "yarn")) - 1 >= 30  # but for yarn/__init__.py
    else:
        assert files == len(guards.python_files(root / "hdl")) >= 170


@pytest.mark.parametrize("name", BREACHES)
def test_a_breach_in_a_copy_is_seen(root, tmp_path, name):
    home = tmp_path / "hdl"
    shutil.copytree(root / "hdl", home, ignore=shutil.ignore_patterns("__pycache__", "*.so", "_c*.c*"))
    file, line = BREACHES[name]
    with (home / file).open("a") as source:
        source.write(f"\n{line}\n")
    assert GUARDS[name](home).wrong
    assert not GUARDS[name](root / "hdl").wrong


def test_a_folder_that_is_a_link_is_seen(root, tmp_path):
    home = tmp_path / "hdl"
    shutil.copytree(root / "hdl", home, ignore=shutil.ignore_patterns("__pycache__", "*.so", "_c*.c*"))
    (home / "yarn").rename(tmp_path / "yarn")
    (home / "yarn").symlink_to(tmp_path / "yarn")
    assert [text for text in guards.links(home).wrong if "yarn" in text]
    assert guards.corners(home, ONLY).files == guards.corners(root / "hdl", ONLY).files  # and read all the same


@pytest.mark.parametrize("file", ["yarn", "streaming"])
def test_the_top_levels_names_are_links_to_where_the_code_is(root, file):
    if not (root / file).exists():
        pytest.skip("a source archive has the code alone")
    assert (root / file).is_symlink()
    assert (root / file).resolve() == root / "hdl" / file


def test_of_the_runners_the_driver_knows_the_interface_alone(root):
    names = guards.modules(root / "hdl")["hdl.driver"].imports
    known = ("Job", "Notify", "Plan", "Progress", "Replaced", "RoundRunner", "Runner")
    assert {name for name in names if name.startswith("hdl.runners")} <= {f"hdl.runners.base.{name}" for name in known}


def test_of_the_report_the_application_knows_the_pieces_of_its_page_alone(root):
    known = guards.modules(root / "hdl")
    names = {name for module in known.values() if module.layer == "yarn" for name in module.imports}
    assert {name for name in names if name.startswith("hdl.report")} <= {"hdl.report.page", "hdl.report.page.text"}


def test_of_the_data_the_wire_knows_the_summary_alone(root):
    names = guards.modules(root / "hdl")["hdl.wire"].imports
    assert {name for name in names if name.startswith("hdl.data")} <= {"hdl.data.Summary"}


def test_the_reader_of_imports_sees_them_all(tmp_path):
    source = tmp_path / "a.py"
    source.write_text(
        "from typing import TYPE_CHECKING\nimport hdl.table\nfrom hdl import wire\n"
        "from . import step\nfrom .sync import x\n"
        "if TYPE_CHECKING:\n    import hdl.driver\ndef f():\n    from hdl.cli import main\n"
    )
    names = {name for name in guards.imported(source, "hdl") if name.startswith("hdl.")}
    assert {name.split(".")[1] for name in names} == {"table", "wire", "step", "sync", "cli"}
