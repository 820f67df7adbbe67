"""Every backend, model and wrapper has the interface of `Operations`, without a GPU too."""

import inspect
import subprocess
import sys

import numpy as np
import pytest

from hdl import ops
from hdl.errors import SpecError
from hdl.ops import Operations, Samples, cpu, cuda, reference
from hdl.ops.batching import Participant
from hdl.ops.ensemble import Ensemble
from hdl.ops.transformed import ReconstructionTarget, StackedInput, TransformedInput
from hdl.spec import parse
from tests.unit.rbms import make_chains, make_spec

BACKENDS = {"reference": reference, "cpu": cpu, "cuda": cuda}
WRAPPERS = [TransformedInput, StackedInput, ReconstructionTarget, Participant, Ensemble]
CLASSES = [each for backend in BACKENDS.values() for each in backend.MODELS.values()] + WRAPPERS
METHODS = [name for name, _ in inspect.getmembers(Operations, inspect.isfunction) if not name.startswith("_")]


def plain(function):
    """A signature in which an array is an array: the backends of float32 name a narrower type."""
    signature = inspect.signature(function)
    parameters = [each.replace(annotation=arrays(each.annotation)) for each in signature.parameters.values()]
    return signature.replace(parameters=parameters, return_annotation=arrays(signature.return_annotation))


def arrays(annotation):
    return annotation.replace("NDArray[np.float32]", "NDArray") if isinstance(annotation, str) else annotation


def test_the_interface_is_what_this_test_holds():
    assert METHODS == ["encode", "forward", "gradient", "together", "train", "train_all"]
    assert len(CLASSES) == 14


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("name", METHODS)
def test_signatures_are_those_of_the_base(kind, name):
    assert issubclass(kind, Operations)
    assert plain(getattr(kind, name)) == plain(getattr(Operations, name))


@pytest.mark.parametrize("name", BACKENDS)
def test_backends_have_the_same_models_and_no_model_is_another(name):
    models = BACKENDS[name].MODELS
    assert models.keys() == {"mlp", "autoencoder", "rbm"}
    for one in models.values():
        assert not inspect.isabstract(one)
        assert not any(issubclass(one, other) for other in models.values() if other is not one)


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize("model", ["mlp", "autoencoder", "rbm"])
def test_attributes_are_there_and_chains_are_an_rbms(backend, model):
    spec = parse({"model": model, "net": {"rbm": "3-2"}.get(model, "3-2-3"), "loss": "squared", "optimizer": "adam"})
    made = ops.make(spec, backend)
    assert type(made) is BACKENDS[backend].MODELS[model]
    assert (made.spec, made.layout.widths[:2], made.state_vectors, made.together(4)) == (spec, (3, 2), 2, 1)
    assert isinstance(made.platform, str)
    w, samples = np.zeros(made.layout.size, np.float32), Samples(np.ones((1, 3), np.float32))
    with pytest.raises(SpecError, match="keeps none"):
        made.gradient(w, samples, chains=make_chains(make_spec("3-2", persistent=True, chains=4)))
    if model == "mlp":
        with pytest.raises(SpecError, match="autoencoders and RBMs"):
            made.encode(w, samples)


def test_a_backend_is_imported_when_it_is_asked_for():
    code = "import sys, hdl.ops; print(*sorted(name for name in sys.modules if name.startswith('hdl.ops.')))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    own = [name for name in told if not name.startswith("hdl.ops.layout.")]
    names = ("base", "layout", "rules", "schedule", "tuning", "types")
    assert own == [f"hdl.ops.{name}" for name in names]
    code = "import sys, hdl.ops.cuda; print('pycuda' in sys.modules, 'hdl._cuda' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert told == ["False", "False"]
