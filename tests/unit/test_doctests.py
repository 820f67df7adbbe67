"""Every `>>>` example in a docstring of hdl runs and says what it says there."""

import doctest
import importlib
import re
from pathlib import Path

import pytest

from hdl.errors import Unavailable

HDL = Path(__file__).resolve().parents[2] / "hdl"
OPTIONAL = {"cryptography", "jpype", "matplotlib", "onnx", "onnxruntime", "pycuda", "pydoop", "scipy", "sklearn", "zmq"}
LEAST = 125  # examples in all; fewer, and something hides them


def examples(path: Path) -> int:
    """The examples in a source file, with those of the files that it includes."""
    text = path.read_text()
    included = re.findall(r'^include "(.*)"$', text, re.M) if path.suffix == ".pyx" else []
    return len(re.findall(r"^ *>>> ", text, re.M)) + sum(examples(path.parent / name) for name in included)


WITH_EXAMPLES = {path: examples(path) for path in sorted([*HDL.rglob("*.py"), HDL / "_cpu.pyx"]) if examples(path)}


def test_no_example_is_missed():
    assert sum(WITH_EXAMPLES.values()) >= LEAST


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=lambda path: str(path.relative_to(HDL)))
def test_examples(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    parts = ["hdl", *path.relative_to(HDL).with_suffix("").parts]
    name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
    try:
        module = importlib.import_module(name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in OPTIONAL | ({name} if path.suffix == ".pyx" else set()):
            raise
        pytest.skip(f"{error.name} is not installed")
    except Unavailable as error:
        pytest.skip(str(error))
    said: list[str] = []
    tests = doctest.DocTestFinder().find(module, name)
    for test in tests:
        doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(test, out=said.append)
    assert not said, "".join(said)
    assert sum(len(test.examples) for test in tests) == WITH_EXAMPLES[path]
