"""Members of an ensemble: the seeds from which each one's weights and draws come."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hdl import rng
from hdl.ops.types import Key

if TYPE_CHECKING:
    from hdl.spec import Spec


def spec_of(spec: Spec, member: int) -> Spec:
    """Make the spec of one member as a net alone: the first has the ensemble's seed, the others seeds of their own."""
    seed = spec.seed if not member else rng.derive(spec.seed, rng.MEMBERS, member) >> 1
    return spec.with_(members=1, seed=seed)


def key_of(key: Key | None, member: int) -> Key | None:
    """Make the key of one member's draws of that of the call: the first one's is the same."""
    if key is None or not member:
        return key
    return key._replace(seed=rng.derive(key.seed, rng.MEMBERS, member))
