"""The packed environment: named by its content, complete, with or without its interpreter."""

import errno
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from hdl import envpack
from hdl.envpack import archive, elf, interpreter, nodes, packages
from hdl.errors import OutputError, Unavailable

NODES_OWN = "python{}.{}".format(*sys.version_info)
needs_pydoop = pytest.mark.skipif(not importlib.util.find_spec("pydoop"), reason="no pydoop: ./build.sh hadoop")


@pytest.fixture
def small(monkeypatch, tmp_path):
    """Two packages' files instead of all."""
    files = {name: tmp_path / name for name in ("a.py", "b.py")}
    for name, path in files.items():
        path.write_text(name)
    monkeypatch.setattr(packages, "contents", lambda: dict(files))
    return files


def test_the_name_is_the_content(small, tmp_path):
    first = envpack.pack(tmp_path / "env", NODES_OWN)
    written = first.stat().st_mtime_ns
    assert envpack.pack(tmp_path / "env", NODES_OWN) == first
    assert first.stat().st_mtime_ns == written
    assert envpack.pack(tmp_path / "elsewhere", NODES_OWN).read_bytes() == first.read_bytes()
    assert envpack.pack(tmp_path / "elsewhere", "/opt/python") != first
    small["a.py"].write_text("changed")
    assert envpack.pack(tmp_path / "env", NODES_OWN).name != first.name
    tag = sys.implementation.cache_tag
    with tarfile.open(first) as tar:
        assert sorted(set(tar.getnames())) == [
            f"__pycache__/a.{tag}.pyc", f"__pycache__/b.{tag}.pyc", "a.py", "b.py", "bin/python", "needs.json",
            "sitecustomize.py",
        ]  # fmt: skip
        assert tar.getmember("bin/python").mode == 0o755
    assert sorted(path.suffix for path in (tmp_path / "env").iterdir()) == [".gz", ".gz"]


def test_the_cache_keeps_the_few_that_were_used_last(small, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    made = []
    for number in range(archive.KEPT + 2):
        small["a.py"].write_text(str(number))
        made.append(envpack.pack(python=NODES_OWN))
        if number == archive.KEPT:
            small["a.py"].write_text("1")
            assert envpack.pack(python=NODES_OWN) == made[1]  # used again, so it stays
    assert {*made[0].parent.glob("*.tar.gz")} == {made[1], *made[-3:]}
    known = {json.loads(path.read_text())["archive"] for path in made[0].parent.glob("*.known")}
    assert known == {path.name for path in (made[1], *made[-3:])}


def test_a_full_disk_is_told_by_the_archives_name_and_leaves_nothing(small, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))  # without a name, as a write to a full disk is

    monkeypatch.setattr(archive, "_Gzip", full)
    with pytest.raises(OutputError, match=r"env/[0-9a-f]{64}\.tar\.gz: cannot be written \(No space left on device\)"):
        envpack.pack(tmp_path / "env", NODES_OWN)
    assert not list((tmp_path / "env").iterdir())


def test_another_python_stops_and_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(nodes.sys, "version_info", (2, 7, 0))
    scripts = nodes.scripts(nodes.Needs(NODES_OWN, False, "x86_64", "2.28"), NODES_OWN)
    monkeypatch.undo()
    (tmp_path / "sitecustomize.py").write_bytes(scripts["sitecustomize.py"])
    done = subprocess.run(
        [sys.executable, "-c", "print('ran')"], env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True
    )
    assert done.returncode != 0
    assert done.stdout == ""
    assert "its Python is {}.{}, and the packages were made for 2.7".format(*sys.version_info) in envpack.refusal(
        done.stderr
    )


def test_what_hdl_requires_is_packed(root):
    import tomllib

    wanted = tomllib.loads((root / "pyproject.toml").read_text())["project"]["dependencies"]
    names = {requirement.split(">")[0] for requirement in wanted}
    assert names - {"rich"} <= set(packages.ROOTS)


@needs_pydoop
@pytest.mark.full
def test_a_bare_python_runs_with_it(tmp_path):
    python = Path(sys.base_prefix) / "bin" / "python{}.{}".format(*sys.version_info)
    made = envpack.pack(tmp_path, str(python))
    shutil.unpack_archive(made, tmp_path / "env")
    with tarfile.open(made) as tar:
        assert not [name for name in tar.getnames() if "/tests/" in name or name.endswith((".pyi", ".h"))]
    script = (
        "import sys, numpy, pyarrow.csv, pyarrow.parquet, safetensors, pydantic, PIL.Image, pydoop, hdl.spec, hdl.fs;"
    )
    script += (
        "print(*{m.__file__ for n, m in sys.modules.items() if n in ('numpy', 'hdl', 'pyarrow', 'pydoop')}, sep='\\n')"
    )
    done = subprocess.run([tmp_path / "env/bin/python", "-c", script], env={}, capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr
    assert all(line.startswith(str(tmp_path / "env")) for line in done.stdout.splitlines())


def test_what_is_here_is_packed_with_what_it_requires_on_this_platform(monkeypatch, tmp_path):
    monkeypatch.setattr(packages, "ROOTS", ("click",))
    requirements = (
        "made-up-tools>=1", "cffi_of_ours>=2 ; platform_python_implementation != 'PyPy'",
        "tomli ; python_version < '3.11'", "colorama; platform_system == 'Windows'", "bcrypt>=3 ; extra == 'ssh'",
    )  # fmt: skip
    required = "".join(f"Requires-Dist: {requirement}\n" for requirement in requirements)
    for name, requires in ("pycuda", required), ("made-up-tools", ""), ("cffi-of-ours", ""), ("cryptography", ""):
        module = name.replace("-", "_")
        info = tmp_path / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{requires}")
        (tmp_path / f"{module}.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert {distribution.metadata["Name"] for distribution in packages.distributions()} > {
        "click",
        "pycuda",
        "made-up-tools",
        "cffi-of-ours",
        "cryptography",
    }


@pytest.fixture
def own(small, monkeypatch, tmp_path):
    """A packed interpreter, unpacked, with a standard library of a few modules and one compiled one."""
    kept = {"os.py", "stat.py", "posixpath.py", "genericpath.py", "site.py", "codecs.py", "io.py", "abc.py", "ssl.py"}
    files = interpreter.Interpreter.files

    def few(self):
        parts = "/encodings/", "/lib-dynload/_ssl.", "/lib-dynload/_socket.", "/lib-dynload/_ctypes.", "/bin/"
        found = files(self).items()
        return {name: path for name, path in found if path.name in kept or any(part in name for part in parts)}

    monkeypatch.setattr(interpreter.Interpreter, "files", few)
    small["a.py"].write_text("there = 1\n")
    made = envpack.pack(tmp_path / "made")
    shutil.unpack_archive(made, tmp_path / "unpacked")
    return made, tmp_path / "unpacked"


def start(root, *arguments, **environment):
    return subprocess.run([root / "bin/python", *arguments], env=environment, capture_output=True, text=True, cwd="/")


def test_the_packed_interpreter_runs_from_any_folder_and_uses_nothing_from_here(own):
    _, root = own
    moved = root.rename(root.parent / "moved")
    show = "import sys, _ssl, a; print(sys.prefix, a.__file__); print(*open('/proc/self/maps'), sep='')"
    done = start(moved, "-c", show, PYTHONHOME="/nowhere", PATH="")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{moved}/python {moved}/a.py\n")
    mapped = {line.split()[-1] for line in done.stdout.splitlines()[1:] if "/" in line}
    outside = {Path(path).name for path in mapped if ".so" in path and not path.startswith(f"{moved}/")}
    assert not {name for name in outside if not elf.GLIBC.match(name)}, outside
    assert any(path.startswith(f"{moved}/python/lib/libcrypto") for path in mapped) or "libcrypto" not in str(mapped)


def test_the_archive_says_what_it_asks_of_nodes(own):
    made, root = own
    needs = envpack.needs(made)
    worst = max(elf.glibc(path.read_bytes()) for path in root.rglob("*")
                if path.is_file() and "fallback" not in str(path) and elf.is_elf(path.read_bytes()))  # fmt: skip
    assert needs.glibc == ".".join(map(str, worst))
    assert needs.packed
    assert needs.loader
    assert all(elf.glibc((root / name).read_bytes()) == worst for name in needs.newest)


@pytest.mark.parametrize(
    ("says", "expected"),
    [
        ({"name": "pypy"}, "it is pypy, not CPython"),
        ({"tag": "cpython-27"}, "it is cpython-27 (.so), and the packages here were made for"),
        ({"libc": ""}, "its C library is unknown, not glibc"),
        ({"folders": ["/nowhere"]}, "its standard library is not the folder /nowhere"),
        ({"executable": __file__}, "is a script, not the interpreter"),
        (None, "it does not run: out of order"),
    ],
)
def test_what_cannot_be_packed_is_refused(tmp_path, monkeypatch, says, expected):
    import json
    import os

    real = interpreter.find()
    fields = {
        "executable": str(real.executable), "in_venv": False, "name": "cpython", "tag": sys.implementation.cache_tag,
        "suffix": ".so", "version": "1", "folders": [os.path.dirname(os.__file__)], "libc": "glibc", "below": "lib",
        "flags": "",
    }  # fmt: skip
    monkeypatch.setattr("sysconfig.get_config_var", lambda name: ".so")
    python = tmp_path / "python"
    (tmp_path / "said").write_text(json.dumps({**fields, **says}) if says is not None else "")
    python.write_text(f"#!/bin/sh\ncat {tmp_path}/said\n" + ("" if says is not None else "echo out of order >&2\n"))
    python.chmod(0o755)
    with pytest.raises(Unavailable, match="cannot be packed") as caught:
        interpreter.find(python)
    assert expected in str(caught.value)
    assert "--python names one that is on the nodes" in str(caught.value)


def test_a_python_is_asked_again_when_it_has_changed(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    calls, python = tmp_path / "calls", tmp_path / "python"

    def says(version):
        python.write_text(f'#!/bin/sh\necho >> {calls}\necho \'{{"version": "{version}"}}\'\n')
        python.chmod(0o755)
        return interpreter._ask(python)["version"], len(calls.read_text().splitlines())

    assert says("3.11") == ("3.11", 1)
    assert interpreter._ask(python) == {"version": "3.11"}
    assert len(calls.read_text().splitlines()) == 1
    assert says("3.12") == ("3.12", 2)
    python.write_text("#!/bin/sh\nexit 3\n")
    for _ in range(2):  # that it does not run is not kept
        with pytest.raises(Unavailable, match="does not run"):
            interpreter._ask(python)


def test_without_patchelf_the_remedy_is_told(monkeypatch, small, tmp_path):
    elf.patchelf.cache_clear()
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(elf.sys, "executable", str(tmp_path / "python"))
    with pytest.raises(Unavailable, match="patchelf"):
        elf.moved(interpreter.find(interpreter.here()).executable, interpreter.RPATH)
    elf.patchelf.cache_clear()


def test_a_library_of_a_packages_own_serves_that_package_alone(monkeypatch, tmp_path):
    """The interpreter's library of the same name is packed beside it, and libraries of libraries are, too."""
    needs = {"python": ["libx.so.1", "libc.so.6"], "module": ["libx.so.1", "libjvm.so"], "libx.so.1": ["liby.so.2"],
             "liby.so.2": ["libstdc++.so.6"], "libstdc++.so.6": [], "gone": ["libgone.so"]}  # fmt: skip
    paths = {name: tmp_path / name for name in needs}
    for name, path in paths.items():
        path.write_bytes(elf.MAGIC + name.encode())
    monkeypatch.setattr(elf, "read", lambda content: elf.Elf(tuple(needs[content[4:].decode()]), (), ""))
    monkeypatch.setattr(elf, "system", lambda: {name: path for name, path in paths.items() if ".so" in name})
    files = {
        "python/bin/python3": paths["python"],
        "python/lib/python3/lib-dynload/gone.so": paths["gone"],
        "p/module.so": paths["module"],
        "p.libs/libx.so.1": paths["libx.so.1"],
    }
    found = interpreter.with_libraries(files, "python/bin/python3")
    assert sorted(set(found) - set(files)) == [
        "python/lib/fallback/libstdc++.so.6", "python/lib/libx.so.1", "python/lib/liby.so.2",
    ]  # fmt: skip
    assert set(files) - set(found) == {"python/lib/python3/lib-dynload/gone.so"}
    needs["python"].append("libgone.so")
    with pytest.raises(Unavailable, match=r"python needs libgone.so, which is not here"):
        interpreter.with_libraries(files, "python/bin/python3")
