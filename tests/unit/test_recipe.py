"""The recipe for tables: what is filled in where nobody says otherwise, when, and that it decides nothing else."""

import numpy as np
import pytest

from hdl import cli, data, driver, recipe
from hdl.cli.flag_list import FLAGS
from hdl.data import Options
from hdl.predict import Model
from hdl.recipe import FIELDS, Facts, as_flags, choose, fill
from hdl.runners.base import Job
from hdl.runners.local import LocalRunner
from hdl.spec import Spec, parse

AUTO = Spec(auto=FIELDS)


def chosen(rows, spec=AUTO, classes=2, numbers=6, **more):
    found = choose(Facts(rows, classes, numbers, **more), spec)
    return found.fields if found else None


def table(path, rows=300, seed=1):
    """Write a table of two numbers and a category; the label is a noisy rule of these."""
    rng = np.random.default_rng(seed)
    x, colour = rng.normal(size=(rows, 2)), rng.integers(0, 3, rows)
    y = x[:, 0] * (colour - 1) + 0.3 * rng.normal(size=rows) > 0
    lines = [f"{a:.3f},{b:.3f},{'rgb'[c]},{'yes' if t else 'no'}" for (a, b), c, t in zip(x, colour, y, strict=True)]
    path.write_text("\n".join(["a,b,colour,sold", *lines]) + "\n")
    return str(path)


def summary_of(path):
    source = data.open_source(path, Options(label=("sold",)))
    return data.summarise(source, source.splits(1)[0])


def test_fewer_epochs_decay_no_faster_and_more_epochs_slower():
    own = chosen(400)
    asked = {n: chosen(400, AUTO.with_(auto=tuple(f for f in FIELDS if f != "epochs"), epochs=n)) for n in (2, 800)}
    assert asked[2]["optimizer.weight_decay"] == own["optimizer.weight_decay"]
    assert asked[800]["optimizer.weight_decay"] < own["optimizer.weight_decay"] / 2


@pytest.mark.parametrize(
    ("labels", "options", "loss"),
    [
        (lambda skew: 100 * skew, {}, "poisson"),
        (lambda skew: np.round(3 * skew) - 100 * (np.arange(300) == 7), {}, "squared"),  # one is negative
        (lambda skew: 50 + 0.01 * skew, {}, "squared"),  # hardly skewed
        (lambda skew: -skew, {}, "squared"),
        (lambda skew: 100 * skew, {"offset": "b"}, "squared"),  # an offset before a link means something else
    ],
)
def test_a_label_that_is_nowhere_negative_and_skewed_has_a_log_link(tmp_path, labels, options, loss):
    rng = np.random.default_rng(3)
    x = rng.normal(size=(300, 2))
    y = labels(np.exp(x[:, 0] + 0.1 * x[:, 1]))
    (tmp_path / "t.csv").write_text(
        "a,b,y\n" + "".join(f"{a:.3f},{b:.3f},{t:.4f}\n" for (a, b), t in zip(x, y, strict=True))
    )
    auto = AUTO.with_(epochs=2, auto=tuple(path for path in FIELDS if path != "epochs"))
    job = Job(str(tmp_path / "t.csv"), str(tmp_path / "m"), auto, Options(label=("y",), **options))
    assert driver.train(job, LocalRunner(1)).spec.loss == loss


def test_a_spec_that_leaves_nothing_is_what_it_was(tmp_path):
    summary = summary_of(table(tmp_path / "t.csv"))
    schema = data.fit(summary, Spec())
    assert "recipe" not in schema.reading
    spec = data.resolve(Spec(), schema)
    assert (spec.net, spec.batch, spec.members, spec.optimizer) == ((5, 64, 2), 32, 1, Spec().optimizer)


def test_what_is_left_is_filled_in_and_stored(tmp_path):
    summary = summary_of(table(tmp_path / "t.csv"))
    schema = data.fit(summary, AUTO)
    spec = data.resolve(AUTO, schema)
    assert spec.auto == ()
    assert spec.members > 1
    assert spec.optimizer.weight_decay > 0
    assert schema.rule["name"] == spec.scale.name == "quantile"
    stored = data.Schema.from_parts(*schema.to_parts()).reading["recipe"]
    assert stored["flags"] == as_flags(stored["fields"])
    assert "300 rows" in stored["why"]
    # the flags that are told say the same as leaving it to hdl
    assert fill(AUTO, stored["fields"]).with_(net=None) == spec.with_(net=None, loss=None)


def test_every_flag_of_the_recipe_sets_its_field():
    assert {flag.field: flag.name for flag in FLAGS if flag.field in recipe.FLAGS} == recipe.FLAGS


@pytest.mark.parametrize("path", FIELDS)
def test_what_is_said_stays(path):
    left = Spec(auto=tuple(other for other in FIELDS if other != path))
    for rows in (300, 30_000):
        assert path not in (chosen(rows, left, categories=2) or {})


def test_parts_that_belong_together():
    assert "members" not in chosen(300, parse({"net": "0-8-0", "auto": [f for f in FIELDS if f != "net"]}))
    no_scale = Spec(auto=tuple(path for path in FIELDS if path != "scale"))
    assert "preprocessing.bins" not in chosen(30_000, no_scale)
    sgd = chosen(300, Spec(optimizer="sgd", auto=FIELDS))
    assert "epochs" in sgd
    assert not [path for path in sgd if path.startswith("optimizer")]
    assert "optimizer.weight_decay" not in chosen(300, Spec(l2=0.1, auto=FIELDS))


@pytest.mark.parametrize(
    "spec",
    [Spec(optimizer="lbfgs", auto=FIELDS), Spec(model="rbm", auto=FIELDS),
     parse({"sync": {"mode": "gradient"}, "auto": FIELDS}),
     parse({"sync": {"mode": "genetic"}, "shards": 2, "auto": FIELDS})],
)  # fmt: skip
def test_other_trainings_have_plain_defaults(spec):
    assert chosen(300, spec) is None


def test_pixels_are_no_table(tmp_path):
    rng = np.random.default_rng(1)
    rows = rng.integers(0, 17, (300, 64))
    lines = [",".join(map(str, [*row, "ab"[int(row[0] > 8)]])) for row in rows]
    (tmp_path / "t.csv").write_text("\n".join([",".join([*(f"p{i}" for i in range(64)), "sold"]), *lines]) + "\n")
    schema = data.fit(summary_of(str(tmp_path / "t.csv")), AUTO)
    assert "recipe" not in schema.reading
    spec = data.resolve(AUTO, schema)
    assert spec == data.resolve(Spec(), schema)
    rows[:, :40] += 100 * rng.integers(0, 50, 40)  # of other ranges each: a table
    lines = [",".join(map(str, [*row, "ab"[int(row[63] > 8)]])) for row in rows]
    (tmp_path / "u.csv").write_text("\n".join([",".join([*(f"p{i}" for i in range(64)), "sold"]), *lines]) + "\n")
    assert "recipe" in data.fit(summary_of(str(tmp_path / "u.csv")), AUTO).reading


@pytest.mark.parametrize("rows", [1, 30, 700, 2_000, 9_999, 10_000, 50_000, 10**6, 10**8, 10**10])
@pytest.mark.parametrize("classes", [0, 2, 7])
@pytest.mark.parametrize("shards", [1, 8])
def test_steps_are_bounded(rows, classes, shards):
    spec = Spec(shards=shards, auto=FIELDS)
    filled = fill(spec, chosen(rows, spec, classes))
    steps = filled.epochs * -(-rows // (shards * filled.batch))
    assert steps <= 20_000 or filled.epochs == 2
    assert filled.epochs >= 2
    assert filled.epochs % filled.sync.every == 0
    assert filled.epochs // filled.sync.every <= 2 * recipe.ROUNDS  # rounds: some runners have a job for each
    if rows // shards > 1000:
        assert steps >= 500
    # the decay over the whole training is that of the recipe, whatever the steps
    shrunk = 0.5 * filled.optimizer.weight_decay * filled.optimizer.rate * steps
    assert shrunk == pytest.approx(recipe.DECAY, rel=0.01) or shrunk == pytest.approx(recipe.DECAY_OF_CLASSES, rel=0.01)


def test_numbers_are_spread_over_bins_where_rows_are_enough():
    assert chosen(30_000, numbers=6)["preprocessing.numeric_embedding"] == "ple"
    assert chosen(1_500, numbers=6)["scale"] == "quantile"
    assert chosen(3_000, numbers=200)["scale"] == "quantile"
    assert chosen(30_000, numbers=200)["preprocessing.bins"] * 200 <= recipe.INPUTS
    assert not {"scale", "preprocessing.numeric_embedding"} & set(chosen(30_000, numbers=0, categories=3))


def test_classes_of_large_tables_have_a_third_hidden_layer():
    assert chosen(9_999)["net"] == (0, 64, 64, 0)
    assert chosen(15_000)["net"] == chosen(50_000)["net"] == (0, 64, 64, 64, 0)
    assert chosen(15_000, classes=0)["net"] == chosen(50_000, classes=0)["net"] == (0, 64, 64, 0)


def train(path, out, spec, workers=1, resume=False):
    job = Job(path, str(out), spec, Options(label=("sold",)), resume)
    return driver.train(job, LocalRunner(workers=workers))


def test_same_bytes_by_workers_after_a_resume_and_as_the_flags_say(tmp_path, capsys):
    path = table(tmp_path / "t.csv")
    spec = parse({"shards": 2, "auto": FIELDS})
    train(path, tmp_path / "one", spec)
    whole = Model(str(tmp_path / "one"))
    train(path, tmp_path / "two", spec, workers=2)
    assert Model(str(tmp_path / "two")).version.signature == whole.version.signature
    for number in range(5, whole.version.number + 1):  # as if it had been killed
        (tmp_path / "two" / f"v{number:08}.safetensors").unlink(missing_ok=True)
    last = max(int(file.stem[1:]) for file in (tmp_path / "two").glob("v????????.safetensors"))
    assert last < whole.version.number
    train(path, tmp_path / "two", spec, resume=True)
    assert Model(str(tmp_path / "two")).version.signature == whole.version.signature
    flags = whole.schema.reading["recipe"]["flags"].split()
    common = ["train", path, "--label", "sold", "--shards", "2", "--no-report", "--quiet", "--workers", "1"]
    assert cli.run([*common, "--out", str(tmp_path / "three"), "--recipe", "plain", *flags]) == 0
    assert Model(str(tmp_path / "three")).version.signature == whole.version.signature
    assert cli.run([*common, "--out", str(tmp_path / "four")]) == 0
    assert Model(str(tmp_path / "four")).version.signature == whole.version.signature
    assert cli.run([*common, "--out", str(tmp_path / "plain"), "--recipe", "plain"]) == 0
    assert Model(str(tmp_path / "plain")).spec.members == 1


def test_what_was_chosen_is_told_before_the_first_round(tmp_path, capsys):
    path = table(tmp_path / "t.csv")
    assert cli.run(["train", path, "--label", "sold", "--out", str(tmp_path / "m"), "--no-report"]) == 0
    told = capsys.readouterr().err
    assert "--recipe plain for none" in told
    assert "--members 6" in told
    assert told.index("--members 6") < told.index("round 1/")


def test_a_grid_varies_what_it_names_and_leaves_the_rest(tmp_path):
    path = table(tmp_path / "t.csv")
    out = tmp_path / "grid"
    arguments = ["train", path, "--label", "sold", "--out", str(out), "--validation", "0.2", "--grid", "epochs=2,4"]
    assert cli.run([*arguments, "--no-report", "--quiet"]) == 0
    models = [Model(str(folder)) for folder in sorted(out.iterdir()) if folder.is_dir()]
    assert [model.spec.epochs for model in models] == [2, 4]
    assert {model.spec.members for model in models} == {6}
