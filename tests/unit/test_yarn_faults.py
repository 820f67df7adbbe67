"""HDL_FAULT: what is read of it, and that it is told."""

import pytest

from hdl.errors import SpecError
from hdl.yarn.comm.faults import VARIABLE, Faults


@pytest.mark.parametrize("given", ["waiting:2:-1:1:KILL", "loading:0:*:9:MEMORY", "sending:10:3:2:SLOW"])
def test_a_fault_is_read(monkeypatch, given):
    monkeypatch.setenv(VARIABLE, given)
    assert Faults().wanted == given.split(":")


@pytest.mark.parametrize(
    "given", ["x", "computing:1:1:1", "computing:1:1:1:NONE", "resting:1:1:1:KILL", "computing:one:1:1:KILL",
              "computing:1:1:1:KILL:", "computing:1:?:1:KILL", "computing:1:1:-1:KILL"]
)  # fmt: skip
def test_what_is_no_fault_is_refused_with_what_is_one(monkeypatch, given):
    monkeypatch.setenv(VARIABLE, given)
    with pytest.raises(SpecError, match=r"HDL_FAULT: expected PHASE:ROUND:RANK:LIVES:SIGNAL.*\(given"):
        Faults()


def test_without_the_variable_nothing_happens(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    faults = Faults()
    assert faults.wanted is None
    faults.at("computing")
