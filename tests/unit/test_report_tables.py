"""The report of a table: its columns in place of pictures of weights, and nothing in the spec that says nothing."""

import re

import numpy as np
import pytest

from hdl import cli
from hdl.data import Schema
from hdl.data.tabular.categories import Category
from hdl.data.tabular.encoders import Encodings
from hdl.data.tabular.frame import Column
from hdl.data.tabular.numbers import Number
from hdl.ops.layout import EmbeddingLayout, Layout
from hdl.report import columns, gather, page, spec_section
from hdl.spec import Spec
from hdl.table import Table

ENCODINGS = Encodings(
    (Column("colour", "category"), Column("size"), Column("note", "category"), Column("age")),
    (Category(("red", "blue"), missing=True), Number(indicator=True), None, Number()),
    "mean",
    {"note": "text, 9 different ones in 9 cells"},
)


def schema(**fields):
    plain = ENCODINGS.to_plain()
    rule = {"missing": {"rule": "mean", "columns": {"size": 7}}}
    return Schema(ENCODINGS.inputs, 2, "index", ("a", "b"), columns=plain, rule=rule, **fields)


def test_columns_and_how_far_they_move_the_first_layer():
    # inputs: size, size is missing, age, colour=red, colour=blue, colour is missing
    first = np.array([[3, 4], [0, 0], [0, 2], [1, 0], [1, 0], [4, 0]], np.float32)
    listed = columns.rows(schema(), first)
    assert [row.name for row in listed] == ["colour", "size", "note", "age"]
    assert [row.inputs for row in listed] == [3, 2, 0, 1]
    assert listed[0].about == "red, blue; missing"
    assert listed[1].about == "its value, is missing"
    assert listed[2].about == "left out: text, 9 different ones in 9 cells"
    assert [row.missing for row in listed] == [0, 7, 0, 0]
    assert listed[0].moves == pytest.approx(np.sqrt(2))  # (1, 1, 4) about 2: the root of (1 + 1 + 4)/3
    assert listed[1].moves == pytest.approx(5 / np.sqrt(2))
    assert listed[2].moves is None
    assert listed[3].moves == pytest.approx(2)
    assert columns.rows(Schema(3, 2, "index"), first) == []
    assert [row.moves for row in columns.rows(schema(), None)] == [None] * 4


def test_vectors_of_levels_are_multiplied_out():
    rng = np.random.default_rng(0)
    layout = EmbeddingLayout((6, 5, 2), 3, ((3, 2),))
    w = rng.normal(size=layout.size).astype(np.float32)
    table, first = layout.tables(w)[0], layout.split(w)[0][0]
    found = columns.first_layer(layout, w)
    assert found.shape == (6, 5)
    np.testing.assert_array_equal(found[:3], first[:3])
    np.testing.assert_allclose(found[3:], table @ first[3:], rtol=1e-5)
    plain = Layout((6, 5, 2))
    w = rng.normal(size=plain.size).astype(np.float32)
    np.testing.assert_array_equal(columns.first_layer(plain, w), plain.split(w)[0][0])


def test_of_very_many_columns_those_are_shown_that_say_most():
    rows = [columns.Row(f"c{k}", "number", 1, "its value", 0, float(k)) for k in range(250)]
    shown = columns.shown(rows)
    assert [row.name for row in shown] == [f"c{k}" for k in range(150, 250)]
    assert columns.shown(rows[:100]) == rows[:100]


def test_columns_of_a_table_are_no_pixels():
    assert gather.image_of({"inputs": 36}) == (6, 6)
    assert gather.image_of({"inputs": 36, "names": [f"pixel{k}" for k in range(36)]}) == (6, 6)
    assert gather.image_of({"inputs": 36, "names": [f"feature {chr(97 + k % 26)}" for k in range(36)]}) is None
    assert gather.image_of({"inputs": 36, "columns": ENCODINGS.to_plain()}) is None
    assert gather.image_of({"inputs": 36, "image": [4, 9, 1], "names": ["a"]}) == (4, 9, 1)


def test_names_of_columns_are_text_in_the_page():
    html = page.barred(("column", "bar"), [("<b>x</b>",), ("y",)], [0.5, None])
    assert "<b>" not in html
    assert "width:50.0%" in html
    assert html.count('class="bar"') == 1


@pytest.mark.parametrize(
    ("fields", "there", "absent"),
    [
        ({}, {"model"}, {"delta", "quantile", "power", "label smoothing", "numbers", "embeddings", "preprocessing"}),
        ({"loss": "quantile", "quantile": 0.9}, {"quantile", "loss"}, {"delta", "power"}),
        ({"loss": "softmax", "class_weight": {"a": 2.0}}, {"label smoothing", "class weight"}, {"delta"}),
    ],
)
def test_the_spec_lists_what_says_something(fields, there, absent):
    html = spec_section.section(Spec(**fields).model_dump(mode="json"), table=False)
    names = set(re.findall("<dt>([^<]*)</dt>", html))
    assert there <= names
    assert not names & absent
    assert "a=2" in html or "class_weight" not in fields


def test_a_page_of_a_table(tmp_path, capfd):
    lines = [f"{['red', 'blue', ''][k % 3]},{k % 9 if k % 7 else ''},{'yes' if k % 3 else 'no'}" for k in range(60)]
    (tmp_path / "d.csv").write_text("\n".join(["colour,size,sold", *lines, ""]))
    for flags in ([], ["--embedding", "2"]):
        out = tmp_path / f"t{len(flags)}"
        assert cli.run(["train", str(tmp_path / "d.csv"), "--out", str(out), "--epochs", "1", *flags]) == 0
        html = (out / "report.html").read_text()
        assert "<h2>Columns</h2>" in html
        assert "<h2>First layer</h2>" not in html
        assert len(re.findall('class="bar"', html)) == 2
        assert all(f">{cell}<" in html for cell in ("colour", "size", "blue, red; missing", "its value, is missing"))
        assert Table(str(out)).read(0).about["schema"]["columns"] is not None
    capfd.readouterr()


def test_many_bins_are_told_by_their_ends():
    names = [": bin 1 (17 to 18.5)", ": bin 2 (18.5 to 20)", ": bin 3 (20 to 90)", ": is missing"]
    assert columns._inputs(names) == "is missing, 3 bins from 17 to 90"
    assert columns._inputs(names[:2]) == "bin 1 (17 to 18.5), bin 2 (18.5 to 20)"
