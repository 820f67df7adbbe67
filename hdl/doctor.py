"""Examines what this machine offers to hdl, and names the command that gets each missing piece."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hdl import hadoop_access
from hdl.yarn.resource_manager.class_path import archive_shown

# flags of /proc/cpuinfo that each kind of kernel needs, the best first
ISAS = {"avx512": {"avx512f", "avx512bw", "avx512vl", "avx512dq"}, "avx2": {"avx2", "fma"}, "generic": set()}
# What the core says of itself: kernels that run here; how the best ones multiply bfloat16.
_CORE = "from hdl import _cpu; print(*_cpu.isas(), ';', _cpu.bf16_way(_cpu.best_isa()))"
NAMES = {
    "PIL": "pillow",
    "sklearn": "scikit-learn",
    "jpype": "jpype1",
    "zmq": "pyzmq",
}  # where the package is not called as its module
# module: (purpose, command that installs it, needed by all of hdl)
PACKAGES = {
    "numpy": ("arrays", "pip install numpy", True),
    "pydantic": ("the spec", "pip install pydantic", True),
    "click": ("command line", "pip install click", True),
    "safetensors": ("weight table", "pip install safetensors", True),
    "pyarrow": ("Parquet, CSV", "pip install pyarrow", True),
    "rich": ("progress", "pip install rich", True),
    "matplotlib": ("report", "pip install matplotlib", False),
    "PIL": ("folders of images", "pip install pillow", True),
    "scipy": ("sparse input", "pip install scipy", False),
    "sklearn": ("estimators, demo", "pip install scikit-learn", False),
    "onnx": ("hdl export", "pip install onnx onnxruntime", False),
    "onnxruntime": ("check of exports", "pip install onnxruntime", False),
    "pydoop": ("HDFS, MapReduce", "./build.sh hadoop   (in a checkout: its last release does not build)", False),
    "jpype": ("YARN", "pip install jpype1", False),
    "zmq": ("YARN", "pip install pyzmq", False),
    "cryptography": ("YARN, --encrypt-spill", "pip install cryptography", False),
    "pycuda": ("GPU", "./build.sh cuda   (in a checkout)", False),
}


@dataclass(frozen=True)
class Finding:
    """Says whether one requirement is met.

    Parameters
    ----------
    topic : str
        Section of the report.
    name : str
        Of the requirement.
    found : str
        Version, path or description of what meets it; empty if it is missing.
    fix : str
        The command that gets it, or other advice; empty if nothing is missing.
    needed : bool
        True where hdl cannot train on this machine without it.
    """

    topic: str
    name: str
    found: str
    fix: str = ""
    needed: bool = False

    @property
    def ok(self) -> bool:
        """Tell whether nothing is to be mended."""
        return not self.fix


def examine() -> list[Finding]:
    """Examine this machine for all that hdl needs; starts a few short processes, changes nothing."""
    return [*_machine(), *_core(), *_hadoop(), *_gpu(), *_packages()]


def as_dict(findings: list[Finding]) -> dict[str, Any]:
    """Return all findings, and whether hdl can train here, as `hdl doctor --json` prints them."""
    return {
        "ready": all(finding.ok for finding in findings if finding.needed),
        "findings": [{**asdict(finding), "ok": finding.ok} for finding in findings],
    }


def _machine() -> list[Finding]:
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    python = platform.python_version()
    old = "" if sys.version_info >= (3, 11) else "install Python 3.11 or later"
    cpuinfo = _read("/proc/cpuinfo")
    model = re.search(r"model name\s*:\s*(.+)", cpuinfo)
    return [
        Finding("Machine", "system", f"{platform.system()} {platform.release()} {platform.machine()}"),
        Finding("Machine", "processor", model[1] if model else platform.processor() or platform.machine()),
        Finding("Machine", "threads", f"{cpus} usable of {os.cpu_count()}"),
        Finding("Machine", "memory", _memory()),
        Finding("Machine", "Python", f"{python} ({sys.executable})", old, needed=True),
    ]


def _core() -> list[Finding]:
    flags = set((re.search(r"flags\s*:\s*(.+)", _read("/proc/cpuinfo")) or ["", ""])[1].split())
    offered = [isa for isa, needs in ISAS.items() if needs <= flags]
    forced = os.environ.get("HDL_ISA", "")
    isa = f"{', '.join(offered)}" + (f"; HDL_ISA={forced} is set" if forced else "")
    unknown = f"unset HDL_ISA, or set one of {', '.join(offered)}" if forced and forced not in offered else ""
    findings = [Finding("Core", "instruction set", isa, unknown, needed=bool(forced))]
    if importlib.util.find_spec("hdl._cpu") is None:
        return [*findings, Finding("Core", "C core", "", "pip install .   (needs a C compiler; or ./build.sh)", True)]
    # In a process of its own: a broken core must not end this one too.
    status, text = _run([sys.executable, "-c", _CORE], timeout=30)
    last = text.splitlines()[-1] if text else f"status {status}"
    if status != 0:
        return [*findings, Finding("Core", "C core", "", f"build it anew: pip install .   ({last})", needed=True)]
    kernels, _, bf16 = last.partition(";")
    return [
        *findings,
        Finding("Core", "C core", f"loads; kernels that run here: {', '.join(kernels.split())}"),
        Finding("Core", "bfloat16", bf16.strip()),
    ]


def _hadoop() -> list[Finding]:
    java = _java()
    get_java = "apt-get install openjdk-17-jre-headless   (or set JAVA_HOME)"
    home = os.environ.get("HADOOP_HOME", "")
    command = shutil.which("hadoop") or (shutil.which(str(Path(home, "bin", "hadoop"))) if home else None)
    get_hadoop = "hdl cluster start   (to try it here), or put the bin folder of your Hadoop on PATH"
    if home and not Path(home).is_dir():
        set_home = f"HADOOP_HOME is {home}, which is no folder: export HADOOP_HOME=FOLDER"
    elif not home:
        set_home = "export HADOOP_HOME=" + (str(Path(command).resolve().parent.parent) if command else "FOLDER")
    else:
        set_home = ""
    hadoop = ""
    if command:
        status, text = _run([command, "version"], timeout=20)
        hadoop = f"{text.splitlines()[0] if status == 0 and text else 'does not start'} ({command})"
    return [
        Finding("Hadoop", "Java", java, "" if java else get_java),
        Finding("Hadoop", "hadoop", hadoop, "" if hadoop else get_hadoop),
        Finding("Hadoop", "HADOOP_HOME", "" if set_home else home, set_home),
        *([Finding("Hadoop", "Java's classes", *archive_shown())] if hadoop and java else []),
        *(Finding("Hadoop", step.name, step.found, step.fix) for step in hadoop_access.examine() if hadoop),
    ]


def _java() -> str:
    home = os.environ.get("JAVA_HOME", "")
    command = shutil.which(str(Path(home, "bin", "java"))) if home else None
    command = command or shutil.which("java")
    if not command:
        return ""
    status, text = _run([command, "-version"], timeout=20)
    return f"{text.splitlines()[0]} ({command})" if status == 0 and text else ""


def _gpu() -> list[Finding]:
    """List the GPUs that the driver shows and those that hdl can use, asked in a process of its own like the core."""
    findings = []
    if shutil.which("nvidia-smi"):
        query = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
        status, text = _run(query, timeout=20)
        shown = text.splitlines() if status == 0 else []
        findings = [Finding("GPU", f"GPU {number}", f"{line} (driver)") for number, line in enumerate(shown)]
    ask = "import json; from hdl import devices; print(json.dumps([devices.listed(), devices.why_not()]))"
    status, text = _run([sys.executable, "-c", ask], timeout=60)
    last = text.splitlines()[-1] if text else f"status {status}"
    usable, why = json.loads(last) if status == 0 else ([], last)
    findings += [Finding("GPU", f"cuda:{number}", line) for number, line in enumerate(usable)]
    return findings if usable else [*findings, Finding("GPU", "for hdl", "", f"{why} (hdl runs without a GPU)")]


def _packages() -> list[Finding]:
    by_module = importlib.metadata.packages_distributions()
    findings = []
    for module, (purpose, fix, needed) in PACKAGES.items():
        version = ""
        if importlib.util.find_spec(module) is not None:
            names = by_module.get(module, [])
            version = importlib.metadata.version(names[0]) if names else "present"
        title = f"{NAMES.get(module, module)} ({purpose})"
        findings.append(Finding("Packages", title, version, "" if version else fix, needed))
    return findings


def _memory() -> str:
    sizes = dict(re.findall(r"(\w+):\s+(\d+) kB", _read("/proc/meminfo")))
    if "MemTotal" not in sizes:
        return "unknown"
    total, free = (int(sizes.get(name, 0)) / 2**20 for name in ("MemTotal", "MemAvailable"))
    return f"{total:.1f} GiB, {free:.1f} GiB available"


def _read(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""


def _run(command: list[str], timeout: float) -> tuple[int, str]:
    """Run a command; returns its exit status (127: it cannot start, or hangs), and standard output and error as one."""
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, timeout=timeout,
            check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        return 127, str(error)
    return done.returncode, done.stdout.decode(errors="replace").strip()
