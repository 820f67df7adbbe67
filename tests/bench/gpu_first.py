"""The most telling things first, on a machine with a GPU that is lent for minutes: `python -m tests.bench.gpu --first`.

Each step is a process of its own with a limit of its own, and all together have `TOTAL` seconds: what hangs, crashes or
is missing is written down, and the next step begins. The JSON is written anew after every step, so that what was found
is there however the machine is taken back. It imports nothing but the standard library: an hdl that cannot be imported
is a finding too.

Before: `./build.sh cuda` for that machine's Python, with the wheels that it lacks (docs/cuda.md), and the wheel's
libraries put into the checkout. `--emulated` rehearses the same steps without a GPU, on smaller data.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parents[2]
TOTAL = 480.0  # seconds of all steps
LEAST = 5.0  # a step that has less left is not begun
TAIL = 3000  # characters of a step's output that are kept
GRACE = 5.0  # seconds that a killed step is waited for: one that hangs in the driver cannot be ended
SANITIZERS = ("memcheck", "racecheck")
TESTS = {"dense": 75, "training": 35, "autoencoder": 25, "rbm": 25, "side_by_side": 25, "mixed": 15, "samples": 15,
         "grid": 30}  # by what they tell: file, and limit in seconds  # fmt: skip
ROWS = (0, 4, 2, 6, 7, 3, 5, 1)  # of gpu.py's: small, large, between, other models, the rest


@dataclass(frozen=True)
class Step:
    """One thing to find out.

    Attributes
    ----------
    name : str
    command : sequence of str
    limit : float
        Seconds after which it is killed.
    """

    name: str
    command: Sequence[str]
    limit: float


def plan(emulated: bool = False) -> list[Step]:
    """List the steps in the order of what they tell; those at the end are for what time is left."""
    python, more = sys.executable, ["--emulated"] if emulated else []
    bench = [python, "-m", "tests.bench.gpu", *more]
    pytest = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--durations=3"]
    chosen = ["-k", "emulated", "--maxfail=3"] if emulated else ["-m", "gpu", "--gpu", "--maxfail=3"]
    quick = [*bench, "--ways", "eager", "graph", "--repetitions", "3"]
    facts = "--query-gpu=name,driver_version,memory.total,clocks.max.sm"
    tests = [Step(f"tests {name}", [*pytest, f"tests/cuda/test_{name}.py", *chosen], TESTS[name]) for name in TESTS]
    steps = [
        Step("driver", ["nvidia-smi", facts, "--format=csv"], 10),
        Step("doctor", [python, "-m", "hdl", "doctor", "--json"], 20),
        Step("smallest", [*bench, "--smallest"], 60 if emulated else 20),
        Step("row 0", [*quick, "--rows", "0"], 25),
        tests[0],
        Step("row 4", [*quick, "--rows", "4"], 20),
    ]
    sanitizer = os.path.join(os.environ.get("CUDA_HOME", ""), "bin", "compute-sanitizer")
    sanitizer = sanitizer if os.path.exists(sanitizer) else "compute-sanitizer"
    for tool in SANITIZERS:
        steps.append(Step(tool, [sanitizer, "--tool", tool, "--error-exitcode", "9", *bench, "--smallest"], 40))
    steps += tests[1:4]
    steps += [Step(f"row {number}", [*quick, "--rows", str(number)], 20) for number in ROWS[2:]]
    steps += [Step("side by side", [*bench, "--rows", "--population", "--repetitions", "3"], 25), *tests[4:]]
    compiled = [*bench, "--ways", "compile", "--repetitions", "3"]
    return steps + [Step(f"row {number}, compiled", [*compiled, "--rows", str(number)], 60) for number in ROWS]


def attempt(step: Step, limit: float) -> dict[str, Any]:
    """Carry a step out within so many seconds, and say what came of it; whatever it started ends with it."""
    found: dict[str, Any] = {"name": step.name, "command": list(step.command), "limit": round(limit, 1)}
    if shutil.which(step.command[0]) is None:
        return found | {"status": "absent", "tail": f"there is no {step.command[0]} here"}
    began = time.monotonic()
    with tempfile.TemporaryFile() as output:  # not a pipe, which a child that does not end would hold open
        paths = os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH")]))
        environment = {**os.environ, "PYTHONPATH": paths, "PYTHONUNBUFFERED": "1"}
        child = subprocess.Popen(
            step.command, cwd=HERE, env=environment, stdin=subprocess.DEVNULL, stdout=output,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            code = child.wait(limit)
            status = "ok" if code == 0 else "failed"
        except subprocess.TimeoutExpired:
            code, status = None, "timeout"
        finally:
            _end(child)
        output.seek(0)
        text = output.read().decode(errors="replace")
    found |= {"status": status, "code": code, "seconds": round(time.monotonic() - began, 2), "tail": text[-TAIL:]}
    return found | {"results": _results(text)}


def _end(child: subprocess.Popen) -> None:
    """End a step's process group, without waiting long."""
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(GRACE)


def _results(text: str) -> list[Any]:
    """Collect the lines of an output that are JSON objects."""
    found = []
    for line in text.splitlines():
        if line.startswith("{"):
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
    return found


def run(steps: Sequence[Step], path: Path, total: float = TOTAL, tell: Callable[[str], Any] = print) -> dict[str, Any]:
    """Carry out all steps, the JSON at `path` after each."""
    end = time.monotonic() + total
    began = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
    report: dict[str, Any] = {"began": began, "total": total, "steps": []}
    for step in steps:
        left = end - time.monotonic()
        if left < min(LEAST, step.limit):
            found = {"name": step.name, "command": list(step.command), "status": "no time left"}
        else:
            found = attempt(step, min(step.limit, left))
        report["steps"].append(found)
        write(report, path)
        tell(f"{found['name']:20} {found['status']:12} {found.get('seconds', 0):7.1f} s")
    return report


def write(report: dict[str, Any], path: Path) -> None:
    """Put the report in the file's place at once, never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(report, indent=1))
    part.replace(path)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--first", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--emulated", action="store_true", help="rehearse without a GPU")
    parser.add_argument("--json", type=Path, default=HERE / "build" / "gpu-first.json", metavar="FILE")
    parser.add_argument("--total", type=float, default=TOTAL, metavar="SECONDS", help="of all steps  [default: 480]")
    parser.add_argument("--patience", type=float, default=1.0, metavar="FACTOR", help="of all limits: a busy machine")
    parser.add_argument("--steps", nargs="+", metavar="NAME", help="only these, such as doctor or 'tests dense'")
    options = parser.parse_args(arguments)
    steps = [replace(step, limit=step.limit * options.patience) for step in plan(options.emulated)]
    if unknown := {*(options.steps or ())} - {step.name for step in steps}:
        parser.error(f"--steps: expected some of {', '.join(step.name for step in steps)} (given {', '.join(unknown)})")
    steps = [step for step in steps if options.steps is None or step.name in options.steps]
    run(steps, options.json.resolve(), options.total * options.patience)
    print(options.json)


if __name__ == "__main__":
    main()
