"""Frozen layers, rates of layers and L2-SP on a GPU: the reference's numbers, and not a bit of what is frozen changes."""

import numpy as np
import pytest

from hdl import ops
from hdl.models import mlp
from hdl.ops import tuning
from tests.unit.mixed_cases import Case
from tests.unit.test_ops import make_samples, make_spec
from tests.unit.test_tuning_ops import bits, trained


@pytest.mark.parametrize("rule", ["sgd", "momentum", "adam"])
@pytest.mark.parametrize("fields", [{"freeze": "1", "l2_sp": 0.3}, {"freeze": "2", "lr": "1=0.25"},
                                    {"freeze": "head", "layer_decay": 0.5}])  # fmt: skip
def test_a_net(device, rule, fields):
    spec = make_spec("7-20-18-3", tuning=fields, l2=0.1, max_norm=0.9,
                     optimizer={"name": rule, "weight_decay": 0.1})  # fmt: skip
    samples, start = make_samples(40, 7, 3), mlp.initial(spec)
    on_gpu = ops.make(spec, "cuda")
    a, b = trained(ops.make(spec, "reference"), start, samples)[0], trained(on_gpu, start, samples)[0]
    np.testing.assert_allclose(b, a, atol=2e-5)
    still = tuning.frozen(spec)
    np.testing.assert_array_equal(bits(b)[still], bits(start)[still])
    gradient = on_gpu.gradient(start, samples)[0]
    assert not gradient[still].any()
    assert gradient[~still].any()


@pytest.mark.parametrize("freeze", ["embeddings", "embeddings,1", "1"])
def test_tables_of_embeddings(device, freeze):
    case = Case(hidden="9-8", rule="adam", vectors=(2, 3, 4), tuning={"freeze": freeze})
    a = trained(case.reference, case.w, case.samples)[0]
    b = trained(ops.make(case.spec, "cuda"), case.w, case.samples)[0]
    np.testing.assert_allclose(b, a, atol=2e-5)
    still = tuning.frozen(case.spec)
    np.testing.assert_array_equal(bits(b)[still], bits(case.w)[still])
