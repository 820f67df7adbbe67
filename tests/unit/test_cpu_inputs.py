"""What the core is given and cannot take is an error, never a crash or a silent other meaning."""

import numpy as np
import pytest

from hdl import _cpu
from hdl.errors import SpecError

X = np.ones((5, 3), np.float32)
Y = np.array([0, 1, 0, 1, 1], np.int32)
ORDER = np.arange(5)
ROWS = np.ones(15, np.float32), np.arange(0, 16, 3), np.tile(np.arange(3, dtype=np.int32), 5)


@pytest.fixture(name="plan")
def make_plan():
    return _cpu.Plan([3, 4, 2], "tanh", "softmax")


def askew(array):
    """The same numbers, one byte past where their type wants them."""
    return np.frombuffer(bytearray(b"\0" + array.tobytes()), array.dtype, offset=1).reshape(array.shape)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"weights": None}, "weights"),
        ({"weights": np.zeros(26)}, "weights"),
        ({"weights": np.zeros(25, np.float32)}, "25 numbers, expected 26"),
        ({"weights": askew(np.zeros(26, np.float32))}, "contiguous"),
        ({"x": None}, "x has shape"),
        ({"x": X[0]}, "x has shape"),
        ({"x": X[:, :2]}, "x has shape"),
        ({"x": (None, *ROWS[1:])}, "values is missing"),
        ({"x": (ROWS[0], None, ROWS[2])}, "indptr is missing"),
        ({"x": (*ROWS[:2], ROWS[2] + 1)}, "expected 0 to 2"),
        ({"x": (*ROWS[:2], ROWS[2].astype(np.int64) + 2**32)}, "no int32"),
        ({"x": (ROWS[0], ROWS[1][::-1], ROWS[2])}, "indptr"),
        ({"x": (ROWS[0], ROWS[1] - 3, ROWS[2])}, "indptr"),
        ({"y": None}, "y is missing"),
        ({"y": Y[:3]}, "y has shape"),
        ({"y": Y + 1}, "expected 0 to 1"),
        ({"y": Y.astype(np.int64) + 2**32}, "no int32"),
        ({"order": None}, "order is missing"),
        ({"order": np.array([-1])}, "has 5 samples"),
        ({"order": np.array([5])}, "has 5 samples"),
        ({"order": np.array([0.5])}, "no int64"),
        ({"order": np.array([np.nan])}, "no int64"),
        ({"scale": np.ones(2)}, "scale has shape"),
        ({"batch": 0}, "batch is 0"),
        ({"lr": np.ones(1)}, "lr has 1 numbers for 3 steps"),
        ({"rule": "adam"}, "state must be"),
    ],
    ids=str,
)
def test_wrong_input_is_refused(plan, changes, said):
    given = {"weights": np.zeros(26, np.float32), "state": None, "x": X, "y": Y, "order": ORDER, "batch": 2, "lr": 0.1}
    with pytest.raises(SpecError, match=said):
        plan.train(**given | changes)


@pytest.mark.parametrize("call", ["forward", "gradient"])
def test_missing_weights_are_refused(plan, call):
    with pytest.raises(SpecError, match="weights is missing"):
        getattr(plan, call)(None, X, Y)


def test_arrays_that_lie_askew_are_copied(plan):
    w = np.random.default_rng(1).normal(size=26).astype(np.float32)
    even = plan.gradient(w, X, Y, ORDER)[0]
    np.testing.assert_array_equal(even, plan.gradient(askew(w), askew(X), askew(Y), askew(ORDER))[0])


def test_the_largest_batch_is_one_step(plan):
    assert plan.train(np.zeros(26, np.float32), None, X, Y, ORDER, batch=2**63 - 1, lr=0.1).steps == 1


@pytest.mark.parametrize("loss", ["softmax", "sigmoid", "squared"])
def test_without_labels_nothing_is_scored(loss):
    plan, w = _cpu.Plan([3, 2], "linear", loss), np.ones(8, np.float32)
    plan.forward(w, X, Y)  # leaves hits behind
    seen = plan.forward(w, X)[1]
    assert (seen.cost, seen.correct, seen.samples) == (0, 0, 5)


def test_a_stream_of_words_ends():
    with pytest.raises(SpecError, match="of a stream"):
        _cpu.random_u32(1, 0, 0, 0, 2**64 - 1, 5)
