"""Keras' files: `.keras`, `.weights.h5` and the older `.h5`, read without Keras and without running what they say.

A kernel is [inputs, outputs], as hdl's own weights are.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdl.errors import DataError, Unavailable
from hdl.foreign.keras_layers import chain_of, groups_of
from hdl.foreign.network import Network, as_float32
from hdl.foreign.order import ordered

_CONFIG, _WEIGHTS = "config.json", "model.weights.h5"
_MOST_CONFIG = 16 << 20  # bytes of the description of layers
_MOST = 2 << 30  # bytes of weights
_PACKED, _SMALL = 100, 1 << 20  # times that weights may be larger than in the file, beside what is small


def network(content: bytes, path: str) -> Network:
    """Read a network: see `hdl.foreign.read`."""
    if not path.lower().endswith(".keras"):
        return _of_hdf5(content, None, path)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            config = json.loads(_member(archive, _CONFIG, _MOST_CONFIG, path))
            weights = _member(archive, _WEIGHTS, _MOST, path)
    except (zipfile.BadZipFile, ValueError, RecursionError, NotImplementedError, EOFError) as error:
        raise DataError(f"no whole .keras file: {error}", path) from None
    return _of_hdf5(weights, config, path)


def _member(archive: zipfile.ZipFile, name: str, most: int, path: str) -> bytes:
    """Read a member of an archive, no more of it than may be: what its header says of its size may be a lie."""
    try:
        with archive.open(name) as file:
            content = file.read(most + 1)
    except KeyError:
        raise DataError(f"no {name} in it: expected a file of Keras 3", path) from None
    except RuntimeError as error:  # encrypted
        raise DataError(f"{name}: {error}", path) from None
    if len(content) > most:
        raise DataError(f"{name} unpacks to more than {most:,} bytes", path)
    return content


def _of_hdf5(content: bytes, config: Any, path: str) -> Network:
    try:
        import h5py
    except ImportError:
        raise Unavailable("reading Keras' files needs h5py: pip install 'hdl-hadoop[keras]'") from None
    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            root = file
            if "model_weights" in file:  # a whole model, as Keras 2 writes it
                text = file.attrs.get("model_config")
                config, root = json.loads(text) if text else None, _group(h5py, file, "model_weights", path)
            arrays = _older(h5py, root, path) if "layer_names" in root.attrs else _newer(h5py, root, path)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"no whole HDF5 file of Keras: {' '.join(str(error).split())[:200]}", path) from None
    if config is not None:
        return chain_of(config, arrays, path)
    return _without_layers(arrays, path)


def _without_layers(arrays: dict[str, list[NDArray]], path: str) -> Network:
    """Order weights that no description of layers goes with."""
    dense = {_numbered(name): parts for name, parts in arrays.items() if parts}
    for name, parts in dense.items():
        if [part.ndim for part in parts] not in ([2], [2, 1]):
            shapes = ", ".join(str(list(part.shape)) for part in parts)
            raise DataError(f"{name} has {shapes}: no dense layer, which has a kernel and a bias", path)
    names = ordered({name: parts[0] for name, parts in dense.items()}, path)
    biases = [dense[n][1] if len(dense[n]) > 1 else np.zeros(dense[n][0].shape[1], np.float32) for n in names]
    return Network([dense[name][0] for name in names], biases, names=names, path=path)


def _numbered(name: str) -> str:
    """Number the first of Keras' names: dense, dense_1, …"""
    return name if re.search(r"\d+$", name) else f"{name}_0"


def _newer(h5py: Any, root: Any, path: str) -> dict[str, list[NDArray]]:
    """Read what Keras 3 writes: `layers/dense/vars/0`."""
    found: dict[str, list[NDArray]] = {}

    def visit(group: Any, name: str) -> None:
        for key in group:
            inner = _linked(h5py, group, key, path)
            below = f"{name}/{key}" if name else key
            if key in ("optimizer", "seed_generator", "metrics"):
                continue
            if isinstance(inner, h5py.Group) and key == "vars":
                keys = sorted(inner, key=lambda key: int(key) if key.isdigit() else -1)
                found[name] = [_array(h5py, inner, key, f"{below}/{key}", path) for key in keys]
            elif isinstance(inner, h5py.Group):
                visit(inner, below)

    visit(root, "")
    return groups_of(found)


def _older(h5py: Any, root: Any, path: str) -> dict[str, list[NDArray]]:
    """Read what Keras 2 writes: attributes name layers and weights in their order."""
    found: dict[str, list[NDArray]] = {}
    for layer in map(_text, root.attrs["layer_names"]):
        group = _group(h5py, root, layer, path)
        names = [_text(name) for name in group.attrs.get("weight_names", ())]
        found[layer] = []
        for name in names:
            inner = group
            *folders, last = name.split("/")
            for folder in folders:
                inner = _group(h5py, inner, folder, path)
            found[layer].append(_array(h5py, inner, last, f"{layer}/{name}", path))
    return found


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _linked(h5py: Any, group: Any, key: str, path: str) -> Any:
    """Follow a link that stays in the file."""
    if not isinstance(group.get(key, getlink=True), h5py.HardLink):
        raise DataError(f"{group.name}/{key} is a link elsewhere, which is not followed", path)
    return group[key]


def _group(h5py: Any, group: Any, key: str, path: str) -> Any:
    inner = _linked(h5py, group, key, path)
    if not isinstance(inner, h5py.Group):
        raise DataError(f"{group.name}/{key} is no group", path)
    return inner


def _array(h5py: Any, group: Any, key: str, name: str, path: str) -> NDArray[np.float32]:
    """Read a dataset whose numbers are in the file."""
    inner = _linked(h5py, group, key, path)
    if not isinstance(inner, h5py.Dataset) or inner.external or inner.is_virtual:
        raise DataError(f"{name} has its numbers in another file, or has none", path)
    if inner.dtype.kind != "f":
        raise DataError(f"{name} is of type {inner.dtype}; expected floating-point numbers", path)
    size = inner.size * inner.dtype.itemsize
    if size > _MOST or size > _PACKED * (inner.id.get_storage_size() + _SMALL):
        raise DataError(f"{name} unpacks to {size:,} bytes, of {inner.id.get_storage_size():,} in the file", path)
    return as_float32(inner[()], name, path)
