"""Tables that `hdl import` writes: read back as what they were, with kinds, label, weights and what is kept."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hdl.data import Options, open_source, summarise, write_shards
from hdl.data.parquet import KEY
from tests.runner.every_column import OPTIONS, table


def facts_of(source):
    return summarise(source, source.splits(1)[0])


def imported(folder, content, **options):
    """Write a table as Parquet and import it; returns both sources."""
    path = folder / "table.parquet"
    pq.write_table(content, path, row_group_size=97)
    source = open_source(str(path), Options.make(options))
    write_shards(source, str(folder / "imported"), shards=3)
    return source, open_source(str(folder / "imported"))


def cells(source):
    """All rows as plain values: features, labels, weights, offsets."""
    rows = []
    for block in source.read(source.splits(1)[0]):
        frame, n = block.x, len(block)
        columns = [frame[column.name] for column in source.columns] if hasattr(frame, "others") else list(frame.T)
        listed = [
            column.to_pylist() if isinstance(column, pa.Array) else [None if np.isnan(v) else float(v) for v in column]
            for column in columns
        ]
        more = [[None] * n if part is None else part.tolist() for part in (block.y, block.weight, block.offset)]
        rows += zip(*listed, *more, strict=True)
    return rows


def test_a_table_of_every_kind_comes_back(tmp_path):
    content = table().append_column("exposure", pa.array(np.linspace(0, 1, 400)))
    there, back = imported(tmp_path, content, **OPTIONS, offset="exposure", keep="id")
    assert back.columns == there.columns
    assert (back.label, back.options.weights, back.options.offset) == (["churned"], "weight", "exposure")
    assert back.reading["label_by"] == "own file"
    assert cells(back) == cells(there)
    one, two = facts_of(there), facts_of(back)
    assert one.facts.to_parts()[0] == two.facts.to_parts()[0]
    assert all(np.array_equal(a, b) for a, b in zip(one.moments.values(), two.moments.values(), strict=True))
    # What is kept can be kept again, and is no feature.
    kept = open_source(str(tmp_path / "imported"), Options.make({"keep": "id"}))
    (block, *_) = kept.read(kept.splits(1)[0])
    labelled = content.filter(content["churned"].is_valid())
    assert block.kept.column("id").to_pylist() == labelled["id"].to_pylist()[: len(block)]


def test_options_that_are_given_win(tmp_path):
    _, back = imported(tmp_path, table(), **OPTIONS)
    other = open_source(str(tmp_path / "imported"), Options.make({"label": "member", "weights": "size"}))
    assert other.label == ["member"]
    assert "size" not in [column.name for column in other.columns]
    alone = open_source(str(tmp_path / "imported"), Options.make({"labelled": False}))
    assert alone.label == []
    assert len(alone.columns) > len(back.columns)


@pytest.mark.parametrize("label", ["target", "y", "x", "id"])
def test_names_of_columns_are_no_hints(tmp_path, label):
    """Features may be called target, y, x or indices: the file says what is the label."""
    rng = np.random.default_rng(0)
    content = pa.table({name: pa.array(rng.normal(size=60)) for name in ("target", "x", "y", "indices", "id")})
    content = content.append_column("kind", pa.array(rng.choice(["a", "b"], 60)))
    there, back = imported(tmp_path, content, label=label)
    assert back.label == [label]
    assert [column.name for column in back.columns] == [column.name for column in there.columns]
    assert cells(back) == cells(there)


def test_missing_numbers_need_columns_and_whole_ones_stay_a_vector(tmp_path):
    rng = np.random.default_rng(0)
    full = pa.table({"a": rng.normal(size=50), "b": rng.normal(size=50), "label": rng.integers(0, 2, 50)})
    there, back = imported(tmp_path, full)
    assert pq.read_schema(tmp_path / "imported" / "part-00000.parquet").names == ["x", "y"]
    holes = full.set_column(0, "a", pa.array(full["a"].to_numpy(), mask=rng.random(50) < 0.3))
    (tmp_path / "holes").mkdir()
    there, back = imported(tmp_path / "holes", holes)
    assert pq.read_schema(tmp_path / "holes" / "imported" / "part-00000.parquet").names == ["a", "b", "label"]
    assert cells(back) == cells(there)
    assert facts_of(back).facts["a"].missing == holes["a"].null_count


def test_several_targets_and_a_depth_of_pictures(tmp_path):
    rng = np.random.default_rng(0)
    content = pa.table({
        "kind": pa.array(rng.choice(["a", "b"], 40)), "low": rng.normal(size=40), "high": 1e9 + rng.normal(size=40),
    })  # fmt: skip
    there, back = imported(tmp_path, content, label="low,high")
    assert back.targets == ["low", "high"]
    assert cells(back) == cells(there)


def test_the_files_say_it_in_plain_json(tmp_path):
    imported(tmp_path, table(), **OPTIONS, keep="id")
    schema = pq.read_schema(tmp_path / "imported" / "part-00000.parquet")
    own = json.loads(schema.metadata[KEY])
    assert (own["version"], own["label"], own["weights"]) == (2, ["churned"], "weight")
    assert {"size:number by type", "area:category", "seen:date by type", "id:ignore"} <= set(own["pins"])
    assert schema.field("day").type == pa.timestamp("us")
    assert schema.field("age").type == pa.float64()
    assert schema.field("colour").type == pa.dictionary(pa.int32(), pa.string())
