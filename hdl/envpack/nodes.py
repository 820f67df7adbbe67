"""What a packed environment asks of a node, and the script in it that starts Python there or says why it cannot."""

from __future__ import annotations

import json
import platform
import re
import shlex
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hdl.envpack import elf
from hdl.envpack.interpreter import FALLBACK, FOLDER, Interpreter
from hdl.errors import SpecError

LAUNCHER = "bin/python"  # in the archive
NEEDS = "needs.json"
UNFIT = 78  # the launcher's status on a node that cannot run it: EX_CONFIG of sysexits.h
# How Linux names what the levels of x86-64 add; pyarrow's wheels are compiled for the second.
LEVELS = {
    "x86-64-v2": ("cx16", "lahf_lm", "popcnt", "sse4_1", "sse4_2", "ssse3"),
    "x86-64-v3": ("abm", "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe"),
    "x86-64-v4": ("avx512bw", "avx512cd", "avx512dq", "avx512f", "avx512vl"),
}
SENTENCE = re.compile(r"hdl: (node \S+ cannot run the packed environment: [^()]*\([^()]*\))")
REMEDY = "hdl env pack --interpreter packs another Python, --python names one that is on the nodes"

# By bash, as YARN starts containers: dash drops variables with a dot in their name, and a MapReduce task is told its
# port by mapreduce.pipes.command.port.
CHECK = """\
#!/bin/bash
# Starts {what}, on a node that can run it.
case $0 in /*) root=$0 ;; *) root=$PWD/$0 ;; esac
root=${{root%/bin/*}}
tool() {{ PATH=${{PATH:+$PATH:}}/usr/bin:/bin:/usr/sbin:/sbin "$@" 2>/dev/null; }}
unfit() {{
  echo "hdl: node $(tool uname -n) cannot run the packed environment: $1 ({remedy})" >&2
  exit {unfit}
}}
"""
OWN = """\
machine=$(tool uname -m)
[ "$machine" = {machine} ] || unfit "its processor is $machine, and what was packed is for {machine}"
[ -e {loader} ] || unfit "it has no glibc, or one for another processor: there is no {loader}"
glibc=$(tool getconf GNU_LIBC_VERSION)
[ -n "$glibc" ] || glibc=$({loader} --version 2>/dev/null | while read -r line; do echo "${{line##* }}"; break; done)
glibc=${{glibc#glibc }} glibc=${{glibc%.}}
minor=${{glibc#*.}} minor=${{minor%%[!0-9]*}}
if [ "${{glibc%%.*}}" = 2 ] && [ -n "$minor" ] && [ "$minor" -lt {minor} ]; then
  unfit "its glibc is $glibc, and what was packed asks for 2.{minor} or newer, {newest}"
fi
if [ -r /proc/cpuinfo ]; then
  while read -r name colon flags; do [ "$name" = flags ] && break; done </proc/cpuinfo
  lacks=
  for flag in {processor}; do case " $flags " in *" $flag "*) ;; *) lacks="$lacks $flag" ;; esac; done
  [ -z "$flags" ] || [ -z "$lacks" ] || unfit "its processor has no$lacks, which what was packed uses"
fi
python=$root/{program}
[ -x "$python" ] || unfit "no program may be run from $root, which is perhaps mounted noexec"
unset PYTHONHOME
PYTHONNOUSERSITE=1
export PYTHONNOUSERSITE
"""
NAMED = """\
python=$(command -v {program})
[ -n "$python" ] || unfit "it has no {program} that can be run, PATH is $PATH"
"""
RUN = """\
PYTHONPATH=$root${PYTHONPATH:+:$PYTHONPATH}
export PYTHONPATH
exec "$python" "$@"
"""

# Python imports this by itself when it starts with the archive on its path.
STARTS = '''"""Stops a Python that the packages beside this file were not made for; finds the packed one's libraries."""
import os
import sys

if sys.version_info[:2] != {version}:
    raise SystemExit("hdl: node %s cannot run the packed environment: its Python is %d.%d, and the packages were made "
                     "for %d.%d ({remedy})" % ((os.uname().nodename,) + sys.version_info[:2] + {version}))

_root = os.path.dirname(os.path.abspath(__file__))
if sys.base_prefix == os.path.join(_root, "{folder}"):
    _libraries = os.path.join(_root, "{fallback}")
    for _name in sorted(os.listdir(_libraries)) if os.path.isdir(_libraries) else ():
        import _ctypes
        try:
            _ctypes.dlopen(_name, os.RTLD_LAZY)  # the node's own, which is not older than its Java's
        except OSError:
            _ctypes.dlopen(os.path.join(_libraries, _name), os.RTLD_LAZY)
    # OpenSSL was told where certificates are where it was compiled.
    if not {{"SSL_CERT_FILE", "SSL_CERT_DIR"}} & set(os.environ):
        for _name in {certificates}:
            if os.path.exists(_name):
                os.environ["SSL_CERT_FILE"] = _name
                break
'''
# Of Debian, of Red Hat and of SUSE.
CERTIFICATES = (
    "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem",
)  # fmt: skip


@dataclass(frozen=True)
class Needs:
    """Holds what a packed environment asks of a node.

    Parameters
    ----------
    python : str
        Version of the interpreter in it, or name of the one that nodes have.
    packed : bool
        The interpreter is in it.
    machine : str
        As `uname -m` says it.
    glibc : str
        The oldest that loads all of it.
    newest : tuple of str
        The files that ask for it.
    processor : tuple of str
        Instruction sets, as Linux names them.
    loader : str
        Path of glibc's loader.
    """

    python: str
    packed: bool
    machine: str
    glibc: str
    newest: tuple[str, ...] = ()
    processor: tuple[str, ...] = ()
    loader: str = field(default="", repr=False)

    def to_json(self) -> bytes:
        """Write the needs as the archive's first file."""
        return json.dumps(asdict(self), indent=1).encode()

    @classmethod
    def from_json(cls, text: bytes) -> Needs:
        """Read what `to_json` wrote."""
        fields: dict[str, Any] = json.loads(text)
        fields |= {name: tuple(value) for name, value in fields.items() if isinstance(value, list)}
        return cls(**fields)

    def told(self) -> str:
        """Say in one sentence what a node must have."""
        has = f"Python {self.python} is in it" if self.packed else f"their own {self.python} on each of them"
        asks = f"for nodes with {self.machine} and glibc {self.glibc} or newer (asked for by {_listed(self.newest)})"
        return f"{asks}; {has}"


def needs(contents: Mapping[str, bytes], python: Interpreter | str) -> Needs:
    """Find out what the files of an archive ask of a node.

    Parameters
    ----------
    contents : mapping
        Name in the archive to content.
    python : Interpreter or str
        That is among them, or the name of the nodes' own.
    """
    asked = {name: elf.glibc(content) for name, content in contents.items()
             if elf.is_elf(content) and not name.startswith(FALLBACK)}  # fmt: skip
    newest = max(asked.values(), default=(0,))
    names = tuple(name for name, version in asked.items() if version == newest)
    glibc, machine = ".".join(map(str, newest)), platform.machine()
    if isinstance(python, str):
        return Needs(python, False, machine, glibc, names, _processor("", machine))
    loader = elf.read(contents[python.program]).loader
    return Needs(python.version, True, machine, glibc, names, _processor(python.flags, machine), loader)


def check(found: Needs, oldest: str) -> None:
    """Refuse an environment that asks for a newer glibc than the nodes' oldest.

    Raises
    ------
    SpecError
    """
    if not re.fullmatch(r"2\.\d+", oldest):
        raise SpecError(f"--glibc: expected a version of glibc, such as 2.28 (given {oldest!r})")
    if int(found.glibc.partition(".")[2] or 0) > int(oldest[2:]):
        remedy = "--interpreter packs a Python that was made on an older Linux, --python names one on the nodes"
        raise SpecError(f"--glibc {oldest}: {_listed(found.newest)} asks for glibc {found.glibc} ({remedy})")


def scripts(found: Needs, python: Interpreter | str) -> dict[str, bytes]:
    """Write the launcher, and the module that Python imports when it starts: name in the archive to content."""
    what = f"the Python {found.python} that was packed" if found.packed else f"the node's own {found.python}"
    text = CHECK.format(what=what, remedy=REMEDY, unfit=UNFIT)
    if isinstance(python, Interpreter):
        text += OWN.format(
            machine=found.machine, loader=found.loader, minor=found.glibc.partition(".")[2] or 0,
            newest="as its " + _listed(tuple(name.rpartition("/")[2] for name in found.newest)) + " does",
            processor=" ".join(found.processor) or '""', program=python.program,
        )  # fmt: skip
    else:
        text += NAMED.format(program=shlex.quote(python))
    starts = STARTS.format(version=tuple(sys.version_info[:2]), remedy=REMEDY, folder=FOLDER, fallback=FALLBACK,
                           certificates=CERTIFICATES)  # fmt: skip
    return {LAUNCHER: (text + RUN).encode(), "sitecustomize.py": starts.encode()}


def refusal(text: Any) -> str | None:
    """Find in a log or in YARN's diagnostics the sentence of a node that cannot run the environment.

    Examples
    --------
    >>> refusal("x\\nhdl: node n1 cannot run the packed environment: its glibc is 2.17 (hdl env pack …)\\ny")
    'node n1 cannot run the packed environment: its glibc is 2.17 (hdl env pack …)'
    """
    match = SENTENCE.search(" ".join(str(text).split()))
    return match[1] if match else None


def _processor(flags: str, machine: str) -> tuple[str, ...]:
    """Name the instruction sets that compiled code uses without asking."""
    if machine != "x86_64":
        return ()
    level = "x86-64-v2"
    for march in re.findall(r"-march=(\S+)", flags):
        if march in LEVELS:
            level = max(level, march)
        elif march not in ("x86-64", "core2", "nocona", "nehalem"):
            level = "x86-64-v4"  # of one kind of processor, such as native: all that this one has
    known = list(LEVELS)
    wanted = [flag for name in known[: known.index(level) + 1] for flag in LEVELS[name]]
    if level != "x86-64-v4":
        return tuple(wanted)
    own = re.search(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.M)
    have = own[1].split() if own else []
    return tuple(flag for flag in wanted if flag in have)


def _listed(names: tuple[str, ...]) -> str:
    return names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "") if names else "nothing"
