"""The spec: what is accepted, what is refused and how, and that text and object say the same."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from hdl import spec as specs
from hdl.errors import HdlError, SpecError
from hdl.spec import Init, Optimizer, Schedule, Spec, Sync, parse


def test_short_forms_mean_the_long_ones():
    short = parse(
        {
            "net": "784-100-32-10",
            "init": "uniform[0,1]",
            "optimizer": "cg",
            "scale": "divide:16",
            "batch": 0,
        }
    )
    assert short.net == (784, 100, 32, 10)
    assert short.init == Init(name="uniform", low=0, high=1)
    assert short.optimizer == Optimizer(name="cg")
    assert (short.scale.name, short.scale.constant) == ("divide", 16.0)
    assert short.batch == parse({"batch": "all"}).batch == 2**31 - 1  # more than any shard: the whole of it


@pytest.mark.parametrize(
    ("given", "field", "said"),
    [
        ({"net": "784"}, "net", "784-100-32-10"),
        ({"net": "784-x"}, "net", "784-100-32-10"),
        ({"net": (784,)}, "", "at least inputs and outputs"),
        ({"net": (4, 0, 2)}, "", "at least 1"),
        ({"net": (4, -1, 2)}, "net.1", "-1"),
        ({"net": (4, 1), "loss": "softmax"}, "", "at least 2 outputs"),
        ({"batch": -3}, "batch", "-3"),
        ({"epochs": 0}, "epochs", "0"),
        ({"dropout": 1.0}, "dropout", "1.0"),
        ({"l2": float("nan")}, "l2", "nan"),
        ({"l2": float("inf")}, "l2", "inf"),
        ({"seed": -1}, "seed", "-1"),
        ({"seed": 2**63}, "seed", str(2**63)),
        ({"activation": "swish"}, "activation", "leaky_relu"),
        ({"optimizer": {"name": "adam", "lr": 0}}, "optimizer.lr", "0"),
        ({"optimizer": "adamw"}, "optimizer.name", "lbfgs"),
        ({"init": "uniform[1,0]"}, "init", "low 1.0 is above high 0.0"),
        ({"init": "uniform[a,b]"}, "init.low", "a"),
        ({"sync": {"mode": "average", "evry": 2}}, "sync.evry", "xtra"),
        ({"epoch": 3}, "epoch", "xtra"),
        ({"sync": {"mode": "genetic"}, "shards": 1}, "", "2 shards"),
        ({"optimizer": "lbfgs", "dropout": 0.5}, "", "without dropout"),
        ({"optimizer": "cg", "l1": 0.1}, "", "smooth"),
        ({"patience": 3}, "", "validation"),
    ],
)
def test_a_wrong_field_is_named_with_the_value_given(given, field, said):
    with pytest.raises(SpecError) as caught:
        parse(given)
    message = str(caught.value)
    assert message.startswith(field or "spec")
    assert said in message
    assert isinstance(caught.value, HdlError)
    assert isinstance(caught.value, ValueError)


def test_every_wrong_field_is_named_at_once():
    with pytest.raises(SpecError, match=r"batch.*epochs|epochs.*batch"):
        parse({"batch": -1, "epochs": -1})


def test_malformed_json_is_a_spec_error():
    with pytest.raises(SpecError, match="JSON"):
        parse("{net: 3}")


def test_a_spec_is_immutable():
    spec = Spec()
    with pytest.raises(ValidationError):
        spec.seed = 2
    with pytest.raises(ValidationError):
        spec.sync.every = 2


def test_a_changed_copy_is_validated():
    spec = Spec(net="4-3-2").with_(seed=9, loss="softmax")
    assert (spec.seed, spec.net) == (9, (4, 3, 2))
    with pytest.raises(SpecError, match="2 outputs"):
        spec.with_(net="4-3-1")


def test_defaults_follow_the_activation_and_the_rule():
    assert Spec(activation="relu").initializer().name == "he"
    assert Spec(activation="leaky_relu").initializer().name == "he"
    assert Spec(activation="lecun_tanh").initializer().name == "lecun"
    assert Spec(activation="tanh").initializer().name == "glorot"
    assert Spec(activation="relu", init="lecun").initializer().name == "lecun"
    assert Optimizer(name="adam").rate == 0.001
    assert Optimizer(name="sgd").rate == 0.1
    assert Optimizer(name="adam", lr=0.5).rate == 0.5
    assert {name for name in specs.LINE_SEARCH_RULES if Optimizer(name=name).line_search} == {"gd", "cg", "lbfgs"}
    assert not any(Optimizer(name=name).line_search for name in specs.MINI_BATCH_RULES)


widths = st.lists(st.integers(1, 5000), min_size=2, max_size=6).map(tuple)
made = st.builds(
    Spec,
    net=st.none() | widths,
    activation=st.sampled_from(["linear", "sigmoid", "tanh", "lecun_tanh", "relu", "leaky_relu"]),
    init=st.none() | st.builds(Init, name=st.sampled_from(["glorot", "he", "lecun"])),
    l2=st.floats(0, 1e30),
    dropout=st.floats(0, 0.99),
    optimizer=st.builds(
        Optimizer,
        name=st.sampled_from(specs.MINI_BATCH_RULES),
        lr=st.none() | st.floats(1e-30, 1e30),
        schedule=st.builds(Schedule, name=st.sampled_from(["constant", "cosine", "step"]), warmup=st.floats(0, 5)),
    ),
    batch=st.integers(1, 10**6),
    sync=st.builds(Sync, mode=st.sampled_from(["gradient", "average"]), every=st.integers(1, 100)),
    shards=st.integers(1, 1000),
    seed=st.integers(0, 2**63 - 1),
)


@given(made)
def test_text_and_back_is_the_same_spec_and_the_same_text(spec):
    text = spec.to_json()
    assert parse(text) == spec
    assert parse(text.encode()) == spec
    assert parse(json.loads(text)) == spec
    assert parse(text).to_json() == text
    assert "\n" not in text


def test_equal_specs_give_equal_text_however_they_were_written():
    one = parse('{"seed": 3, "net": "4-3-2", "optimizer": "sgd"}')
    other = parse({"optimizer": {"name": "sgd"}, "net": [4, 3, 2], "seed": 3})
    assert one.to_json() == other.to_json()


def test_widths_are_those_of_a_net_that_is_known():
    assert Spec(net="4-3-2").widths == (4, 3, 2)
    with pytest.raises(SpecError, match="not yet filled in"):
        _ = Spec().widths
