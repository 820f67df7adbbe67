"""Embedded categories outside of the kernels: layout, first weights, codes, line searches, genetic mode, refusals."""

import numpy as np
import pytest

from hdl import ops, optim
from hdl import spec as specs
from hdl.errors import SpecError
from hdl.models import mlp
from hdl.models.codes import Encoder
from hdl.ops import Samples, layout
from hdl.sync import genetic
from tests.unit.mixed_cases import Case

CASE = Case("6-4", 2, (5, 3), (2, 3))
SHAPE = layout.of(CASE.spec)


def test_layout_covers_the_vector_once():
    assert SHAPE.names == ("E1", "E2", "W1", "b1", "W2", "b2", "W3", "b3")
    assert SHAPE.size == 5 * 2 + 3 * 3 + (2 + 5 + 1) * 6 + 7 * 4 + 5 * 3
    w = np.zeros(SHAPE.size, np.int64)
    parts = [*SHAPE.tables(w), *(part for layer in SHAPE.split(w) for part in layer)]
    for number, part in enumerate(parts, 1):
        part[:] = number
    assert [part.shape for part in parts[:4]] == [(5, 2), (3, 3), (7, 6), (6,)]
    assert (np.diff(w) >= 0).all()
    assert set(w) == set(range(1, 9))
    assert SHAPE.mask[: SHAPE.embedded].sum() == 0
    assert SHAPE.mask.sum() == 7 * 6 + 6 * 4 + 4 * 3
    assert SHAPE.ranges == ((2, 7), (7, 10))
    assert all(w[offset] == 3 + 2 * layer for layer, (offset, _) in enumerate(SHAPE.offsets))


def test_first_tables_depend_on_the_seed_and_their_place_alone():
    big = Case("6", 2, (4000, 300), (4, 9)).spec
    first, second = layout.of(big).tables(mlp.initial(big))
    for table, d in (first, 4), (second, 9):
        assert np.abs(table).max() <= d**-0.5
        assert table.std() == pytest.approx((3 * d) ** -0.5, rel=0.05)
    other = Case("50", 7, (4000, 20), (4, 2)).spec
    np.testing.assert_array_equal(layout.of(other).tables(mlp.initial(other))[0], first)
    reseeded = big.with_(seed=5)
    assert (layout.of(big).tables(mlp.initial(reseeded))[0] != first).mean() > 0.99
    told = big.with_(init={"name": "uniform", "low": 1, "high": 2})
    assert layout.of(big).tables(mlp.initial(told))[1].min() >= 1
    plain = Case("6", 25, (), ()).spec  # the layers above have the bytes of a net that sees as many numbers
    assert layout.of(plain).widths == (25, 6, 3)
    narrow = Case("6", 12, (4000, 300), (4, 9)).spec
    assert mlp.initial(plain).tobytes() == mlp.initial(narrow)[layout.of(narrow).embedded :].tobytes()


@pytest.mark.parametrize("layer", [1, 2])
@pytest.mark.parametrize("vectors", [(), (2, 3)], ids=["rows", "vectors"])
@pytest.mark.parametrize("backend", ["cpu", "reference"])
def test_codes_of_hidden_layers(backend, vectors, layer):
    case = Case("6-4", 2, (5, 3), vectors)
    shape, x = layout.of(case.spec), case.x.dense()
    encoder = Encoder(case.spec, case.w, lambda spec: ops.make(spec, backend), layer)
    value = x @ shape.expand(case.w) if vectors else x
    product = shape.expand(case.w) if vectors else np.eye(10, dtype=np.float32)
    for weights, bias in shape.split(case.w)[:layer]:
        value, product = np.tanh(value @ weights + bias), product @ weights
    np.testing.assert_allclose(encoder(case.samples), value, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(encoder.product(), product, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("rule", ["gd", "cg", "lbfgs"])
@pytest.mark.parametrize("vectors", [(), (2, 3)], ids=["rows", "vectors"])
def test_line_searches(vectors, rule):
    spec = Case("6-4", 2, (5, 3), vectors, l2=0.01).spec.with_(optimizer={"name": rule})
    core, samples = ops.make(spec, "cpu"), CASE.samples

    def evaluate(w):
        gradient, result = core.gradient(w.astype(np.float32), samples)
        return optim.objective(spec, w.astype(np.float32), result.cost, gradient, len(samples))

    first = mlp.initial(spec)
    w, state = optim.minimise(spec, first, evaluate, 60)
    assert optim.cost(state) < 0.7 * evaluate(first)[0]
    shape = layout.of(spec)
    for table, before in zip(shape.tables(w), shape.tables(first), strict=True):
        assert (table != before).all()


@pytest.mark.parametrize("kind", ["rows", "uniform_rows", "single_point", "arithmetic"])
def test_genetic_mode_crosses_and_mutates_tables(kind):
    sync = {"mode": "genetic", "genetic": {"crossover": kind, "mutation_rate": 0.5, "mutation_scale": 0.1}}
    spec = CASE.spec.with_(sync=sync, shards=2)
    a, b = np.zeros(SHAPE.size, np.float32), np.ones(SHAPE.size, np.float32)
    children = np.array([genetic.cross(spec, 0, child, a, b) for child in range(40)])
    if kind != "arithmetic":
        assert set(np.unique(children)) == {0, 1}
    if "rows" in kind:
        for table in SHAPE.tables(children.T.copy()[:, 0]):
            assert len(np.unique(table)) == 1
        seconds = {SHAPE.tables(child)[1][0, 0] for child in children}
        assert seconds == ({0, 1} if kind == "uniform_rows" else {1})
    moved = genetic.mutate(spec, 0, 0, CASE.w) != CASE.w
    assert all(0.1 < table.mean() < 0.9 for table in SHAPE.tables(moved))


def test_what_has_no_embeddings_says_so():
    with pytest.raises(SpecError, match="only mlp embeds categories"):
        specs.parse({"model": "stacked", "embedding": 4})
    core = ops.make(CASE.spec, "cpu")
    with pytest.raises(SpecError, match="embeddings need mixed input"):
        core.forward(CASE.w, Samples(CASE.x.csr()))
