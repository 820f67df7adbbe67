"""What hdl's programs import before their first round: what is not needed is not there."""

import gc
import os
import subprocess
import sys

import numpy as np
import pytest

from hdl import quick
from hdl.arrow import pa, pc
from hdl.yarn.client.connection import asked_for
from tests.unit.bad_input import idx, write_idx

# Of each, a tenth of a second or more, or what needs them.
HEAVY = {"pyarrow", "scipy", "sklearn", "pandas", "matplotlib", "rich", "asyncio"}


def loaded(code: str) -> set[str]:
    """Run a program, and return the modules that it has loaded in the end."""
    show = f"{code}\nimport sys\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", show], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {*done.stdout.splitlines()[-1].split()}


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Forty images of 2 x 2 points as MNIST's files."""
    folder = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(1)
    x, y = random.integers(0, 256, (40, 2, 2), np.uint8), np.arange(40, dtype=np.uint8) % 2
    write_idx(folder, idx(x), idx(y))
    return folder


def test_a_training_on_images_loads_nothing_heavy(images, tmp_path):
    flags = ["train", str(images), "--out", str(tmp_path / "model"), "--epochs", "1", "-q", "--no-report"]
    modules = loaded(f"from hdl import cli\nassert cli.run({flags!r}) == 0")
    assert "hdl.driver" in modules
    assert not HEAVY & modules


@pytest.mark.parametrize("module", ["hdl.yarn.worker.worker", "hdl.yarn.client.client", "hdl.runners.yarn"])
def test_a_worker_and_a_client_load_nothing_heavy(module):
    assert not (HEAVY | {"click"}) & loaded(f"import {module}")


def test_java_may_start_before_hdl_is_there():
    ours = {"numpy", "pydantic", "hdl.spec", "hdl.fs", "hdl.runners.base"}
    assert not ours & loaded("import hdl.yarn.client.connection")


def test_arrow_is_there_when_it_is_asked_for():
    modules = loaded("from hdl.arrow import pa, pc\nassert pa.int8() == 'int8'")
    assert "pyarrow" in modules
    assert pc.sum(pa.array([1, 2])).as_py() == 3
    with pytest.raises(AttributeError):
        pa.nothing_of_this_name  # noqa: B018


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("train hdfs:///digits --out m --runner yarn", True),
        ("train hdfs:///digits --runner=yarn --workers 2", True),
        ("evaluate model data --runner yarn", True),
        ("train x.csv --out yarn", False),
        ("train x.csv --runner local --queue yarn", False),
        ("status yarn --runner yarn", False),
        ("train x --runner yarn --dry-run", False),
        ("train --runner yarn --help", False),
        ("train x --runner yarn --principal ada --keytab=k", False),
        ("train x --runner yarn --proxy-user=ada", False),
        ("", False),
    ],
)
def test_java_starts_early_for_those_who_need_it_and_are_known(words, expected):
    assert asked_for(words.split()) is expected


def test_garbage_is_looked_for_less_often(monkeypatch):
    monkeypatch.setenv("PYDANTIC_DISABLE_PLUGINS", "of the user")
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "3")
    monkeypatch.setattr(quick, "begun", False)
    before = gc.get_threshold()
    try:
        quick.begin()
        assert gc.isenabled()
        assert gc.get_threshold()[0] == quick.OBJECTS
        assert os.environ["PYDANTIC_DISABLE_PLUGINS"] == "of the user"
        assert os.environ["OPENBLAS_NUM_THREADS"] == "3"
    finally:
        gc.set_threshold(*before)


@pytest.mark.parametrize(("words", "status"), [(["--version"], 0), (["train"], 2)])
def test_a_command_ends_at_once_but_for_what_is_to_be_done_at_the_end(words, status):
    """Neither what was printed nor what was registered is lost, though Python does not take its modules down."""
    code = (
        "import atexit, sys\nfrom hdl import cli, quick\nquick.begin()\n"
        "atexit.register(print, 'registered')\n"
        f"class Down:\n    def __del__(self):\n        print('taken down')\nlives = Down()\ncli.main({words!r})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == status
    assert done.stdout.splitlines()[-1] == "registered"
    assert ("hdl 0." in done.stdout) == (status == 0)


def test_a_program_that_gives_a_command_goes_on_after_it():
    code = "from hdl import cli\ntry:\n    cli.main(['--version'])\nexcept SystemExit:\n    print('goes on')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "goes on"


def test_a_program_of_hdl_makes_arrays_of_arrow_without_pandas():
    made = (
        "from hdl.arrow import pa, pc\nimport numpy as np\n"
        "assert pa.array(np.array([1, np.nan]), from_pandas=True).null_count == 1\n"
        "assert pc.sum(pa.array([1, 2])).as_py() == 3"
    )
    assert "pandas" not in loaded(f"from hdl import quick\nquick.begin()\n{made}")
    pandas = "import pandas as pd\nassert pa.array(pd.Series([1, 2])).to_pylist() == [1, 2]"
    loaded(f"{made}\n{pandas}")
    assert "pandas" in loaded(f"from hdl import quick\nquick.begin()\n{made}\n{pandas}")


def test_answers_are_written_without_pandas(images, tmp_path):
    model, flags = str(tmp_path / "model"), ["--epochs", "1", "-q", "--no-report"]
    code = f"""
from hdl import quick
quick.begin()
from hdl import cli
assert cli.run({["train", str(images), "--out", model, *flags]!r}) == 0
assert cli.run({["predict", model, str(images), "--out", str(tmp_path / "a.csv")]!r}) == 0"""
    modules = loaded(code)
    assert "pyarrow" in modules
    assert "pandas" not in modules
    assert len((tmp_path / "a.csv").read_text().splitlines()) == 41
