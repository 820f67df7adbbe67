"""Lines of decimal numbers, read in the core: each value is Python's, and what is no plain number is left to others."""

import re
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdl import data
from hdl.data.block import OVERFLOW
from hdl.data.number_lines import fill, matrix, with_text
from hdl.data.tabular.parser import Parser

PLAIN = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,6})?")
TIES = 2.0 ** np.arange(-4, 70)[:, None] * np.arange(1, 9)


def read(texts):
    """Each text by itself, in a line of its own; None where the lines are refused."""
    found = matrix("".join(f"{text}\n" for text in texts).encode(), 1, ",")
    return None if found is None else found[:, 0]


def check(texts):
    found, true = read(texts), np.array([float(text) for text in texts])
    wrong = np.flatnonzero(found.view(np.int64) != true.view(np.int64))
    assert not len(wrong), [(texts[i], float(found[i])) for i in wrong[:5]]


def of_bits(count, seed):
    """Numbers of any exponent that float32 has."""
    values = np.random.default_rng(seed).integers(0, 1 << 64, count, np.uint64).view(np.float64)
    return values[np.abs(values) < OVERFLOW].tolist()


@pytest.mark.parametrize("form", ["%r", "%.17g", "%.16e", "%.18e", "%.6f", "%.3g", "%+.9E", "%.25g", "%.40f"])
def test_random_doubles_come_back_bit_by_bit(form):
    values = of_bits(20_000, 1)
    texts = [form % value for value in values]
    if form == "%.40f":
        texts = [form % value for value in values if abs(value) < 1e30]
    check(texts)
    if form in ("%r", "%.17g", "%.16e", "%.18e"):
        assert read(texts).tolist() == values


def test_every_kind_of_float32_comes_back():
    bits = np.random.default_rng(2).integers(0, 1 << 32, 30_000, np.uint32)
    edges = np.array([0, 1, 2, 0x7FFFFF, 0x800000, 0x800001, 0x7F7FFFFF, 0x80000000, 0x80000001], np.uint32)
    values = np.concatenate([bits, edges]).view(np.float32)
    values = values[np.isfinite(values)]
    texts = [str(value) for value in values]
    assert read(texts).astype(np.float32).tobytes() == values.tobytes()
    check(texts)


def test_middles_between_doubles_go_to_the_even_one():
    rng = np.random.default_rng(3)
    mantissas = rng.integers(1 << 52, 1 << 53, 4000) * 2 + 1  # 54 bits: in the middle of two doubles
    texts = [str(int(m) << shift) for m, shift in zip(mantissas, rng.integers(0, 60, 4000), strict=True)]
    texts += [f"{int(m)}e{e}" for m, e in zip(mantissas, rng.integers(-27, 20, 4000), strict=True)]
    texts += [f"{m}.5" for m in rng.integers(1 << 52, 1 << 53, 500)]
    texts += [f"{m}.{quarter}" for m in rng.integers(1 << 51, 1 << 52, 500) for quarter in (25, 75)]
    texts += [str(((1 << 54) - 1) << shift) for shift in range(60)]  # all ones: up to the next power of two
    texts += [
        "9007199254740993",
        "9007199254740992.99999",
        "9007199254740993.0000000000000000000000001",
        "4503599627370497.5",
    ]
    texts += [repr(value) for value in TIES.ravel().tolist()]
    check(texts)
    lasts = struct.unpack(
        "<3d", struct.pack("<3q", 1, 2, (1 << 52) - 1)
    )  # the smallest of all, and the largest small one
    check(
        [form % value for value in lasts for form in ("%r", "%.30e", "%.17e")] + ["2.4703282292062327e-324", "2.5e-324"]
    )


def test_every_power_of_ten_and_its_neighbours():
    check([f"{m}e{e}" for m in (1, 9, 17, 9007199254740991, 9007199254740993, 2**64 - 1) for e in range(-360, 19)])


@given(st.from_regex(r"[+-]?[0-9]{0,25}\.?[0-9]{0,25}([eE][+-]?[0-9]{1,3})?", fullmatch=True))
@settings(max_examples=1000, deadline=None)
def test_odd_spellings_are_read_as_python_reads_them_or_not_at_all(text):
    found = read([text])
    if not PLAIN.fullmatch(text) or not abs(float(text)) < OVERFLOW:
        assert found is None
    else:
        check([text])


@pytest.mark.parametrize(
    "text",
    ["", "-", "+", ".", "-.", "e5", ".e5", "1e", "1e+", "1 2", "--1", "+-1", "1-", "1..2", "1.2.3", "0x10", "1_0",
     "nan", "inf", "-inf", "Infinity", "NA", "1e39", "-3.5e38", "1e9999999", '"1"', "1\r2", "\x001", "\uff11", "1f",
     "1,"],
)  # fmt: skip
def test_what_is_no_plain_number_is_refused(text):
    assert read(["1", text, "2"]) is None


@pytest.mark.parametrize(
    "text",
    ["0", "-0", "+0.0", "1.", ".5", "-.5e-3", "007", "1e05", "1E+5", " 1", "1 ", "\t1 \t", "0e999999", "1e-999999"],
)
def test_what_python_takes_as_well(text):
    check(["1", text, "2"])


@pytest.mark.parametrize("delimiter", [",", ";", "\t", " ", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", " \n", "  \r\n"])
def test_cuts_at_every_byte_give_the_same_rows(delimiter, end):
    rng = np.random.default_rng(4)
    rows = np.concatenate(
        [rng.normal(size=(4, 3)), rng.integers(-99999, 99999, (4, 3)) * 10.0 ** rng.integers(-9, 9, (4, 3))]
    )
    text = "".join(delimiter.join(map(repr, row)) + end for row in rows.tolist()).encode()
    whole = matrix(text, 3, delimiter)
    assert whole.tolist() == rows.tolist()
    for cut in range(len(text) + 1):
        first, second = text[:cut], text[cut:]
        lines = text.count(b"\n", 0, cut)
        if first.endswith(b"\n"):
            assert (
                np.concatenate([matrix(first, 3, delimiter), matrix(second, 3, delimiter)][: 1 + bool(second)]).tolist()
                == rows.tolist()
            )
        else:  # whatever lies behind the last byte is not looked at
            assert matrix(first, 3, delimiter) is None
            line = first[first.rfind(b"\n") + 1 :]
            found = matrix(first + b"\n", 3, delimiter)
            complete = len(line.decode().replace(delimiter, " ").split()) == 3
            assert found is None or (complete and found[:lines].tolist() == rows[:lines].tolist())
            if found is not None:
                assert found[lines].tolist() == [float(cell) for cell in line.decode().replace(delimiter, " ").split()]


def test_a_changed_byte_is_read_as_python_reads_it_or_refused():
    rng = np.random.default_rng(5)
    text = bytearray(
        b"".join(b"%.5f,%d,%r\n" % (a, b, c) for a, b, c in zip(*rng.normal(size=(3, 30)) * 100, strict=True))
    )
    for _ in range(20_000):
        at, before = int(rng.integers(len(text) - 1)), bytes(text)
        text[at] = int(rng.integers(256))
        found = matrix(bytes(text), 3, ",")
        if found is not None:
            lines = [line.split(",") for line in text.decode().splitlines()]
            assert found.tolist() == [[float(cell) for cell in line] for line in lines]
        text[:] = before


def test_rows_go_where_they_are_wanted():
    out = np.full((4, 2), 7.0)
    assert fill(out, b"1,x,2\n3,,4\n", ",", np.array([1, -1, 0], np.int32)) == 2
    assert out.tolist() == [[2, 1], [4, 3], [7, 7], [7, 7]]
    assert fill(out[:1], b"1,x,2\n3,,4\n", ",", np.array([1, -1, 0], np.int32)) == -1  # more lines than rows
    numbers, texts = with_text(b"1, cat,2\n3,,4\n", ",", np.array([0, -2, 1], np.int32), 2)
    assert numbers.tolist() == [[1, 2], [3, 4]]
    assert texts.to_pylist() == ["cat", ""]
    for text in (b'1,"cat",2\n', "1,kätzchen,2\n".encode(), b"1,a\tb,2\n"):
        assert with_text(text, ",", np.array([0, -2, 1], np.int32), 2) is None


TABLES = {
    "named": ("a,b,kind\n", lambda a, b, k: f"{a!r},{b:.3f},{['one', 'two', 'three'][k]}\n", {}),
    "numbered": ("", lambda a, b, k: f"{k} {a:.5e}  {b}\n", {"label": ["0"]}),
    "targets": ("a;t;u;w\n", lambda a, b, k: f"{a};{b};{k};{abs(a)}\n", {"label": ["t", "u"], "weights": "w"}),
    "left out": ("a,name,b,y\n", lambda a, b, k: f"{a},näme {k},{b},{k}\n", {"ignore": ["name"]}),
    "missing": ("a,b,y\n", lambda a, b, k: f"{a},{'' if k == 1 else b},{k}\n", {}),
    "marked": ("a,b,y\n", lambda a, b, k: f"{a:.1f},{-1 if k else b:.1f},{k}\n", {"na_values": ["-1", "-1.0"]}),
    "no labels": ("a,b,y\n", lambda a, b, k: f"{a},{b},{'' if k else k}\n", {"label": ["y"]}),
    "quoted": ("a,b,y\n", lambda a, b, k: f'{a},"{b}",{k}\n', {}),
}


@pytest.mark.parametrize("table", TABLES)
def test_tables_are_what_arrow_makes_of_them(tmp_path, monkeypatch, table):
    header, line, options = TABLES[table]
    rng = np.random.default_rng(6)
    rows = zip(*rng.normal(size=(2, 400)).tolist(), rng.integers(0, 3, 400).tolist(), strict=True)
    (tmp_path / "a.csv").write_text(header + "".join(line(*row) for row in rows))

    def blocks():
        source = data.open_source(str(tmp_path / "a.csv"), {"max_bad_records": 500} | options)
        return [block for own in source.splits(3) for block in source.read(own)]

    taken = []
    plain = Parser._plain
    monkeypatch.setattr(Parser, "_plain", lambda *given: taken.append(plain(*given)) or taken[-1])
    here = blocks()
    assert all(found is None for found in taken) == (table in ("missing", "marked", "quoted"))
    monkeypatch.setattr(Parser, "_plain", lambda *given: None)
    there = blocks()
    for name in ("x", "y", "weight"):
        found, true = ([getattr(block, name) for block in both] for both in (here, there))
        if true[0] is not None:
            found, true = np.concatenate(found), np.concatenate(true)
            assert found.dtype == true.dtype
            assert found.tolist() == true.tolist() if true.dtype == object else found.tobytes() == true.tobytes()
