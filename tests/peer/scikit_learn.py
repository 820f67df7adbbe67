"""Runs scikit-learn's own tests of its networks, from the installed package, on hdl's: the import alone is changed."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import sklearn.neural_network

IMPORTS = {"mlp": "MLPClassifier, MLPRegressor", "rbm": "BernoulliRBM"}
# What the files take from scikit-learn's own conftest, and the one generator that estimators without a seed draw from.
CONFTEST = """
import numpy
import pytest

@pytest.fixture
def global_random_seed():
    return 42

@pytest.fixture(autouse=True)
def seed():
    numpy.random.seed(0)

def pytest_configure(config):
    config.addinivalue_line("markers", "thread_unsafe")
"""


def of_installed(part: str, python: Sequence[str]) -> str:
    """Read `test_mlp.py` or `test_rbm.py` of the scikit-learn that a Python has, and change its import."""
    if [*python] == [sys.executable]:
        place = sklearn.neural_network.__file__
    else:
        code = "import sklearn.neural_network; print(sklearn.neural_network.__file__)"
        place = subprocess.run([*python, "-c", code], check=True, capture_output=True, text=True, timeout=120).stdout
    path = Path(place.strip()).parent / "tests" / f"test_{part}.py"
    text, wanted = path.read_text(), f"from sklearn.neural_network import {IMPORTS[part]}\n"
    assert text.count(wanted) == 1, f"{path} has no line {wanted!r}"
    return text.replace(wanted, f"from hdl import {IMPORTS[part]}\n")


def outcomes(part: str, folder: Path, root: Path, python: Sequence[str] = (sys.executable,)) -> dict[str, str]:
    """Run a file of tests in a temporary folder: each one's name to 'passed', 'skipped' or what failed."""
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / f"test_{part}.py").write_text(of_installed(part, python))
    report = folder / "report.xml"
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTEST_ADDOPTS": ""}
    command = [*python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", str(folder),
               f"--junitxml={report}", str(folder / f"test_{part}.py")]  # fmt: skip
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    return {case.get("name", ""): _outcome(case) for case in ElementTree.parse(report).iter("testcase")}


def _outcome(case: ElementTree.Element) -> str:
    for kind in ("failure", "error"):
        if (found := case.find(kind)) is not None:
            return f"{kind}: {found.get('message')}"
    return "skipped" if case.find("skipped") is not None else "passed"
