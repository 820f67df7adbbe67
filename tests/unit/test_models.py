"""The perceptron's layout and first weights."""

import numpy as np
import pytest

from hdl import spec as specs
from hdl.errors import SpecError
from hdl.models import mlp


def make(net="300-200-10", **fields):
    return specs.parse({"net": net, **fields})


def test_layout_covers_the_vector_once():
    layout = mlp.layout(make("5-4-3-2"))
    w = np.arange(layout.size, dtype=np.float32)
    parts = [part.ravel() for pair in layout.split(w) for part in pair]
    assert np.array_equal(np.concatenate(parts), w)
    assert [p.size for p in parts] == [20, 4, 12, 3, 6, 2]
    assert layout.names == ("W1", "b1", "W2", "b2", "W3", "b3")
    assert layout.offsets == ((0, 20), (24, 36), (39, 45))
    layout.split(w)[1][0][0, 0] = -1  # views, not copies
    assert w[24] == -1


def test_mask_is_one_at_weights_only():
    layout = mlp.layout(make("5-4-3"))
    for weights, biases in layout.split(layout.mask):
        assert weights.all()
        assert not biases.any()


def test_unknown_widths_are_an_error():
    for net in (None, (0, 5, 0)):
        with pytest.raises(SpecError, match="net"):
            mlp.layout(make(net))


@pytest.mark.parametrize(
    ("name", "deviation"), [("glorot", np.sqrt(2 / 500)), ("he", np.sqrt(2 / 300)), ("lecun", np.sqrt(1 / 300))]
)
def test_initialisers_have_their_variance_and_zero_biases(name, deviation):
    spec = make(init=name)
    (weights, biases), second = mlp.layout(spec).split(mlp.initial(spec))
    assert abs(weights.std() / deviation - 1) < 0.01
    assert abs(weights.mean()) < 4 * deviation / np.sqrt(weights.size)
    assert not biases.any()
    assert second[0].std() > 0
    if name == "glorot":
        assert np.abs(weights).max() <= np.sqrt(6 / 500)
    else:
        assert np.abs(weights).max() > 3.5 * deviation


def test_uniform_fills_biases_too():
    spec = make(init="uniform[0,1]")
    w = mlp.initial(spec)
    assert 0 <= w.min() < 0.001
    assert 0.999 < w.max() <= 1
    assert all(biases.std() > 0.2 for _, biases in mlp.layout(spec).split(w))


def test_first_weights_depend_on_the_seed_alone():
    assert np.array_equal(mlp.initial(make(batch=7)), mlp.initial(make(batch=9)))
    assert not np.array_equal(mlp.initial(make(seed=1)), mlp.initial(make(seed=2)))
    (first, _), (second, _) = mlp.layout(make("50-50-50")).split(mlp.initial(make("50-50-50")))
    assert not np.array_equal(first, second)  # layers draw from streams of their own
