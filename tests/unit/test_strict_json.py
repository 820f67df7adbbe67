"""JSON that people and other programs read is JSON by its standard: no NaN, no infinities."""

import ast
import json
import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hdl import cli, strict_json
from hdl.metrics_log import MetricsLog
from hdl.report import Measured, gather

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def strictly(text):
    def refuse(name):
        raise ValueError(f"{name} is no JSON")

    return json.loads(text, parse_constant=refuse)


@given(PLAIN)
def test_all_but_what_is_not_finite_comes_back(value):
    def expected(value):
        if isinstance(value, float):
            return value if math.isfinite(value) else None
        if isinstance(value, list):
            return [expected(item) for item in value]
        return {key: expected(item) for key, item in value.items()} if isinstance(value, dict) else value

    assert strictly(strict_json.dumps(value)) == expected(value)


def test_rows_and_scores_are_strict(tmp_path):
    log = MetricsLog([{"version": 1, "cost": math.inf, "lineage": [{"fitness": math.nan}]}])
    assert strictly(log.tail()) == {"version": 1, "cost": None, "lineage": [{"fitness": None}]}
    gather.save_measured(str(tmp_path), "abc", [Measured("d", "Test", 4, math.nan, r2=-math.inf)])
    assert strictly((tmp_path / "measured.json").read_text())["scores"][0]["cost"] is None


def test_whoever_prints_or_stores_json_for_people_uses_it(root):
    files = [file for room in ("cli", "report", "search") for file in (root / "hdl" / room).glob("*.py")]
    files += [root / "hdl" / "metrics_log" / "__init__.py", root / "hdl" / "runners" / "mapreduce" / "prediction.py"]
    loose = [
        f"{file.name}:{node.lineno}"
        for file in files
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "json.dumps" and "before" not in ast.unparse(node)
    ]
    assert loose == []
    assert len(files) > 20


@pytest.fixture
def diverging(tmp_path):
    """A table whose network has no finite answer to the last row of data.csv."""
    rng = np.random.default_rng(0)
    rows = [f"{a:.3f},{b:.3f},{int(a > 0)}" for a, b in rng.normal(size=(50, 2))]
    (tmp_path / "plain.csv").write_text("\n".join(["a,b,label", *rows, ""]))
    (tmp_path / "data.csv").write_text("\n".join(["a,b,label", *rows, "3e38,-3e38,1", ""]))
    command = ["train", str(tmp_path / "plain.csv"), "--out", str(tmp_path / "t"), "--epochs", "3", "--scale", "none"]
    command += ["--recipe", "plain"]
    assert cli.run([*command, "--no-report", "-q"]) == 0
    return tmp_path


def test_answers_that_are_not_finite_are_an_error_or_counted(diverging, capfd):
    table, data, out = str(diverging / "t"), str(diverging / "data.csv"), diverging / "p.csv"
    capfd.readouterr()
    assert cli.run(["evaluate", table, data, "--json"]) == 3
    told = capfd.readouterr()
    assert told.out == ""
    assert told.err.startswith(f"hdl: error: {data}:52: ")
    assert "not finite" in told.err
    assert cli.run(["predict", table, data, "--out", str(out)]) == 3
    told = capfd.readouterr()
    assert told.out == ""
    assert f"{data}:52: the network's answer is not finite" in told.err
    assert out.read_text().splitlines()[51:] == [",,"]  # whole, with an empty line in the answer's place
    out.unlink()
    assert cli.run(["evaluate", table, data, "--json", "--max-bad-records", "1"]) == 0
    score = strictly(capfd.readouterr().out)
    assert (score["samples"], score["bad_records"], np.sum(score["confusion"])) == (50, 1, 50)
    assert cli.run(["predict", table, data, "--out", str(out), "--max-bad-records", "1"]) == 0
    assert f"{data}:52: " in capfd.readouterr().err
    assert out.read_text().count("\n") == 52
    assert "nan" not in out.read_text()


def test_a_regressions_scores_are_told_everywhere(tmp_path, capfd):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 200))
    price = 250_000 + 95_000 * (0.8 * a - 0.6 * b)
    np.savetxt(tmp_path / "d.csv", np.c_[a, b, price], "%.6f", delimiter=",", header="a,b,price", comments="")
    data, table = str(tmp_path / "d.csv"), str(tmp_path / "t")
    assert cli.run(["train", data, "--out", table, "--epochs", "30", "--test", data, "-q"]) == 0
    out = capfd.readouterr().out
    assert cli.run(["evaluate", table, data, "--json"]) == 0
    score = strictly(capfd.readouterr().out)
    assert score["r2"] > 0.9
    assert score["rmse"] == pytest.approx(95_000 * math.sqrt(1 - score["r2"]), rel=0.1)
    assert cli.run(["evaluate", table, data]) == 0
    text = capfd.readouterr().out
    page = (tmp_path / "t" / "report.html").read_text()
    r2, rmse = f"{score['r2']:.4f}", f"{score['rmse']:,.1f}" if score["rmse"] >= 1e3 else f"{score['rmse']:.5g}"
    assert re.search(rf"^test R² +{r2}$", out, re.M)
    assert re.search(rf"^test RMSE +{rmse}$", out, re.M)
    assert re.search(rf"^RMSE +{rmse}$", text, re.M)
    for value in ("Test R²", r2, "Test RMSE", rmse):
        assert value in page
