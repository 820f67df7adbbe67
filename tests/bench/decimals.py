"""MB of decimal text a second, one core, beside pyarrow and NumPy: `python -m tests.bench.decimals`.

Lines of numbers in memory become float64 rows: by hdl's core (`hdl.data.number_lines`), by pyarrow's csv reader with
one thread and the columns' types told, and by numpy.loadtxt on the first 2 MB. All take turns; medians by processor
time, least and most. Where PYTHONPATH names another checkout with its core, hdl is that one's.
"""

import io
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.csv as pv

from hdl.data.number_lines import matrix

BYTES = 16 << 20


def texts() -> dict[str, tuple[bytes, int]]:
    """Text of each spelling with commas, and its numbers a line."""
    rng = np.random.default_rng(0)
    real = rng.standard_normal((40_000, 20))
    pixels = rng.integers(0, 256, (4000, 784))
    zeros = np.where(rng.random(pixels.shape) < 0.8, 0, pixels)
    forms: dict[str, tuple[np.ndarray, Callable[[float], str]]] = {
        "%.8f, 784 columns (Harp's)": (rng.standard_normal((2000, 784)), "{:.8f}".format),
        "%.6f, 20 columns": (real, "{:.6f}".format),
        "repr of float64": (real, repr),
        "%.9g of float32": (real.astype(np.float32).astype(float), "{:.9g}".format),
        "%.18e (savetxt's own)": (real, "{:.18e}".format),
        "pixels, 784 columns": (pixels, str),
        "pixels, four fifths 0": (zeros, str),
    }
    made = {}
    for name, (values, form) in forms.items():
        lines = "".join(",".join(map(form, row)) + "\n" for row in values.tolist()).encode()
        made[name] = lines[: lines.rfind(b"\n", 0, BYTES) + 1], values.shape[1]
    return made


def core(text: bytes, width: int) -> None:
    if matrix(text, width, ",") is None:
        raise SystemExit("the core refused plain numbers")


def arrow(text: bytes, width: int) -> None:
    names = [str(i) for i in range(width)]
    read = pv.ReadOptions(use_threads=False, block_size=len(text) + 1, column_names=names)
    pv.read_csv(pa.BufferReader(text), read, None, pv.ConvertOptions(column_types=dict.fromkeys(names, pa.float64())))


def loadtxt(text: bytes, width: int) -> None:
    np.loadtxt(io.BytesIO(text), delimiter=",", ndmin=2)


def speed(read: Callable[[bytes, int], None], text: bytes, width: int) -> float:
    """MB/s of one reading."""
    began = time.process_time()
    read(text, width)
    return len(text) / (time.process_time() - began) / 1e6


def main() -> None:
    turns = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    print("| text | MB | hdl, MB/s | pyarrow.csv | numpy.loadtxt |\n|---|--:|--:|--:|--:|")
    for name, (text, width) in texts().items():
        part = text[: text.rfind(b"\n", 0, 2 << 20) + 1]
        took: list[list[float]] = [[], [], []]
        for _ in range(turns):
            for own, (read, what) in zip(took, ((core, text), (arrow, text), (loadtxt, part)), strict=True):
                own.append(speed(read, what, width))
        cells = [f"{statistics.median(own):.0f} ({min(own):.0f}–{max(own):.0f})" for own in took]
        print(f"| {name} | {len(text) / 1e6:.0f} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
