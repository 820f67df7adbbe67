"""Holds the design's table of imports, from layer to layer, against all of hdl's sources."""

import shutil

import pytest

from tests.unit import guards

BASE = {"errors", "spec", "rng", "strict_json", "scratch", "sealed", "temporary", "elementary", "arrow"}
# What runs a training step somewhere may know: runners, and what they put into Hadoop's hands beside them.
STEP = {"ops", "models", "optim", "data", "metrics", "wire", "sync", "step", "fs", "table", "versions",
        "answers", "evaluation", "passes", "importance", "predict", "thresholds", "prediction_writer",
        "prediction_files", "envpack", "identity", "starting", "foreign", "fitting"}  # fmt: skip
TOP = {"*"}
# Each layer may import itself and what its line names; `*` is everything. Only at run time: `if TYPE_CHECKING` is free.
LAYERS = {
    "errors": set(),
    "arrow": {"quick"},
    "quick": set(),
    "unpacked": set(),
    "strict_json": set(),
    "spec": {"errors"},
    "programs": {"errors"},
    "temporary": set(),
    "timeline": set(),
    "java_archive": BASE | {"programs"},
    "sealed": {"errors"},
    "scratch": {"temporary", "sealed"},
    "kerberos": {"errors", "programs"},
    "java_rules": {"errors", "kerberos"},
    "java_errors": {"errors", "java_rules"},
    "rng": {"_cpu"},  # the core makes the same words faster
    "elementary": {"rng"},
    "_cpu": {"errors"},
    "_cuda": {"errors"},
    "gpu": {"errors"},
    "devices": {"errors", "_cuda", "gpu"},
    "ops": BASE | {"_cpu", "_cuda", "devices"},
    "models": BASE | {"ops"},
    "optim": BASE | {"ops"},
    "local_files": BASE,
    "fs": BASE | {"local_files", "hdfs", "hdfs_client"},
    "hdfs": BASE | {"hdfs_answers", "hdfs_reading", "libhdfs", "hdfs_client", "hdfs_rights"},
    "hdfs_reading": BASE | {"libhdfs", "hdfs_client", "hdfs_choice", "hdfs_rights"},
    "hdfs_choice": BASE | {"hadoop_conf", "libhdfs", "hdfs_client", "hdfs_java", "hdfs_native", "java_errors"},
    "hdfs_native": BASE | {"hadoop_conf", "identity", "hdfs_answers", "hdfs_native_files", "hdfs_client"},
    "hdfs_native_files": BASE | {"libhdfs", "hdfs_answers", "hdfs_client"},
    "hdfs_answers": BASE | {"libhdfs", "hdfs_client"},
    "hdfs_rights": {"hdfs_client", "identity"},
    "hdfs_client": set(),
    "hdfs_java": BASE | {"libhdfs", "hdfs_client"},
    "hadoop_conf": set(),
    "libhdfs": BASE | {"kerberos", "hadoop_conf", "java_errors", "libhdfs_functions"},
    "libhdfs_functions": {"hadoop_conf"},
    "data": BASE | {"_cpu", "ops", "fs", "models", "recipe", "unpacked"},  # of the core what reads numbers
    "wire": BASE | {"data", "metrics"},
    "metrics_log": BASE | {"fs", "metrics"},
    "table": BASE | {"fs", "wire", "metrics", "metrics_log"},
    "sync": BASE | {"ops", "models", "optim", "metrics", "wire"},
    "step": BASE | {"ops", "models", "optim", "data", "metrics", "wire", "sync"},
    "fitting": BASE | {"ops", "optim", "data", "metrics", "wire", "sync", "step"},
    "deciding": BASE | {"ops", "models", "metrics", "data"},
    "versions": BASE | {"models", "data", "metrics", "wire", "sync", "metrics_log", "table", "deciding", "starting"},
    "prediction_writer": BASE,
    "outputs": BASE | {"fs", "prediction_writer"},
    "prediction_files": BASE | {"ops", "prediction_writer"},
    "identity": BASE | {"libhdfs"},
    "envpack": BASE | {"fs", "identity"},
    "runners": BASE
    | STEP
    | {"hdfs_choice", "programs", "hadoop_conf", "kerberos", "java_errors", "devices", "streaming", "yarn", "timeline"}
    | {"quick"},
    "streaming": BASE | STEP | {"runners"},
    # Of the report its page's pieces alone: below. libhdfs is told before it starts Java.
    "yarn": BASE
    | STEP
    | {"programs", "kerberos", "java_errors", "libhdfs", "runners", "driver", "events", "measuring", "report"}
    | {"timeline", "java_archive", "hadoop_conf", "hdfs_choice", "quick", "told", "trial"},
    # Of the runners the driver sees the interface alone: see below.
    "recipe": BASE,
    "publisher": BASE | {"runners", "table"},
    "resume": BASE | {"data", "fs", "table"},
    "common_samples": BASE | {"data", "fs", "table"},
    "stages": BASE | {"models", "table"},
    "foreign": BASE | {"ops", "data", "fs"},
    "starting": BASE | {"ops", "models", "data", "foreign", "fs", "wire", "table"},
    "validation_data": BASE | {"data", "fs"},
    "events": BASE,
    "told": BASE | {"events", "runners"},
    "trial": BASE | {"data", "driver", "events", "runners", "table"},  # the driver beside the step, in one worker
    "preparation": BASE
    | {"data", "deciding", "events", "recipe", "resume", "runners", "starting", "table", "unpacked", "validation_data"},
    "driver": BASE
    | STEP
    | {"deciding", "preparation", "publisher", "resume", "common_samples", "stages", "metrics_log", "runners"}
    | {"events"},
    "measuring": BASE | STEP | {"runners"},
    "folds": BASE | {"data", "fs", "evaluation", "predict", "table", "search", "outputs"},
    "out_of_fold": BASE
    | {"data", "ops", "metrics", "evaluation", "answers", "predict", "folds", "prediction_files", "prediction_writer"},
    "majority": BASE,
    "thresholds": BASE | {"table"},
    "metrics": BASE | {"ops"},
    "answers": BASE | {"data"},
    "evaluation": BASE | {"metrics", "data", "ops"},
    "passes": BASE | {"data", "evaluation", "metrics", "fs", "sync", "wire", "fitting"},
    "importance": BASE | {"data", "evaluation", "metrics", "passes"},
    "predict": BASE
    | {"foreign"}
    | {"answers", "evaluation", "metrics", "passes", "thresholds", "devices", "ops", "models", "data", "fs", "table"},
    "search": BASE
    | {"ops", "data", "metrics", "fs", "runners", "driver", "events", "table", "metrics_log", "outputs"}
    | {"wire", "versions", "devices", "sync", "told", "trial"},
    "loggers": BASE | {"fs", "models", "ops", "outputs", "table"},
    "export": BASE | {"predict", "models", "data", "ops"},
    "estimators": BASE
    | {"devices", "ops", "models", "data", "deciding", "metrics", "wire", "sync", "fitting", "table"},
    "cluster": BASE | {"programs"},
    "report": TOP,
    "session": TOP,  # its process runs the command line
    "cli": TOP,
    "study": TOP,
    "demo": TOP,
    "doctor": TOP,
    "hadoop_access": TOP,
    "hdl": {"errors", "estimators", "session"},
    "__main__": {"cli", "session", "errors", "quick", "unpacked", "yarn"},
}
# The rooms of hdl.yarn, from the ground upwards; those that import none are what all stand on.
ROOMS = {
    "names": set(),
    "settings": set(),
    "protocol": set(),
    "process": set(),
    "comm": {"names", "settings", "protocol"},
    "resource_manager": {"names", "settings", "protocol", "comm", "process"},
    "worker": {"names", "settings", "protocol", "comm", "resource_manager", "process"},
    "dashboard": {"names", "settings", "protocol"},
    "master": {"names", "settings", "protocol", "comm", "resource_manager", "worker", "dashboard", "process"},
    "client": {"names", "settings", "protocol", "comm", "resource_manager"},
}
# What only some may import, wherever the import stands.
ONLY = {
    "hdfs_native": {"hdfs_native"},
    "pydoop": {"libhdfs", "runners/mapreduce"},
    "jpype": {"yarn"},
    "zmq": {"yarn"},
    "pycuda": {"devices"},
    "tensorboardX": {"loggers"},
    "mlflow": {"loggers"},
}
# Who may name users and their folders. The cluster is one for trying things on, whose owner has an account here.
USERS = {"identity", "cluster"}
GUARDS = {
    "layers": lambda home: guards.layering(home, LAYERS),
    "rooms": lambda home: guards.rooms(home, ROOMS, most=12),
    "circles": guards.circles,
    "corners": lambda home: guards.corners(home, ONLY),
    "users": lambda home: guards.users(home, USERS),
    "pickles": guards.unpickled,
    "links": guards.links,
}
# Lines that break a rule, and the file that they are put into.
BREACHES = [
    ("layers", "wire/message.py", "from hdl.driver import train"),
    ("layers", "errors.py", "def f():\n    import hdl.spec"),
    ("layers", "runners/base.py", "from ..search import grid"),
    ("layers", "sync/average.py", "from importlib import import_module\nimport_module('hdl.runners.base')"),
    ("layers", "_cpu.pyx", "from hdl.spec import Spec"),
    ("layers", "a_new_module.py", "import os"),
    ("rooms", "yarn/comm/tokens.py", "def f():\n    from hdl.yarn.master import master"),
    ("rooms", "yarn/protocol.py", "from hdl.yarn import settings"),
    ("circles", "errors.py", "def f():\n    from hdl import spec"),
    ("circles", "yarn/worker/async_trainer.py", "from hdl.yarn.worker import worker"),
    ("corners", "table/version.py", "import zmq"),
    ("corners", "driver.py", "def f():\n    import jpype"),
    ("corners", "runners/streaming.py", "from pydoop import hdfs"),
    ("corners", "hdfs.py", "import hdfs_native"),
    ("corners", "ops/cuda/base.py", "import importlib\nimportlib.import_module('pycuda.driver')"),
    ("users", "envpack/archive.py", "from getpass import getuser"),
    ("users", "yarn/master/master.py", "def f():\n    import pwd"),
    ("users", "runners/hadoop.py", "import os\nFOLDER = f'hdfs:///user/{os.environ}'"),
    ("users", "runners/hadoop.py", "import os\nNAME = os.environ.get('HADOOP_USER_NAME')"),
    ("users", "cli/apps.py", "import os\nNAME = os.environ['USER']"),
    ("users", "doctor.py", "import os\nNAME = os.getlogin()"),
    ("pickles", "yarn/worker/worker.py", "import numpy\nnumpy.load('x', allow_pickle=True)"),
    ("pickles", "data/base.py", "import numpy as np\nnp.load('x', None, True)"),
    ("pickles", "runners/messages.py", "import pickle"),
    ("pickles", "streaming/publish.py", "def f():\n    from marshal import loads"),
    ("pickles", "session/threads.py", "from joblib import Parallel"),
    ("pickles", "_cuda.pyx", "import pickle"),
]


@pytest.fixture
def copy(root, tmp_path):
    """A copy of hdl's sources, in which a test may break rules."""
    return shutil.copytree(
        root / "hdl", tmp_path / "hdl", ignore=shutil.ignore_patterns("__pycache__", "*.so", "_c*.c*")
    )


@pytest.mark.parametrize("name", GUARDS)
def test_the_rule_holds_in_every_file(root, name, capsys):
    wrong, files = GUARDS[name](root / "hdl")
    with capsys.disabled():
        print(f" [{name}: {files} files read]", end="")
    assert not wrong, "\n".join(wrong)
    # Nothing is left out: all that there are, links followed, and not so few that something must be missing.
    if name == "rooms":
        assert files == len(guards.sources(root / "hdl" / "yarn")) - 1 >= 30  # but for yarn/__init__.py
    else:
        assert files == len(guards.sources(root / "hdl")) >= 170


@pytest.mark.parametrize(("name", "file", "lines"), BREACHES)
def test_a_breach_in_a_copy_is_seen(root, copy, name, file, lines):
    before = set(GUARDS[name](root / "hdl").wrong)
    with (copy / file).open("a") as source:
        source.write(f"\n{lines}\n")
    wrong = set(GUARDS[name](copy).wrong) - before
    assert wrong
    assert all(file.rpartition(".")[0].replace("/", ".") in sentence for sentence in wrong)


def test_every_guard_has_a_breach():
    assert {name for name, _, _ in BREACHES} | {"links"} == set(GUARDS)  # links: see below


def test_too_many_arrows_between_rooms_are_seen(root):
    arrows = guards.rooms(root / "hdl", ROOMS, most=0).wrong[0]
    assert guards.rooms(root / "hdl", ROOMS, most=int(arrows.split()[0]) - 1).wrong
    assert int(arrows.split()[0]) <= 12


@pytest.mark.parametrize("gone", ["demo.py", "cluster"])
def test_a_layer_that_is_gone_is_seen(copy, gone):
    path = copy / gone
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert f"the layer {gone.partition('.')[0]} has no file" in GUARDS["layers"](copy).wrong


def test_a_folder_that_is_a_link_is_seen(root, copy, tmp_path):
    (copy / "yarn").rename(tmp_path / "yarn")
    (copy / "yarn").symlink_to(tmp_path / "yarn")
    with (copy / "yarn" / "settings.py").open("a") as source:
        source.write("\nimport pickle\n")
    assert [text for text in guards.links(copy).wrong if "yarn" in text]
    # Its files are read all the same.
    assert guards.unpickled(copy) == (["hdl.yarn.settings imports pickle"], guards.unpickled(root / "hdl").files)


def test_a_file_that_is_a_link_is_seen(copy):
    (copy / "another.py").symlink_to(copy / "errors.py")
    assert [text for text in guards.links(copy).wrong if "another.py" in text]


@pytest.mark.parametrize("file", ["yarn", "streaming"])
def test_the_top_levels_names_are_links_to_where_the_code_is(root, file):
    if not (root / file).exists():
        pytest.skip("a source archive has the code alone")
    assert (root / file).is_symlink()
    assert (root / file).resolve() == root / "hdl" / file


def test_of_the_runners_the_driver_knows_the_interface_alone(root):
    modules = guards.modules(root / "hdl")
    names = modules["hdl.driver"].imports | modules["hdl.preparation"].imports
    known = ("Job", "Log", "Notify", "Plan", "Progress", "Replaced", "RoundRunner", "Runner")
    assert {name for name in names if name.startswith("hdl.runners")} <= {f"hdl.runners.base.{name}" for name in known}


def test_of_the_report_the_application_knows_the_pieces_of_its_page_alone(root):
    known = guards.modules(root / "hdl")
    names = {name for module in known.values() if module.layer == "yarn" for name in module.imports}
    assert {name for name in names if name.startswith("hdl.report")} <= {"hdl.report.page", "hdl.report.page.text"}


def test_of_the_data_the_wire_knows_the_summary_alone(root):
    names = guards.modules(root / "hdl")["hdl.wire"].imports
    assert {name for name in names if name.startswith("hdl.data")} <= {"hdl.data.Summary"}


def test_the_reader_of_imports_sees_them_all():
    text = (
        "from typing import TYPE_CHECKING\nimport hdl.table\nfrom hdl import wire\n"
        "from . import step\nfrom .sync import x\n"
        "if TYPE_CHECKING:\n    import hdl.driver\ndef f():\n    from hdl.cli import main\n"
        "    importlib.import_module('hdl.data')\n    import_module(f'hdl.models.{x}')\n    __import__('hdl.fs')\n"
    )
    names = {name for name in guards.imported(text, ".py", "hdl") if name.startswith("hdl.")}
    seen = {"table", "wire", "step", "sync", "cli", "data", "models", "fs"}
    assert {name.split(".")[1] for name in names} == seen
    names = guards.imported("cimport x\nfrom libc.stdint cimport y\nfrom hdl.errors import A, B\n", ".pyx", "hdl")
    assert names == {"hdl.errors.A", "hdl.errors.B"}
