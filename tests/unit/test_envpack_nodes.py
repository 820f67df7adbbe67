"""The script that starts Python on a node: it finds out whether the node can run what was packed, and says so."""

import subprocess
from pathlib import Path

import pytest

from hdl import envpack
from hdl.envpack import nodes
from hdl.envpack.interpreter import Interpreter
from hdl.errors import SpecError

NEWEST = ("python/lib/libpython3.11.so.1.0", "python/lib/x.so")
NEEDS = nodes.Needs("3.11.9", True, "x86_64", "2.28", NEWEST, ("sse4_2",), "/bin/sh")
PYTHON = Interpreter(Path("/opt/bin/python3.11"), "3.11.9", (Path("/opt/lib/python3.11"),), "lib", "")


@pytest.fixture
def node(tmp_path):
    """`node(needs, uname=…, getconf=…)`: starts Python there; a program stands for it and tells what it was given."""

    def run(needs=NEEDS, python=PYTHON, mode=0o755, cwd="/", path="/usr/bin:/bin", **tools):
        root, fakes = tmp_path / "root", tmp_path / "fakes"
        for name, says in {"uname": "x86_64", "getconf": "glibc 2.28", **tools}.items():
            fakes.mkdir(exist_ok=True)
            (fakes / name).write_text(f"#!/bin/sh\necho '{says}'\n")
            (fakes / name).chmod(0o755)
        for name, content in nodes.scripts(needs, python).items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(content)
        (root / nodes.LAUNCHER).chmod(0o755)
        program = root / PYTHON.program
        program.parent.mkdir(parents=True, exist_ok=True)
        program.write_text('#!/bin/sh\necho "$0 $* $PYTHONPATH ${PYTHONHOME-unset}"\n')
        program.chmod(mode)
        environment = {"PATH": f"{fakes}:{path}", "PYTHONHOME": "/wrong", "PYTHONPATH": "/theirs"}
        launcher = Path(root / nodes.LAUNCHER).relative_to(cwd) if cwd != "/" else root / nodes.LAUNCHER
        return subprocess.run([launcher, "-m", "hdl"], env=environment, capture_output=True, text=True, cwd=cwd)

    return run


def refusal(done):
    assert done.returncode == nodes.UNFIT
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    return envpack.refusal(f"before\n{done.stderr}after")


def test_a_fit_node_runs_the_packed_python(node, tmp_path):
    done = node(NEEDS, getconf="glibc 2.41")
    assert done.stdout == f"{tmp_path}/root/{PYTHON.program} -m hdl {tmp_path}/root:/theirs unset\n", done.stderr


def test_it_may_be_called_by_a_relative_path(node, tmp_path):
    done = node(cwd=tmp_path)
    assert done.stdout == f"{tmp_path}/root/{PYTHON.program} -m hdl {tmp_path}/root:/theirs unset\n", done.stderr


def test_an_old_glibc_is_told(node):
    told = refusal(node(getconf="glibc 2.17"))
    assert "its glibc is 2.17, and what was packed asks for 2.28 or newer, as its libpython3.11.so.1.0" in told
    assert "--python names one that is on the nodes" in told


def test_another_processor_is_told(node):
    assert "its processor is aarch64, and what was packed is for x86_64" in refusal(node(uname="aarch64"))


def test_a_processor_without_an_instruction_set_is_told(node):
    needs = nodes.Needs("3.11.9", True, "x86_64", "2.28", NEWEST, ("no_such_set",), "/bin/sh")
    assert "its processor has no no_such_set" in refusal(node(needs))


def test_a_node_with_another_c_library_is_told(node):
    needs = nodes.Needs("3.11.9", True, "x86_64", "2.28", NEWEST, (), "/lib/no-such-loader.so")
    assert "there is no /lib/no-such-loader.so" in refusal(node(needs))


def test_a_folder_without_programs_is_told(node):
    assert "mounted noexec" in refusal(node(mode=0o644))


def test_without_the_named_python_the_node_says_so(node):
    needs = nodes.Needs("python9.9", False, "x86_64", "2.28")
    assert "it has no python9.9 that can be run" in refusal(node(needs, "python9.9"))


def test_the_named_python_is_run(node, tmp_path):
    done = node(nodes.Needs("echo", False, "x86_64", "2.28"), "echo")
    assert done.stdout == "-m hdl\n"


def test_yarns_diagnostics_and_logs_hold_the_sentence(node):
    said = node(getconf="glibc 2.17").stderr
    diagnostics = f"[2026]Container exited with 78. Last 4096 bytes of stderr :\n{said}\nFor more output (see)"
    assert envpack.refusal(" ".join(diagnostics.split())) == refusal(node(getconf="glibc 2.17"))
    assert envpack.refusal("Container exited with 1") is None


def test_the_client_refuses_what_its_oldest_node_could_not_load():
    nodes.check(NEEDS, "2.28")
    with pytest.raises(SpecError, match=r"libpython3.11.so.1.0 and 1 more asks for glibc 2.28 .*--python"):
        nodes.check(NEEDS, "2.17")
    with pytest.raises(SpecError, match=r"such as 2\.28"):
        nodes.check(NEEDS, "old")


def test_needs_are_written_and_read():
    assert nodes.Needs.from_json(NEEDS.to_json()) == NEEDS


@pytest.mark.parametrize(
    ("flags", "has", "lacks"),
    [("-O2", "sse4_2", "avx2"), ("-O3 -march=x86-64-v3", "avx2", "avx512f"), ("-march=x86-64", "sse4_2", "avx")],
)
def test_the_processor_is_what_was_compiled_for(flags, has, lacks):
    assert has in nodes._processor(flags, "x86_64")
    assert lacks not in nodes._processor(flags, "x86_64")
    assert nodes._processor(flags, "aarch64") == ()


def test_variables_with_dots_in_their_names_get_through(node, tmp_path):
    """A task of MapReduce is told its port by one; dash would drop it."""
    node()
    (tmp_path / "root" / PYTHON.program).write_text("#!/bin/bash\nexec env\n")
    environment = {"PATH": f"{tmp_path / 'fakes'}:/usr/bin:/bin", "mapreduce.pipes.command.port": "4711"}
    done = subprocess.run([tmp_path / "root" / nodes.LAUNCHER], env=environment, capture_output=True, text=True)
    assert "mapreduce.pipes.command.port=4711" in done.stdout.splitlines()
