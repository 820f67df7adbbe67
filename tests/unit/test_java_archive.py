"""The archive of Java's classes: made once for a class path, used only where it fits and hides nothing."""

import json
import os
import zipfile
from types import SimpleNamespace

import pytest

from hdl import java_archive
from hdl.errors import HdlError
from hdl.yarn.resource_manager import class_path

# In place of Java: writes the archive that it is asked for, and keeps the list of classes.
PROGRAM = """#!/bin/bash
for word in "$@"; do
  case $word in
    -XX:SharedArchiveFile=*) echo archive > "${word#*=}" ;;
    -XX:SharedClassListFile=*) cp "${word#*=}" "$0.list" ;;
  esac
done
echo "$*" >> "$0.calls"
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A class path of a configuration's folder, two jars and another folder; and something that passes for Java."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    conf, other = tmp_path / "conf", tmp_path / "other"
    for folder, name in ((conf, "core-site.xml"), (other, "webapps/index.html")):
        (folder / name).parent.mkdir(parents=True)
        (folder / name).write_text(name)
    jars = []
    for name, inside in (("a.jar", "core-default.xml"), ("b.jar", "B.class")):
        with zipfile.ZipFile(tmp_path / name, "w") as jar:
            jar.writestr(inside, "content")
        jars.append(str(tmp_path / name))
    program = tmp_path / "java"
    program.write_text(PROGRAM)
    program.chmod(0o755)
    path = [str(conf), jars[0], str(other), jars[1]]
    machine = tmp_path / "libjvm.so"
    machine.write_text("Java")
    calls = tmp_path / "java.calls"
    return SimpleNamespace(
        conf=str(conf), path=path, jars=jars, java=str(program), machine=str(machine), other=other,
        described=lambda: java_archive.described(path, str(machine), str(conf)),
        calls=lambda: calls.read_text().splitlines() if calls.exists() else [],
    )  # fmt: skip


def test_it_is_made_once_for_a_class_path_with_the_jars_first(here):
    described = here.described()
    assert java_archive.kept(described, here.conf) is None
    archive = java_archive.make(described, here.conf, here.java)
    assert java_archive.make(described, here.conf, here.java) == archive == java_archive.kept(described, here.conf)
    (call,) = here.calls()
    assert call.endswith("-cp " + ":".join(here.jars))
    assert java_archive.class_path(described, here.conf) == [*here.jars, here.conf, str(here.other)]
    assert f"-XX:SharedArchiveFile={archive}" in java_archive.flags(archive)
    assert archive.stat().st_mode & 0o777 == 0o600
    assert "org/apache/hadoop/yarn/client/api/YarnClient" in (archive.parents[3] / "java.list").read_text().split()


def test_another_jar_or_another_java_is_another_archive(here):
    first = here.described()
    os.utime(here.jars[1], (1, 1))
    second = here.described()
    assert java_archive.key(first) != java_archive.key(second)
    assert not java_archive.fits(first)
    assert java_archive.fits(second)
    os.utime(here.machine, (1, 1))
    assert not java_archive.fits(second)
    os.unlink(here.machine)
    assert here.described() is None


def test_a_class_path_that_does_not_begin_with_the_configuration_has_none(here):
    assert java_archive.described([*here.path[1:], here.conf], here.machine, here.conf) is None


@pytest.mark.parametrize("name", ["core-default.xml", "x/A.class"])
def test_what_a_jar_would_hide_forbids_it(here, name):
    java_archive.make(here.described(), here.conf, here.java)
    (here.other / name).parent.mkdir(exist_ok=True)
    (here.other / name).write_text("ours")
    assert java_archive.kept(here.described(), here.conf) is None
    with pytest.raises(HdlError, match=f"both hold {name}"):
        java_archive.make(here.described(), here.conf, here.java)


def test_a_failure_is_told_once_a_day_and_leaves_nothing(here):
    with open(here.java, "a") as program:
        program.write("exit 1\n")
    for _ in range(2):
        with pytest.raises(HdlError, match="java -Xshare:dump failed"):
            java_archive.make(here.described(), here.conf, here.java)
    assert len(here.calls()) == 1
    assert java_archive.kept(here.described(), here.conf) is None


def test_of_several_the_last_used_stay(here):
    for time in range(java_archive.KEPT + 2):
        os.utime(here.jars[0], (time, time))
        last = java_archive.make(here.described(), here.conf, here.java)
    assert len([*last.parent.glob("*.jsa")]) == len([*last.parent.glob("*.json")]) == java_archive.KEPT


@pytest.fixture
def container(here, monkeypatch, tmp_path):
    """A container that was sent the archive."""
    archive = java_archive.make(here.described(), here.conf, here.java)
    folder = tmp_path / "container"
    folder.mkdir()
    for suffix in (".jsa", ".json"):
        (folder / f"hdl-classes{suffix}").write_bytes(archive.with_suffix(suffix).read_bytes())
    monkeypatch.chdir(folder)
    monkeypatch.setenv("CONTAINER_ID", "container_1700000000000_0003_02_000001")
    monkeypatch.setenv("HADOOP_CONF_DIR", here.conf)
    monkeypatch.setattr(class_path, "_machine", lambda: here.machine)
    monkeypatch.setattr(class_path, "entries", lambda: ["asked"])
    return folder


def test_a_container_takes_what_it_was_sent(container, here):
    path, flags = class_path.prepared()
    assert path == [*here.jars, here.conf, str(here.other)]
    assert flags[-1] == f"-XX:SharedArchiveFile={container}/hdl-classes.jsa"


@pytest.mark.parametrize("what", ["jar", "java", "folder", "hidden", "damaged", "missing"])
def test_a_node_that_has_other_files_does_without(container, here, what):
    if what == "jar":
        os.utime(here.jars[0], (1, 1))
    elif what == "java":
        os.utime(here.machine, (1, 1))
    elif what == "folder":
        here.other.rename(here.other.with_name("elsewhere"))
    elif what == "hidden":
        (here.other / "core-default.xml").write_text("ours")
    elif what == "damaged":
        (container / "hdl-classes.json").write_text(json.dumps(["damaged"]))
    else:
        (container / "hdl-classes.json").unlink()
    assert class_path.prepared() == (["asked"], [])
