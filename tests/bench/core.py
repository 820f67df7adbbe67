"""One training step of the core against its competitors: `python -m tests.bench.core`.

Competitors run in processes of their own and take turns, repetition by repetition, so that a slow moment of a shared
machine hits all of them; ratios are taken inside a repetition. The peak is measured in every repetition too. PyTorch
and JAX run in the interpreter that `--python` or HDL_BENCH_PYTHON names; without it their columns are left out.

Nets whose weights do not fit the second-level cache have a roofline too (Williams et al. 2009): the time that their
weights need at least to go by, three or four times a step, at the rate of a stream of as many bytes.
"""

import argparse
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROWS = [
    ("400-25-10", "sigmoid", 50),
    ("784-100-32-10", "tanh", 100),
    ("784-100-32-10", "tanh", 2000),
    ("784-512-512-10", "relu", 128),
    ("784-2048-1024-10", "relu", 128),
    ("784-2500-2000-1500-1000-500-10", "relu", 1000),
    ("64-25-64", "sparse", 100),  # autoencoders: autoencoders.py
    ("784-196-784", "sparse", 128),
]
OURS = ["hdl", "numpy", "scikit-learn"]
THEIRS = ["torch eager", "torch.compile", "torch eager †", "jax scan"]
L2 = 1 << 20  # bytes of weights above which a row has a roofline


@dataclass
class Row:
    net: str
    activation: str
    batch: int
    threads: int
    peak: list[float]  # GFLOP/s, one a repetition
    stream: list[float]  # GB/s, one a repetition; empty where the weights stay in the cache
    seconds: dict[str, list[float]]  # competitor → seconds a step, one a repetition
    notes: dict[str, str]

    @property
    def operations(self) -> int:
        """Counts operations of a step: 4·P₁ + 6·P_rest a sample; the first layer needs no input gradient."""
        widths = self.widths
        sizes = [i * o for i, o in pairwise(widths)]
        return self.batch * (4 * sizes[0] + 6 * sum(sizes[1:]))

    @property
    def traffic(self) -> int:
        """Counts the bytes of weights that a step moves at least: read forward, read backward (not those of the first
        layer), read and written by the update."""
        sizes = [i * o for i, o in pairwise(self.widths)]
        return 4 * (3 * sizes[0] + 4 * sum(sizes[1:]))

    @property
    def weights(self) -> int:
        """Counts the bytes of all weights."""
        return 4 * sum(i * o for i, o in pairwise(self.widths))

    @property
    def widths(self) -> list[int]:
        return [int(width) for width in self.net.split("-")]

    def gflops(self, name: str) -> float:
        return self.operations / statistics.median(self.seconds[name]) * 1e-9

    def share(self, name: str) -> float:
        """Computes the share of the peak: the median over repetitions, each against its own peak."""
        pairs = zip(self.seconds[name], self.peak, strict=True)
        return statistics.median(self.operations / s * 1e-9 / peak for s, peak in pairs)

    def memory(self) -> float:
        """Computes how long the traffic takes alone, as a share of what the operations take alone."""
        pairs = zip(self.peak, self.stream, strict=True)
        return statistics.median(self.traffic / stream / (self.operations / peak) for peak, stream in pairs)

    def share_of_roofline(self, name: str) -> float:
        """Computes the share of the roofline: what operations or traffic need at least, over the time taken."""
        triples = zip(self.seconds[name], self.peak, self.stream, strict=True)
        return statistics.median(
            max(self.operations / peak, self.traffic / stream) * 1e-9 / s for s, peak, stream in triples
        )

    def ratio(self, name: str) -> tuple[float, float, float]:
        """Compares with hdl: how many times as long, as median, least and most over repetitions."""
        ratios = sorted(s / reference for s, reference in zip(self.seconds[name], self.seconds["hdl"], strict=True))
        return statistics.median(ratios), ratios[0], ratios[-1]


class Contender:
    """A competitor's process. `ask` sends one line and waits for one.

    It is stopped while it is not asked: the threads of some pools spin for a fifth of a second after their work, which
    takes a processor from whoever is next.
    """

    def __init__(self, name: str, threads: int, python: str, preload: str = "", clock: str = "wall"):
        self.name = name
        environment = {
            key: value for key, value in os.environ.items() if not key.startswith(("OPENBLAS_", "MKL_", "OMP_"))
        }
        for pool in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "NPROC"):  # the last is JAX's
            environment[pool] = str(threads)
        environment["XLA_FLAGS"] = f"--xla_cpu_multi_thread_eigen={'true' if threads > 1 else 'false'}"
        if preload:
            environment["LD_PRELOAD"] = preload
        environment["PYTHONPATH"] = str(HERE.parent.parent) if name.startswith("hdl") else ""
        self.process = subprocess.Popen(
            [python, str(HERE / "contender.py"), name, str(threads), clock],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            text=True,
        )

    def ask(self, **what) -> float:
        self.process.send_signal(signal.SIGCONT)
        print(json.dumps(what), file=self.process.stdin, flush=True)
        line = self.process.stdout.readline()
        self.process.send_signal(signal.SIGSTOP)
        if not line:
            raise RuntimeError(f"ended with status {self.process.wait()}")
        answer = json.loads(line)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer["step"]

    def close(self):
        self.process.send_signal(signal.SIGCONT)
        self.process.stdin.close()
        self.process.wait()


def build(folder: Path, python: str | None) -> tuple[Path, str]:
    """Builds the peak probe, and the library that puts OpenBLAS under PyTorch ('' if that cannot be had)."""
    cc = os.environ.get("CC", "cc")
    probe = folder / "peak"
    subprocess.run([cc, "-O2", "-ffp-contract=fast", "-pthread", str(HERE / "peak.c"), "-o", str(probe)], check=True)
    if not python:
        return probe, ""
    code = "import scipy_openblas32 as s; print(s.get_lib_dir())"
    openblas = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    if openblas.returncode:
        return probe, ""
    blas, shim = openblas.stdout.strip(), folder / "libsgemm.so"
    link = [f"-L{blas}", "-lscipy_openblas", f"-Wl,-rpath,{blas}"]
    subprocess.run([cc, "-O2", "-shared", "-fPIC", str(HERE / "sgemm.c"), "-o", str(shim), *link], check=True)
    return probe, str(shim)


def run_probe(probe: Path, threads: int, clock: str, size: int = 0) -> float:
    """Measures GFLOP/s of multiply-adds in registers, or GB/s of reading and writing `size` bytes over and over."""
    command = [probe, str(threads), clock, str(size)]
    return float(subprocess.run(command, capture_output=True, check=True).stdout)


def measure(rows, threads, names, python, probe, shim, repetitions, seconds, clock, end):
    """Measures the rows of one thread count. A competitor that fails is left out of that row with a note.

    No row is begun after `end`, a time of the monotonic clock.
    """
    with ExitStack() as stack:  # whatever ends it: one that is stopped would stay
        contenders = []
        for name in names:
            preload = shim if name == "torch eager †" else ""
            contender = Contender(name, threads, python if name in THEIRS else sys.executable, preload, clock)
            contenders.append(stack.enter_context(closing(contender)))
        for net, activation, batch in rows:
            if time.monotonic() > end:
                print(f"left out for want of time: {net} batch {batch}, {threads} threads", file=sys.stderr)
                continue
            row = Row(net, activation, batch, threads, [], [], {}, {})
            ready = []
            for contender in contenders:
                try:
                    contender.ask(widths=row.widths, batch=batch, activation=activation)
                    row.seconds[contender.name] = []
                    ready.append(contender)
                except (RuntimeError, BrokenPipeError) as error:
                    row.notes[contender.name] = str(error)
            for repetition in range(repetitions):
                row.peak.append(run_probe(probe, threads, clock))
                if row.weights > L2:
                    row.stream.append(run_probe(probe, threads, clock, row.weights))
                # Each repetition starts with another competitor: nobody always runs after the same neighbour.
                for contender in ready[repetition % len(ready) :] + ready[: repetition % len(ready)]:
                    row.seconds[contender.name].append(contender.ask(seconds=seconds))
            yield row


def markdown(rows: list[Row], names: list[str]) -> str:
    """Writes one table a thread count: time and share of peak for hdl, then how many times as long the others take."""
    text = []
    for threads in sorted({row.threads for row in rows}):
        others = [name for name in names if name != "hdl"]
        text += [
            f"**{threads} thread{'s' if threads > 1 else ''}**",
            "",
            "| net, batch | peak GFLOP/s | stream GB/s | memory | hdl µs/step | hdl GFLOP/s | of peak | of roofline | "
            + " | ".join(f"{n} ×" for n in others)
            + " |",
            "|---|--:|--:|--:|--:|--:|--:|--:|" + "--:|" * len(others),
        ]
        for row in (row for row in rows if row.threads == threads):
            cells = [f"{row.net} {row.activation}, {row.batch}", f"{statistics.median(row.peak):.0f}"]
            cells += [f"{statistics.median(row.stream):.0f}", f"{row.memory():.0%}"] if row.stream else ["–"] * 2
            if "hdl" in row.seconds:
                cells += [f"{statistics.median(row.seconds['hdl']) * 1e6:,.1f}", f"{row.gflops('hdl'):.0f}"]
                cells += [f"{row.share('hdl'):.0%}", f"{row.share_of_roofline('hdl'):.0%}" if row.stream else "–"]
            else:
                cells += ["–"] * 4
            for name in others:
                if name in row.seconds and "hdl" in row.seconds:
                    middle, least, most = row.ratio(name)
                    cells.append(f"{middle:.2f} ({least:.2f}–{most:.2f})")
                elif name in row.seconds:
                    cells.append(f"{statistics.median(row.seconds[name]) * 1e6:,.1f} µs")
                else:
                    cells.append("–")
            text.append("| " + " | ".join(cells) + " |")
        text.append("")
    notes = sorted({f"{name}: {note}" for row in rows for name, note in row.notes.items()})
    return "\n".join(text + [f"Left out: {note}" for note in notes])


def machine() -> str:
    facts = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":")[1].strip() for line in facts if line.startswith("model name")), "")
    flags = next((line for line in facts if line.startswith("flags")), "")
    vectors = "AVX-512" if " avx512f" in flags else "AVX2" if " avx2" in flags else "no AVX2"
    return f"{model or platform.machine()}, {os.cpu_count()} cores, {vectors}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=os.environ.get("HDL_BENCH_PYTHON"), help="Python with PyTorch and JAX")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=0.2, help="time of one measurement")
    parser.add_argument("--limit", type=float, default=480, help="seconds after which no further row is begun")
    parser.add_argument("--rows", nargs="+", default=[""], help="only rows whose net and batch hold one of these texts")
    parser.add_argument("--only", nargs="+", default=OURS + THEIRS, help="only these competitors")
    parser.add_argument(
        "--cpu-time",
        action="store_true",
        help="count processor time, not wall time: for a busy machine, one thread only",
    )
    parser.add_argument("--json", type=Path, help="write every measurement here")
    options = parser.parse_args()
    if options.cpu_time:
        options.threads = [1]  # of several threads, those that wait would count as if they worked
    clock = "cpu" if options.cpu_time else "wall"

    names = [name for name in OURS + THEIRS if name in options.only and (options.python or name not in THEIRS)]
    rows = [row for row in ROWS if any(text in f"{row[0]} b{row[2]}" for text in options.rows)]
    done, end = [], time.monotonic() + options.limit
    with tempfile.TemporaryDirectory() as folder:
        probe, shim = build(Path(folder), options.python)
        if not shim:
            names = [name for name in names if name != "torch eager †"]
        try:
            for threads in options.threads:
                for row in measure(
                    rows, threads, names, options.python, probe, shim, options.repetitions, options.seconds, clock, end
                ):
                    print(f"measured {row.net} batch {row.batch}, {row.threads} threads", file=sys.stderr)
                    done.append(row)
        except KeyboardInterrupt:
            print("stopped; the rows that are whole:", file=sys.stderr)
    print(f"{machine()}; {clock} time; medians and (least–most) of {options.repetitions} interleaved repetitions\n")
    print(markdown(done, names))
    if not options.python:
        print("\nNo PyTorch, no JAX: name a Python that has them with --python or HDL_BENCH_PYTHON.")
    if options.json:
        options.json.write_text(json.dumps([vars(row) for row in done], indent=1))


if __name__ == "__main__":
    main()
