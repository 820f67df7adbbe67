"""The demonstration that `./build.sh demo` runs: scikit-learn's bundled handwritten digits, as a user would do it.

The digits are written as Parquet shards, two workers train a network on them by averaging their weights after
each epoch, and a report is made.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from importlib.resources import files
from pathlib import Path

import numpy as np

from hdl.errors import Unavailable

PHOTOS = ("china.jpg", "flower.jpg")
TEST_SHARE = 4  # every fourth digit is kept for the test
OPTIONS = ["--net", "64-128-10", "--scale", "divide:16", "--epochs", "40", "--batch", "20", "--optimizer", "adam",
           "--lr", "0.005", "--schedule", "cosine", "--l2", "0.001", "--sync", "average", "--shards", "2",
           "--workers", "2", "--validation", "0.1"]  # fmt: skip


def photos(folder: str) -> list[Path]:
    """Copy scikit-learn's two photographs, china.jpg and flower.jpg, into a folder; where they lie."""
    try:
        from sklearn import datasets
    except ImportError:
        raise Unavailable("the photographs come with scikit-learn: pip install scikit-learn") from None
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    home = files(datasets) / "images"
    for name in PHOTOS:
        (place / name).write_bytes((home / name).read_bytes())
    return [place / name for name in PHOTOS]


def main(folder: str = "demo") -> int:
    """Run the demonstration in a folder; the status of the command line."""
    from hdl import cli

    began = time.perf_counter()
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    train, test = place / "digits", place / "digits-test.npz"
    if not (train.is_dir() and test.is_file()):
        _write_digits(place, train, test)
    table = place / "model"
    arguments = ["train", str(train), "--out", str(table), "--overwrite", "--test", str(test), *OPTIONS]
    _say("hdl " + " ".join(arguments))
    status = cli.run(arguments)
    if status:
        return status
    _say(f"\nhdl evaluate {table} {test}")
    status = cli.run(["evaluate", str(table), str(test)])
    took = time.perf_counter() - began
    _say(f"\nDone in {took:.1f} s. Open the report in a browser: {(table / 'report.html').resolve().as_uri()}")
    return status


def _write_digits(place: Path, train: Path, test: Path) -> None:
    """1,797 digits of 8 by 8 pixels, 0 to 16: three quarters to train on as Parquet shards, the rest to test."""
    from hdl.data import open_source, write_shards

    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise Unavailable("the demo's digits come with scikit-learn: pip install scikit-learn matplotlib") from None
    digits = load_digits()
    x, y = digits.images.astype(np.uint8), digits.target.astype(np.int64)
    tested = np.arange(len(y)) % TEST_SHARE == 0
    shutil.rmtree(train, ignore_errors=True)
    raw = place / "digits.npz"
    np.savez(raw, x=x[~tested], y=y[~tested])
    write_shards(open_source(str(raw)), str(train), shards=2)
    raw.unlink()
    np.savez(test, x=x[tested], y=y[tested])


def _say(message: str) -> None:
    print(message, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m hdl.demo", description="Train on handwritten digits.")
    parser.add_argument("folder", nargs="?", default="demo", help="where data, network and report go (default: demo)")
    parser.add_argument("--photos", action="store_true", help="only put scikit-learn's two photographs into the folder")
    given = parser.parse_args()
    if given.photos:
        _say("\n".join(map(str, photos(given.folder))))
        sys.exit(0)
    sys.exit(main(given.folder))
