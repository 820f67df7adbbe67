"""Flags and --spec say the same things, and errors speak of what the user wrote."""

import json

import click
import pytest

from hdl import recipe
from hdl.cli.flags import FLAGS, spec_options, take_spec
from hdl.errors import SpecError
from hdl.spec import Spec


def take(*args, base=None, shards=1, auto=False):
    """The spec that a command line makes; what it leaves to the recipe is no part of it unless asked for."""
    taken = {}

    def command(**values):
        taken["spec"] = take_spec(values, base, shards)

    spec_options(click.Command("t", callback=command)).main([str(arg) for arg in args], standalone_mode=False)
    return taken["spec"] if auto else taken["spec"].with_(auto=())


def leaves(tree, path=""):
    for name, value in tree.items():
        here = f"{path}.{name}".lstrip(".")
        if isinstance(value, dict) and here not in ("init", "scale"):
            yield from leaves(value, here)
        else:
            yield here


def test_every_field_of_the_spec_has_a_flag():
    missing = set(leaves(Spec().model_dump())) - {flag.field for flag in FLAGS}
    # --sync-every says the unit: 20batches; a stack numbers its layers itself; the data tells what embeddings are of;
    # --validation says any rule, --folds numbers the folds; what no flag sets is left to hdl
    ruled = {f"holdout.{name}" for name in ("stratified", "path", "where", "column", "value", "folds", "fold")}
    assert missing == {"sync.unit", "layer", "numbers", "embeddings", "auto", *ruled}


def test_no_flags_give_the_defaults():
    assert take() == Spec() == take("--recipe", "plain", auto=True)


def test_what_neither_a_flag_nor_a_file_says_is_left_to_the_recipe(tmp_path):
    assert take(auto=True).auto == recipe.FIELDS
    file = tmp_path / "spec.json"
    file.write_text('{"optimizer": {"lr": 0.1}, "net": null}')
    left = take("--spec", file, "--epochs", "3", auto=True).auto
    assert set(recipe.FIELDS) - set(left) == {"epochs", "optimizer.lr"}
    file.write_text(take("--epochs", "3", auto=True).to_json())  # as --dry-run writes it
    assert take("--spec", file, auto=True) == take("--epochs", "3", auto=True)
    assert "net" not in take("--spec", file, "--net", "4-2", auto=True).auto
    assert take(base=Spec(), auto=True).auto == ()


@pytest.mark.parametrize(
    ("flags", "fields"),
    [
        (["--net", "4-3-2", "--activation", "tanh"], {"net": (4, 3, 2), "activation": "tanh"}),
        (["--lr", "0.01"], {"optimizer": {"name": "adam", "lr": 0.01}}),
        (["--optimizer", "lbfgs", "--history", "5"], {"optimizer": {"name": "lbfgs", "history": 5}}),
        (["--schedule", "cosine", "--warmup", "2"],
         {"optimizer": {"name": "adam", "schedule": {"name": "cosine", "warmup": 2}}}),
        (["--sync-every", "5"], {"sync": {"every": 5}}),
        (["--sync-every", "5epochs"], {"sync": {"every": 5, "unit": "epochs"}}),
        (["--sync-every", "20batches"], {"sync": {"every": 20, "unit": "batches"}}),
        (["--sync", "genetic", "--shards", "4", "--crossover", "arithmetic", "--mutation-rate", "0.2"],
         {"sync": {"mode": "genetic", "genetic": {"crossover": "arithmetic", "mutation_rate": 0.2}}, "shards": 4}),
        (["--init", "uniform[-0.1,0.1]"], {"init": {"name": "uniform", "low": -0.1, "high": 0.1}}),
        (["--scale", "divide:16"], {"scale": {"name": "divide", "constant": 16.0}}),
        (["--batch", "0"], {"batch": 2**31 - 1}),
        (["--epochs", "1e2"], {"epochs": 100}),
        (["--scale", "robust"], {"scale": {"name": "robust"}}),
        (["--loss", "tweedie", "--power", "1.2"], {"loss": "tweedie", "power": 1.2}),
        (["--loss", "quantile", "--quantile", "0.9"], {"loss": "quantile", "quantile": 0.9}),
        (["--class-weight", "balanced", "--label-smoothing", "0.1"],
         {"class_weight": "balanced", "label_smoothing": 0.1}),
        (["--class-weight", ">50K=3,<=50K=1.5,0=2"], {"class_weight": {">50K": 3, "<=50K": 1.5, "0": 2}}),
        (["--missing", "median", "--hash-buckets", "64", "--numeric-embedding", "ple", "--bins", "8"],
         {"preprocessing": {"missing": "median", "hash_buckets": 64, "numeric_embedding": "ple", "bins": 8}}),
        (["--min-count", "5"], {"preprocessing": {"min_count": 5}}),
        (["--embedding", "auto"], {"embedding": "auto"}),
        (["--embedding", "8"], {"embedding": 8}),
        (["--weight-decay", "0.01", "--members", "8"], {"optimizer": {"weight_decay": 0.01}, "members": 8}),
        (["--validation", "0.2", "--metric", "auc"],
         {"validation": 0.2, "metric": "auc", "holdout": {"stratified": True}}),
        (["--validation", "file:a, b.csv"], {"holdout": {"path": "a, b.csv"}}),
        (["--validation", "file:///tmp/x.csv"], {"holdout": {"path": "/tmp/x.csv"}}),
        (["--validation", 'column:is "test"'], {"holdout": {"column": 'is "test"'}}),
        (["--validation", "column:fold=3"], {"holdout": {"column": "fold", "value": "3"}}),
        (["--validation", "split=valid"], {"holdout": {"column": "split", "value": "valid"}}),
        (["--validation", "hdfs:///visits/valid"], {"holdout": {"path": "hdfs:///visits/valid"}}),
        (["--validation", "where:dt >= '2024-01-01'"], {"holdout": {"where": "dt >= '2024-01-01'"}}),
    ],
)  # fmt: skip
def test_flags_and_file_mean_the_same(flags, fields, tmp_path):
    file = tmp_path / "a spec.json"
    file.write_text(json.dumps(fields))
    assert take(*flags) == take("--spec", file) == Spec(**fields)


def test_flags_come_before_the_file_and_keep_the_rest_of_a_part(tmp_path):
    file = tmp_path / "spec.json"
    file.write_text('{"optimizer": {"name": "momentum", "lr": 0.5, "momentum": 0.8}, "l2": 0.1}')
    spec = take("--spec", file, "--lr", "0.25", "--l2", "0")
    assert (spec.optimizer.name, spec.optimizer.rate, spec.optimizer.momentum, spec.l2) == ("momentum", 0.25, 0.8, 0)
    file.write_text('{"optimizer": "nesterov"}')
    assert take("--spec", file, "--momentum", "0.7").optimizer.name == "nesterov"


def test_a_byte_order_mark_is_no_error(tmp_path):
    file = tmp_path / "spec.json"
    file.write_bytes(b'\xef\xbb\xbf{"epochs": 3}')
    assert take("--spec", file).epochs == 3


def test_what_nobody_says_comes_from_the_base():
    base = Spec(net=(4, 2), optimizer="sgd", shards=4, seed=9)
    assert take("--epochs", "7", base=base, shards=1) == base.with_(epochs=7)


def test_one_rule_of_validation_takes_anothers_place():
    base = Spec(validation=0.2, holdout={"stratified": True})
    spec = take("--validation", "column:test", base=base)
    assert (spec.validation, spec.holdout.column, spec.holdout.stratified) == (0, "test", None)
    spec = take("--validation", "file:held.csv", base=spec)
    assert (spec.holdout.path, spec.holdout.where) == ("held.csv", None)
    assert take("--validation", "0.2", base=spec) == base


def test_an_older_table_that_is_resumed_keeps_the_way_in_which_its_share_was_chosen():
    old = Spec(validation=0.2)
    assert take("--validation", "0.2", base=old).holdout.stratified is None
    assert take("--validation", "0.3", base=old).holdout.stratified is True


def test_shards_are_the_workers_unless_said(tmp_path):
    assert take(shards=3).shards == 3
    assert take("--shards", "5", shards=3).shards == 5
    file = tmp_path / "spec.json"
    file.write_text('{"shards": 2}')
    assert take("--spec", file, shards=3).shards == 2


@pytest.mark.parametrize(
    ("flags", "start"),
    [
        (["--lr", "-1"], "--lr: "),
        (["--lr", "fast"], "--lr: "),
        (["--net", "784"], "--net: "),
        (["--net", "4-0-2"], "spec: net (4, 0, 2)"),
        (["--sync-every", "5hours"], "--sync-every: "),
        (["--epochs", "0.5"], "--epochs: "),
        (["--dropout", "nan"], "--dropout: "),
        (["--max-norm", "inf"], "--max-norm: "),
        (["--validation", "10%"], "--validation: a share is written as a number"),
        (["--validation", "1.5"], "--validation: "),
        (["--validation", "column:"], "--validation: nothing behind column:"),
        (["--validation", "where: "], "--validation: nothing behind where:"),
        (["--metric", "auk"], "--metric: Input should be 'cost', 'accuracy', 'auc'"),
        (["--metric", "auc"], "spec: metric needs samples held out"),
        (["--members", "0"], "--members: "),
        (["--recipe", "soup"], "--recipe: expected one of auto, plain (given 'soup')"),
        (["--weight-decay", "-1"], "--weight-decay: "),
        (["--init", "uniform[2,1]"], "--init: low 2.0 is above high 1.0"),
        (["--optimizer", "sdg"], "--optimizer: "),
        (["--lr-decay", "x"], "--lr-decay: "),
        (["--truncation", "0"], "--truncation: "),
        (["--missing", "guess"], "--missing: "),
        (["--min-count", "0"], "--min-count: "),
        (["--embedding", "wide"], "--embedding: "),
        (["--class-weight", "a"], "--class-weight: "),
        (["--class-weight", "a=1,a=2"], "--class-weight: "),
        (["--class-weight", "a=x"], "--class-weight: "),
        (["--quantile", "1"], "--quantile: "),
        (["--loss", "hubber"], "--loss: "),
    ],
)
def test_errors_name_the_flag(flags, start):
    with pytest.raises(SpecError) as caught:
        take(*flags)
    assert str(caught.value).startswith(start)


def test_errors_name_the_file_and_its_field(tmp_path):
    file = tmp_path / "spec.json"
    file.write_text('{"optimizer": {"lr": -1}, "optimiser": "adam", "epoch": 3}')
    with pytest.raises(SpecError) as caught:
        take("--spec", file, "--l2", "-1")
    message = str(caught.value)
    assert f"--spec {file}: optimizer.lr: " in message
    assert f"--spec {file}: epoch: the spec has no such field, did you mean 'epochs'?" in message
    assert f"--spec {file}: optimiser: the spec has no such field, did you mean 'optimizer'?" in message
    assert "--l2: " in message


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"{", ":1: not JSON"), (b"[1]", "expected a JSON object"), (b"\xff\xfe", "not UTF-8 text"), (b"", "not JSON")],
)
def test_a_spec_that_is_no_json_object(content, said, tmp_path):
    file = tmp_path / "spec.json"
    file.write_bytes(content)
    with pytest.raises(SpecError, match=said):
        take("--spec", file)


def test_a_spec_that_is_not_there(tmp_path):
    with pytest.raises(SpecError, match="No such file"):
        take("--spec", tmp_path / "none.json")
    with pytest.raises(SpecError, match="Is a directory"):
        take("--spec", tmp_path)
