"""Restricted Boltzmann machines: the core against the reference, and against itself on other threads and blocks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdl import ops
from hdl.errors import Interrupted, SpecError
from hdl.ops import Samples, rules
from tests.unit.rbms import KEY, check_all, check_rule, jobs, make_chains, make_data, make_spec, make_weights


@settings(max_examples=60)
@given(jobs(), st.sampled_from([1, 2]), st.integers(0, 2))
def test_the_core_agrees_with_the_reference(job, threads, kernels):
    found = pytest.importorskip("hdl._cpu").isas()
    check_all(ops.make(job[0], "cpu", threads, found[kernels % len(found)]), *job)


@pytest.mark.parametrize("rule", sorted(rules.VECTORS))
def test_the_cores_rules_are_the_references(rule):
    pytest.importorskip("hdl._cpu")
    check_rule(rule, "cpu")


def trained(spec, threads, isa, v, batch):
    core = ops.make(spec, "cpu", threads, isa)
    w = make_weights(spec, scale=0.05).astype(np.float32)
    state, chains = np.zeros((core.state_vectors, w.size), np.float32), make_chains(spec)
    lr = np.full(ops.steps(len(v), batch), 0.02, np.float32)
    result = core.train(w, state, Samples(v), np.arange(len(v)), batch, lr, 2, KEY, chains=chains)
    sums, _ = core.gradient(w, Samples(v), None, KEY, chains=chains)
    out = [w, state, sums, core.forward(w, Samples(v))[0], core.encode(w, Samples(v))]
    return [part.tobytes() for part in out + ([] if chains is None else [chains])] + [result.cost]


@pytest.mark.parametrize(
    "part",
    [
        {},
        {"k": 2, "beta": 0.3},
        {"persistent": True, "chains": 130},
        {"visible": "gaussian"},
        {"visible": "gaussian", "persistent": True, "chains": 300},
    ],
)
def test_bytes_do_not_depend_on_the_number_of_threads(part):
    """Mini-batches of one block and of several, of fewer and of more rows than chains."""
    spec = make_spec("150-67", optimizer="momentum", **part)
    v = make_data(spec, 500)
    for isa in pytest.importorskip("hdl._cpu").isas():
        for batch in (50, 290):
            one = trained(spec, 1, isa, v, batch)
            assert trained(spec, 1, isa, v, batch) == one
            assert trained(spec, 2, isa, v, batch) == one
            assert trained(spec, 3, isa, v, batch) == one


@pytest.mark.parametrize("chains", [0, 90])
def test_bytes_do_not_depend_on_blocks(chains):
    core = pytest.importorskip("hdl._cpu")
    spec = make_spec("40-30", persistent=chains > 0, chains=chains or 1)
    v, found = make_data(spec, 100), []
    for block in (7, 32, 512):
        plan = core.RbmPlan(40, 30, chains=chains, max_batch=block, threads=2)
        w, particles = make_weights(spec, scale=0.1).astype(np.float32), make_chains(spec)
        plan.train(w, None, v, None, np.arange(100), 60, 0.1, seed=5, chains=particles)
        found.append(w.tobytes() + (particles.tobytes() if chains else b""))
    assert found[0] == found[1] == found[2]


def test_wrong_arguments_of_the_core_are_errors():
    core = pytest.importorskip("hdl._cpu")
    plan, v = core.RbmPlan(4, 3), np.ones((5, 4), np.float32)
    w = np.zeros(plan.parameters, np.float32)
    for wrong in ({"k": 0}, {"chains": -1}, {"rho": 2}, {"beta": -1}, {"threads": 0}, {"max_batch": 0}):
        with pytest.raises(SpecError):
            core.RbmPlan(4, 3, **wrong)
    for widths in ((0, 3), (4, 0)):
        with pytest.raises(SpecError, match="width"):
            core.RbmPlan(*widths)
    with pytest.raises(SpecError, match="order"):
        plan.train(w, None, v, None, [5], 1, 0.1)
    with pytest.raises(SpecError, match="weights has"):
        plan.train(w[:-1].copy(), None, v, None, [0], 1, 0.1)
    with pytest.raises(SpecError, match="batch"):
        plan.train(w, None, v, None, [0], 0, 0.1)
    with pytest.raises(SpecError, match="lr has"):
        plan.train(w, None, v, None, [0, 1], 1, np.ones(1, np.float32))
    with pytest.raises(SpecError, match="x has shape"):
        plan.train(w, None, v[:, :3], None, [0], 1, 0.1)
    assert not w.any()


def test_progress_stops_the_core_after_a_whole_step():
    pytest.importorskip("hdl._cpu")
    spec = make_spec("300-200")
    core, w, v = ops.make(spec, "cpu"), make_weights(spec, scale=0.01).astype(np.float32), make_data(spec, 100)
    lr = np.zeros(20_000, np.float32)
    with pytest.raises(Interrupted):
        core.train(w, np.zeros((0, w.size), np.float32), Samples(v), np.tile(np.arange(100), 20_000), 100, lr, 0, KEY,
                   lambda done, steps: True)  # fmt: skip


def test_nothing_to_do_leaves_everything():
    pytest.importorskip("hdl._cpu")
    spec = make_spec(persistent=True, chains=5, beta=0.5)
    core, w, chains = ops.make(spec, "cpu"), make_weights(spec).astype(np.float32), make_chains(spec)
    samples, none = Samples(make_data(spec, 4)), np.zeros(0, np.int64)
    before = chains.copy()
    assert core.train(w, np.zeros((0, w.size), np.float32), samples, none, 5, np.zeros(0, np.float32),
                      chains=chains).steps == 0  # fmt: skip
    assert not core.gradient(w, samples, none, chains=chains)[0].any()
    assert np.array_equal(chains, before)
