"""A PyTorch state_dict in safetensors: `NAME.weight` [O, I] and `NAME.bias` [O] of each linear layer.

The format keeps no order, so layers are put by the numbers in their names, or else as their shapes alone fit.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdl.errors import DataError, Unavailable
from hdl.foreign.network import HIDDEN, OUTPUTS, Network, as_float32
from hdl.foreign.order import ordered

_ABOUT = "hdl"  # of the file's metadata: what numbers alone do not say


def network(content: bytes, path: str) -> Network:
    """Read a network: see `hdl.foreign.read`."""
    try:
        from safetensors import SafetensorError, deserialize
    except ImportError:  # a requirement of hdl, but for a source tree
        raise Unavailable("safetensors is missing: pip install safetensors") from None
    try:
        parts = {name: part for name, part in deserialize(content)}
    except SafetensorError as error:
        raise DataError(f"no whole file of safetensors: {error}", path) from None
    tensors = {name: _array(part, name, path) for name, part in parts.items()}
    layers = sorted({name.rpartition(".")[0] for name in tensors})
    for name, tensor in tensors.items():
        kind = name.rpartition(".")[2]
        if (kind, tensor.ndim) not in (("weight", 2), ("bias", 1)):
            raise DataError(
                f"{name} {list(tensor.shape)} is of no linear layer: expected NAME.weight [outputs, inputs] and "
                "NAME.bias [outputs] alone",
                path,
            )
    for layer in layers:
        if f"{layer}.weight" not in tensors:
            raise DataError(f"{layer}.bias has no {layer}.weight beside it", path)
    weights = {layer: tensors[f"{layer}.weight"].T for layer in layers}
    order = ordered(weights, path)
    biases = [tensors.get(f"{layer}.bias", np.zeros(weights[layer].shape[1], np.float32)) for layer in order]
    return Network(
        [np.ascontiguousarray(weights[layer]) for layer in order], biases, names=order, path=path,
        **_said(content, path),
    )  # fmt: skip


def pack(net: Network) -> bytes:
    """Write a network as a state_dict, with what its numbers do not say as the file's metadata."""
    from safetensors.numpy import save

    said = {"activation": net.activation, "leak": net.leak, "output": net.output, "classes": net.classes}
    tensors: dict[str, NDArray] = {}
    for number, (w, b) in enumerate(zip(net.weights, net.biases, strict=True)):
        tensors |= {f"layers.{number}.weight": np.ascontiguousarray(w.T), f"layers.{number}.bias": b}
    return save(tensors, {"format": "pt", _ABOUT: json.dumps(said)})


def _array(part: dict[str, Any], name: str, path: str) -> NDArray[np.float32]:
    types = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}
    kind, data = part["dtype"], part["data"]
    if kind == "BF16":  # the upper half of a float32
        wide = np.frombuffer(data, "<u2").astype("<u4") << 16
        return wide.view("<f4").reshape(part["shape"])
    if kind not in types:
        raise DataError(f"{name} is of type {kind}; expected F64, F32, F16 or BF16", path)
    return as_float32(np.frombuffer(data, types[kind]).reshape(part["shape"]), name, path)


def _said(content: bytes, path: str) -> dict[str, Any]:
    """Read what hdl itself has written beside the numbers."""
    length = int.from_bytes(content[:8], "little")
    text = (json.loads(content[8 : 8 + length]).get("__metadata__") or {}).get(_ABOUT)
    if text is None:
        return {}
    try:
        said = json.loads(text)
        activation, output, leak = said["activation"], said["output"], float(said["leak"])
        classes = None if said["classes"] is None else tuple(said["classes"])
    except (ValueError, TypeError, KeyError):
        raise DataError(f"its metadata {_ABOUT!r} is not what hdl writes there", path) from None
    if activation not in (None, *HIDDEN) or output not in (None, *OUTPUTS):
        raise DataError(f"its metadata says activation {activation!r} and output {output!r}", path)
    return {"activation": activation, "output": output, "leak": leak, "classes": classes}
