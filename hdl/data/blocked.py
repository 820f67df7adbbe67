"""Text that Hadoop's SnappyCodec and Lz4Codec packed: blocks of chunks, each behind its length, without any magic.

As BlockCompressorStream of hadoop-common writes it: big-endian length of the block when unpacked, then chunks of it,
each behind its packed length, until the block is whole. Snappy's own framing format is read as well.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import BinaryIO

from hdl.arrow import pa
from hdl.data.varint import varint
from hdl.errors import Unavailable

LONGEST = 1 << 28  # bytes of a chunk or block; what claims more is damaged
FRAMED = b"\xff\x06\x00\x00sNaPpY"


def starts(head: bytes) -> bool:
    """Tell whether first bytes may be those of a block: its length, and that of a chunk."""
    if len(head) < 8:
        return False
    block, chunk = struct.unpack(">II", head[:8])
    return 0 < block <= LONGEST and 0 < chunk <= block + block // 6 + 64


class Blocked:
    """A binary file of unpacked bytes, read forward.

    Parameters
    ----------
    raw : binary file
    kind : {'snappy', 'lz4'}

    Raises
    ------
    Unavailable
        LZ4 needs cramjam, which is not installed.
    """

    def __init__(self, raw: BinaryIO, kind: str):
        head = raw.read(len(FRAMED))
        raw.seek(0)
        if head == FRAMED:
            self._parts: Iterator[bytes] = _framed(raw)
        else:
            self._parts = _blocks(raw, _snappy if kind == "snappy" else _lz4())
        self._held = b""

    def read(self, count: int) -> bytes:
        """Read up to `count` bytes, fewer only at the end of a chunk; none at the end."""
        while not self._held:
            part = next(self._parts, None)
            if part is None:
                return b""
            self._held = part
        out, self._held = self._held[:count], self._held[count:]
        return out

    def close(self) -> None:
        self._parts = iter(())


def _blocks(raw: BinaryIO, unpack: Callable[[bytes, int], bytes]) -> Iterator[bytes]:
    while head := raw.read(4):
        left = _length(head)
        while left:
            part = unpack(_exactly(raw, _length(raw.read(4))), left)
            if not part or len(part) > left:
                raise OSError(f"a chunk of {len(part)} bytes in the last {left} of a block")
            left -= len(part)
            yield part


def _framed(raw: BinaryIO) -> Iterator[bytes]:
    """Read snappy's framing format: a type and 3 bytes of length before each chunk."""
    while head := raw.read(4):
        if len(head) < 4:
            raise EOFError("the file ends inside of a chunk's head")
        data = _exactly(raw, int.from_bytes(head[1:], "little"))
        if head[0] == 0:
            yield _snappy(data[4:], 1 << 16)
        elif head[0] == 1:
            yield data[4:]
        elif head[0] < 0x80:
            raise OSError(f"a chunk of type {head[0]}")


def _length(head: bytes) -> int:
    if len(head) < 4:
        raise EOFError("the file ends inside of a length")
    (length,) = struct.unpack(">I", head)
    if length > LONGEST:
        raise OSError(f"a length of {length} bytes")
    return length


def _exactly(raw: BinaryIO, count: int) -> bytes:
    parts, held = [], 0
    while held < count and (part := raw.read(count - held)):
        parts.append(part)
        held += len(part)
    if held < count:
        raise EOFError(f"the file ends {count - held} bytes before a chunk's end")
    return b"".join(parts)


def _snappy(data: bytes, most: int) -> bytes:
    """Unpack a chunk, which begins with its own length."""
    size, _ = varint(data[:5])
    if size > most:
        raise OSError(f"a chunk of {size} bytes in the last {most} of a block")
    return pa.Codec("snappy").decompress(data, decompressed_size=size, asbytes=True)


def _lz4() -> Callable[[bytes, int], bytes]:
    """Give what unpacks a chunk of at most so many bytes: Arrow does not say how many they were."""
    try:
        import cramjam
    except ImportError:
        what = "text packed by Hadoop's LZ4 needs cramjam, which is not installed"
        raise Unavailable(f"{what}: pip install 'hdl-hadoop[tables]'") from None

    def unpack(data: bytes, most: int) -> bytes:
        out = bytearray(most)
        try:
            return bytes(out[: cramjam.lz4.decompress_block_into(data, out, output_len=most)])
        except cramjam.DecompressionError as error:
            raise OSError(str(error)) from None

    return unpack
