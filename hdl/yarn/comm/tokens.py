"""Hadoop's token file, in which YARN hands a container its credentials: read in plain Python, without a JVM.

``HDTS``, a byte for the format, then tokens and secret keys, as ``org.apache.hadoop.security.Credentials`` writes them:
format 0 as Writables, format 1 as one length-prefixed protobuf message. Of the tokens only their kinds are wanted here.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from hdl.errors import HdlError, WorkerError

VARIABLE = "HADOOP_TOKEN_FILE_LOCATION"
MAX_BYTES = 64 << 20
YARN_KINDS = frozenset({"YARN_AM_RM_TOKEN", "YARN_CLIENT_TOKEN", "NMToken", "ContainerToken"})  # not for others
_MAGIC = b"HDTS"


class TokenError(HdlError, ValueError):
    """Says that bytes are not a token file, or not a whole one."""


def read() -> dict[str, bytes]:
    """Read the secret keys of this container, by alias.

    Raises
    ------
    WorkerError
        This is not a container of YARN, or its token file cannot be read. The message shows no part of the file.
    """
    return _read()[0]


def has_storage_tokens() -> bool:
    """Tell whether this container was given tokens of file systems, as on a cluster with Kerberos; raises as `read`."""
    return bool(_read()[1] - YARN_KINDS)


def _read() -> tuple[dict[str, bytes], frozenset[str]]:
    path = os.environ.get(VARIABLE)
    if not path:
        raise WorkerError(f"${VARIABLE} is not set: this runs inside of a YARN container only")
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise WorkerError(f"{path} (${VARIABLE}): {error.strerror}") from None
    try:
        return _parse(content)
    except TokenError as error:
        raise WorkerError(f"{path} (${VARIABLE}): {error}") from None


def parse(content: bytes) -> dict[str, bytes]:
    """Decode the secret keys in a token file's bytes, by alias.

    Raises
    ------
    TokenError
        The bytes are not a token file of format 0 or 1, or not a whole one.
    """
    return _parse(content)[0]


def kinds(content: bytes) -> frozenset[str]:
    """Decode the kinds of the tokens in a token file's bytes, as HDFS_DELEGATION_TOKEN; raises as `parse`."""
    return _parse(content)[1]


def _parse(content: bytes) -> tuple[dict[str, bytes], frozenset[str]]:
    if len(content) > MAX_BYTES:
        raise TokenError(f"more than {MAX_BYTES} bytes; too many for a token file")
    if content[:4] != _MAGIC:
        raise TokenError(f"not a Hadoop token file: expected {_MAGIC.decode()} at its start")
    reader = _Reader(content, 4)
    version = reader.take(1)[0]
    if version == 0:
        return _writables(reader)
    if version == 1:
        return _protobuf(reader)
    raise TokenError(f"token file of format {version}; expected 0 (Writable) or 1 (protobuf)")


def to_tokens(secret_keys: Mapping[str, bytes]) -> bytes:
    """Encode a token file of secret keys alone, as Writables: for containers that YARN does not start."""
    pieces = [_MAGIC, b"\0", _vint(0), _vint(len(secret_keys))]
    for alias, value in secret_keys.items():
        pieces += [_vint(len(alias.encode())), alias.encode(), _vint(len(value)), value]
    return b"".join(pieces)


def _vint(value: int) -> bytes:
    """Encode a length as Hadoop does: see `_Reader.vint`."""
    if value <= 127:
        return bytes([value])
    content = value.to_bytes((value.bit_length() + 7) // 8, "big")
    return bytes([256 - 112 - len(content)]) + content


class _Reader:
    """Reads values of a token file one after the other, never beyond its end."""

    def __init__(self, content: bytes, at: int = 0):
        self.content, self.at = content, at

    def take(self, count: int) -> bytes:
        """Read so many bytes."""
        if not 0 <= count <= len(self.content) - self.at:
            raise TokenError(f"{count} bytes expected at byte {self.at}, {len(self.content) - self.at} are there")
        self.at += count
        return self.content[self.at - count : self.at]

    def vint(self) -> int:
        """Read Hadoop's integer: a byte from -112 to 127, or one that tells the sign and how many bytes follow."""
        (first,) = self.take(1)
        first -= 256 if first > 127 else 0
        if first >= -112:
            return first
        count = -first - 120 if first < -120 else -first - 112
        value = int.from_bytes(self.take(count), "big")
        return ~value if first < -120 else value

    def count(self) -> int:
        """Read a number of entries."""
        value = self.vint()
        if value < 0:
            raise TokenError(f"{value} entries before byte {self.at}")
        return value

    def piece(self) -> bytes:
        """Read bytes after their length."""
        return self.take(self.vint())

    def varint(self) -> int:
        """Read protobuf's integer: seven bits a byte, the lowest first."""
        value = 0
        for shift in range(0, 70, 7):
            (byte,) = self.take(1)
            value |= (byte & 127) << shift
            if byte < 128:
                return value
        raise TokenError(f"a number without an end at byte {self.at}")

    def fields(self) -> list[tuple[int, bytes]]:
        """Read the fields of a protobuf message that have a length, with their numbers; pass over all others."""
        fields = []
        while self.at < len(self.content):
            tag = self.varint()
            kind = tag & 7
            if kind == 2:
                fields.append((tag >> 3, self.take(self.varint())))
            elif kind == 0:
                self.varint()
            elif kind in (1, 5):
                self.take(8 if kind == 1 else 4)
            else:
                raise TokenError(f"a field of type {kind} before byte {self.at}")
        return fields


def _writables(reader: _Reader) -> tuple[dict[str, bytes], frozenset[str]]:
    kinds = set()
    for _ in range(reader.count()):  # tokens: alias, identifier, password, kind, service
        _, _, _, kind, _ = (reader.piece() for _ in range(5))
        kinds.add(_text(kind))
    return {_text(reader.piece()): reader.piece() for _ in range(reader.count())}, frozenset(kinds)


def _protobuf(reader: _Reader) -> tuple[dict[str, bytes], frozenset[str]]:
    secret_keys, kinds = {}, set()
    for number, entry in _Reader(reader.take(reader.varint())).fields():
        fields = dict(_Reader(entry).fields())
        if number == 1:  # a token: alias, and of the token identifier, password, kind, service
            kinds.add(_text(dict(_Reader(fields.get(2, b"")).fields()).get(3, b"")))
        if number == 2:
            if 1 not in fields:
                raise TokenError("a secret key without an alias")
            secret_keys[_text(fields[1])] = fields.get(3, b"")
    return secret_keys, frozenset(kinds)


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise TokenError("an alias that is not UTF-8") from None
