"""The spec's precision: said, kept, inherited by layers, and not missed in tables from before there was one."""

import json
from dataclasses import replace

import numpy as np
import pytest

from hdl import driver, fs
from hdl.errors import SpecError
from hdl.models import codes, stack
from hdl.runners.base import Job
from hdl.runners.local import LocalRunner
from hdl.spec import Spec, parse
from hdl.table import Table


@pytest.fixture
def data(tmp_path):
    path = tmp_path / "data.csv"
    rng = np.random.default_rng(0)
    np.savetxt(
        path, np.c_[rng.normal(size=(60, 3)), np.arange(60) % 2], delimiter=",", header="a,b,c,class", comments=""
    )
    return str(path)


def train(data, table, resume=False, **fields):
    spec = parse({"net": "0-4-0", "batch": 10, "epochs": 2, "keep": 9, **fields})
    return driver.train(Job(data, table, spec, resume=resume), LocalRunner(1, 1))


def test_its_words_and_its_default():
    assert Spec().precision == "float32"
    assert [parse({"precision": word}).precision for word in ("float32", "tf32", "bf16")] == ["float32", "tf32", "bf16"]
    with pytest.raises(SpecError, match=r"precision: Input should be 'float32', 'tf32' or 'bf16' \(given 'fp16'\)"):
        parse({"precision": "fp16"})


def test_specs_of_another_precision_are_others():
    assert Spec().to_json() != Spec(precision="tf32").to_json()
    assert json.loads(Spec(precision="tf32").to_json())["precision"] == "tf32"


@pytest.mark.parametrize("model", ["stacked", "dbn"])
def test_every_stage_of_a_stack_has_it(model):
    spec = parse({"model": model, "net": "6-5-4-3", "loss": "softmax", "precision": "bf16"})
    assert [stage.precision for stage in stack.stages(spec)] == ["bf16"] * 3


def test_codes_are_made_with_it():
    seen = []

    def make(spec):
        seen.append(spec.precision)

    codes.Encoder(parse({"net": "3-2-1", "loss": "squared", "precision": "tf32"}), np.zeros(11, np.float32), make)
    assert seen == ["tf32"]


def test_the_estimators_say_it():
    pytest.importorskip("sklearn")
    from hdl import DBN, BernoulliRBM, MLPRegressor, SparseAutoencoder

    x = np.random.default_rng(0).random((20, 4), np.float32)
    for made in (
        MLPRegressor((3,), precision="bf16", max_iter=1),
        SparseAutoencoder(2, precision="bf16", max_iter=1),
        BernoulliRBM(2, precision="tf32", n_iter=1),
        DBN((3, 2), precision="tf32", n_iter=1),
    ):
        made.fit(x, x[:, 0]) if hasattr(made, "predict") else made.fit(x)
        assert made._fitted.precision == made.precision


@pytest.mark.parametrize("fields", [{}, {"model": "dbn", "net": "0-4-3-0", "pretrain": {"epochs": 1}}])
def test_a_table_from_before_goes_on_to_the_same_weights(data, tmp_path, fields):
    whole = train(data, str(tmp_path / "whole"), epochs=4, **fields)
    train(data, str(tmp_path / "new"), **fields)
    for table in (Table(str(tmp_path / "new")), *(Table(str(path)) for path in (tmp_path / "new").glob("layer*"))):
        old = Table(table.path.replace("/new", "/old"))
        if fs.exists(table.common_file):
            old.publish_common(*table.common())
        for number in table.numbers():
            version = table.read(number)
            about = dict(version.about)
            if "stack" in about:
                about["stack"] = without(about["stack"])
            old.publish(replace(version, spec=without(version.spec), about=about))
    assert "precision" not in Table(str(tmp_path / "old")).header()["spec"]
    found = train(data, str(tmp_path / "old"), resume=True, epochs=4, **fields)
    assert Table(found.table).read().signature == Table(whole.table).read().signature


def without(spec):
    return {name: value for name, value in spec.items() if name != "precision"}


def test_it_cannot_change_on_the_way(data, tmp_path):
    train(data, str(tmp_path / "model"))
    with pytest.raises(SpecError, match="precision was float32, given tf32"):
        train(data, str(tmp_path / "model"), resume=True, epochs=4, precision="tf32")
