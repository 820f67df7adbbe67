"""The core on encoded rows of tables: the NumPy reference's numbers, the bytes of sparse rows, odd shapes, refusals."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdl import _cpu, ops
from hdl import spec as specs
from hdl.data.mixed import Mixed
from hdl.errors import SpecError
from hdl.ops import Samples
from tests.unit.mixed_cases import ISAS, KEY, Case, mixed


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("vectors", [(), (2, 1, 17)], ids=["rows", "vectors"])
@pytest.mark.parametrize("fields", [{}, {"l2": 0.1}, {"l1": 0.01}, {"max_norm": 0.8}, {"dropout": 0.3}], ids=str)
@pytest.mark.parametrize("rule", _cpu.RULES)
def test_rules_and_regularisers(rule, fields, vectors, isa):
    Case("25-30", vectors=vectors, rule=rule, **fields).check(33, isa=isa)
    Case("50", 70, (300, 5, 1), vectors, rule=rule, input_dropout=0.3, **fields).check(150, isa=isa, threads=2)


@settings(max_examples=80, deadline=None)
@given(
    st.integers(0, 40),
    st.lists(st.tuples(st.integers(1, 90), st.integers(1, 40)), max_size=5),
    st.lists(st.integers(1, 70), max_size=2),
    st.booleans(),
    st.sampled_from([0.0, 0.5, 1.0]),
    st.integers(1, 200),
    st.sampled_from(ISAS),
    st.sampled_from(["sgd", "adam"]),
    st.integers(0, 99),
)
def test_any_shape(numbers, categories, hidden, embed, missing, batch, isa, rule, seed):
    """No numbers, no categories, no code, one level; the spec wants one input at least."""
    if not numbers + len(categories):
        numbers = 1
    levels, vectors = [each for each, _ in categories], [each for _, each in categories] if embed else ()
    hidden = "-".join(map(str, hidden))
    case = Case(hidden, numbers, levels, vectors, 30, seed, rule, missing=missing, input_dropout=0.2)
    case.check(batch, isa=isa)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("rule", ["sgd", "momentum", "adagrad", "adam"])
@pytest.mark.parametrize("vectors", [(), (5, 1, 20)], ids=["rows", "vectors"])
@pytest.mark.parametrize("penalty", [0.0, 0.01])
def test_threads_and_blocks_change_no_bit(penalty, vectors, rule, isa):
    case = Case("33", 20, (500, 7, 90), vectors, 200, rule=rule, l2=penalty, input_dropout=0.2, dropout=0.1)
    found = set()
    for threads, block in (1, 512), (2, 512), (3, 40), (1, 7), (2, 1), (3, 128):
        core = case.make(isa, threads)
        s = case.spec
        core._plan = _cpu.Plan(
            s.net, s.activation, s.loss, s.leak, s.input_dropout, s.dropout, block, threads, isa,
            embeddings=s.embeddings, numbers=s.numbers,
        )  # fmt: skip
        w, state, result = case.train(core, 150)
        gradient, _ = core.gradient(case.w, case.samples, None, KEY)
        found.add((w.tobytes(), state.tobytes(), gradient.tobytes(), result.cost))
    assert len(found) == 1


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("rule", _cpu.RULES)
@pytest.mark.parametrize("fields", [{}, {"l1": 0.01}, {"input_dropout": 0.3}], ids=str)
def test_the_bytes_of_sparse_rows(fields, rule, isa):
    """So what falls back on sparse rows trains the same model."""
    case = Case("50", 37, (300, 5, 1), n=100, rule=rule, **fields)
    core = case.make(isa)
    sparse = Samples(case.x.csr(), case.samples.y)
    w, state, result = case.train(core, 40)
    expected, its_state, its_result = case.train(core, 40, samples=sparse)
    assert w.tobytes() == expected.tobytes()
    assert state.tobytes() == its_state.tobytes()
    assert result == its_result
    assert core.forward(w, case.samples)[0].tobytes() == core.forward(w, sparse)[0].tobytes()


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("rule", [rule for rule in _cpu.RULES if rule != "sgd"])
@pytest.mark.parametrize("fields", [{}, {"l2": 0.01}, {"input_dropout": 0.3}], ids=str)
@pytest.mark.parametrize("batch", [40, 600])
def test_the_bytes_of_dense_rows(batch, fields, rule, isa):
    """So rows of weights without a state, which are not updated, are those whose update would change nothing.

    Plain SGD rounds otherwise where it updates in registers.
    """
    case = Case("64", 37, (300, 5, 1), n=100, rule=rule, **fields)
    core = case.make(isa)
    dense = Samples(case.x.dense(), case.samples.y)
    w = state = its_w = its_state = None
    for steps in 4, 7:  # the second call finds the states of the first
        w, state, result = case.train(core, batch, steps, w, state=state)
        its_w, its_state, its_result = case.train(core, batch, steps, its_w, dense, state=its_state)
        assert w.tobytes() == its_w.tobytes()
        assert state.tobytes() == its_state.tobytes()
        assert result == its_result


@pytest.mark.parametrize("vectors", [(), (2, 1, 4)], ids=["rows", "vectors"])
def test_the_reference_by_central_differences(vectors):
    case = Case("4", 3, (5, 2, 3), vectors, 20, input_dropout=0.2, dropout=0.2)
    w, step = case.w.astype(np.float64), 1e-6
    gradient, _ = case.reference.gradient(w, case.samples, None, KEY)
    costs = []
    for sign in 1, -1:
        moved = w + sign * step * np.eye(w.size)
        costs.append([case.reference.gradient(each, case.samples, None, KEY)[1].cost for each in moved])
    np.testing.assert_allclose(gradient, (np.array(costs[0]) - costs[1]) / (2 * step), rtol=1e-5, atol=1e-6)


def test_a_net_with_tables_is_one_with_a_linear_layer_that_makes_their_vectors():
    case = Case("6", 2, (4, 3), (2, 5), missing=0.3)
    layout = case.reference.layout
    inner = ops.make(case.spec.with_(net=(9, 6, 3), embeddings=(), numbers=0), "reference")
    w = case.w.astype(np.float64)
    vectors = case.x.dense() @ layout.expand(w)
    expected = inner.forward(w[layout.embedded :], Samples(vectors))[0]
    np.testing.assert_allclose(case.make().forward(case.w, case.samples)[0], expected, rtol=1e-4)


def test_rows_of_levels_that_do_not_occur_stay_as_they_are():
    """By their bytes, with rules that leave them alone, and although the mini-batch goes in blocks."""
    for vectors in (), (3,):
        for rule in "sgd", "adagrad":
            case = Case("8", 2, (2000,), vectors, 20, rule=rule)
            w, _, _ = case.train(case.make(), 700)
            changed = (w != case.w)[: 2000 * 3] if vectors else (w != case.w)[2 * 8 : 2002 * 8]
            rows = np.flatnonzero(changed.reshape(2000, -1).any(axis=1))
            used = np.unique(case.x.codes[case.x.codes >= 0]) - 2
            np.testing.assert_array_equal(rows, used)


@pytest.mark.parametrize("model", ["autoencoder", "rbm"])
def test_models_that_reconstruct_see_all_inputs(model):
    x = mixed(np.random.default_rng(0), 30, 2, (4, 3))
    net = "9-5-9" if model == "autoencoder" else "9-5"
    spec = specs.parse({"model": model, "net": net, "loss": "squared", "optimizer": "sgd"})
    for backend in "cpu", "reference":
        core = ops.make(spec, backend)
        w = np.random.default_rng(1).normal(size=core.layout.size).astype(np.float32)
        for call in core.encode, lambda *given: core.forward(*given)[0]:  # noqa: B023
            np.testing.assert_allclose(call(w, Samples(x)), call(w, Samples(x.dense())), rtol=1e-5)


X = mixed(np.random.default_rng(0), 5, 2, (3, 4), 0)


@pytest.mark.parametrize(
    ("x", "vectors", "said"),
    [
        (Mixed(X.numbers, X.codes, 10), (), "mixed x has 10 inputs, expected 9"),
        (Mixed(X.numbers[1:], X.codes, 9), (), "numbers has shape"),
        (Mixed(X.numbers, X.codes + 4, 9), (), "codes.* is .*, expected -1 or 2 to 8"),
        (Mixed(X.numbers, X.codes - 2, 9), (), "codes.* is .*, expected -1 or 2 to 8"),
        (Mixed(X.numbers, X.codes[:, ::-1], 9), (2, 2), "codes.* is .*, expected -1 or 2 to 4"),
        (Mixed(X.numbers[:, :1], X.codes, 9), (2, 2), "1 numbers and 2 categories, expected 2 and 2"),
        (Mixed(X.numbers, X.codes[:, :1], 9), (2, 2), "2 numbers and 1 categories, expected 2 and 2"),
        (np.ones((5, 9), np.float32), (2, 2), "embeddings need mixed input"),
    ],
    ids=str,
)
def test_what_does_not_fit_is_refused(x, vectors, said):
    case = Case("4", 2, (3, 4), vectors)
    core = case.make()
    with pytest.raises(SpecError, match=said):
        core.forward(case.w, Samples(x))
    with pytest.raises(SpecError, match="takes no scale"):
        core.forward(case.w, Samples(X, None, np.ones(9, np.float32)))
    assert core.forward(case.w, Samples(X[:0]))[0].shape == (0, 3)
    assert core.train(case.w, None, Samples(X[:0], case.samples.y[:0]), np.arange(0), 4, None).steps == 0


def test_codes_are_checked_of_the_samples_that_are_asked_for():
    case = Case("4", 2, (3, 4))
    codes = X.codes.copy()
    codes[3, 1] = 9
    bad = Samples(Mixed(X.numbers, codes, 9))
    core = case.make()
    assert core.forward(case.w, bad, np.array([4, 0]))[0].shape == (2, 3)
    for order in None, np.array([0, 3]), np.arange(10) % 5:
        with pytest.raises(SpecError, match=r"codes\[3, 1\] is 9, expected -1 or 2 to 8"):
            core.forward(case.w, bad, order)
