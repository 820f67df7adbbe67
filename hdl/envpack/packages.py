"""The packages of a packed environment: hdl, its core and their requirements."""

from __future__ import annotations

import fnmatch
import importlib.metadata
import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from hdl.errors import Unavailable

# hdl's requirements but rich, which only a terminal needs; pydoop names setuptools, for its own setup.py.
ROOTS = ("click", "numpy", "pillow", "pyarrow", "pydantic", "pydoop", "safetensors")
NOT_ON_NODES = frozenset({"setuptools", "argcomplete", "fsspec"})  # of hdfs-native its command line needs the latter
# For YARN, for GPUs and for tables: packages and modules, where they are here; others do without.
OPTIONAL = {
    "jpype1": "jpype", "pyzmq": "zmq", "pycuda": "pycuda", "hdfs-native": "hdfs_native", "fastavro": "fastavro",
    "cramjam": "cramjam",
}  # fmt: skip
# Files for compiling against a package or for testing it, and 130 MB of pyarrow's 170: RPC, S3, Substrait
# plans. (libarrow_substrait itself is linked to by pyarrow's core.)
LEFT_OUT = (
    *("*.pyi", "*.pyx", "*.pxd", "*.pxi", "*.c", "*.cc", "*.cpp", "*.h", "*.hpp", "*.a", "*.pyc", "*.cmake", "*.pth"),
    *("*/tests/*", "*/include/*", "../*"),
    *("*.dist-info/licenses/*", "*.dist-info/sboms/*", "*.dist-info/RECORD"),
    *("pyarrow/src/*", "pyarrow/*flight*", "pyarrow/*s3*", "pyarrow/_substrait.*"),
    *("pyarrow/libarrow_python*.so", "pyarrow/libarrow_python*.so.*.*"),  # the same again under other names
    *("numpy/f2py/*", "numpy/distutils/*", "PIL/_avif.*", "pillow.libs/libavif*"),
)


def distributions() -> list[importlib.metadata.Distribution]:
    """List the distributions of `ROOTS` and all they require, without extras, sorted by name.

    Raises
    ------
    Unavailable
        If one of them is not installed.
    """
    by_name: dict[str, importlib.metadata.Distribution] = {}
    wanted = [*ROOTS, *(name for name, module in OPTIONAL.items() if importlib.util.find_spec(module))]
    while wanted:
        name = _normal(wanted.pop())
        if name in by_name or name in NOT_ON_NODES:
            continue
        try:
            by_name[name] = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            how = "./build.sh hadoop" if name == "pydoop" else f"pip install {name}"
            raise Unavailable(f"the nodes need {name}, which is not installed here: {how}") from None
        for requirement in by_name[name].requires or ():
            if "extra ==" not in requirement and _applies(requirement):
                wanted.append(re.match(r"[\w.-]+", requirement)[0])  # type: ignore[index]
    return [by_name[name] for name in sorted(by_name)]


def contents() -> dict[str, Path]:
    """Collect the archive's files: name in the archive to path here, sorted by name."""
    files = dict(_hdl())
    for distribution in distributions():
        for entry in distribution.files or ():
            files[str(entry)] = Path(str(distribution.locate_file(entry)))
    kept = {
        name: path
        for name, path in files.items()
        if not any(fnmatch.fnmatchcase(name, pattern) for pattern in LEFT_OUT) and path.is_file()
    }
    return dict(sorted(kept.items()))


def _hdl() -> Iterator[tuple[str, Path]]:
    """List hdl's own files: name in the archive, and path here."""
    spec = importlib.util.find_spec("hdl")
    for root in map(Path, (spec.submodule_search_locations if spec else None) or ()):
        for path in root.rglob("*"):
            if path.suffix in (".py", ".so", ".json", ".html", ".txt"):
                yield f"hdl/{path.relative_to(root)}", path


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _applies(requirement: str) -> bool:
    """Tell whether a requirement's marker holds here: it compares versions, or names a platform that is not ours."""
    marker = requirement.partition(";")[2].strip()
    if not marker:
        return True
    if match := re.fullmatch(r"""python_version\s*([<>=!]+)\s*["']([\d.]+)["']""", marker):
        here, there = sys.version_info[:2], tuple(map(int, match[2].split(".")))[:2]
        return {"<": here < there, "<=": here <= there, ">": here > there, ">=": here >= there,
                "==": here == there, "!=": here != there}[match[1]]  # fmt: skip
    return False
