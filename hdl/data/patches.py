"""Random patches of natural pictures as a dataset, from which filters are learned.

Letters: n patches, I pixels of a patch.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from hdl import fs, rng
from hdl.data.base import FileSplit, Source
from hdl.data.block import Bad, Block
from hdl.data.images import SUFFIXES, decode
from hdl.data.options import Options
from hdl.errors import DataError, SpecError

ROWS = 1 << 14  # patches normalised at a time
EPSILON = 0.1  # added to the variances that ZCA divides by, of pixels in [0, 1]: the tutorial's
CUTOFF = 0.4  # cycles a pixel: above, the whitening of whole pictures lets nothing through


class Patches(Source):
    """Grey patches of random places in random pictures, normalised as the UFLDL tutorial does.

    Each patch is of a picture drawn from all with equal chance, at a place drawn from all of that picture's with equal
    chance. Colours become grey by ITU-R 601 (0.299 R + 0.587 G + 0.114 B). Draws are keyed by the seed and counted by
    the patch: 100 patches lie where the first 100 of 10,000 do.

    Parameters
    ----------
    path : str
        A folder (its folders too), a glob, or one picture.
    options : Options
        `max_bad_records` counts pictures that may be left out.
    size : (int, int)
        Height and width of a patch.
    count : int
        n.
    seed : int
    whiten : {'no', 'patches', 'pictures'}
        `no`: each patch without its mean, cut off at ±3 standard deviations of all, brought to [0.1, 0.9] (Ng 2011,
        "Sparse autoencoder", `normalizeData`). `pictures`: the same, from pictures whose spectrum was made flat by
        |f|·exp(−(|f|/0.4)⁴), f in cycles a pixel (Olshausen & Field 1997; the tutorial's pictures are such ones).
        `patches`: ZCA as in its exercise on linear decoders, (x − mean of x)·U·diag(1/√(λ + 0.1))·Uᵀ, with pixels in
        [0, 1] and λ, U of their covariance: values about 0, for a linear decoder or Gaussian units.

    Raises
    ------
    DataError
        There is no picture; one is damaged or smaller than a patch.
    """

    format = "patches"

    def __init__(
        self, path: str, options: Options, size: tuple[int, int], count: int, seed: int = 1, whiten: str = "no"
    ):
        super().__init__([path], options)
        if min(size) < 1 or count < 1:
            raise SpecError(f"patches: expected at least one of at least 1x1 (given {count} of {size[0]}x{size[1]})")
        if whiten not in ("no", "patches", "pictures"):
            raise SpecError(f"whiten: expected no, patches or pictures (given {whiten!r})")
        self.size, self.count, self.seed, self.whiten = size, count, seed, whiten
        self.image = (*size, 1)
        self.pictures = _pictures(path)
        if not self.pictures:
            raise DataError(f"no picture; expected files that end in {', '.join(SUFFIXES)}", path)
        self._raw: NDArray | None = None

    def lengths(self) -> list[int]:
        """Return the number of patches."""
        return [self.count]

    def _read(self, split: FileSplit, bad: Bad) -> Iterator[Block]:
        if self._raw is None:
            self._raw = self._cut(bad)
            self._fit(self._raw)
        stop = split.start + split.length
        for low in range(split.start, stop, ROWS):
            rows = self._raw[low : min(low + ROWS, stop)]
            yield Block(self._normalised(rows), None, lambda i: {"path": self.paths[0]})

    def _cut(self, bad: Bad) -> NDArray:
        """Cut the patches [n, I], uint8 or, of whitened pictures, float32; each picture is decoded once.

        Patches of a picture that is left out are drawn anew from those that are not.
        """
        height, width = self.size
        key, pictures = rng.derive(self.seed, rng.PATCHES), list(self.pictures)
        out = np.empty((self.count, height * width), np.float32 if self.whiten == "pictures" else np.uint8)
        left, attempt = np.arange(self.count), 0
        while len(left):
            draws = rng.words(key, attempt, n=3 * self.count).reshape(-1, 3)[left].astype(np.uint64)
            chosen, lost = _below(draws[:, 0], len(pictures)), []
            for number in np.unique(chosen):
                rows = np.flatnonzero(chosen == number)
                try:
                    picture = self._picture(pictures[number])
                except DataError as error:
                    bad.add(error)
                    lost.append(int(number))
                    continue
                places = np.lib.stride_tricks.sliding_window_view(picture, self.size)
                down = _below(draws[rows, 1], places.shape[0])
                right = _below(draws[rows, 2], places.shape[1])
                out[left[rows]] = places[down, right].reshape(len(rows), -1)
            left = left[np.isin(chosen, lost)]
            pictures = [name for number, name in enumerate(pictures) if number not in lost]
            if len(left) and not pictures:
                raise DataError("no picture can be used", self.paths[0])
            attempt += 1
        return out

    def _picture(self, path: str) -> NDArray:
        """Read a picture in grey [height, width], uint8, or float32 if its spectrum was made flat."""
        picture = decode(path, None, grey=True)
        if picture.shape[0] < self.size[0] or picture.shape[1] < self.size[1]:
            given, size = "x".join(map(str, picture.shape)), "x".join(map(str, self.size))
            raise DataError(f"a picture of {given}, smaller than a patch of {size}", path)
        return _flattened(picture) if self.whiten == "pictures" else picture

    def _fit(self, raw: NDArray) -> None:
        """Learn what the normalisation needs of all patches: their deviation, or the matrix of ZCA [I, I]."""
        pixels = raw.shape[1]
        squares, total, product = 0.0, np.zeros(pixels), np.zeros((pixels, pixels))
        for low in range(0, len(raw), ROWS):
            x = _centred(raw[low : low + ROWS])
            squares += float(np.square(x).sum())
            if self.whiten == "patches":
                total += x.sum(axis=0)
                product += x.T @ x
        if squares <= 1e-12 * raw.size:  # a mean of equal pixels is rounded
            raise DataError("every patch is of one grey; expected pictures that show something", self.paths[0])
        self.deviation = np.sqrt(squares / max(1, raw.size - 1))
        if self.whiten == "patches":
            self.mean = total / len(raw)
            values, vectors = np.linalg.eigh(product / len(raw) - np.outer(self.mean, self.mean))
            self.zca = vectors / np.sqrt(np.maximum(values, 0) + EPSILON) @ vectors.T

    def _normalised(self, rows: NDArray) -> NDArray[np.float32]:
        """Normalise patches [n, I] as they are written."""
        x = _centred(rows)
        if self.whiten == "patches":
            return ((x - self.mean) @ self.zca).astype(np.float32)
        return (np.clip(x / (3 * self.deviation), -1, 1) * 0.4 + 0.5).astype(np.float32)


def _pictures(path: str) -> list[str]:
    """List the pictures that a path means, those in folders of its folders too, in the order of their names."""
    if not fs.exists(path):
        names = fs.glob(path) if re.search(r"[*?\[]", path) else []
        if not names:
            raise DataError("there is no such file or folder", path)
        return [name for name in names if name.lower().endswith(SUFFIXES)]
    if not fs.isdir(path):
        return [path] if path.lower().endswith(SUFFIXES) else []
    pictures = []
    for name in fs.list(path):
        inside = fs.join(path, name)
        if name[0] not in "._" and not _loops(inside):
            pictures += _pictures(inside) if name.lower().endswith(SUFFIXES) or fs.isdir(inside) else []
    return pictures


def _loops(path: str) -> bool:
    """Tell whether a link leads back to a folder that it is in."""
    target, here = os.path.realpath(path), os.path.realpath(os.path.dirname(path))
    return os.path.islink(path) and f"{here}{os.sep}".startswith(f"{target}{os.sep}")


def _below(words: NDArray[np.uint64], limit: int) -> NDArray[np.int64]:
    """Make whole numbers in [0, limit) from words of 32 bits."""
    return (words * np.uint64(limit) >> np.uint64(32)).astype(np.int64)


def _centred(raw: NDArray) -> NDArray[np.float64]:
    """Centre patches [n, I] on their own means; pixels of a byte are brought to [0, 1]."""
    x = raw.astype(np.float64) / (255 if raw.dtype == np.uint8 else 1)
    return x - x.mean(axis=1, keepdims=True)


def _flattened(picture: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Multiply a picture [height, width] by |f|·exp(−(|f|/CUTOFF)⁴) in its spectrum."""
    height, width = picture.shape
    f = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    spectrum = np.fft.rfft2(picture / 255) * (f * np.exp(-((f / CUTOFF) ** 4)))
    return np.fft.irfft2(spectrum, s=picture.shape).astype(np.float32)
