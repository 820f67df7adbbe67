"""No weight has changed: small trainings give the SHA-256 that were recorded, with every kind of kernel."""

import json
import shutil

import pytest

from hdl._cpu import isas
from tests.signatures import record
from tests.signatures.trainings import KEPT, TRAININGS

RECORDED = json.loads(record.RECORDED.read_text())


@pytest.fixture(scope="module")
def computed():
    """`computed(isa)`: what all trainings come to with its kernels; each is computed once."""
    seen = {}

    def by(isa):
        if isa not in seen:
            seen[isa] = record.by_kernels(isa)
        return seen[isa]

    return by


@pytest.mark.parametrize("name", [*TRAININGS, *KEPT])
@pytest.mark.parametrize("isa", RECORDED)
def test_a_training_gives_the_recorded_bytes(computed, isa, name):
    if isa not in isas():
        pytest.skip(f"this processor has no {isa}")
    assert computed(isa)[name] == RECORDED[isa][name], f"{name} with HDL_ISA={isa}: the weights have changed"


def test_every_training_is_recorded_for_every_kind_of_kernel():
    assert set(RECORDED) == {"generic", "avx2", "avx512"}
    assert all(set(by_name) == {*TRAININGS, *KEPT} for by_name in RECORDED.values())
    assert "generic" in isas()  # so something is compared on every machine


def test_trainings_differ():
    """A list in which two trainings are the same tests one of them only."""
    weights = {}
    for name, each in RECORDED["generic"].items():
        weights.setdefault(each["weights"], []).append(name)
    assert not [names for names in weights.values() if len(names) > 1]


@pytest.mark.parametrize("name", KEPT)
def test_a_table_that_an_older_hdl_wrote_resumes_to_the_uninterrupted_bytes(tmp_path, monkeypatch, name):
    shutil.copytree(record.TABLES, tmp_path / "old")
    monkeypatch.chdir(tmp_path / "old")  # the table names its data by a relative path
    data, fields = KEPT[name]
    assert record.train(data, name, fields, resume=True) == RECORDED["generic"][name]
