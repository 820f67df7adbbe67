"""Samples on a device: sent once, and refused where a GPU would read beyond their end."""

import numpy as np
import pytest
import scipy.sparse

from hdl import ops
from hdl.errors import SpecError
from hdl.models import mlp
from hdl.ops import Samples
from tests.cuda.dense import make_samples, make_spec


def test_samples_are_sent_once(device):
    spec = make_spec()
    samples, core = make_samples(spec, 1000), ops.make(spec, "cuda:0")
    w = mlp.initial(spec)
    core.forward(w, samples)
    first, device.sent = device.sent, 0
    core.forward(w, samples)
    assert device.sent < first - samples.x.nbytes
    others = [make_samples(spec, 1000, seed=seed) for seed in range(5)]
    for each in others:
        core.forward(w, each)
    device.sent = 0
    core.forward(w, samples)  # its place was taken
    assert device.sent > samples.x.nbytes
    assert np.allclose(core.forward(w, samples)[0], ops.make(spec, "reference").forward(w, samples)[0], atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: Samples(s.x[:, 1:], s.y), r"x has shape \(20, 8\), expected \(20, 9\)"),
        (lambda s: Samples(s.x.astype(np.float64), s.y), "x is float64, expected float32 or uint8"),
        (lambda s: Samples(s.x, s.y + 1), r"y holds classes 1 … 4, expected 0 … 3"),
        (lambda s: Samples(s.x, s.y[1:]), r"y has shape \(19,\)"),
        (lambda s: Samples(s.x, np.zeros((20, 3), np.float32)), r"y has shape \(20, 3\), expected \(20, 4\)"),
        (lambda s: Samples(s.x, s.y, s.scale[1:]), r"scale has shape \(8,\)"),
        (lambda s: Samples(scipy.sparse.csr_array(s.x), s.y, None, s.shift), "sparse x takes no shift"),
    ],
)
def test_what_would_be_read_beyond_its_end_is_refused(device, change, message):
    spec = make_spec()
    core, samples = ops.make(spec, "cuda:0"), make_samples(spec, 20)
    with pytest.raises(SpecError, match=message):
        core.forward(mlp.initial(spec), change(samples))
    with pytest.raises(SpecError, match=r"order holds 0 … 20, but there are 20 samples"):
        core.forward(mlp.initial(spec), samples, np.array([0, 20]))


def test_sparse_rows_that_lie_are_refused(device):
    spec = make_spec()
    core, samples = ops.make(spec, "cuda:0"), make_samples(spec, 20, "csr")
    x = samples.x
    for bad in (
        scipy.sparse.csr_array((x.data, x.indices + 9, x.indptr), shape=(20, 18)),
        scipy.sparse.csr_array((x.data, x.indices, x.indptr), shape=x.shape),
    ):
        bad.shape_ = None
        bad._shape = (20, 9)
        if bad.indices.max() < 9:
            bad.indptr = bad.indptr[::-1].copy()
        with pytest.raises(SpecError, match="of the sparse x"):
            core.forward(mlp.initial(spec), Samples(bad, samples.y, samples.scale))
