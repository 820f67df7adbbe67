"""Time and memory of measuring two classes, beside scikit-learn: `python -m tests.bench.metrics --rows 10000000`.

Scores lie in a file, 2 % of the rows are of class 1. hdl adds them in blocks, as parts that are joined, and tells AUC,
PR-AUC, log loss, Brier score, best thresholds and curves; scikit-learn's `roc_auc_score` and `average_precision_score`
take the whole arrays. Each runs in a process of its own, in turn, repetition by repetition. Seconds are those of the
wall and of the processor; memory is the most that a process held beyond what its imports took. The digits are compared:
those of all numbers of parts are the same, and scikit-learn's to 1e-12.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parents[2]
BLOCK = 1 << 16  # rows that are added at a time
HDL = """
seen = [Measures(Task("binary", "sigmoid", 1)) for _ in range(parts)]
for number, low in enumerate(range(0, rows, block)):
    part = slice(low, low + block)
    weight = None if weights is None else np.array(weights[part])
    seen[number % parts].add(np.array(scores[part])[:, None], np.array(classes[part]).astype(np.int32), weight)
while len(seen) > 1:
    seen.append(seen.pop(0).join(seen.pop(0)))
found = seen[0].scanned(curves=True)[0]
told = [found.auc, found.pr_auc] + [seen[0].metrics()[name] for name in ("logloss", "brier", "f1", "mcc")]
"""
SKLEARN = """
score, y = np.array(scores).astype(np.float64), np.array(classes)
own = None if weights is None else np.array(weights)
told = [function(y, score, sample_weight=own) for function in (roc_auc_score, average_precision_score)]
"""
FRAME = """
import json, resource, sys, time
import numpy as np
{imports}
folder, rows, parts, block = sys.argv[1], *map(int, sys.argv[2:])
scores, classes = (np.load(f"{{folder}}/{{name}}.npy", mmap_mode="r") for name in ("scores", "classes"))
weights = np.load(f"{{folder}}/weights.npy", mmap_mode="r") if {weighted} else None
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
before, start, used = peak(), time.perf_counter(), time.process_time()
{body}
print(json.dumps([time.perf_counter() - start, time.process_time() - used, peak() - before, told]))
"""
IMPORTS = {
    HDL: "from hdl.metrics import Measures, Task",
    SKLEARN: "from sklearn.metrics import average_precision_score, roc_auc_score",
}


def write(folder: str, rows: int) -> None:
    """Write scores, classes and weights, a block at a time."""
    rng = np.random.default_rng(0)
    types = {"scores": np.float32, "classes": np.int8, "weights": np.float32}
    files = {
        name: np.lib.format.open_memmap(f"{folder}/{name}.npy", "w+", dtype, (rows,)) for name, dtype in types.items()
    }
    for low in range(0, rows, BLOCK):
        part = slice(low, min(low + BLOCK, rows))
        n = part.stop - low
        y = rng.random(n) < 0.02
        files["scores"][part] = 1 / (1 + np.exp(3 - rng.normal(size=n) - 2 * y))
        files["classes"][part], files["weights"][part] = y, rng.random(n) + 0.5


def measured(body: str, folder: str, rows: int, parts: int, weighted: bool) -> tuple[float, float, int, list[float]]:
    """Run one competitor in a process of its own: seconds of wall and processor, MiB, and what it told."""
    script = FRAME.format(imports=IMPORTS[body], body=body, weighted=weighted)
    command = [sys.executable, "-c", script, folder, str(rows), str(parts), str(BLOCK)]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False, timeout=1800)
    if done.returncode:
        raise SystemExit(done.stderr)
    return tuple(json.loads(done.stdout))


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--parts", type=int, nargs="+", default=[1, 7], help="that hdl's rows are measured in")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hdl-bench-metrics-") as folder:
        write(folder, options.rows)
        for weighted in (False, True):
            runs = {f"hdl, {parts} parts": (HDL, parts) for parts in options.parts} | {"scikit-learn": (SKLEARN, 1)}
            found: dict[str, list[tuple[float, float, int, list[float]]]] = {name: [] for name in runs}
            for _ in range(options.repeat):
                for name, (body, parts) in runs.items():
                    found[name].append(measured(body, folder, options.rows, parts, weighted))
            print(f"{options.rows:,} rows, {'with' if weighted else 'without'} weights")
            for name, rows in found.items():
                wall, used, memory = (statistics.median(row[k] for row in rows) for k in range(3))
                print(
                    f"  {name:<14} {wall:7.2f} s  {used:7.2f} s of processor  {memory:6.0f} MiB  AUC {rows[0][3][0]!r}"
                )
            texts = {json.dumps(row[3]) for name, rows in found.items() if name != "scikit-learn" for row in rows}
            own, other = json.loads(min(texts))[:2], found["scikit-learn"][0][3]
            apart = max(abs(a - b) for a, b in zip(own, other, strict=True))
            print(
                f"  hdl's digits are {'the same' if len(texts) == 1 else 'NOT the same'}; from scikit-learn {apart:.1e}"
            )


if __name__ == "__main__":
    main()
