"""The platform that a training computes with: the same one in all of its workers, as another gives other bytes.

A platform is an instruction set of the CPU, followed by '-bf16' where products are in bfloat16; 'cuda-' and which code
the GPUs run; or 'reference' (NumPy, for tests).
Users ask for a device (see `hdl.devices`): each worker offers its capabilities, the runner negotiates the best platform
that all have, and the plan holds every worker to it. In files and messages its field is called `isa`.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from hdl import devices, ops
from hdl.errors import SpecError, TableError, Unavailable
from hdl.ops import precision

if TYPE_CHECKING:
    from hdl.spec import Spec

ISAS = ("generic", "avx2", "avx512")  # each can run what is before it
CUDA, REFERENCE = "cuda", "reference"
BF16 = "-bf16"  # after an instruction set


def device_class(name: str) -> str:
    """Give the class of a platform or of a device: 'cpu', 'cuda', 'reference' or 'auto'."""
    return name if name in (REFERENCE, "auto") else CUDA if name.startswith(CUDA) else "cpu"


def check(device: str) -> str:
    """Check the name of a device, and return it.

    Raises
    ------
    SpecError
    """
    if device != REFERENCE:
        devices.parse(device)
    return device


def best_isa() -> str:
    """Name the best instruction set of this processor."""
    from hdl.spec import Spec  # which needs more than all the rest here, and a master asks before it has imported that

    return ops.make(Spec(net=(1, 1), loss="squared")).platform


def lacks(device: str) -> str:
    """Explain why this process cannot compute on the GPU that may be asked for; empty if it can, or none is.

    Raises
    ------
    Unavailable
        A GPU is asked for by its name.
    """
    asked = device_class(check(device))
    if asked not in (CUDA, "auto"):
        return ""
    why = devices.why_not(devices.parse(device)[1])
    if why and asked == CUDA:
        raise Unavailable(f"device {device}, on {socket.gethostname()}: {why}")
    return why or ""


def gpu(device: str) -> dict[str, str]:
    """Look at the GPU that this process may use: its `code`, or in `gpu` why there is none; raises as `lacks` does."""
    offer = {"gpu": lacks(device)}
    if device_class(device) in (CUDA, "auto") and not offer["gpu"]:
        offer["code"] = devices.code(devices.parse(device)[1])
    return offer


def capabilities(device: str) -> dict[str, str]:
    """List what this process can compute with: `isa`, and what `gpu` says; raises as `lacks` does."""
    return {"isa": best_isa(), **gpu(device)}


def negotiate(
    offers: Iterable[tuple[str, Mapping[str, str]]], device: str, tell: Callable[[str], Any] = lambda text: None
) -> str:
    """Agree on the platform of all workers: on GPUs all of them, or none.

    Parameters
    ----------
    offers : of (worker, its capabilities)
    device : str
        That was asked for.
    tell : function of str, optional
        Called with the reason why 'auto' is the CPU.

    Raises
    ------
    Unavailable
        A GPU was asked for, and some have none, or GPUs that give other bytes: the message names them.
    """
    asked, offers = device_class(device), list(offers)
    if asked == REFERENCE:
        return REFERENCE
    lacking: dict[str, list[str]] = {}  # who, by why
    for who, own in offers:
        if own["gpu"]:
            lacking.setdefault(own["gpu"], []).append(who)
    without = _named(lacking)
    if asked != "cpu":
        codes: dict[str, list[str]] = {}  # who, by code
        for who, own in offers:
            codes.setdefault(own.get("code", ""), []).append(who)
        if not without and len(codes) == 1:
            (code,) = codes
            return f"{CUDA}-{code}" if code else CUDA
        if not without:
            said = f"their GPUs run different code, which gives different bytes ({_named(codes)})"
            if asked == CUDA:
                raise Unavailable(f"device {device}: not all of these workers can train together: {said}")
            tell(f"device auto: the CPU, as {said}")
            return _least(offers)
        if asked == CUDA:
            raise Unavailable(f"device {device}: there is no GPU to use on {without}")
        tell(f"device auto: the CPU, as there is no GPU to use on {without}")
    return _least(offers)


def _least(offers: Iterable[tuple[str, Mapping[str, str]]]) -> str:
    return min((own["isa"] for _, own in offers), key=ISAS.index)


def _named(who: Mapping[str, list[str]]) -> str:
    return "; ".join(f"{', '.join(names)}: {what}" for what, names in who.items())


def of(spec: Spec, agreed: str) -> str:
    """Name the platform of a training with a spec, on the one that its workers agreed on.

    Raises
    ------
    SpecError
        The model does not take the spec's precision there.
    """
    if spec.precision != precision.BF16 or device_class(agreed) != "cpu":
        return agreed
    precision.check(spec)
    return agreed + BF16


def check_products(spec: Spec, platform: str, table: str) -> None:
    """Refuse a table whose spec says bfloat16, but whose products were in float32: on a CPU they once were.

    Raises
    ------
    TableError
    """
    if spec.precision == precision.BF16 and device_class(platform) == "cpu" and not platform.endswith(BF16):
        raise TableError(
            f"{table}: made on a CPU by an older hdl, which multiplied in float32 where precision says bf16; products "
            f"in bfloat16 would not go on to the same bytes: train anew with --init-from {table}"
        )


def instruction_set(platform: str) -> str:
    """Name the instruction set of a CPU's platform; others stay as they are."""
    return platform.removesuffix(BF16)


def backend(platform: str, device: str) -> tuple[str, str | None]:
    """Choose the backend of a platform on this machine's device, and the instruction set of the CPU's, for `ops.make`.

    Raises
    ------
    SpecError
        The device is of another class than the training's.
    Unavailable
        The training is on GPUs, and here is none.
    """
    asked, trained_on = device_class(check(device)), device_class(platform)
    if asked not in (trained_on, "auto"):
        raise SpecError(f"device: given {device}; the training is on {trained_on}, and {asked} would give other bytes")
    if trained_on != CUDA:
        return trained_on, instruction_set(platform) if trained_on == "cpu" else None
    index = devices.parse(device)[1]
    if why := devices.why_not(index):
        raise Unavailable(f"the training is on GPUs, and {socket.gethostname()} has none to use: {why}")
    _, _, code = platform.partition("-")
    if code and (here := devices.code(index)) != code:
        raise Unavailable(f"the training is on GPUs that run {code}; that of {socket.gethostname()} runs {here}")
    return f"{CUDA}:{index}", None
