"""Checks the compiled kernels on a machine without a GPU: for which GPUs they are, and what each kernel takes."""

import importlib.util
import os
import re
import struct
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

SASS, PTX = 2, 1
TARGETS = {(SASS, 80), (SASS, 90), (PTX, 90)}
# What a kernel and the functions it calls may take: a thread's registers and bytes of stack, bytes that it stores in
# memory and loads again for want of registers, a block's bytes of static shared memory.
BUDGET = {
    "hdl::interpreter<#, false>": {"registers": 255, "stack": 256, "stores": 0, "loads": 0, "shared": 0},
    "hdl::advance": {"registers": 32, "stack": 0, "stores": 0, "loads": 0, "shared": 0},
    "hdl::interpreter<#, true>": {"registers": 128, "stack": 256, "stores": 0, "loads": 0, "shared": 0},
}
REPORT = re.compile(
    r"Compiling entry function '(?P<kernel>\S+)' for 'sm_(?P<target>\d+)'"
    r"|(?P<stack>\d+) bytes stack frame, (?P<stores>\d+) bytes spill stores, (?P<loads>\d+) bytes spill loads"
    r"|Used (?P<registers>\d+) registers(?:.*?(?P<shared>\d+) bytes smem)?"
)


def call(*command, **options):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, f"{command} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def images(data):
    """{(kind, compute capability): [code]} of the fat binaries in a file: what cuobjdump lists, which no wheel has."""
    found = {}
    for start in re.finditer(re.escape(struct.pack("<I", 0xBA55ED50)), data):
        _, _, header, size = struct.unpack_from("<IHHQ", data, start.start())
        at = start.start() + header
        end = at + size
        while at < end:
            kind, _, header, size = struct.unpack_from("<HHIQ", data, at)
            capability = struct.unpack_from("<I", data, at + 28)[0]
            found.setdefault((kind, capability), []).append(data[at + header : at + header + size])
            at += header + size
    return found


@pytest.fixture(scope="module")
def library(root):
    """hdl._cuda as it lies there."""
    found = importlib.util.find_spec("hdl._cuda")
    if found is None:
        why = "hdl._cuda is not built: ./build.sh cuda"
        # On CI the default test command has built it; it may be missing where there is no network, or by HDL_CUDA=0.
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(why)
    return Path(found.origin)


@pytest.fixture(scope="module")
def reports(root, library):
    """{(kernel, target): needs} of the objects that the library was linked from, as ptxas said it."""
    linked = {code for codes in images(library.read_bytes()).values() for code in codes}
    found = {}
    for object in root.glob("build/cuda-*/*.o"):
        codes = {code for codes in images(object.read_bytes()).values() for code in codes}
        if codes and codes <= linked:
            found.update(needs(object.with_suffix(".log").read_text()))
    assert found, f"{library} was not built from build/: ./build.sh cuda"
    return found


def needs(report):
    """Of every kernel in a compiler's report what it takes; of the functions that it calls the largest."""
    found, key = {}, None
    for line in REPORT.finditer(report):
        said = {name: int(value) for name, value in line.groupdict(0).items() if name != "kernel"}
        if line["kernel"]:
            key = (call("c++filt", line["kernel"]).strip(), said["target"])
        taken = found.setdefault(key, dict.fromkeys(said.keys() - {"target"}, 0))
        taken.update({name: max(taken[name], said[name]) for name in taken})
    return found


def test_there_is_code_for_every_gpu(library):
    found = images(library.read_bytes())
    assert set(found) == TARGETS
    assert len({len(codes) for codes in found.values()}) == 1  # as many files for one as for the other


def test_every_kernel_is_compiled_for_every_gpu(reports):
    of = {target: {kernel for kernel, own in reports if own == target} for _, target in TARGETS}
    assert of[80] == of[90] != set()


def test_kernels_keep_to_their_budget(reports):
    for (kernel, target), taken in sorted(reports.items()):
        name = re.sub(r"\d+", "#", re.sub(r"^void |\(.*", "", kernel))
        assert name in BUDGET, f"{kernel} has no budget"
        over = {what: f"{taken[what]} of {most}" for what, most in BUDGET[name].items() if taken[what] > most}
        assert not over, f"{kernel} for sm_{target}: {over}"


def test_the_library_needs_nothing_of_cuda(library):
    needed = re.findall(r"\(NEEDED\).*\[(.+)\]", call("readelf", "--dynamic", "--wide", library))
    assert needed
    assert not [name for name in needed if re.match(r"lib(cu|nv)", name)]
    symbols = [line.split()[-1] for line in call("nm", "--dynamic", library).splitlines()]
    assert not [name for name in symbols if re.match(r"_*cu(da)?[A-Z]|hdl_", name)]  # asked for, or given away


def test_it_is_imported_without_a_driver(library):
    assert "None" not in call(sys.executable, "-c", "import hdl._cuda; print(hdl._cuda.__file__)")


def test_an_nvcc_that_is_asked_for_must_be_there(root, tmp_path):
    wanted = {**os.environ, "HDL_CUDA": "1", "CUDA_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "setup.py", "--name"], env=wanted, cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert f"HDL_CUDA=1, but there is no bin/nvcc in {tmp_path}" in done.stderr
    assert call(sys.executable, "setup.py", "--name", env={**wanted, "HDL_CUDA": "0"}, cwd=root).strip() == "hdl-hadoop"


@pytest.mark.full
@pytest.mark.timeout(900)  # compiles PyCUDA once for a user
def test_pycuda_needs_the_driver_alone(root, tmp_path):
    home = Path(os.environ.get("CUDA_HOME") or Path(sysconfig.get_path("purelib"), "nvidia/cu13"))
    if not (home / "bin/nvcc").exists():
        pytest.skip(f"no bin/nvcc in {home}: set CUDA_HOME")
    call(root / ".ci/pycuda", tmp_path, env={**os.environ, "PYTHON": sys.executable, "CUDA_HOME": str(home)})
    with zipfile.ZipFile(next(tmp_path.glob("pycuda-2026.1-*.whl"))) as wheel:
        wheel.extractall(tmp_path)
    driver = next(tmp_path.glob("pycuda/_driver*.so"))
    needed = re.findall(r"\(NEEDED\).*\[(.+)\]", call("readelf", "--dynamic", "--wide", driver))
    assert [name for name in needed if re.match(r"lib(cu|nv)", name)] == ["libcuda.so.1"]
