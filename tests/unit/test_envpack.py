"""The packed environment: named by its content, complete, and for one version of Python."""

import importlib.util
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from hdl import envpack

needs_pydoop = pytest.mark.skipif(not importlib.util.find_spec("pydoop"), reason="no pydoop: ./build.sh hadoop")


@pytest.fixture
def small(monkeypatch, tmp_path):
    """Two files instead of all."""
    files = {name: tmp_path / name for name in ("a.py", "b.py")}
    for name, path in files.items():
        path.write_text(name)
    monkeypatch.setattr(envpack, "contents", lambda: files)
    return files


def test_the_name_is_the_content(small, tmp_path):
    first = envpack.pack(tmp_path / "env")
    written = first.stat().st_mtime_ns
    assert envpack.pack(tmp_path / "env") == first
    assert first.stat().st_mtime_ns == written
    assert envpack.pack(tmp_path / "elsewhere").read_bytes() == first.read_bytes()
    small["a.py"].write_text("changed")
    assert envpack.pack(tmp_path / "env") != first
    with tarfile.open(first) as tar:
        assert tar.getnames() == ["a.py", "b.py", "sitecustomize.py"]
    assert sorted(path.suffix for path in (tmp_path / "env").iterdir()) == [".gz", ".gz"]


def test_the_cache_keeps_the_few_that_were_used_last(small, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    made = []
    for number in range(envpack.KEPT + 2):
        small["a.py"].write_text(str(number))
        made.append(envpack.pack())
        if number == envpack.KEPT:
            small["a.py"].write_text("1")
            assert envpack.pack() == made[1]  # used again, so it stays
    assert {*made[0].parent.iterdir()} == {made[1], *made[-2:]}


def test_another_python_stops_and_says_so(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(envpack.CHECK.format(version=(2, 7)))
    done = subprocess.run(
        [sys.executable, "-c", "print('ran')"], env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True
    )
    assert done.returncode != 0
    assert done.stdout == ""
    assert "packed by Python 2.7" in done.stderr


@pytest.mark.parametrize(
    ("requirement", "applies"),
    [
        ("numpy>=1.26", True),
        ("colorama; platform_system == 'Windows'", False),
        ('tomli; python_version < "3.11"', False),
        ('x; python_version >= "3.8"', True),
    ],
)
def test_markers(requirement, applies):
    assert envpack._applies(requirement) is applies


def test_what_hdl_requires_is_packed(root):
    import tomllib

    wanted = tomllib.loads((root / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {requirement.split(">")[0] for requirement in wanted}
    assert names - {"rich"} <= set(envpack.ROOTS)


@needs_pydoop
@pytest.mark.full
def test_a_bare_python_runs_with_it(tmp_path):
    with tarfile.open(envpack.pack(tmp_path)) as tar:
        tar.extractall(tmp_path / "env", filter="data")
        assert not [name for name in tar.getnames() if "/tests/" in name or name.endswith((".pyi", ".h"))]
    script = (
        "import sys, numpy, pyarrow.csv, pyarrow.parquet, safetensors, pydantic, PIL.Image, pydoop, hdl.spec, hdl.fs;"
    )
    script += (
        "print(*{m.__file__ for n, m in sys.modules.items() if n in ('numpy', 'hdl', 'pyarrow', 'pydoop')}, sep='\\n')"
    )
    python = Path(sys.base_prefix) / "bin" / "python{}.{}".format(*sys.version_info)
    done = subprocess.run(
        [python, "-c", script], env={"PYTHONPATH": str(tmp_path / "env")}, capture_output=True, text=True, cwd="/"
    )
    assert done.returncode == 0, done.stderr
    assert all(line.startswith(str(tmp_path / "env")) for line in done.stdout.splitlines())


def test_what_gpus_need_is_packed_where_it_is(monkeypatch, tmp_path):
    monkeypatch.setattr(envpack, "ROOTS", ("click",))
    for name, requires in ("pycuda", "Requires-Dist: made-up-tools>=1\n"), ("made-up-tools", ""):
        module = name.replace("-", "_")
        info = tmp_path / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{requires}")
        (tmp_path / f"{module}.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert {distribution.metadata["Name"] for distribution in envpack.distributions()} > {
        "click",
        "pycuda",
        "made-up-tools",
    }
