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
    """Copies scikit-learn's two photographs, china.jpg and flower.jpg, into a folder; gives their paths."""
    try:
        from sklearn import datasets
    except ImportError:
        raise Unavailable("the photographs come with scikit-learn: pip install scikit-learn") from None
    copies = [Path(folder) / name for name in PHOTOS]
    Path(folder).mkdir(parents=True, exist_ok=True)
    for copy in copies:
        copy.write_bytes((files(datasets) / "images" / copy.name).read_bytes())
    return copies


def main(folder: str = "demo") -> int:
    """Runs the demonstration in a folder; gives the exit status of the last command."""
    from hdl import cli

    began = time.perf_counter()
    home = Path(folder)
    home.mkdir(parents=True, exist_ok=True)
    train, test = home / "digits", home / "digits-test.npz"
    if not (train.is_dir() and test.is_file()):
        _write_digits(home, train, test)
    table = home / "model"
    arguments = ["train", str(train), "--out", str(table), "--overwrite", "--test", str(test), *OPTIONS]
    _say("hdl " + " ".join(arguments))
    status = cli.run(arguments)
    if status:
        return status
    _say(f"\nhdl evaluate {table} {test}")
    status = cli.run(["evaluate", str(table), str(test)])
    seconds = time.perf_counter() - began
    _say(f"\nDone in {seconds:.1f} s. Open the report in a browser: {(table / 'report.html').resolve().as_uri()}")
    return status


def _write_digits(home: Path, train: Path, test: Path) -> None:
    """Writes 1,797 digits of 8 by 8 pixels, 0 to 16: three quarters to train on as Parquet shards, the rest to test."""
    from hdl.data import open_source, write_shards

    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise Unavailable("the demo's digits come with scikit-learn: pip install scikit-learn matplotlib") from None
    digits = load_digits()
    x, y = digits.images.astype(np.uint8), digits.target.astype(np.int64)
    in_test = np.arange(len(y)) % TEST_SHARE == 0
    shutil.rmtree(train, ignore_errors=True)
    raw = home / "digits.npz"
    np.savez(raw, x=x[~in_test], y=y[~in_test])
    write_shards(open_source(str(raw)), str(train), shards=2)
    raw.unlink()
    np.savez(test, x=x[in_test], y=y[in_test])


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
