"""A folder of images, one folder inside it for each class. All are grey or all are colour, and of one size."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import numpy as np

from hdl import fs
from hdl.data.base import BLOCK_BYTES, Bad, Block, FileSplit, Options, Source
from hdl.errors import DataError, Unavailable

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".pgm", ".ppm", ".pnm", ".tif", ".tiff", ".webp")
LARGEST = 1 << 26  # values of one image; more is a decompression bomb or a mistake
_GREY, _COLOUR = ("1", "L", "LA"), ("RGB", "RGBA", "P", "PA", "CMYK", "YCbCr")


class Images(Source):
    """Images by class. Splits count images, in the order of class and file name; features are uint8."""

    format = "images"

    def __init__(self, path: str, options: Options, schema: Any = None, labels: bool = True):
        super().__init__([path], options)
        self.labelled = labels and options.labelled
        self.label = ["folder"]
        self.files: list[tuple[str, str]] = []
        for name in fs.list(path):
            folder = fs.join(path, name)
            if name[0] not in "._" and fs.isdir(folder):
                files = [file for file in fs.list(folder) if file.lower().endswith(SUFFIXES) and file[0] not in "._"]
                self.files += [(name, fs.join(folder, file)) for file in files]
        if not self.files:
            raise DataError("the folder's folders hold no images; expected one folder for each class", path)
        self.image: tuple[int, int, int] = self._first()

    def _first(self) -> tuple[int, int, int]:
        """Height, width and channels of the first image that can be read."""
        error: DataError | None = None
        for _, file in self.files[: self.options.max_bad_records + 1]:
            try:
                pixels = decode(file, None)
                return (*pixels.shape[:2], 1 if pixels.ndim == 2 else 3)
            except DataError as found:
                error = error or found
        raise error  # type: ignore[misc]  # there is at least one file

    def lengths(self) -> list[int]:
        """Images in the folder."""
        return [len(self.files)]

    def _read(self, split: FileSplit, bad: Bad) -> Iterator[Block]:
        rows = max(1, BLOCK_BYTES // int(np.prod(self.image)))
        stop = split.start + split.length
        for lo in range(split.start, stop, rows):
            x, y, files = [], [], []
            for name, file in self.files[lo : min(lo + rows, stop)]:
                try:
                    x.append(decode(file, self.image).ravel())
                except DataError as error:
                    bad.add(error)
                    continue
                y.append(name)
                files.append(file)
            if x:
                yield Block(np.stack(x), np.array(y, object) if self.labelled else None, _places(files))


def _places(files: list[str]) -> Any:
    return lambda i: {"path": files[i]}


def decode(path: str, shape: tuple[int, int, int] | None, grey: bool = False) -> np.ndarray:
    """Pixels uint8 [height, width] or [height, width, 3]; the size is compared before anything is decoded.

    With `grey` colours become grey by ITU-R 601.
    """
    try:
        from PIL import Image
    except ImportError:
        raise Unavailable("images need Pillow: pip install pillow") from None
    try:
        with fs.open(path) as file, Image.open(file) as image:
            (width, height), mode = image.size, image.mode
            if mode not in _GREY + _COLOUR:
                raise DataError(f"an image of mode {mode}; expected 8-bit grey or colour", path)
            channels = 1 if mode in _GREY else 3
            if shape is not None and (height, width, channels) != shape:
                what = f"an image of {_words(height, width, channels)}; expected {_words(*shape)} as the first one"
                raise DataError(what, path)
            if height * width * channels > LARGEST:
                raise DataError(
                    f"an image of {_words(height, width, channels)}; expected at most {LARGEST} values", path
                )
            return np.asarray(image.convert("L" if grey or channels == 1 else "RGB"))
    except DataError:
        raise
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError) as error:
        raise DataError(f"not an image, or a damaged one ({error})", path) from None


def _words(height: int, width: int, channels: int) -> str:
    return f"{height}x{width} in {'grey' if channels == 1 else 'colour'}"
