"""The fast path of the text readers takes only what the careful one takes, and reads the same from it."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hdl import data
from hdl.data.block import Bad
from hdl.errors import DataError

field = st.sampled_from(
    [
        "0",
        "-1.5",
        "+2",
        "1e3",
        " 3",
        "4 ",
        "",
        "nan",
        "inf",
        "1_0",
        "0x1",
        '"5"',
        '"',
        "a",
        ".5",
        "7.",
        '"5"6',
        'a"b',
        '"a""b"',
        '"a,b"',
    ]
)
csv_lines = st.lists(st.lists(field, min_size=1, max_size=4).map(",".join), min_size=1, max_size=5)
word = st.one_of(
    st.sampled_from(["1", "-1", "+1", "2.5", "x", "1e400", "#", "# note", "qid:3"]),
    st.builds("{}:{}".format, st.sampled_from(["1", "2", "3", "0", "-1", "1.5", "", "+4", "1e1", "007"]), field),
    st.text("0123456789:.-+e", max_size=6),
)
svm_lines = st.lists(st.lists(word, min_size=1, max_size=4).map(" ".join), min_size=1, max_size=5)
ends = st.sampled_from(["\n", "\r\n", "\r", "\n\n", " \n"])


def agree(source, text):
    """Whether the fast path of a delimited text took the text; if it did, the careful one has read the same."""
    parser, raw = source.parser, text.encode()
    found = parser.block(raw, lambda i: {})
    if found is None:
        return False
    records = parser.records(raw, "utf-8")
    assert not records.errors, f"only the careful path refuses {text!r}"
    other = parser.rows.block(parser.columns(records.rows), len(records.rows), lambda i: {})
    (block, wrong, unlabelled), (careful, mistakes, nameless) = found, other
    spoiled = [sorted({row for item in items for row in item.texts}) for items in (wrong, mistakes)]
    assert spoiled[0] == spoiled[1]
    assert unlabelled.tolist() == nameless.tolist()
    good = ~unlabelled
    good[spoiled[0]] = False
    np.testing.assert_array_equal(*(getattr(x, "numbers", x)[good] for x in (block.x, careful.x)))
    assert block.y[good].tolist() == careful.y[good].tolist()
    return True


def agree_sparse(source, text):
    """Whether the fast path of libsvm took the text; if it did, the careful one has read the same."""
    raw = text.encode()
    block = source.fast(raw, lambda i: {})
    if block is None:
        return False
    try:
        other = source.careful(source.paths[0], 0, raw, 0, Bad())
    except DataError as error:
        raise AssertionError(f"only the careful path refuses {text!r}: {error}") from error
    assert len(block) == len(other)
    for name in ("data", "indices", "indptr"):
        np.testing.assert_array_equal(getattr(block.x, name), getattr(other.x, name))
    assert block.y.tolist() == other.y.tolist()
    return True


@given(lines=csv_lines, end=ends)
@example(["1,2,a", "3,4,b"], "\r\n")
@example(['0,a"b,"', "0,0,0"], "\n")
@settings(max_examples=300, deadline=None)
def test_csv(tmp_path_factory, lines, end):
    path = tmp_path_factory.getbasetemp() / "paths.csv"
    path.write_text("1,2,a\n")
    source = data.open_source(str(path))
    took = agree(source, end.join(lines) + end)
    assert took or lines != ["1,2,a", "3,4,b"]


@given(lines=csv_lines, end=ends, mark=st.sampled_from(",; "))
@example(["1,2,a", "3,4,b"], "\r\n", ",")
@settings(max_examples=300, deadline=None)
def test_wide(tmp_path_factory, lines, end, mark):
    """The path of very many columns, here of few."""
    path = tmp_path_factory.getbasetemp() / "wide.csv"
    for row in ("1,2,a\n", "a,1,2\n"):
        path.write_text(row.replace(",", mark))
        source = data.open_source(str(path), {"label": str(row.index("a") // 2)})
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("hdl.data.tabular.parser.WIDE", 0)
            took = agree(source, end.join(lines).replace(",", mark) + end)
        assert took or lines != ["1,2,a", "3,4,b"] or row != "1,2,a\n"


@given(lines=svm_lines, end=ends)
@example(["1 1:2 3:4", "-1"], "\n")
@example(["1 +1:0"], "\n")
@example(["1 1.0:0"], "\n")
@settings(max_examples=300, deadline=None)
def test_libsvm(tmp_path_factory, lines, end):
    path = tmp_path_factory.getbasetemp() / "paths.svm"
    path.write_text("1 1:1\n")
    source = data.open_source(str(path))
    took = agree_sparse(source, end.join(lines) + end)
    assert took or lines != ["1 1:2 3:4", "-1"]


@given(lines=st.lists(st.lists(field, min_size=1, max_size=4).map(" ".join), min_size=1, max_size=5), end=ends)
@settings(max_examples=300, deadline=None)
def test_spaces(tmp_path_factory, lines, end):
    path = tmp_path_factory.getbasetemp() / "paths.txt"
    path.write_text("1 2 a\n")
    agree(data.open_source(str(path)), end.join(lines) + end)
