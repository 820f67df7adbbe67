"""Builds hdl._cpu, the C core, its kernels compiled once for each instruction set and chosen at run time, and
hdl._cuda, its like for GPUs, where there is an nvcc: in CUDA_HOME, among this Python's packages or on the PATH.
HDL_CUDA=0 leaves it out, HDL_CUDA=1 makes a missing nvcc an error.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

CFLAGS = [
    "-std=gnu11",
    "-O3",
    "-g1",
    "-fPIC",
    "-fno-math-errno",
    "-Wall",
    "-Wextra",
    "-Wno-psabi",
    "-fvisibility=hidden",
]
# Flags of csrc/cpu/kernels/ISA.c; hdl chooses among them when it starts.
AVX2 = ["-mavx2", "-mfma"]
ISAS = {
    "generic": [],
    "avx2": AVX2,
    "avx512": ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", *AVX2, "-mprefer-vector-width=512"],
}
# csrc/cpu/kernels/ISA_bf16.c: products by the instructions of AVX512-BF16, where the compiler knows them.
BF16 = ["-mavx512bf16", "-mavx512vl"]
if platform.machine().lower() not in ("x86_64", "amd64"):
    ISAS, BF16 = {"generic": []}, []

NVCC_FLAGS = [
    "-std=c++17",
    "-O3",
    # Machine code for Ampere and Hopper; what comes after them compiles the PTX when hdl._cuda is first used there.
    "-gencode=arch=compute_80,code=sm_80",
    "-gencode=arch=compute_90,code=[sm_90,compute_90]",
    "--threads=2",  # both at once
    "-Icsrc",
    "-Werror=all-warnings",
    "-Xptxas=-v,-Werror",
    "-Xcompiler=-fPIC,-fvisibility=hidden,-Wall,-Wextra,-Werror",
]
# The CUDA runtime is linked in and hidden: importing hdl._cuda needs nothing of CUDA, running it the driver alone.
CUDA_LIBRARIES = ["cudart_static", "stdc++", "rt", "dl", "pthread"]
# Glue without loops of its own: 5 s of compiling, 17 with the -O3 -g that Python brings.
GLUE = ["-pthread", "-O1", "-g0"]


def toolkit():
    """The folder of the CUDA toolkit, or None to build without."""
    wanted = os.environ.get("HDL_CUDA", "")
    if wanted == "0" or not Path("hdl/_cuda.pyx").exists():
        return None
    places = [Path(sysconfig.get_path("purelib"), "nvidia", "cu13")]
    if nvcc := shutil.which("nvcc"):
        places.append(Path(nvcc).resolve().parents[1])
    if home := os.environ.get("CUDA_HOME"):
        places = [Path(home)]
    found = next((place for place in places if os.access(place / "bin/nvcc", os.X_OK)), None)
    if wanted == "1" and not found:
        raise SystemExit(f"HDL_CUDA=1, but there is no bin/nvcc in {' or '.join(map(str, places))}")
    return found


class Build(build_ext):
    """Compiles csrc by itself, in parallel, each file with its own flags, then links what came of it."""

    def build_extension(self, ext):
        name, jobs = cuda_jobs() if ext.name == "hdl._cuda" else core_jobs()
        # Not in build_temp, which an editable install throws away: what is compiled once serves every kind of build.
        flags = sorted({tuple(command[1:]) for _, _, command in jobs})
        version = subprocess.run([jobs[0][2][0], "--version"], capture_output=True, text=True, check=True).stdout
        kind = hashlib.sha256(repr((version, flags)).encode()).hexdigest()[:8]
        folder = Path("build", f"{name}-{kind}")
        folder.mkdir(parents=True, exist_ok=True)

        def compile_one(job):
            source, target, command = job
            target = folder / target
            needs = [source, *Path("csrc").glob("*.h"), *Path(*source.parts[:2]).rglob("*.*h")]
            if not target.exists() or target.stat().st_mtime < max(path.stat().st_mtime for path in needs):
                command = [*command, "-c", str(source), "-o", str(target)]
                done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
                print(*command, "\n" + done.stdout, flush=True)
                target.with_suffix(".log").write_text(done.stdout)  # what ptxas says of the kernels: a test reads it
                if done.returncode:
                    raise CompileError(f"{source} does not compile")
            return str(target)

        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            ext.extra_objects = list(pool.map(compile_one, jobs))
        super().build_extension(ext)


def core_jobs():
    """What to compile of the C core: (source, name of the object, command)."""
    compiler = (os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc").split()
    compiler += [*CFLAGS, *os.environ.get("CFLAGS", "").split()]
    jobs = [(Path(f"csrc/cpu/kernels/{isa}.c"), f"{isa}.o", [*compiler, *flags]) for isa, flags in ISAS.items()]
    probe = [*compiler, *BF16, "-x", "c", "-E", os.devnull]
    if BF16 and subprocess.run(probe, capture_output=True, check=False).returncode == 0:
        compiler.append("-DHDL_HAS_NATIVE_PAIRS")
        jobs += [
            (Path(f"csrc/cpu/kernels/{isa}_bf16.c"), f"{isa}_bf16.o", [*compiler, *ISAS[isa], *BF16])
            for isa in ("avx2", "avx512")
        ]
    return "core", [*jobs, *((path, f"{path.stem}.o", compiler) for path in sorted(Path("csrc/cpu").glob("*.c")))]


def cuda_jobs():
    """What to compile of the CUDA core: (source, name of the object, command)."""
    nvcc = [str(toolkit() / "bin/nvcc"), *NVCC_FLAGS]
    if compiler := os.environ.get("CXX"):
        nvcc.append(f"-ccbin={compiler}")
    return "cuda", [(source, f"{source.stem}.o", nvcc) for source in sorted(Path("csrc/cuda").rglob("*.cu"))]


def extensions():
    from Cython.Build import cythonize

    sources = [path for kind in ("*.c", "*.h", "*.cu", "*.cuh") for path in Path("csrc").rglob(kind)]
    common = {"include_dirs": ["csrc"], "extra_compile_args": GLUE}
    common["depends"] = sorted(map(str, [*sources, *Path("hdl").glob("*.pxi"), "setup.py"]))
    found = [Extension("hdl._cpu", ["hdl/_cpu.pyx"], extra_link_args=["-pthread", "-lm"], **common)]
    if home := toolkit():
        found.append(
            Extension(
                "hdl._cuda",
                ["hdl/_cuda.pyx"],
                library_dirs=[str(path) for path in (home / "lib64", home / "lib") if path.is_dir()],
                libraries=CUDA_LIBRARIES,
                extra_link_args=["-pthread", "-Wl,--exclude-libs,ALL"],
                **common,
            )
        )
    return cythonize(found, language_level=3)


setup(ext_modules=extensions(), cmdclass={"build_ext": Build})
