"""The first minutes on a GPU: a step that hangs, crashes or is missing leaves the others, and is told at once."""

import json
import sys
import time

import pytest

from tests.bench import gpu_first
from tests.bench.gpu_first import Step, plan, run

HANGS = "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); " \
        "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); print('begun', flush=True); " \
        "time.sleep(600)"  # fmt: skip


def python(name, code, limit=60.0):
    return Step(name, [sys.executable, "-c", code], limit)


@pytest.fixture
def found(tmp_path):
    """`found(*steps, **more)`: what became of them, by name, and the file."""
    path = tmp_path / "build" / "first.json"

    def found(*steps, **more):
        report = run(steps, path, tell=lambda line: None, **more)
        assert json.loads(path.read_text()) == report
        return {step["name"]: step for step in report["steps"]}

    found.path = path
    return found


def test_what_hangs_crashes_or_is_missing_does_not_end_the_rest(found):
    began = time.monotonic()
    steps = found(
        python("crash", "import os; os.abort()"),
        python("hang", HANGS, 1.5),
        Step("none", ["hdl-has-no-such-program"], 5.0),
        python("fails", "raise SystemExit(9)"),
        python("last", "print('text'); print('{\"row\": 1}'); print('{no json')"),
    )
    assert time.monotonic() - began < 200  # far from the ten minutes for which the second one and its child hang
    said = {name: step["status"] for name, step in steps.items()}
    assert said == {"crash": "failed", "hang": "timeout", "none": "absent", "fails": "failed", "last": "ok"}
    assert (steps["crash"]["code"], steps["fails"]["code"]) == (-6, 9)
    assert steps["hang"]["seconds"] < 100
    assert "hdl-has-no-such-program" in steps["none"]["tail"]
    assert steps["last"]["results"] == [{"row": 1}]


def test_the_file_is_whole_after_each_step(found):
    code = f"import json; print(json.dumps([step['name'] for step in json.load(open({str(found.path)!r}))['steps']]))"
    steps = found(python("first", "pass"), python("second", code), python("third", code))
    assert [json.loads(steps[name]["tail"]) for name in ("second", "third")] == [["first"], ["first", "second"]]


def test_all_together_have_a_limit(found, monkeypatch):
    monkeypatch.setattr(gpu_first, "LEAST", 0.5)  # with less than this no step is begun
    steps = found(python("long", "import time; time.sleep(600)", 500.0), python("more", "pass"), total=1.0)
    assert [steps[name]["status"] for name in ("long", "more")] == ["timeout", "no time left"]


@pytest.mark.parametrize("emulated", [False, True])
def test_the_plan_names_what_is_there(root, emulated):
    steps = plan(emulated)
    assert [step.name for step in steps[:4]] == ["driver", "doctor", "smallest", "row 0"]
    assert len({step.name for step in steps}) == len(steps)
    for step in steps:
        for word in step.command:
            assert not word.startswith("tests/") or (root / word).exists()
