"""The C core under AddressSanitizer and UndefinedBehaviorSanitizer, the 16-lane source included."""

import ast
import platform
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer", "-g1"]


def sources(name):
    """A list of files that setup.py compiles: what it says, without running it."""
    for node in ast.parse((ROOT / "setup.py").read_text()).body:
        if isinstance(node, ast.Assign) and node.targets[0].id == name:
            return ast.literal_eval(node.value)
    raise LookupError(name)


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc")
def test_the_core_under_sanitizers(tmp_path):
    isas = {"generic": (4, [])}
    if platform.machine() == "x86_64":
        isas |= {"avx2": (8, ["-mavx2", "-mfma"]), "wide": (16, ["-mavx2", "-mfma"])}
    flags = [
        "gcc",
        "-std=gnu11",
        "-O1",
        "-Wall",
        "-Wextra",
        "-Wno-psabi",
        "-DHDL_TEST_WIDE",
        f"-I{ROOT}/csrc",
        *SANITIZE,
    ]
    jobs = [(ROOT / f"csrc/cpu/{name}.c", [], f"{name}.o") for name in sources("ONCE")]
    jobs.append((ROOT / "tests/unit/core_test.c", [], "core_test.o"))
    for isa, (width, target) in isas.items():
        extra = [f"-DHDL_VW={width}", f"-DHDL_ISA_SUFFIX={isa}", *target]
        jobs += [(ROOT / f"csrc/cpu/{name}.c", extra, f"{name}_{isa}.o") for name in sources("KERNELS")]

    def build(job):
        source, extra, target = job
        subprocess.run([*flags, *extra, "-c", source, "-o", tmp_path / target], check=True)
        return tmp_path / target

    probe = tmp_path / "probe.c"
    probe.write_text("int main(void) { return 0; }\n")
    if subprocess.run([*flags, probe, "-o", tmp_path / "probe"], capture_output=True).returncode:
        pytest.skip("gcc has no sanitizers here")
    with ThreadPoolExecutor(2) as pool:
        objects = list(pool.map(build, jobs))
    subprocess.run([*flags, *objects, "-o", tmp_path / "core_test", "-pthread", "-lm"], check=True)
    run = subprocess.run([tmp_path / "core_test"], capture_output=True, text=True, timeout=200)
    assert run.returncode == 0, run.stdout + run.stderr[-4000:]
