"""One training step of an RBM against scikit-learn's BernoulliRBM: `python -m tests.bench.rbm`.

Processes, turns and peak are those of `tests.bench.core`. Operations are counted as executed, in products of 2·B·I·H.
CD-1 has five: up, down, up, and two for the weights. So has scikit-learn, whose chains' hidden units wait from step to
step. hdl's persistent chains have seven: up and down for the reported cost; up, down and up for as many chains; two
for the weights.
"""

import argparse
import statistics
import sys
import tempfile
from contextlib import ExitStack, closing
from pathlib import Path

from tests.bench.core import Contender, build, machine, run_probe

PRODUCTS = {"cd": 5, "pcd": 7}


def measure(net: str, batch: int, kind: str, threads: int, repetitions: int, seconds: float, probe: Path) -> dict:
    """Measures shares of the peak and ratios, one a repetition."""
    widths = [int(width) for width in net.split("-")]
    operations = PRODUCTS[kind] * 2 * batch * widths[0] * widths[1]
    with ExitStack() as stack:
        names = "hdl RBM", "scikit-learn RBM"
        both = [stack.enter_context(closing(Contender(name, threads, sys.executable))) for name in names]
        columns = {"peak": [], "hdl": [], "share": [], "ratio": []}
        for contender in both:
            contender.ask(widths=widths, batch=batch, activation=kind)
        for repetition in range(repetitions):
            peak = run_probe(probe, threads, "wall")
            turns = both if repetition % 2 else both[::-1]
            took = {contender.name: contender.ask(seconds=seconds) for contender in turns}
            columns["peak"].append(peak)
            columns["hdl"].append(took["hdl RBM"])
            columns["share"].append(operations / took["hdl RBM"] * 1e-9 / peak)
            columns["ratio"].append(took["scikit-learn RBM"] / took["hdl RBM"])
    return columns


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.15, help="time of one measurement")
    parser.add_argument("--net", default="784-500")
    parser.add_argument("--batch", type=int, default=128)
    options = parser.parse_args()
    print(f"{machine()}; medians and (least–most) of {options.repetitions} interleaved repetitions\n")
    print("| RBM, batch, threads | peak GFLOP/s | hdl µs/step | of peak | scikit-learn × |\n|---|--:|--:|--:|--:|")
    with tempfile.TemporaryDirectory() as folder:
        probe, _ = build(Path(folder), None)
        for threads in options.threads:
            for kind, name in (("cd", "CD-1"), ("pcd", f"PCD-1, {options.batch} chains")):
                columns = measure(
                    options.net, options.batch, kind, threads, options.repetitions, options.seconds, probe
                )
                share, ratio = sorted(columns["share"]), sorted(columns["ratio"])
                print(
                    f"| {options.net} {name}, {options.batch}, {threads} | {statistics.median(columns['peak']):.0f} "
                    f"| {statistics.median(columns['hdl']) * 1e6:,.0f} "
                    f"| {statistics.median(share):.0%} ({share[0]:.0%}–{share[-1]:.0%}) "
                    f"| {statistics.median(ratio):.2f} ({ratio[0]:.2f}–{ratio[-1]:.2f}) |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
