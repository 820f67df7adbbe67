"""Which layers a spec's tuning means, what it refuses, and merges of numbers that are equal."""

import numpy as np
import pytest

from hdl import spec as specs
from hdl import sync
from hdl.errors import SpecError
from hdl.models import stack
from hdl.ops import tuning
from hdl.spec import Spec, Tuning
from hdl.wire import Update, Weights


@pytest.mark.parametrize(
    ("fields", "factors"),
    [
        ({"freeze": "1"}, (1, 0, 1, 1)),
        ({"freeze": [1, "layer3"]}, (1, 0, 1, 0)),
        ({"freeze": "1-2"}, (1, 0, 0, 1)),
        ({"freeze": "all but last"}, (1, 0, 0, 1)),
        ({"freeze": "all-but-last"}, (1, 0, 0, 1)),
        ({"freeze": "layer[12]"}, (1, 0, 0, 1)),
        ({"freeze": "head, 1"}, (1, 0, 1, 0)),
        ({"lr": "1=0.1,head=2"}, (1, 0.1, 1, 2)),
        ({"lr": {2: 0.5}}, (1, 1, 0.5, 1)),
        ({"layer_decay": 0.5}, (0.125, 0.25, 0.5, 1)),
        ({"layer_decay": 0.5, "lr": "layer1=4", "freeze": "2"}, (0.125, 1, 0, 1)),
    ],
)
def test_layers_by_number_range_name_and_glob(fields, factors):
    assert Spec(net="5-4-3-2", tuning=fields).tuning.factors(3) == factors


def test_embeddings_are_below_the_first_layer():
    made = Tuning(freeze="all but last").factors(2, tables=True)
    assert made == (0, 0, 1)
    assert Tuning(lr="embeddings=0.5", layer_decay=0.5).factors(2, tables=True) == (0.125, 0.5, 1)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"freeze": "4"}, "tuning.freeze: no layer is called '4'; expected 1 to 3 or layer1 to layer3, head"),
        ({"freeze": "0"}, "no layer is called '0'"),
        ({"freeze": "2-1"}, "no layer is called '2-1'"),
        ({"freeze": "embeddings"}, "no layer is called 'embeddings'"),
        ({"freeze": "*"}, r"given \*, which are all 3 layers; one must be trained"),
        ({"lr": "1=0.1,layer1=2"}, "layer1 is meant by 1 and by layer1; expected once"),
        ({"lr": "1"}, "expected each layer once as LAYER=FACTOR"),
        ({"lr": "1=0"}, "greater than 0"),
        ({"lr": "1=fast"}, "valid number"),
        ({"layer_decay": 1.5}, "less than or equal to 1"),
        ({"l2_sp": -1}, "greater than or equal to 0"),
        ({"head": "new", "add_classes": True}, "given both"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(fields, message):
    with pytest.raises(SpecError, match=message) as caught:
        specs.parse({"net": "5-4-3-2", "tuning": fields})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("fields", [{"lr": "1=0.1"}, {"layer_decay": 0.5}])
def test_a_search_along_lines_has_no_rates(fields):
    with pytest.raises(SpecError, match="lbfgs searches along one line for all weights"):
        specs.parse({"net": "5-4-2", "optimizer": "lbfgs", "tuning": fields})
    specs.parse({"net": "5-4-2", "optimizer": "lbfgs", "tuning": {"freeze": "1", "l2_sp": 0.1}})


@pytest.mark.parametrize("model", ["autoencoder", "rbm"])
def test_a_model_of_one_layer_is_trained_as_a_whole(model):
    with pytest.raises(SpecError, match=f"{model} is one layer"):
        specs.parse({"model": model, "tuning": {"freeze": "1"}})


def test_of_a_stack_the_whole_is_tuned_and_no_layer():
    spec = specs.parse({"model": "dbn", "net": "6-5-4-3", "loss": "softmax", "tuning": {"freeze": "all but last"}})
    *layers, whole = stack.stages(spec)
    assert all(layer.tuning == Tuning() for layer in layers)
    assert tuning.factors(whole) == (1, 0, 0, 1)


def test_it_goes_through_json_and_is_the_same():
    spec = Spec(net="5-4-2", tuning={"freeze": "1", "lr": "head=2", "l2_sp": 0.1})
    assert specs.parse(spec.to_json()) == spec
    assert Spec().tuning == Tuning()


@pytest.mark.parametrize("mode", ["average", "genetic"])
def test_merging_keeps_the_sign_of_a_frozen_zero(mode):
    """A mean of -0 and -0 is 0, and mutation adds noise to all: what is frozen is as it was, to the bit."""
    fields = {"sync": {"mode": mode, "genetic": {"mutation_rate": 1.0}}, "shards": 2}
    spec = specs.parse({"net": "5-4-2", "loss": "softmax", "tuning": {"freeze": "1"}, **fields})
    still, w = tuning.frozen(spec), np.linspace(-1, 1, 34, dtype=np.float32)
    w[3:9] = -0.0
    state = {"population": np.stack([w, w])} if mode == "genetic" else {}
    updates = []
    for number in 0, 1:
        own = np.where(still, w, w + np.float32(0.1 * (number + 1)))
        tensors = {"w": own[None], "cost": np.array([0.5 + number])} if mode == "genetic" else {"w": own}
        sums = {"samples": 3, "cost": 1.0, "correct": 1, "batches": 1}
        updates.append(Update(mode, 0, number, number + 1, tensors, sums, {}))
    after, _ = sync.merge(spec, Weights(0, w, state), updates)
    for merged in (after.w, *after.state.get("population", ())):
        np.testing.assert_array_equal(merged.view(np.uint32)[still], w.view(np.uint32)[still])
        assert (merged != w)[~still].all()
