"""hdl doctor: what is missing comes with the command that gets it."""

import json
import os
import re

import pytest

from hdl import cli, doctor


def found(name, look):
    return next(finding for finding in look() if finding.name.startswith(name))


@pytest.fixture(scope="module")
def examined():
    """What there is on this machine, which takes programs seconds to say."""
    return doctor.examine()


def test_every_missing_piece_has_a_way_to_get_it(examined):
    findings = examined
    assert {finding.topic for finding in findings} == {"Machine", "Core", "Hadoop", "GPU", "Packages"}
    for finding in findings:
        assert finding.found or finding.fix, finding


def test_threads_and_memory_are_this_machine_s():
    assert found("threads", doctor._machine).found.startswith(f"{len(os.sched_getaffinity(0))} usable")
    assert "GiB" in found("memory", doctor._machine).found


def test_hadoop_from_its_folder(tmp_path, monkeypatch):
    tool = tmp_path / "bin" / "hadoop"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\necho Hadoop 3.9.9\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("HADOOP_HOME", raising=False)
    assert not found("hadoop", doctor._hadoop).ok
    monkeypatch.setenv("HADOOP_HOME", str(tmp_path))
    assert found("hadoop", doctor._hadoop).found == f"Hadoop 3.9.9 ({tool})"
    assert found("HADOOP_HOME", doctor._hadoop).ok
    monkeypatch.setenv("HADOOP_HOME", str(tmp_path / "gone"))
    assert "which is no folder" in found("HADOOP_HOME", doctor._hadoop).fix


def test_java_from_java_home(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    assert "apt-get install" in found("Java", doctor._hadoop).fix
    tool = tmp_path / "bin" / "java"
    tool.parent.mkdir()
    tool.write_text("#!/bin/sh\necho 'openjdk version \"42\"' >&2\n")
    tool.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    assert 'openjdk version "42"' in found("Java", doctor._hadoop).found


def test_a_missing_package_names_its_extra(monkeypatch):
    real = doctor.importlib.util.find_spec
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: None if name == "onnx" else real(name))
    assert found("onnx ", doctor._packages).fix == "pip install onnx onnxruntime"


def test_no_command_asks_an_index_for_hdl_itself():
    """The name belongs to somebody else there."""
    assert not [fix for _, fix, _ in doctor.PACKAGES.values() if re.search(r"install\W+hdl\b", fix)]


def test_a_wrong_isa_is_told(monkeypatch):
    monkeypatch.setenv("HDL_ISA", "mmx")
    finding = found("instruction set", doctor._core)
    assert not finding.ok
    assert "mmx" in finding.found


def test_json_says_whether_it_is_ready(capsys, examined, monkeypatch):
    monkeypatch.setattr(doctor, "examine", lambda: examined)
    status = cli.run(["doctor", "--json"])
    report = json.loads(capsys.readouterr().out)
    assert status == (0 if report["ready"] else 8)
    assert {"topic", "name", "found", "fix", "needed", "ok"} <= set(report["findings"][0])


def test_text_goes_to_standard_output(capsys, examined, monkeypatch):
    monkeypatch.setattr(doctor, "examine", lambda: examined)
    cli.run(["doctor"])
    printed = capsys.readouterr()
    assert "instruction set" in printed.out
    assert printed.err == ""


@pytest.mark.parametrize("status", [0, 3])
def test_a_command_that_hangs_or_fails_is_not_found(status, tmp_path):
    tool = tmp_path / "tool"
    tool.write_text(f"#!/bin/sh\nexit {status}\n")
    tool.chmod(0o755)
    assert doctor._run([str(tool)], 5)[0] == status
    tool.write_text("#!/bin/sh\nexec sleep 30\n")
    assert doctor._run([str(tool)], 0.1)[0] == 127


def test_a_gpu_that_hdl_cannot_use_is_told_with_the_reason(monkeypatch):
    from hdl import devices

    if devices.why_not() is None:
        pytest.skip("there is a GPU here")
    monkeypatch.setenv("PATH", "")
    (finding,) = doctor._gpu()
    assert (finding.found, finding.needed) == ("", False)
    assert finding.fix == f"{devices.why_not()} (hdl runs without a GPU)"


def test_gpus_are_listed_as_the_driver_and_as_hdl_sees_them(tmp_path, monkeypatch):
    smi = tmp_path / "nvidia-smi"
    smi.write_text("#!/bin/sh\necho 'NVIDIA H100, 81559 MiB, 580.65'\n")
    smi.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    real, said = doctor._run, 'a warning\n[["NVIDIA H100, 79.2 GiB"], null]'

    def run(command, timeout):
        return real(command, timeout) if "nvidia-smi" in command else (0, said)

    monkeypatch.setattr(doctor, "_run", run)
    assert [(finding.name, finding.found) for finding in doctor._gpu()] == [
        ("GPU 0", "NVIDIA H100, 81559 MiB, 580.65 (driver)"),
        ("cuda:0", "NVIDIA H100, 79.2 GiB"),
    ]
