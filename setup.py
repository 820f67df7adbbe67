"""Builds hdl._cpu: the C core, its kernels compiled once for each instruction set, chosen at run time."""

from __future__ import annotations

import hashlib
import os
import platform
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ONCE = ["pool", "isa", "plan", "pack", "check", "train", "rbm", "peak"]
KERNELS = [
    "micro",
    "dense",
    "dot",
    "sparse",
    "activation",
    "loss",
    "input",
    "update",
    "autoencoder",
    "gibbs",
    "kernels",
]
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
AVX2 = ["-mavx2", "-mfma"]
ISAS = {"generic": (4, [])}
if platform.machine().lower() in ("x86_64", "amd64"):
    ISAS["avx2"] = (8, AVX2)
    ISAS["avx512"] = (
        16,
        ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx2", "-mfma", "-mprefer-vector-width=512"],
    )


class Build(build_ext):
    """Compiles csrc/cpu by itself, in parallel, each file with its own flags, then links it into hdl._cpu."""

    def build_extension(self, ext):
        compiler = os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc"
        extra = os.environ.get("CFLAGS", "").split()
        # Not in build_temp, which an editable install throws away: what is compiled once serves every kind of build.
        kind = hashlib.sha256(repr((compiler, CFLAGS, extra, ISAS)).encode()).hexdigest()[:8]
        folder = Path("build", f"core-{kind}")
        folder.mkdir(parents=True, exist_ok=True)
        newest = max(p.stat().st_mtime for p in [*Path("csrc").rglob("*.h"), Path("setup.py")])
        jobs = [(name, [], folder / f"{name}.o") for name in ONCE]
        for isa, (width, flags) in ISAS.items():
            flags = [f"-DHDL_VW={width}", f"-DHDL_ISA_SUFFIX={isa}", *flags]
            jobs += [(name, flags, folder / f"{name}_{isa}.o") for name in KERNELS]

        def compile_one(job):
            name, flags, target = job
            source = Path("csrc/cpu", f"{name}.c")
            if not target.exists() or target.stat().st_mtime < max(newest, source.stat().st_mtime):
                self.spawn([*compiler.split(), *CFLAGS, *extra, *flags, "-c", str(source), "-o", str(target)])
            return str(target)

        with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            ext.extra_objects = list(pool.map(compile_one, jobs))
        super().build_extension(ext)


def extensions():
    from Cython.Build import cythonize

    return cythonize(
        Extension(
            "hdl._cpu",
            ["hdl/_cpu.pyx"],
            include_dirs=["csrc"],
            # Glue without loops of its own: 5 s of compiling, 17 with the -O3 -g that Python brings.
            extra_compile_args=["-pthread", "-O1", "-g0"],
            extra_link_args=["-pthread", "-lm"],
            depends=[*map(str, Path("csrc").rglob("*.[ch]")), *map(str, Path("hdl").glob("*.pxi"))],
        ),
        language_level=3,
    )


setup(ext_modules=extensions(), cmdclass={"build_ext": Build})
