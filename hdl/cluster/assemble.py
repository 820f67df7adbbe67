"""Assemble a HADOOP_HOME from pinned Maven artifacts, once, into the user's cache folder.

Hadoop's release archive is 700 MB and lies on mirrors that not every site may reach; its jars are on Maven Central,
where any Java shop has a proxy. `mvn` resolves one generated POM, and every jar's SHA-256 is compared with the list
that is kept beside this file, so that what runs is what was tested.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hdl import programs
from hdl.errors import HdlError, SpecError, Unavailable

DEFAULT_VERSION = "3.4.2"
VERSIONS = ("3.4.2", "3.3.6")
DOWNLOAD_SECONDS = 900
COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"
ARTIFACTS = (
    "hadoop-client",
    "hadoop-hdfs",
    "hadoop-yarn-server-resourcemanager",
    "hadoop-yarn-server-nodemanager",
    "hadoop-yarn-server-timelineservice",  # the ResourceManager does not start without it
    "hadoop-streaming",
    "hadoop-mapreduce-client-shuffle",
    "hadoop-mapreduce-client-hs",
    "hadoop-mapreduce-examples",
    "hadoop-kms",
)
# Hadoop's own jars hold no native library, and its release is on no registry. This jar, made for Trino, brings Hadoop's
# libhadoop.so, for glibc from 2.12 on; nothing else of it is used.
NATIVE = ("io.trino.hadoop", "hadoop-apache", "3.4.3-1")
NATIVE_FOLDERS = {"x86_64": "amd64", "aarch64": "aarch64", "ppc64le": "ppc64le"}  # in the jar, by machine
ELSEWHERE = {("3.3.6", "hadoop-streaming"): "3.3.5"}  # Maven Central has no hadoop-streaming 3.3.6
HERE = Path(__file__).parent


def cache_folder() -> Path:
    """Return the folder in which hdl keeps files that can be made again: ``$XDG_CACHE_HOME/hdl``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hdl"


def java_home() -> Path:
    """Find the JDK: ``JAVA_HOME``, or the folder of ``java`` on the PATH.

    Raises
    ------
    Unavailable
        If there is no Java.
    """
    if home := os.environ.get("JAVA_HOME"):
        return Path(home)
    if java := shutil.which("java"):
        return Path(java).resolve().parent.parent
    raise Unavailable("no Java: neither JAVA_HOME nor java on the PATH; on Debian: apt install openjdk-17-jdk-headless")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on `path`; a second process waits, and should then look whether the work is done."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def hadoop_home(version: str = DEFAULT_VERSION) -> Path:
    """Return the HADOOP_HOME of a version, assembled on the first call.

    Parameters
    ----------
    version : str
        One of `VERSIONS`.

    Raises
    ------
    SpecError
        If the version is not one of them.
    Unavailable
        If Maven or Java is missing.
    DeadlineError
        If Maven takes longer than `DOWNLOAD_SECONDS`.
    HdlError
        If Maven fails, or a jar is not the pinned one.
    """
    if version not in VERSIONS:
        raise SpecError(f"Hadoop version {version!r}: expected one of {', '.join(VERSIONS)}")
    # The launcher and the pins are part of the name: a newer hdl assembles anew and leaves the old one to its users.
    mark = hashlib.sha256((HERE / "hadoop.sh").read_bytes() + _pins(version).read_bytes()).hexdigest()[:8]
    home = cache_folder() / f"hadoop-{version}-{mark}"
    if home.is_dir():
        return home
    with locked(home.with_name(f"{home.name}.lock")):
        if not home.is_dir():
            with tempfile.TemporaryDirectory(dir=home.parent, prefix=".assemble-") as scratch:
                made = Path(scratch) / "home"
                _assemble(version, Path(scratch), made)
                made.rename(home)  # whole or not at all
    return home


def _pins(version: str) -> Path:
    return HERE / f"hadoop-{version}.sha256"


def _assemble(version: str, scratch: Path, home: Path) -> None:
    java_home()
    jars = scratch / "jars"
    _download(version, scratch, jars)
    verify(jars, _pins(version))
    for folder in ("bin", "etc/hadoop", "share/hadoop/hdfs", "share/hadoop/mapreduce", "share/hadoop/tools/lib"):
        (home / folder).mkdir(parents=True)
    tests = next(jars.glob("hadoop-hdfs-*-tests.jar"))
    with zipfile.ZipFile(tests) as archive:  # the only published jar with the NameNode's and DataNode's web pages
        archive.extractall(home / "share/hadoop/hdfs", [n for n in archive.namelist() if n.startswith("webapps/")])
    tests.unlink()
    _unpack_native(next(jars.glob(f"{NATIVE[1]}-{NATIVE[2]}.jar")), native_folder(home))
    # As in a release, these two are programs to run, not on the class path.
    for name, folder in (("hadoop-streaming-*", "tools/lib"), ("hadoop-mapreduce-examples-*", "mapreduce")):
        jar = next(jars.glob(name + ".jar"))
        jar.rename(home / "share/hadoop" / folder / jar.name)
    jars.rename(home / "share/hadoop/lib")
    shutil.copyfile(HERE / "log4j.properties", home / "etc/hadoop/log4j.properties")
    launcher = home / "bin/hadoop"
    shutil.copyfile(HERE / "hadoop.sh", launcher)
    launcher.chmod(0o755)
    for name in ("hdfs", "yarn", "mapred"):
        (home / "bin" / name).symlink_to("hadoop")


def native_folder(home: Path) -> Path:
    """Return the folder of a HADOOP_HOME with libhadoop.so; it is empty where there is none for the machine."""
    return home / "lib/native"


def _unpack_native(jar: Path, folder: Path) -> None:
    folder.mkdir(parents=True)
    if machine := NATIVE_FOLDERS.get(platform.machine()):
        with zipfile.ZipFile(jar) as archive:
            (folder / "libhadoop.so").write_bytes(archive.read(f"nativelib/Linux-{machine}/libhadoop.so"))
    jar.unlink()


def _download(version: str, scratch: Path, jars: Path) -> None:
    if not shutil.which("mvn"):
        raise Unavailable("no Maven to fetch Hadoop's jars with: on Debian: apt install maven")
    (scratch / "pom.xml").write_text(pom(version))
    command = ["mvn", "-B", "-q", "-ntp", COPY, "-DincludeScope=runtime", f"-DoutputDirectory={jars}"]
    late = f"Maven did not fetch Hadoop {version} within {DOWNLOAD_SECONDS} s"
    programs.check(command, DOWNLOAD_SECONDS, f"Maven could not fetch Hadoop {version}", late, folder=scratch)


def pom(version: str) -> str:
    """Write the Maven project whose runtime dependencies are a version of Hadoop, as XML."""
    wanted = [(name, ELSEWHERE.get((version, name), version), "") for name in ARTIFACTS]
    wanted.append(("hadoop-hdfs", version, "<classifier>tests</classifier>"))
    rows = [("org.apache.hadoop", *row) for row in wanted]
    nothing_else = "<exclusions><exclusion><groupId>*</groupId><artifactId>*</artifactId></exclusion></exclusions>"
    rows.append((*NATIVE, nothing_else))
    dependencies = "".join(
        f"<dependency><groupId>{group}</groupId><artifactId>{name}</artifactId>"
        f"<version>{number}</version>{more}</dependency>\n"
        for group, name, number, more in rows
    )
    return (
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>\n'
        f"<groupId>hdl</groupId><artifactId>hadoop</artifactId><version>{version}</version>"
        f"<packaging>pom</packaging>\n<dependencies>\n{dependencies}</dependencies></project>\n"
    )


def verify(jars: Path, pins: Path) -> None:
    """Compare a folder's jars with the pinned list.

    Raises
    ------
    HdlError
        Jars are missing, not listed, or different; the message names them.
    """
    expected = {name: digest for digest, name in map(str.split, pins.read_text().splitlines())}
    actual = {jar.name: hashlib.sha256(jar.read_bytes()).hexdigest() for jar in jars.glob("*.jar")}
    wrong = sorted(name for name in expected.keys() | actual.keys() if expected.get(name) != actual.get(name))
    if wrong:
        raise HdlError(f"jars that are not those pinned in {pins.name}: {', '.join(wrong)}")
