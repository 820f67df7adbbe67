"""Encoded rows of tables on the CUDA core, with and without embedded categories, against the reference."""

import numpy as np
import pytest

from hdl import ops
from hdl.data.mixed import Mixed
from hdl.errors import SpecError
from hdl.ops import Samples, rules
from hdl.ops.cuda import program as cuda_program
from tests.unit.mixed_cases import KEY, Case


@pytest.mark.parametrize("resident", [cuda_program.RESIDENT, 0])
@pytest.mark.parametrize("vectors", [(), (2, 1, 17)], ids=["rows", "vectors"])
@pytest.mark.parametrize("rule", sorted(rules.VECTORS))
@pytest.mark.parametrize("fields", [{}, {"l1": 0.01, "l2": 0.1, "max_norm": 0.8}, {"input_dropout": 0.3}], ids=str)
def test_it_computes_what_the_reference_computes(device, monkeypatch, fields, rule, vectors, resident):
    monkeypatch.setattr(cuda_program, "RESIDENT", resident)
    for case in (
        Case("7-5", vectors=vectors, rule=rule, **fields),
        Case("", 0, (40, 3, 1), vectors, rule=rule, **fields),
    ):
        core = ops.make(case.spec, "cuda:0")
        expected, state, seen = case.train(case.reference, 16, real=np.float64)
        w, s, result = case.train(core, 16)
        assert np.abs(w - expected).max() < 1e-3 * np.abs(expected - case.w).max() + 1e-6
        np.testing.assert_allclose(s, state, rtol=1e-3, atol=1e-4 * np.abs(state).max() if state.size else 0)
        assert result.cost == pytest.approx(seen.cost, rel=1e-4)
        gradient, _ = core.gradient(case.w, case.samples, None, KEY)
        # The reference draws as for one mini-batch, and so does the core for one block.
        wanted, _ = case.reference.gradient(case.w.astype(np.float64), case.samples, None, KEY)
        assert np.abs(gradient - wanted).max() < 1e-4 * np.abs(wanted).max() + 1e-5
        out = case.reference.forward(case.w.astype(np.float64), case.samples)[0]
        np.testing.assert_allclose(core.forward(case.w, case.samples)[0], out, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("vectors", [(), (2, 1, 17)], ids=["rows", "vectors"])
def test_nets_side_by_side_get_the_bytes_that_they_get_alone(device, vectors):
    cases = [Case("7-5", vectors=vectors, rule="adam", seed=seed, n=n) for seed, n in ((0, 40), (1, 17), (2, 33))]
    core, works = ops.make(cases[0].spec, "cuda:0"), []
    for case in cases:
        lr, state = np.full(len(case.x), 0.02, np.float32), np.zeros((2, case.w.size), np.float32)
        works.append(ops.Work(case.w, state, case.samples, case.rng.permutation(len(case.x)), lr, 0, KEY))
    together = [work._replace(w=work.w.copy(), state=work.state.copy()) for work in works]
    assert core.train_all(together, 8) == [core.train(*work[:4], 8, *work[4:7]) for work in works]
    for one, other in zip(works, together, strict=True):
        assert one.w.tobytes() == other.w.tobytes()
        assert one.state.tobytes() == other.state.tobytes()


def test_samples_that_do_not_fit_pass_through(device):
    case = Case(n=300, vectors=(2, 1, 3))
    expected = case.train(ops.make(case.spec, "cuda:0"), 10)[0]
    device.free = 20_000
    assert case.train(ops.make(case.spec, "cuda:0"), 10)[0].tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda x: Mixed(x.numbers, x.codes + 100, x.columns), "codes of category 0 hold"),
        (lambda x: Mixed(x.numbers, np.where(x.codes < 0, 0, x.codes), x.columns), "expected -1 or 5 … 25"),
        (lambda x: Mixed(x.numbers, x.codes[1:], x.columns), "have 39 rows"),
        (lambda x: Mixed(x.numbers, x.codes, x.columns + 1), "x has shape"),
    ],
)
def test_what_would_be_read_beyond_its_end_is_refused(device, change, said):
    case = Case()
    core = ops.make(case.spec, "cuda:0")
    with pytest.raises(SpecError, match=said):
        core.forward(case.w, Samples(change(case.x)))
    with pytest.raises(SpecError, match="takes no scale"):
        core.forward(case.w, Samples(case.x, None, np.ones(26, np.float32)))


def test_embedded_categories_take_encoded_rows_alone(device):
    case = Case(vectors=(2, 2, 2))
    core = ops.make(case.spec, "cuda:0")
    with pytest.raises(SpecError, match="embeddings need mixed input"):
        core.forward(case.w, Samples(case.x.dense()))
    codes = case.x.codes[:, [0, 2, 1]]
    with pytest.raises(SpecError, match=r"codes of category 1 hold .*, expected -1 or 12 … 14"):
        core.forward(case.w, Samples(Mixed(case.x.numbers, codes, case.x.columns)))
