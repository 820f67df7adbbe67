"""The C core under AddressSanitizer and UndefinedBehaviorSanitizer, the 16-lane source included."""

import platform
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# What AddressSanitizer finds too is left to it: those checks take a third of the time to compile, and of the run.
TWICE = "-fno-sanitize=null,object-size,pointer-overflow"
SANITIZE = ["-fsanitize=address,undefined", TWICE, "-fno-sanitize-recover=all", "-fno-omit-frame-pointer", "-g1"]


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no gcc")
def test_the_core_under_sanitizers(tmp_path):
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
    here, kernels = ROOT / "tests/unit", ROOT / "csrc/cpu/kernels"
    jobs = [(source, []) for source in [*sorted((ROOT / "csrc/cpu").glob("*.c")), here / "core_test.c"]]
    jobs.append((kernels / "generic.c", []))
    if platform.machine() == "x86_64":
        wide = kernels / "avx2.c", here / "core_wide.c", here / "core_native.c"
        jobs += [(source, ["-mavx2", "-mfma"]) for source in wide]

    def build(job):
        source, extra = job
        target = tmp_path / f"{source.stem}.o"
        subprocess.run([*flags, *extra, "-c", source, "-o", target], check=True)
        return target

    probe = tmp_path / "probe.c"
    probe.write_text("int main(void) { return 0; }\n")
    if subprocess.run([*flags, probe, "-o", tmp_path / "probe"], capture_output=True).returncode:
        pytest.skip("gcc has no sanitizers here")
    with ThreadPoolExecutor(2) as pool:
        objects = list(pool.map(build, jobs))
    subprocess.run([*flags, *objects, "-o", tmp_path / "core_test", "-pthread", "-lm"], check=True)
    run = subprocess.run([tmp_path / "core_test"], capture_output=True, text=True, timeout=250)
    assert run.returncode == 0, run.stdout + run.stderr[-4000:]
