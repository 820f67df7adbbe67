"""The scan for secrets finds one in whatever way a program may have printed it."""

import base64

import pytest

from tests.hadoop.scan import Secrets

SECRET = bytes([0, 255, 7, 65, 66, 10, 39, 92, 128, 200, 13, 97, 98, 99, 33, 254])
WAYS = {
    "as it is": SECRET,
    "hexadecimal": SECRET.hex().encode(),
    "base64": base64.b64encode(SECRET),
    "base64 of more": base64.urlsafe_b64encode(b"x" + SECRET + b"yz"),
    "repr": repr(SECRET).encode(),
    "repr within a dict": repr({"key": SECRET}).encode(),
    "list": str(list(SECRET)).encode(),
    "Java's": str([byte - 256 if byte > 127 else byte for byte in SECRET]).encode(),
}


@pytest.mark.parametrize("way", WAYS)
def test_each_way_is_found_and_a_part_of_it_is_not(way):
    scan = Secrets({"it": SECRET})
    assert scan.among([("log", b"2026 INFO " + WAYS[way] + b" end")]) == [("log", "it")]
    assert scan.among([("log", WAYS[way][: len(WAYS[way]) // 2])]) == []
