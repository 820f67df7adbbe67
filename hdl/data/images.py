"""A folder of images, one folder inside it for each class. All are grey or all are colour, and of one size."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import numpy as np

from hdl import fs
from hdl.data.base import BLOCK_BYTES, FileSplit, Source
from hdl.data.block import Bad, Block
from hdl.data.formats import IMAGES
from hdl.data.leftout import LeftOut, aside
from hdl.data.options import Options
from hdl.errors import DataError, Unavailable

SUFFIXES = IMAGES
LARGEST = 1 << 26  # values of one image; more is a decompression bomb or a mistake
_GREY, _COLOUR = ("1", "L", "LA"), ("RGB", "RGBA", "P", "PA", "CMYK", "YCbCr")
_DEEP = ("I;16", "I;16L", "I;16B", "I;16N", "I")  # grey of 16 bits; some readers give it as 32
DEPTH = 65535
_ORIENTATION = 0x0112  # EXIF: 5 to 8 turn the image by a right angle
_TELLING = {"exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif"}  # where it may be


class Images(Source):
    """Images by class, or without classes where no labels are wanted. Splits count images, in the order of their names.

    Features are uint8, or float32 of 0 to 65535 where images are grey of 16 bits (`reading["depth"]`). Images are
    turned as their EXIF says.

    Parameters
    ----------
    paths : list of str
        The folder with one folder for each class; without labels also a folder of images, or images.
    """

    format = "images"

    def __init__(self, paths: list[str], options: Options, schema: Any = None, labels: bool = True):
        super().__init__(paths[:1], options)
        self.labelled = labels and options.labelled
        if options.label and self.labelled and options.label != ("folder",):
            what = (
                f"label {','.join(options.label)!r}: the labels of images are their folders' names; expected no --label"
            )
            raise DataError(what, paths[0])
        self.files: list[tuple[str, str]] = [("", path) for path in paths]
        if fs.isdir(paths[0]):
            self._list(paths[0])
        if not self.files:
            raise DataError("the folder's folders hold no images; expected one folder for each class", paths[0])
        self.image: tuple[int, int, int] = self._first()
        self.reading = {"files": len(self.files), "depth": DEPTH if self.deep else 255}
        if self.files[0][0] and options.labelled:
            self.label = ["folder"]
            self.reading |= {"label_by": "folder", "label_type": "text"}

    def _list(self, path: str) -> None:
        """Finds the classes' images; what else is in the classes' folders is told."""
        self.files = []
        empty, others = [], []
        for name in fs.list(path):
            folder = fs.join(path, name)
            if aside(name, folder=True) or not fs.isdir(folder):
                continue
            files = fs.list(folder)
            images = [file for file in files if file.lower().endswith(SUFFIXES) and file[0] not in "._"]
            self.files += [(name, fs.join(folder, file)) for file in images]
            if len(images) < len(files):
                rest = sorted(set(files) - set(images))
                others += [
                    f"{name}/{file}" + "/" * ("." not in file and fs.isdir(fs.join(folder, file))) for file in rest
                ]
            if not images:
                empty.append(f"{name}/")
        left = LeftOut()
        left.add("no image in it, so no class", *empty[:1] if len(empty) == 1 else ())
        left.add(f"{len(empty)} folders without images, so no classes", *empty if len(empty) > 1 else ())
        left.add("no image", *others[:1] if len(others) == 1 else ())
        left.add(f"{len(others)} files in the classes' folders that are no images", *others if len(others) > 1 else ())
        if not self.files and not self.labelled:  # where labels are not wanted, no classes are
            self.files = [("", fs.join(path, name)) for name in fs.list(path) if name.lower().endswith(SUFFIXES)]
        else:
            self.left_out = left.lines()

    def _first(self) -> tuple[int, int, int]:
        """Finds height, width and channels of the first image that can be read."""
        error: DataError | None = None
        for _, file in self.files[: self.options.max_bad_records + 1]:
            try:
                pixels = decode(file, None, deep=True)
                self.deep = pixels.dtype != np.uint8
                if not self.deep and stored_deep(file):
                    self.left_out.append("the low 8 bits of the 16 of colours: Pillow does not read them")
                return (*pixels.shape[:2], 1 if pixels.ndim == 2 else 3)
            except DataError as damage:
                error = error or damage
        raise error  # type: ignore[misc]  # there is at least one file

    def every_file(self) -> list[str]:
        return [path for _, path in self.files]

    def lengths(self) -> list[int]:
        """Counts the images in the folder."""
        return [len(self.files)]

    def _read(self, split: FileSplit, bad: Bad) -> Iterator[Block]:
        rows = max(1, BLOCK_BYTES // int(np.prod(self.image)))
        stop = split.start + split.length
        for lo in range(split.start, stop, rows):
            x, y, files, numbers = [], [], [], []
            for number, (name, file) in enumerate(self.files[lo : min(lo + rows, stop)], lo - split.start):
                try:
                    x.append(self._pixels(file))
                except DataError as error:
                    bad.add(error)
                    continue
                y.append(name)
                files.append(file)
                numbers.append(number)
            if x:
                labels = np.array(y, object) if self.labelled else None
                yield Block(np.stack(x), labels, _places(files), rows=np.array(numbers))

    def _pixels(self, path: str) -> np.ndarray:
        """Reads the pixels of an image that has the first one's size and channels."""
        pixels = decode(path, self.image, deep=True)
        if (pixels.dtype != np.uint8) != self.deep:
            given, wanted = (16, 8) if pixels.dtype != np.uint8 else (8, 16)
            raise DataError(f"an image of {given} bits; expected {wanted} bits as the first one", path)
        return pixels.ravel()


def _places(files: list[str]) -> Any:
    return lambda i: {"path": files[i]}


def decode(path: str, shape: tuple[int, int, int] | None, grey: bool = False, deep: bool = False) -> np.ndarray:
    """Pixels [height, width] or [height, width, 3], turned as EXIF says; sizes are compared before decoding.

    Parameters
    ----------
    shape : (height, width, channels) or None
        What is expected.
    grey : bool
        Colours become grey by ITU-R 601.
    deep : bool
        Take grey of 16 bits too, as float32 of 0 to 65535; everything else is uint8.
    """
    try:
        from PIL import Image, ImageOps
    except ImportError:
        raise Unavailable("images need Pillow: pip install pillow") from None
    try:
        with fs.open(path) as file, Image.open(file) as image:
            (width, height), mode = image.size, image.mode
            channels = 3 if mode in _COLOUR else 1
            if mode not in _GREY + _COLOUR + _DEEP * deep:
                wanted = "8-bit grey or colour" + ", or 16-bit grey" * deep
                raise DataError(f"an image of mode {mode}; expected {wanted}", path)
            if height * width * channels > LARGEST:
                what = f"an image of {_words(height, width, channels)}; expected at most {LARGEST} values"
                raise DataError(what, path)
            turn = _turn(image)
            _check_size(image, turn, channels, shape, path)
            image.load()
            if (late := _turn(image)) != turn:  # a PNG may say it after its pixels
                _check_size(image, turn := late, channels, shape, path)
            turned = ImageOps.exif_transpose(image) if turn > 1 else image
            wanted = mode if mode in _DEEP else "L" if grey or channels == 1 else "RGB"
            pixels = np.asarray(turned if mode == wanted else turned.convert(wanted))
            return _deep(pixels, path) if mode in _DEEP else pixels
    except DataError:
        raise
    except (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError) as error:
        why = "" if isinstance(error, Image.UnidentifiedImageError) else f" ({error})"  # which says the path once more
        raise DataError(f"not an image, or a damaged one{why}", path) from None


def stored_deep(path: str) -> bool:
    """Tells whether an image holds 16 bits a channel."""
    from PIL import Image

    with fs.open(path) as file, Image.open(file) as image:
        return any("16" in str(tile[3]) for tile in image.tile)


def _turn(image: Any) -> int:
    """Reads the orientation as EXIF or XMP has it, 1 to 8; Pillow turns TIFF itself."""
    if image.format == "TIFF" or not image.info.keys() & _TELLING:
        return 1
    turn = image.getexif().get(_ORIENTATION, 1)
    return turn if turn in range(1, 9) else 1


def _check_size(image: Any, turn: int, channels: int, shape: tuple[int, int, int] | None, path: str) -> None:
    width, height = image.size[::-1] if turn >= 5 else image.size
    if shape is not None and (height, width, channels) != shape:
        what = f"an image of {_words(height, width, channels)}; expected {_words(*shape)} as the first one"
        raise DataError(what, path)


def _deep(pixels: np.ndarray, path: str) -> np.ndarray:
    if pixels.min() < 0 or pixels.max() > DEPTH:
        raise DataError(f"grey of {pixels.min()} to {pixels.max()}; expected 16 bits: 0 to {DEPTH}", path)
    return pixels.astype(np.float32)


def _words(height: int, width: int, channels: int) -> str:
    return f"{height}x{width} in {'grey' if channels == 1 else 'colour'}"
