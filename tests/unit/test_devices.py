"""Devices by name, and the GPUs of this machine, through a PyCUDA that only pretends."""

import subprocess
import sys
from functools import partial

import pytest

from hdl import devices
from hdl.errors import SpecError, Unavailable
from tests.unit.pretended_cuda import install


@pytest.fixture
def machine(monkeypatch):
    """`machine(gpus=1, …)`: from now on a machine with such GPUs, and hdl built for them."""
    return partial(install, monkeypatch)


@pytest.fixture
def missing(monkeypatch):
    """`missing(name, why)`: the import of a module fails."""
    real = devices.importlib.import_module

    def make(name, why=None):
        def load(wanted, *rest):
            if wanted == name:
                raise why or ModuleNotFoundError(f"No module named {name!r}")
            return real(wanted, *rest)

        monkeypatch.setattr(devices.importlib, "import_module", load)

    return make


@pytest.mark.parametrize(
    ("name", "parsed"),
    [
        ("cpu", ("cpu", 0)),
        ("cuda", ("cuda", 0)),
        ("cuda:0", ("cuda", 0)),
        ("cuda:12", ("cuda", 12)),
        ("auto", ("auto", 0)),
    ],
)
def test_names(name, parsed):
    assert devices.parse(name) == parsed


@pytest.mark.parametrize(
    "name", ["", "gpu", "CUDA", "cuda:", "cuda:-1", "cuda:x", "cpu:0", "auto:1", "cuda:1 ", "cuda:٣", 0, None]
)
def test_what_is_no_name_is_told_with_what_is(name):
    with pytest.raises(SpecError) as error:
        devices.parse(name)
    assert str(error.value) == f"device: expected cpu, cuda, cuda:N or auto (given {name!r})"


def test_hdl_itself_imports_no_pycuda():
    code = (
        "import sys, hdl, hdl.devices, hdl.ops, hdl.predict; print('pycuda' in sys.modules, 'hdl._cuda' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False False\n"


def test_the_cpu_asks_for_no_driver(missing):
    missing("pycuda.driver", AssertionError("the CPU needs none"))
    assert devices.resolve("cpu") == "cpu"


def test_where_a_gpu_works(machine):
    machine(gpus=2)
    assert devices.why_not() is None
    assert [devices.resolve(name) for name in ("cuda", "cuda:1", "auto")] == ["cuda:0", "cuda:1", "cuda:0"]
    assert devices.listed()[1] == "Pretended GPU 1, 0.1 GiB, compute capability 9.0, driver for CUDA 13.1"
    assert len(devices.listed()) == 2


def reasons(machine, missing, monkeypatch):
    """Names of faults, with what makes them and what is said of them."""

    def no_driver():
        missing("pycuda.driver", ImportError("libcuda.so.1: cannot open shared object file"))
        monkeypatch.setattr(devices.ctypes, "CDLL", lambda name: (_ for _ in ()).throw(OSError(f"{name}: not there")))

    def no_pycuda():
        missing("pycuda.driver")
        monkeypatch.setattr(devices.ctypes, "CDLL", lambda name: None)

    def broken_pycuda():
        missing("pycuda.driver", ImportError("undefined symbol: cuFuture"))
        monkeypatch.setattr(devices.ctypes, "CDLL", lambda name: None)

    def no_core():
        machine()
        missing("hdl._cuda")

    def no_start():
        driver = machine()
        driver.fail["init"] = driver.RuntimeError("cuInit failed: no CUDA-capable device is detected")

    return {
        "no driver": (no_driver, "no NVIDIA driver (libcuda.so.1: not there)"),
        "no PyCUDA": (no_pycuda, "no PyCUDA (No module named 'pycuda.driver'); `./build.sh cuda` builds it"),
        "broken PyCUDA": (broken_pycuda, "PyCUDA does not load: undefined symbol: cuFuture"),
        "no core": (no_core, "this hdl was built without its GPU core (No module named 'hdl._cuda')"),
        "no start": (no_start, "CUDA does not start: RuntimeError: cuInit failed: no CUDA-capable device is detected"),
        "no device": (lambda: machine(gpus=0), "there is no GPU cuda:0; CUDA finds none here"),
        "old": (
            lambda: machine(capability=(7, 5)),
            "cuda:0 (Pretended GPU 0) has compute capability 7.5; hdl's kernels need 8.0",
        ),
    }


@pytest.mark.parametrize(
    "fault", ["no driver", "no PyCUDA", "broken PyCUDA", "no core", "no start", "no device", "old"]
)
def test_why_not_is_said_in_one_line_and_auto_is_the_cpu(machine, missing, monkeypatch, fault):
    cause, said = reasons(machine, missing, monkeypatch)[fault]
    cause()
    assert devices.why_not().startswith(said)
    assert "\n" not in devices.why_not()
    with pytest.raises(Unavailable) as error:
        devices.resolve("cuda")
    assert str(error.value).startswith(f"device cuda: {said}")
    with pytest.raises(Unavailable):
        devices.open("cuda:0")
    told = []
    assert devices.resolve("auto", told.append) == "cpu"
    assert told == [f"device auto: the CPU, as there is no GPU to use: {devices.why_not()}"]
    assert devices.listed() == []


def test_an_index_that_is_not_there(machine):
    machine(gpus=2)
    with pytest.raises(Unavailable, match="device cuda:2: there is no GPU cuda:2; CUDA finds 2 here"):
        devices.resolve("cuda:2")


def test_only_a_gpu_can_be_opened(machine):
    machine()
    for name in "cpu", "auto":
        with pytest.raises(SpecError, match=f"expected cuda or cuda:N .given '{name}'"):
            devices.open(name)


def test_one_device_a_process_and_index(machine):
    driver = machine(gpus=2)
    one = devices.open("cuda")
    assert devices.open("cuda:0") is one
    assert devices.open("cuda:1") is not one
    assert (one.name, one.title, one.stream) == ("cuda:0", "Pretended GPU 0", 4711)
    assert driver.calls.count("retain") == 2
    assert driver.balanced()
