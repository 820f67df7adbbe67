"""Splits as Hadoop's own Writables lay them out: what Java and a task read is what was written."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdl.runners import splits

payloads = st.dictionaries(st.text(max_size=5), st.integers() | st.text() | st.none(), max_size=4)
names = st.lists(st.from_regex(r"[a-z0-9.-]{1,60}", fullmatch=True), max_size=splits.MOST_HOSTS)


def read(raw):
    """As our patch of OpaqueSplit.readFields: BytesWritable, the number of hosts, Text each."""
    (count,) = struct.unpack_from(">i", raw)
    at, found = 4, []
    for _ in range(count):
        start = at
        (length,) = struct.unpack_from(">i", raw, at)
        (hosts,) = struct.unpack_from(">i", raw, at + 4 + length)
        at += 8 + length
        texts = []
        for _ in range(hosts):
            texts.append(raw[at + 1 : at + 1 + raw[at]].decode())
            at += 1 + raw[at]
        found.append((raw[start:at], texts))
    assert at == len(raw)
    return found


@given(st.lists(st.tuples(payloads, names), max_size=4))
def test_what_was_written_is_read(written):
    found = read(splits.encode(written))
    assert [(splits.decode(raw), hosts) for raw, hosts in found] == written


def test_more_hosts_than_a_scheduler_looks_at_are_left_out():
    ((_, hosts),) = read(splits.encode([(1, [f"node{k}" for k in range(9)])]))
    assert hosts == ["node0", "node1", "node2", "node3", "node4"]


def test_a_cut_split_and_an_endless_name_are_refused():
    with pytest.raises(ValueError, match="says that its payload has"):
        splits.decode(splits.encode([("payload", [])])[4:12])
    with pytest.raises(ValueError, match="host name of 128 bytes"):
        splits.encode([(1, ["h" * 128])])
