"""bfloat16 on the CPU: what is rounded and in which order it is summed, by whom, and what is told of it."""

import math
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse

from hdl import doctor, driver, ops
from hdl._cpu import bf16_way, isas
from hdl.errors import SpecError, TableError
from hdl.models import mlp
from hdl.ops import Key, Samples
from hdl.ops.precision import round_bf16
from hdl.runners import platform
from hdl.runners.base import Job
from hdl.runners.local import LocalRunner
from hdl.spec import parse
from hdl.table import Table

KEY = Key(3, 1, 2)


def make_spec(net, **fields):
    return parse({"net": net, "loss": "squared", "precision": "bf16", **fields})


def make_samples(n, inputs, outputs, seed=0):
    rng = np.random.default_rng(seed)
    return Samples(rng.normal(size=(n, inputs)).astype(np.float32), rng.normal(size=(n, outputs)).astype(np.float32))


def weights_of(spec, seed=1):
    w = mlp.initial(spec) if spec.model == "mlp" else np.zeros(ops.make(spec, "reference").layout.size, np.float32)
    return w + (0.1 * np.random.default_rng(seed).normal(size=w.size)).astype(np.float32)


def test_a_factor_is_the_nearest_number_of_8_bits_and_of_two_the_even_one():
    x = np.random.default_rng(0).normal(size=2000).astype(np.float32)
    x *= np.float32(10.0) ** np.arange(-10, 10).repeat(100)
    mantissa, exponent = np.frexp(x.astype(np.float64))
    np.testing.assert_array_equal(round_bf16(x), np.ldexp(np.rint(mantissa * 256) / 256, exponent))  # rint: to even
    ties = np.float32([1 + 1 / 256, 1 + 3 / 256, -1 - 1 / 256])
    np.testing.assert_array_equal(round_bf16(ties), [1, 1 + 4 / 256, -1])
    np.testing.assert_array_equal(round_bf16(np.float32([2.0**-56, 0.99 * 2.0**-56, -1e-40])), [2.0**-56, 0, 0])
    assert round_bf16(np.float32([math.inf, 3.4e38])).tolist() == [math.inf, math.inf]
    assert np.isnan(round_bf16(np.uint32([0xFFFFFFFF]).view(np.float32))[0])


@pytest.mark.parametrize("n", [1, 2, 33, 131, 1101])
@pytest.mark.parametrize("net", ["7-3", "64-10", "65-41-10", "300-70-50-10"])
@pytest.mark.parametrize("isa", isas())
def test_the_core_gives_the_references_bits(isa, net, n):
    """Relu and squared errors need no function that differs: outputs and W's gradients are sums of products alone."""
    spec = make_spec(net, activation="relu")
    core, reference, w = ops.make(spec, "cpu", isa=isa), ops.make(spec, "reference"), weights_of(spec)
    w[:5] = [1e-20, -1e-35, 1e-41, 3e-18, 0]
    samples = make_samples(n, spec.widths[0], spec.widths[-1])
    samples.x[0, :3] = [1e-19, 1e-17, -1e-41]
    np.testing.assert_array_equal(core.forward(w, samples)[0], reference.forward(w, samples)[0])
    found, expected = core.gradient(w, samples)[0], reference.gradient(w, samples)[0]
    for own, true in zip(reference.layout.split(found), reference.layout.split(expected), strict=True):
        np.testing.assert_array_equal(own[0], true[0])
        np.testing.assert_allclose(own[1], true[1], rtol=1e-4, atol=1e-4)


FIELDS = {
    "adam": {"optimizer": "adam", "dropout": 0.3, "input_dropout": 0.1},
    "max-norm": {"optimizer": "sgd", "max_norm": 1.0, "l2": 0.01},
    "momentum": {"optimizer": "momentum", "l1": 0.01, "activation": "tanh"},
    "frozen": {"optimizer": "sgd", "tuning": {"freeze": "1"}},
    "csr": {"optimizer": "adam"},
    "autoencoder": {"model": "autoencoder", "net": "37-21-37", "autoencoder": {"corruption": 0.2}},
    "autoencoder-tied": {"model": "autoencoder", "net": "37-21-37", "autoencoder": {"tied": True, "beta": 1}},
    "autoencoder-contractive": {"model": "autoencoder", "net": "37-21-37", "autoencoder": {"contractive": 0.1}},
}


def trained(spec, samples, batch=23, **how):
    core, w = ops.make(spec, **how), weights_of(spec)
    if how.get("threads"):
        core._plan.fix_threads(how["threads"])
    w = w if core.platform != "reference" else w.astype(np.float64)
    state = np.zeros((core.state_vectors, w.size), w.dtype)
    g = core.gradient(w, samples, None, KEY)[0]
    order = np.arange(2 * len(samples)) % len(samples)
    core.train(w, state, samples, order, batch, np.full(99, 0.02, np.float32), 0, KEY)
    return w, g


@pytest.mark.parametrize("kind", FIELDS)
def test_training_is_near_the_reference_and_depends_on_no_threads(kind):
    spec = make_spec(**{"net": "37-45-21-10", "activation": "sigmoid", **FIELDS[kind]})
    samples = make_samples(141, 37, 10)
    if spec.model == "autoencoder":
        samples = Samples(samples.x)
    if kind == "csr":
        samples = Samples(scipy.sparse.csr_matrix(samples.x * (samples.x > 0.5)), samples.y)
    for isa in isas():
        w, g = trained(spec, samples, isa=isa, threads=1)
        for threads in (2, 3):
            other, same = trained(spec, samples, isa=isa, threads=threads)
            assert (other.tobytes(), same.tobytes()) == (w.tobytes(), g.tobytes())
        (near_w, near), (exact_w, exact) = (
            trained(s, samples, backend="reference") for s in (spec, spec.with_(precision="float32"))
        )
        assert np.abs(g - near).max() < np.abs(g - exact).max() / 20
        assert np.abs(w - near_w).mean() < np.abs(w - exact_w).mean() / 2  # here and there a factor rounds otherwise


# --- what a training tells ------------------------------------------------------------------------------------------


@pytest.fixture
def data(tmp_path):
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "data.npz", x=rng.normal(size=(90, 12)).astype(np.float32), y=np.arange(90) % 3)
    return str(tmp_path / "data.npz")


def train(data, table, resume=False, **fields):
    spec = parse({"net": "0-9-0", "batch": 10, "epochs": 2, "precision": "bf16", "shards": 3, **fields})
    with LocalRunner(1, 1) as runner:
        return driver.train(Job(data, table, spec, resume=resume), runner)


def test_it_is_a_platform_and_a_resumed_training_goes_on_in_it(data, tmp_path):
    whole = train(data, str(tmp_path / "whole"), epochs=4)
    exact = train(data, str(tmp_path / "exact"), epochs=4, precision="float32")
    train(data, str(tmp_path / "model"))
    resumed = train(data, str(tmp_path / "model"), resume=True, epochs=4)
    signatures = [Table(outcome.table).read().signature for outcome in (whole, resumed, exact)]
    assert signatures[0] == signatures[1] != signatures[2]
    assert Table(whole.table).read(0).about["isa"] == platform.best_isa() + "-bf16"
    assert Table(exact.table).read(0).about["isa"] == platform.best_isa()


def test_a_table_that_was_multiplied_in_float32_does_not_go_on_in_bfloat16(data, tmp_path):
    table, old = Table(train(data, str(tmp_path / "new")).table), Table(str(tmp_path / "old"))
    for number in table.numbers():
        version = table.read(number)
        about = dict(version.about)
        if "isa" in about:
            about["isa"] = platform.instruction_set(about["isa"])
        old.publish(replace(version, about=about))
    with pytest.raises(TableError, match=r"multiplied in float32 where precision says bf16.*--init-from"):
        train(data, old.path, resume=True, epochs=4)


@pytest.mark.parametrize("fields", [{"model": "rbm", "net": "0-4"}, {"model": "dbn", "net": "0-4-0"}])
def test_models_without_it_are_refused_before_the_first_round(data, tmp_path, fields):
    with pytest.raises(SpecError, match=r"precision bf16: model (rbm|dbn) multiplies in float32 on a CPU: --precision"):
        train(data, str(tmp_path / "model"), **fields)
    assert not (tmp_path / "model").exists() or Table(str(tmp_path / "model")).latest() is None


def test_the_doctor_tells_how_it_is_multiplied():
    assert all(bf16_way(isa).startswith(("native", "portable: ")) for isa in isas())
    found = {finding.name: finding for finding in doctor.examine()}
    assert found["bfloat16"].found == bf16_way(isas()[-1])
