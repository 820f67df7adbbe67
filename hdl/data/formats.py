"""Recognises the format of one file by its first decoded bytes, and what else lies beside samples."""

from __future__ import annotations

import codecs
import csv
import hashlib
import json
import re
import zipfile
from collections import Counter
from dataclasses import dataclass
from functools import cached_property

from hdl import fs
from hdl.data.idx import is_idx
from hdl.data.libsvm import is_libsvm
from hdl.data.streams import TO_UTF8, check_whole, head, stem
from hdl.errors import DataError

HEAD = 65536  # decoded bytes that are looked at
LINES = 20
IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".pgm", ".ppm", ".pnm", ".tif", ".tiff", ".webp")
TABLES = (
    ".csv",
    ".tsv",
    ".data",
    ".svm",
    ".libsvm",
    ".jsonl",
    ".ndjson",
)  # suffixes of files that somebody means as samples
TYPED = ("parquet", "orc", "avro")  # tables whose columns have types
BINARY = (*TYPED, "idx", "npy", "npz")
TEXT = ("csv", "libsvm", "json")
READ = (*BINARY, *TEXT)

# What a file is called, for people.
WORDS = {
    "csv": "a CSV table", "libsvm": "a libsvm text", "parquet": "a Parquet file", "orc": "an ORC file",
    "avro": "an Avro file", "json": "JSON lines", "idx": "an idx file",
    "npy": "an npy array", "npz": "an npz archive", "image": "an image", "list": "a text of one column",
    "prose": "a text that is no table", "structured": "JSON, XML or a script", "zip": "a zip archive without arrays",
    "binary": "a binary file of no format that hdl reads", "empty": "empty", "gone": "a broken link",
    "folder": "a folder",
}  # fmt: skip
_PICTURE = re.compile(rb"\x89PNG|\xff\xd8\xff|GIF8|BM|II\*\0|MM\0\*|RIFF....WEBP", re.S)
_FOREIGN = re.compile(rb"%PDF|\x89HDF|SQLite format|\xfd7zXZ|7z\xbc\xaf|Rar!|\x80\x04\x95|\xd0\xcf\x11\xe0", re.S)
_PACKED = {b"\xfd7zXZ": "xz", b"7z\xbc\xaf": "7-Zip", b"Rar!": "RAR", b"\x89LZO": "lzop"}
_STRUCTURED = re.compile(rb"#!|\s*(\{\s*([\"}]|$)|\[\s*([\[{\"\d\]-]|$)|<([?!/]|[a-z][\w:]*[\s>/]))", re.I)
_CONTROL = bytes(set(range(32)) - set(b"\t\n\v\f\r\x1a\x1b"))  # of no text, but as a delimiter


@dataclass(frozen=True)
class Seen:
    """Describes a file that was looked at.

    Attributes
    ----------
    path : str
    size : int
        Bytes as they are stored.
    format : str
        One of `READ`, or another key of `WORDS`.
    shape : (str, int) or None
        Of CSV text: its delimiter and the number of fields that most of its first lines have.
    """

    path: str
    size: int
    format: str
    shape: tuple[str, int] | None = None
    start: bytes = b""  # digest of the first decoded bytes, where they were read

    @property
    def name(self) -> str:
        return self.path.rsplit("/", 1)[-1]

    @property
    def suffix(self) -> str:
        """Suffix of the unpacked file, in lower case, with its dot; empty without one."""
        return "".join(re.findall(r"\.[^.]+$", stem(self.name).lower()))

    @cached_property
    def digest(self) -> bytes:
        """Digest of the first decoded bytes."""
        return self.start or _digest(head(self.path, HEAD))


def _digest(start: bytes) -> bytes:
    return hashlib.blake2b(start, digest_size=16).digest()


def look(path: str, delimiter: str | None = None) -> Seen:
    """Opens a file and says what it is.

    Parameters
    ----------
    delimiter : str, optional
        Of CSV text; None: told from its lines.

    Raises
    ------
    DataError
        The file is packed, and damaged.
    """
    try:
        size = fs.size(path)
    except FileNotFoundError:
        return Seen(path, 0, "gone")
    start = head(path, HEAD) if size else b""
    whole = len(start) < HEAD
    if whole and not start.removeprefix(b"\xef\xbb\xbf").strip(b" \t\r\n"):
        return Seen(path, size, "empty")
    return Seen(path, size, *_format(path, start, delimiter), _digest(start))


def _format(path: str, start: bytes, delimiter: str | None) -> tuple[str, tuple[str, int] | None]:
    name = path.rsplit("/", 1)[-1].lower()
    if start.startswith(b"PK\x03\x04"):
        return ("npz" if name.endswith(".npz") or _arrays(path) else "zip"), None
    if is_idx(start):
        return "idx", None
    for magic, suffixes, format in (
        (b"\x93NUMPY", (".npy",), "npy"), (b"PK\x05\x06", (".npz",), "npz"), (b"PAR1", (".parquet", ".pq"), "parquet"),
        (b"ORC", (".orc",), "orc"), (b"Obj\x01", (".avro",), "avro"),
    ):  # fmt: skip
        if start.startswith(magic) or stem(name).endswith(suffixes):
            return format, None
    binary = _is_binary(start)
    if name.endswith(IMAGES) or (binary and _PICTURE.match(start)):
        return "image", None
    if re.search(r"idx\d-u?byte", name):
        return "idx", None
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):  # UTF-16, which the reader refuses by its name
        return "csv", None
    return ("binary", None) if binary else _text(name, start, delimiter)


def _is_binary(start: bytes) -> bool:
    """Tells binary files: first bytes with a 0, of a known kind, or with control characters and no UTF-8."""
    if b"\0" in start or _FOREIGN.match(start):
        return True
    if start.translate(None, _CONTROL) == start:
        return False
    try:
        codecs.getincrementaldecoder("utf-8")().decode(start)
    except UnicodeDecodeError:
        return True
    return False


def _arrays(path: str) -> bool:
    """Tells if a zip archive holds arrays."""
    try:
        with fs.open(path) as file, zipfile.ZipFile(file) as archive:
            return any(name.endswith(".npy") for name in archive.namelist())
    except zipfile.BadZipFile:
        return False


def _text(name: str, start: bytes, delimiter: str | None) -> tuple[str, tuple[str, int] | None]:
    text = start.removeprefix(b"\xef\xbb\xbf")
    lines = [line for line in text.splitlines() if line.strip()]
    if len(start) == HEAD and not start.endswith(b"\n"):  # the last one is cut: none, or its whole fields
        lines[-1:] = [lines[-1][: max(lines[-1].rfind(b" "), 0)]] if len(lines) == 1 and b" " in lines[-1] else []
        lines = lines or [text]
    samples = [line for line in lines if not line.lstrip().startswith(b"#")][:LINES] or lines[:LINES]
    times = any(re.search(rb":\S*[,;]", line) for line in samples)  # 2020-01-01 10:30:00,5
    if delimiter is None and not times and is_libsvm(lines, name):
        return "libsvm", None
    if _STRUCTURED.match(text):
        return ("json" if _are_objects(name, lines) else "structured"), None
    mark, widths = _widths([line.decode("utf-8", "replace") for line in samples], delimiter)
    width, count = Counter(widths).most_common(1)[0]
    if max(widths) == 1:
        return "list", (mark, 1)
    if 2 * count < len(widths):
        return "prose", (mark, width)
    return "csv", (mark, width)


def _are_objects(name: str, lines: list[bytes]) -> bool:
    """Tells JSON lines: each of the first ones is an object; of one line alone the name says that it is a sample."""
    try:
        objects = [json.loads(line) for line in lines[:LINES]]
    except ValueError:
        return False
    whole = all(isinstance(value, dict) and value for value in objects)
    return whole and (len(objects) > 1 or stem(name).endswith((".jsonl", ".ndjson")))


def _widths(lines: list[str], delimiter: str | None) -> tuple[str, list[int]]:
    """Finds the delimiter and counts the fields of each line."""
    if delimiter is None:
        counts = {mark: lines[0].count(mark) for mark in ",\t;|\x01"}  # the last one is Hive's
        best = max(counts, key=counts.__getitem__)
        delimiter = best if counts[best] else " "
    widths = []
    for line in lines:
        text = " ".join(line.split()) if delimiter == " " else line
        try:
            widths.append(len(next(csv.reader([text], delimiter=delimiter), [])))
        except csv.Error:  # a field beyond csv's own limit
            widths.append(text.count(delimiter) + 1)
    return delimiter, widths or [1]


def listed(seen: list[Seen]) -> str:
    """Lists files by format, for a message: ``2 csv (a.csv, b.csv), 1 image (c.png)``."""
    kinds: dict[str, list[str]] = {}
    for item in seen:
        kinds.setdefault(item.format, []).append(item.name)
    return ", ".join(f"{len(names)} {kind} ({some(names, 3)})" for kind, names in kinds.items()) or "nothing"


def some(names: list[str], most: int = 8) -> str:
    """Lists the first few names of many."""
    return (", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")) or "nothing"


def refuse_foreign(seen: Seen) -> DataError:
    """Makes the error of a file that was named by itself and is of no format that hdl reads."""
    if seen.format == "image":
        what = "a single image; expected a folder with one folder of images for each class"
        return DataError(what, seen.path)
    if seen.format == "structured":
        what = "JSON, XML or a script by its first bytes; expected samples (--format csv reads it as CSV all the same)"
        start = head(seen.path, HEAD).lstrip(b"\xef\xbb\xbf \t\r\n")
        if start.startswith((b"[", b"{")):
            what = "JSON, but not an object a line as JSON lines are; expected these (--format json if it is)"
        return DataError(what, seen.path)
    if seen.format == "zip":
        return DataError("a zip archive without .npy arrays; expected it unpacked, or an .npz", seen.path)
    start = head(seen.path, HEAD)
    check_whole(seen.path)
    if packed := next((name for magic, name in _PACKED.items() if start.startswith(magic)), None):
        what = f"packed by {packed}, which hdl does not read; gzip, bzip2, zstd, deflate, snappy and LZ4 are read"
        return DataError(what, seen.path, offset=0)
    nulls = [start[:4096:2].count(0), start[1:4096:2].count(0)]
    if min(nulls) == 0 and 4 * max(nulls) > min(len(start), 4096):
        return DataError(f"every other byte is 00, as in UTF-16; expected UTF-8{TO_UTF8}", seen.path, offset=0)
    at = start.find(b"\0")
    what = (
        "a byte 00, so no text; and " if at >= 0 else ""
    ) + f"the file starts with {start[:4].hex(' ')}, as no format "
    return DataError(
        what + "that hdl reads (CSV, libsvm, JSON lines, idx, npy, npz, Parquet, ORC, Avro)",
        seen.path,
        offset=max(at, 0),
    )
