"""Records the SHA-256 of small trainings: `python -m tests.signatures.record` writes `recorded.json` and `table/` anew.

That is right only when the numbers are meant to change, and then the commit says why; a change of structure never is
such a reason. `python -m tests.signatures.record --print` prints what this process computes, with HDL_ISA's kernels,
and `--print-emulated` what the CUDA core computes on its emulator.

The bytes belong to the kind of kernel alone. Sums, exponentials and logarithms are hdl's own; BLAS is not used, and
what NumPy computes is exact or is rounded from float64 to float32 (learning rates). So no number here has changed with
OPENBLAS_CORETYPE=Prescott, Haswell, Zen or SkylakeX, with NPY_DISABLE_CPU_FEATURES="X86_V3 X86_V4 AVX512_ICL", or
with a GLIBC_TUNABLES that hides AVX2 and FMA. The NumPy reference is left out: it multiplies by BLAS.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import chdir
from pathlib import Path
from typing import Any

from hdl import driver
from hdl.runners.base import Job
from hdl.runners.local import LocalRunner
from hdl.spec import parse
from hdl.table import Table
from tests.signatures.trainings import COMMON, EMULATED, KEPT, TRAININGS, write_data

HERE = Path(__file__).parent
ALL = {**TRAININGS, **KEPT}
RECORDED, TABLES = HERE / "recorded.json", HERE / "table"


def train(data: str, table: str, fields: dict[str, Any], resume: bool = False, device: str = "cpu") -> dict[str, str]:
    """Trains by one worker in this process; gives the SHA-256 of the last weights, and of its state."""
    spec = parse({**COMMON, **fields})
    with LocalRunner(1, 1, device=device) as runner:
        outcome = driver.train(Job(data, table, spec, resume=resume), runner)
    version = Table(outcome.table).read()
    state = hashlib.sha256()
    for name, tensor in sorted({"w": version.weights.w, **version.weights.state}.items()):
        state.update(name.encode() + tensor.tobytes())
    return {"weights": version.signature, "state": state.hexdigest()}


def signatures(device: str = "cpu") -> dict[str, dict[str, str]]:
    """Computes the SHA-256 of each training, with the kernels that this process uses."""
    names = ALL if device == "cpu" else EMULATED
    with tempfile.TemporaryDirectory(prefix="hdl-signatures-") as folder, chdir(folder):
        write_data(Path())
        return {name: train(ALL[name][0], name, ALL[name][1], device=device) for name in names}


def emulate() -> None:
    """Puts the CUDA core's emulator in the place of this process's GPU."""
    import hdl
    from hdl import devices
    from tests.cuda import emulated

    hdl._cuda = sys.modules["hdl._cuda"] = emulated.build()
    device = emulated.Device()
    devices.code = lambda index=0: "emulated"
    devices.why_not = lambda index=0: None
    devices.open = lambda name: device


def by_kernels(isa: str) -> dict[str, dict[str, str]]:
    """Computes `signatures` in a process of its own, as kernels are chosen at its start; `emulated` are CUDA's."""
    root = str(HERE.parent.parent)
    command = [sys.executable, "-m", "tests.signatures.record", "--print-emulated" if isa == "emulated" else "--print"]
    env = {**os.environ, "HDL_ISA": "generic" if isa == "emulated" else isa, "PYTHONPATH": root}
    done = subprocess.run(command, env=env, capture_output=True, text=True, cwd=root)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} with HDL_ISA={env['HDL_ISA']}:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def keep_tables() -> None:
    """Writes the tables, at half of their epochs, with kernels that every machine has."""
    shutil.rmtree(TABLES, ignore_errors=True)
    TABLES.mkdir()
    with chdir(TABLES):
        write_data(Path())
        for data in {*map(str, Path().iterdir())} - {data for data, _ in KEPT.values()}:
            os.unlink(data)
        for name, (data, fields) in KEPT.items():
            train(data, name, {**fields, "epochs": fields["epochs"] // 2})


def main() -> None:
    if sys.argv[1:] == ["--print"]:
        print(json.dumps(signatures()))
    elif sys.argv[1:] == ["--print-emulated"]:
        emulate()
        print(json.dumps(signatures("cuda")))
    elif sys.argv[1:] == ["--tables"]:
        keep_tables()
    else:
        from hdl._cpu import isas

        recorded = {isa: by_kernels(isa) for isa in (*isas(), "emulated")}
        RECORDED.write_text(json.dumps(recorded, indent=1) + "\n")
        subprocess.run(
            [sys.executable, "-m", "tests.signatures.record", "--tables"],
            env={**os.environ, "HDL_ISA": "generic"}, check=True,
        )  # fmt: skip


if __name__ == "__main__":
    main()
