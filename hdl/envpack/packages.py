"""The packages of a packed environment: hdl, its core and their requirements."""

from __future__ import annotations

import fnmatch
import importlib.metadata
import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

from hdl.errors import Unavailable

# hdl's requirements but rich, which only a terminal needs; pydoop names setuptools, for its own setup.py.
ROOTS = ("click", "numpy", "pillow", "pyarrow", "pydantic", "pydoop", "safetensors")
NOT_ON_NODES = frozenset({"setuptools", "argcomplete", "fsspec"})  # of hdfs-native its command line needs the latter
# For YARN, GPUs, tables and encrypted temporary files: packages and modules, where they are here; others do without.
OPTIONAL = {
    "jpype1": "jpype", "pyzmq": "zmq", "pycuda": "pycuda", "hdfs-native": "hdfs_native", "fastavro": "fastavro",
    "cramjam": "cramjam", "cryptography": "cryptography",
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
_LEFT_OUT = re.compile("|".join(map(fnmatch.translate, LEFT_OUT)))


def distributions() -> list[importlib.metadata.Distribution]:
    """List the distributions of `ROOTS` and all they require, without extras, sorted by name.

    Raises
    ------
    Unavailable
        If one of them is not installed.
    """
    try:
        from packaging.requirements import Requirement
        from packaging.utils import canonicalize_name
    except ImportError:
        raise Unavailable("packing an environment needs packaging: pip install 'hdl-hadoop[hadoop]'") from None

    by_name: dict[str, importlib.metadata.Distribution] = {}
    wanted = [*ROOTS, *(name for name, module in OPTIONAL.items() if importlib.util.find_spec(module))]
    while wanted:
        name = canonicalize_name(wanted.pop())
        if name in by_name or name in NOT_ON_NODES:
            continue
        try:
            by_name[name] = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            how = "./build.sh hadoop" if name == "pydoop" else f"pip install {name}"
            raise Unavailable(f"the nodes need {name}, which is not installed here: {how}") from None
        for requirement in map(Requirement, by_name[name].requires or ()):
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                wanted.append(requirement.name)
    return [by_name[name] for name in sorted(by_name)]


def contents() -> dict[str, Path]:
    """Collect the archive's files: name in the archive to path here, sorted by name."""
    files = dict(_hdl())
    for distribution in distributions():
        for entry in distribution.files or ():
            files[str(entry)] = Path(str(distribution.locate_file(entry)))
    kept = {name: path for name, path in files.items() if not _LEFT_OUT.match(name) and path.is_file()}
    return dict(sorted(kept.items()))


def _hdl() -> Iterator[tuple[str, Path]]:
    """List hdl's own files: name in the archive, and path here."""
    spec = importlib.util.find_spec("hdl")
    for root in map(Path, (spec.submodule_search_locations if spec else None) or ()):
        for path in root.rglob("*"):
            if path.suffix in (".py", ".so", ".json", ".html", ".txt"):
                yield f"hdl/{path.relative_to(root)}", path
