"""Text in encodings other than UTF-8, as far as a byte 0a ends their lines."""

from __future__ import annotations

import codecs

from hdl.data.streams import TO_UTF8
from hdl.errors import DataError, SpecError


def codec_of(name: str, path: str) -> str:
    """Give the codec of an encoding; empty for UTF-8."""
    try:
        codec = codecs.lookup(name).name
    except LookupError:
        raise SpecError(f"encoding: {name!r} is unknown; expected one such as latin-1 or cp1252") from None
    if "a,\n".encode(codec) != b"a,\n":
        hint = TO_UTF8 if codec.startswith("utf-16") else ""
        raise DataError(f"--encoding {name}: its line ends are no bytes 0a; expected the text in UTF-8{hint}", path)
    return "" if codec in ("utf-8", "ascii") else codec


def in_utf8(data: bytes, codec: str) -> bytes:
    """Give lines in UTF-8; a line that is not in its encoding becomes one that is not in UTF-8."""
    try:
        return data.decode(codec).encode()
    except UnicodeDecodeError:
        return b"\n".join(_line_in_utf8(line, codec) for line in data.split(b"\n"))


def _line_in_utf8(line: bytes, codec: str) -> bytes:
    try:
        return line.decode(codec).encode()
    except UnicodeDecodeError as error:
        good = line[: error.start].decode(codec).encode()
        return good + b"\xff" + _line_in_utf8(line[error.end :], codec)
