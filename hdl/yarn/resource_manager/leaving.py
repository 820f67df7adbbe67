"""Reads from the ResourceManager's answer to a heartbeat which containers it wants back, before it ends them.

That is its preemption message, where a queue or an application with more right to them lacks resources: a strict
contract names the containers that will be ended, a negotiable one some of which are to give so and so much; and nodes
that are being decommissioned, which run on until their time is over.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hdl.yarn.resource_manager.resources import Leaving

NEIGHBOUR = "YARN wants its container back for others (preemption)"


def leaving(answer: Any, held: Mapping[str, Any], memory: int) -> list[Leaving]:
    """List the containers that YARN wants back.

    Parameters
    ----------
    answer : AllocateResponse
        Of Hadoop's client.
    held : mapping of str to Container
        The application's containers, by id, as Hadoop's client knows them.
    memory : int
        MiB that each of them has.
    """
    found: dict[str, str] = {}
    if message := answer.getPreemptionMessage():
        if strict := message.getStrictContract():
            found |= dict.fromkeys((str(each.getId()) for each in strict.getContainers()), NEIGHBOUR)
        if contract := message.getContract():
            named = sorted(str(each.getId()) for each in contract.getContainers())
            wanted = sum(_memory(each.getResourceRequest()) for each in contract.getResourceRequest() or ())
            count = -(-wanted // max(1, memory)) if wanted else len(named)
            found |= dict.fromkeys(named[::-1][:count], NEIGHBOUR)  # the youngest first: they have computed least
    for report in answer.getUpdatedNodes() or ():
        if str(report.getNodeState()) == "DECOMMISSIONING":
            seconds = report.getDecommissioningTimeout()
            within = f" within {int(seconds)} s" if seconds is not None else ""
            why = f"its node is being decommissioned{within}"
            node = str(report.getNodeId())
            found |= {name: why for name, one in held.items() if str(one.getNodeId()) == node}
    return [Leaving(name, why) for name, why in found.items() if name in held]


def _memory(request: Any) -> int:
    return int(request.getNumContainers()) * int(request.getCapability().getMemorySize())
