"""What YARN's answer to a heartbeat says of containers that it wants back."""

from types import SimpleNamespace

import pytest

from hdl.yarn.resource_manager.leaving import NEIGHBOUR, leaving


def java(**getters):
    """An object of Hadoop's client, by what its getters return."""
    return SimpleNamespace(**{f"get{name}": lambda value=value: value for name, value in getters.items()})


def preempted(*names):
    return [java(Id=name) for name in names]


def request(count, memory):
    return java(ResourceRequest=java(NumContainers=count, Capability=java(MemorySize=memory)))


def answer(strict=None, contract=None, nodes=(), message=True):
    message = java(StrictContract=strict, Contract=contract) if message else None
    return java(PreemptionMessage=message, UpdatedNodes=[*nodes])


HELD = {f"c{number}": java(NodeId=f"node{number % 2}:1") for number in range(1, 5)}


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (answer(message=False), []),
        (answer(strict=java(Containers=preempted("c1", "c9"))), ["c1"]),  # c9 is nobody's any more
        (
            answer(contract=java(Containers=preempted("c1", "c2", "c3"), ResourceRequest=[request(3, 512)])),
            ["c3", "c2"],
        ),
        (answer(contract=java(Containers=preempted("c1", "c2"), ResourceRequest=[])), ["c2", "c1"]),
        (
            answer(java(Containers=preempted("c1")), java(Containers=preempted("c4"), ResourceRequest=[request(1, 1)])),
            ["c1", "c4"],
        ),
    ],
    ids=["none", "strict", "some of those named", "all of those named", "both"],
)
def test_containers_are_named_that_would_be_ended(given, names):
    found = leaving(given, HELD, 1024)
    assert [one.id for one in found] == names
    assert {one.reason for one in found} <= {NEIGHBOUR}


@pytest.mark.parametrize(("seconds", "within"), [(60, " within 60 s"), (None, "")])
def test_a_nodes_containers_leave_before_it_is_taken_out(seconds, within):
    nodes = [
        java(NodeState="DECOMMISSIONING", NodeId="node1:1", DecommissioningTimeout=seconds),
        java(NodeState="RUNNING", NodeId="node0:1", DecommissioningTimeout=None),
    ]
    found = leaving(answer(nodes=nodes, message=False), HELD, 1024)
    assert [(one.id, one.reason) for one in found] == [
        (name, f"its node is being decommissioned{within}") for name in ("c1", "c3")
    ]
