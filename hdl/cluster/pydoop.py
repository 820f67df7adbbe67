"""Build and install the patched pydoop: ``python -m hdl.cluster.pydoop``.

pydoop has released sources only, of 2019. They are fetched from PyPI, checked, patched by ``pydoop.patch``, which
says why, and compiled against the Hadoop that is there: the one in HADOOP_HOME or on the PATH, or else the one that
`assemble` makes. The wheel is built once, and kept under a hash of all that it depends on.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import sysconfig
import tempfile
from pathlib import Path

import click

from hdl import programs
from hdl.cluster.assemble import DEFAULT_VERSION, VERSIONS, cache_folder, hadoop_home, java_home, locked
from hdl.errors import HdlError, Unavailable

RELEASE = "pydoop==2.0.0"
SOURCE_SHA256 = "c7eb2ad8c36d2a75dc1c6cee701928334614f2e862a70798b0cb278e3102f77d"
PATCH = Path(__file__).with_name("pydoop.patch")
BUILD_SECONDS = 600


def wheel(home: Path) -> Path:
    """Return the wheel for this Python and a Hadoop, built on the first call.

    Parameters
    ----------
    home : Path
        HADOOP_HOME, against whose jars pydoop is compiled.

    Raises
    ------
    Unavailable
        If a tool or header is missing.
    HdlError
        If the source is not the pinned one, or does not build.
    DeadlineError
        If building takes longer than `BUILD_SECONDS`.
    """
    for tool, package in (("javac", "openjdk-17-jdk-headless"), ("g++", "g++"), ("patch", "patch")):
        if not shutil.which(tool) and not (tool == "javac" and (java_home() / "bin/javac").exists()):
            raise Unavailable(f"pydoop needs {tool} to build; on Debian: apt install {package}")
    if not Path("/usr/include/tirpc/rpc/types.h").exists():
        raise Unavailable("pydoop needs rpc/types.h to build; on Debian: apt install libtirpc-dev")
    key = hashlib.sha256(PATCH.read_bytes())
    for dependency in (SOURCE_SHA256, str(home), str(java_home()), sys.version, sysconfig.get_platform()):
        key.update(dependency.encode() + b"\0")
    shelf = cache_folder() / "wheels" / f"pydoop-{key.hexdigest()[:16]}"
    if not shelf.is_dir():
        with locked(shelf.with_suffix(".lock")):
            if not shelf.is_dir():
                with tempfile.TemporaryDirectory(dir=shelf.parent, prefix=".build-") as scratch:
                    _build(Path(scratch), home).rename(shelf)
    return next(shelf.glob("*.whl"))


def _build(scratch: Path, home: Path) -> Path:
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input"]
    # To learn the name, pip runs setup.py in an isolated environment, before anything is patched.
    limit = scratch / "constraints.txt"
    limit.write_text("setuptools<80\n")
    old_setuptools = os.environ | {"PIP_CONSTRAINT": str(limit), "PIP_BUILD_CONSTRAINT": str(limit)}
    programs.check([*pip, "download", "--no-deps", "--no-binary=:all:", "-d", str(scratch), RELEASE],
                   BUILD_SECONDS, environment=old_setuptools)  # fmt: skip
    archive = next(scratch.glob("pydoop-*.tar.gz"))
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    if digest != SOURCE_SHA256:
        raise HdlError(f"{archive.name} has SHA-256 {digest}; expected {SOURCE_SHA256}")
    shutil.unpack_archive(archive, scratch)  # of the digest above; Python 3.11.2 has no filters yet
    source = scratch / archive.name.removesuffix(".tar.gz")
    programs.check(["patch", "-p1", "-s", "-d", str(source), "-i", str(PATCH)], BUILD_SECONDS)
    environment = os.environ | {
        "HADOOP_HOME": str(home),
        "HADOOP_CONF_DIR": os.environ.get("HADOOP_CONF_DIR", str(home / "etc/hadoop")),
        "JAVA_HOME": str(java_home()),
        "PATH": os.pathsep.join([str(home / "bin"), str(java_home() / "bin"), os.environ.get("PATH", os.defpath)]),
    }
    wheels = scratch / "wheels"
    programs.check([*pip, "wheel", "--no-deps", "-w", str(wheels), str(source)], BUILD_SECONDS, environment=environment)
    return wheels


def _hadoop_there() -> Path | None:
    """Find the Hadoop that is there: HADOOP_HOME, or the folder above the `hadoop` on the PATH."""
    if home := os.environ.get("HADOOP_HOME"):
        return Path(home)
    if hadoop := shutil.which("hadoop"):
        return Path(hadoop).resolve().parent.parent
    return None


@click.command()
@click.option(
    "--hadoop",
    "version",
    type=click.Choice(VERSIONS),
    default=None,
    help=f"Assemble this Hadoop and build against it.  [default: the one there, or {DEFAULT_VERSION}]",
)
@click.option("--wheel-only", is_flag=True, help="Print the wheel's path and install nothing.")
def main(version: str | None, wheel_only: bool) -> None:
    """Build the patched pydoop for this Python and install it into its environment."""
    home = hadoop_home(version) if version else _hadoop_there() or hadoop_home()
    try:
        built = wheel(home)
        if wheel_only:
            click.echo(built)
        else:
            # Its only requirement is setuptools, for its own setup.py.
            pip = [sys.executable, "-m", "pip", "install", "--no-deps", "--force-reinstall", "-q"]
            programs.check([*pip, str(built)], BUILD_SECONDS)
    except HdlError as error:
        raise click.ClickException(str(error)) from None


if __name__ == "__main__":
    main()
