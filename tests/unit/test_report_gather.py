"""From a table's rows to the report's rounds."""

import json

import pytest

from hdl.errors import TableError
from hdl.metrics_log import rounds
from hdl.report import Measured, gather


def row(version, parent, number, cost=1.0, val=None, final=False):
    workers = [{"worker": 0, "shards": [0], "seconds": 0.1}]
    return {"version": version, "parent": parent, "round": number, "cost": cost, "accuracy": None, "samples": 10,
            "val_cost": val, "val_accuracy": val, "val_samples": 3, "final": final,
            "seconds": {"round": 0.2, "merge": 0.01, "workers": workers}}  # fmt: skip


def test_validation_belongs_to_the_weights_that_were_measured():
    rows = [row(1, 0, 0, val=9.0), row(2, 1, 1, val=5.0), row(3, 2, 2, cost=None, val=4.0, final=True)]
    told = [(found["round"], found["version"], found["val_cost"]) for found in rounds(rows)]
    assert told == [(1, 1, 5.0), (2, 2, 4.0)]


def test_a_resumed_table_has_one_round_after_the_other():
    rows = [row(1, 0, 0, val=9.0), row(2, 1, 1, val=5.0, final=True), row(3, 2, 1, val=5.0), row(4, 3, 2, final=True)]
    told = [(found["round"], found["version"], found["val_cost"]) for found in rounds(rows)]
    assert told == [(1, 1, 5.0), (2, 3, None)]


def test_scores_hold_for_their_weights_only(tmp_path):
    seen = Measured("d", "Test", 4, 0.5, 0.75, [[1, 1], [0, 2]])
    gather.save_measured(str(tmp_path), "abc", [seen])
    (again,) = gather.load_measured(str(tmp_path), "abc")
    assert (again.kind, again.accuracy, again.confusion.tolist()) == ("Test", 0.75, [[1, 1], [0, 2]])
    assert gather.load_measured(str(tmp_path), "other") == []
    assert [path.name for path in tmp_path.iterdir()] == ["measured.json"]


@pytest.mark.parametrize("content", ["", "[]", "{}", json.dumps({"sha256": "abc", "scores": [{"x": 1}]})])
def test_scores_that_hdl_did_not_write_are_an_error(content, tmp_path):
    (tmp_path / "measured.json").write_text(content)
    with pytest.raises(TableError, match="remove it"):
        gather.load_measured(str(tmp_path), "abc")
