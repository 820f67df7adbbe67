"""`hdl search --scheduler pbt`: who becomes whose child, what is inherited, and the same table whatever happens."""

import json
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest

from hdl import cli
from hdl.search import population, schedulers
from hdl.search.space import Parameter, Space
from hdl.sync import genetic
from hdl.table import Table

FIELDS = ["--validation", "0.2", "--recipe", "plain", "--epochs", "3", "--batch", "20", "--metric", "auc", "--quiet"]
SPACE = ["--param", "lr=log:1e-4,1e-1", "--param", "net=0-{4,8}-0", "--param", "optimizer=adam,nesterov"]
PBT = ["--scheduler", "pbt", "--trials", "4", "--eta", "2", "--generations", "3", "--no-report"]
WIDE = Space((
    Parameter("lr", "log", (), 1e-4, 1e-1), Parameter("dropout", "linear", (), 0.0, 0.5),
    Parameter("net", "choice", ("0-4-0", "0-8-0")),
))  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path, rng = tmp_path_factory.mktemp("population") / "data.csv", np.random.default_rng(0)
    y = np.arange(300) % 2
    np.savetxt(path, np.c_[rng.normal(size=(300, 4)) + np.eye(2, 4)[y], y], fmt="%.5g", delimiter=",")
    return path


def search(*args, status=0):
    assert cli.run(["search", *map(str, args)]) == status


def table(out):
    return pq.read_table(out / "search.parquet").drop_columns(["seconds"])


@pytest.fixture(scope="module")
def whole(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "s"
    search(data, "--out", out, *FIELDS, *SPACE, *PBT, "--workers", 1)
    return out


def test_the_worst_quarter_are_children_of_the_best_quarter():
    scheduler = schedulers.make("pbt", 8, 4, 2, 7)
    for _ in range(8):
        task = scheduler.ask(lambda number: True)
        scheduler.tell(task, float("inf") if task.number == 1 else float(task.number))
    tasks = [scheduler.ask(lambda number: True) for _ in range(8)]
    assert [task.number for task in tasks] == [*range(8)]
    children = {task.number: set(task.parents) for task in tasks if task.parents[0] != task.number}
    assert children == {1: {0, 2}, 7: {0, 2}}  # the one without a loss is the worst
    assert scheduler.ask(lambda number: True) is None


def test_the_last_loss_counts_and_not_the_best():
    scheduler = schedulers.make("pbt", 2, 2, 2)
    for curve in ([0.1, 0.9], [0.6, 0.5]):
        scheduler.tell(scheduler.ask(lambda number: True), min(curve), curve)
    assert [scheduler.ask(lambda number: True).parents[0] for _ in range(2)] == [1, 1]


def test_a_child_has_each_value_of_a_parent_moved_by_a_tenth_of_its_range():
    a = {"lr": 0.001, "dropout": 0.2, "net": "0-4-0"}
    b = {"lr": 0.01, "dropout": 0.4, "net": "0-8-0"}
    lr, dropout = set(), set()
    for number in range(64):
        child = population.make_child(WIDE, 3, 2, number, [a, b], ["net"])
        assert child == population.make_child(WIDE, 3, 2, number, [a, b], ["net"])
        assert child["net"] == "0-4-0"
        lr.add(child["lr"])
        dropout.add(child["dropout"])
    factor = 10**0.3
    assert sorted(lr) == pytest.approx([0.001 / factor, 0.001 * factor, 0.01 / factor, 0.01 * factor], rel=1e-5)
    assert sorted(dropout) == pytest.approx([0.15, 0.25, 0.35, 0.45])


def test_a_population_of_which_none_is_replaced_is_what_hdl_train_makes(data, tmp_path):
    out = tmp_path / "s"
    search(data, "--out", out, *FIELDS, *SPACE, *PBT, "--trials", 2, "--eta", 3, "--workers", 1)
    for row in table(out).to_pylist():
        flags = [f"--{name}={row[f'param_{name}']}" for name in ("lr", "net", "optimizer")]
        one = tmp_path / str(row["trial"])
        assert cli.run(["train", str(data), "--out", str(one), *FIELDS, *flags, "--no-report"]) == 0
        alone, last = Table(str(one)), Table(str(out / f"trial{row['trial']:04d}" / "generation02"))
        assert np.array_equal(alone.read().weights.w, last.read().weights.w)
        assert alone.read().spec == last.read().spec
        assert row["parents"] == [row["trial"]] * 3


def test_a_child_goes_on_from_its_parents_weights_with_its_own_settings(whole):
    rows = table(whole).to_pylist()
    children = [(row["trial"], g) for row in rows for g in (1, 2) if row["parents"][g] != row["trial"]]
    assert len(children) == 4
    for number, generation in children:
        parent = rows[number]["parents"][generation]
        a = Table(str(whole / f"trial{parent:04d}" / f"generation{generation - 1:02d}"))
        b = Table(str(whole / f"trial{number:04d}" / f"generation{generation:02d}"))
        assert np.array_equal(b.read(a.latest()).weights.w, a.read().weights.w)
        assert b.read().weights.round == a.read().weights.round + 1
        mine, theirs = b.read().spec, a.read().spec
        assert mine["net"] == theirs["net"]
        assert mine["optimizer"] != theirs["optimizer"]
    assert all(len(row["curve"]) == row["rounds"] == 3 for row in rows)


def test_the_table_does_not_depend_on_the_workers(whole, data, tmp_path):
    search(data, "--out", tmp_path / "s", *FIELDS, *SPACE, *PBT, "--workers", 3)
    assert table(tmp_path / "s").equals(table(whole))


def test_nor_on_an_end_in_the_middle(whole, tmp_path):
    out = tmp_path / "s"
    shutil.copytree(whole, out)
    kept = json.loads((out / "search.json").read_text())
    for trial in kept["trials"]:
        trial["done"] = trial["done"][: 2 if trial["number"] else 1]
        shutil.rmtree(out / f"trial{trial['number']:04d}" / "generation02")
    (out / "search.json").write_text(json.dumps(kept))
    (half,) = [each for each in (out / "trial0000" / "generation01").iterdir() if each.name.startswith("v00000004")]
    half.unlink()  # its table was begun
    search(kept["data"], "--out", out, "--resume", "--workers", 1, "--quiet", "--no-report")
    assert table(out).equals(table(whole))


def test_bred_weights_are_those_of_mode_genetic(data, tmp_path):
    out = tmp_path / "s"
    flags = ["--param", "lr=log:1e-4,1e-1", "--net", "0-4-0", "--breed", "--crossover", "arithmetic"]
    search(data, "--out", out, *FIELDS, *flags, *PBT, "--workers", 2)
    row = next(row for row in table(out).to_pylist() if row["parents"][1] != row["trial"])
    number, first = row["trial"], row["parents"][1]
    child = Table(str(out / f"trial{number:04d}" / "generation01"))
    tables = [Table(str(out / f"trial{each:04d}" / "generation00")) for each in range(4)]
    w = child.read(tables[first].latest()).weights.w
    from hdl.spec import parse

    spec = parse(child.read().spec)
    bred = [genetic.mutate(spec, 1, number, genetic.cross(spec, 1, number, tables[first].read().weights.w,
                                                          other.read().weights.w)) for other in tables]  # fmt: skip
    assert any(np.array_equal(w, each) for each in bred)


@pytest.mark.parametrize(("more", "said"), [
    (["--generations", "9"], "at most as many as rounds, 3"),
    (["--sampler", "tpe"], "--sampler tpe learns"),
    (["--patience", "3"], "leave it out"),
    (["--refit"], "has had several settings"),
    (["--scheduler", "halving"], "--generations: belongs to --scheduler pbt"),
])  # fmt: skip
def test_what_does_not_go_with_a_population_is_refused(data, tmp_path, capfd, more, said):
    search(data, "--out", tmp_path / "s", *FIELDS, *SPACE, *PBT, *more, status=2)
    assert said in capfd.readouterr().err
    assert not (tmp_path / "s").exists()
