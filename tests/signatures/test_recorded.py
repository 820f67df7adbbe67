"""No weight has changed: small trainings give the SHA-256 that were recorded, with every kind of kernel, CUDA's too."""

import json
import platform
import shutil

import pytest

from hdl._cpu import isas
from tests.signatures import record
from tests.signatures.trainings import EMULATED, KEPT, TRAININGS

RECORDED = json.loads(record.RECORDED.read_text())


@pytest.fixture(scope="module")
def computed():
    """Gives `computed(isa)`, the SHA-256 of all trainings with its kernels, each computed once."""
    seen = {}

    def by(isa):
        if isa not in seen:
            seen[isa] = record.by_kernels(isa)
        return seen[isa]

    return by


def check(isa, name, computed):
    expected = RECORDED[isa][name]
    changed = [name for name in expected if computed[name] != expected[name]]
    lines = [f"{name}: expected {expected[name]}, got {computed[name]}" for name in changed]
    if lines:
        pytest.fail("\n".join([f"{name} with {isa} kernels gives other bytes than recorded:", *lines]), pytrace=False)


@pytest.mark.parametrize("name", [*TRAININGS, *KEPT])
@pytest.mark.parametrize("isa", ["generic", "avx2", "avx512"])
def test_a_training_gives_the_recorded_bytes(computed, isa, name):
    if isa not in isas():
        pytest.skip(f"this processor has no {isa}")
    check(isa, name, computed(isa)[name])


@pytest.mark.parametrize("name", EMULATED)
def test_the_cuda_core_gives_the_recorded_bytes_on_its_emulator(computed, name):
    if platform.machine() != "x86_64" or not shutil.which("g++"):
        pytest.skip("the emulator needs x86-64 and g++")
    check("emulated", name, computed("emulated")[name])


def test_every_training_is_recorded_for_every_kind_of_kernel():
    assert {isa: set(by_name) for isa, by_name in RECORDED.items()} == {
        **{isa: {*TRAININGS, *KEPT} for isa in ("generic", "avx2", "avx512")},
        "emulated": set(EMULATED),
    }
    assert "generic" in isas()  # so something is compared on every machine


def test_trainings_differ():
    """Checks that no two trainings are the same: one of them would test nothing."""
    weights = {}
    for name, each in RECORDED["generic"].items():
        weights.setdefault(each["weights"], []).append(name)
    assert not [names for names in weights.values() if len(names) > 1]


@pytest.mark.parametrize("name", KEPT)
def test_a_table_that_an_older_hdl_wrote_resumes_to_the_uninterrupted_bytes(tmp_path, monkeypatch, name):
    shutil.copytree(record.TABLES, tmp_path / "old")
    monkeypatch.chdir(tmp_path / "old")  # the table names its data by a relative path
    data, fields = KEPT[name]
    check("generic", name, record.train(data, name, fields, resume=True))
