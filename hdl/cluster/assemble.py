"""Assemble a HADOOP_HOME from pinned Maven artifacts, once, into the user's cache folder.

Hadoop's release archive is 700 MB and lies on mirrors that not every site may reach; its jars are on Maven Central,
where any Java shop has a proxy. `mvn` resolves one generated POM, and every jar's SHA-256 is compared with the list
that is kept beside this file, so that what runs is what was tested.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
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
)
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
    dependencies = "".join(
        f"<dependency><groupId>org.apache.hadoop</groupId><artifactId>{name}</artifactId>"
        f"<version>{number}</version>{more}</dependency>\n"
        for name, number, more in wanted
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
