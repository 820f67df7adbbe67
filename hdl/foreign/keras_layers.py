"""Keras' description of a model's layers, as JSON: which of them are dense layers in a chain."""

from __future__ import annotations

import re
from typing import Any

from numpy.typing import NDArray

from hdl.errors import DataError
from hdl.foreign.chain import Chain
from hdl.foreign.network import HIDDEN, OUTPUTS, Network

# Layers that do nothing when a model answers.
_IDLE = {"InputLayer", "Dropout", "AlphaDropout", "GaussianDropout", "GaussianNoise", "ActivityRegularization"}
_LEAK, _LEAK_OF_LAYER = 0.2, 0.3  # Keras' own defaults, of the function and of the layer


def groups_of(found: dict[str, list[NDArray]]) -> dict[str, list[NDArray]]:
    """Name groups of weights by their layers alone: `layers/dense_1` and older files' longer paths are `dense_1`."""
    prefix = re.compile(r"^(layers|_layer_checkpoint_dependencies)/")
    return {prefix.sub("", name): parts for name, parts in found.items()}


def chain_of(config: Any, arrays: dict[str, list[NDArray]], path: str) -> Network:
    """Make the network of a description of layers and their weights.

    Raises
    ------
    DataError
        It has layers that are not dense, or no chain of them.
    """
    try:
        return _chain(config, arrays, path)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise DataError(f"its description of layers is not Keras': {error}", path) from None


def _chain(config: Any, arrays: dict[str, list[NDArray]], path: str) -> Network:
    if config["class_name"] not in ("Sequential", "Functional", "Model"):
        raise DataError(f"a model of class {config['class_name']}; expected Sequential or Functional", path)
    layers = config["config"]["layers"]
    if config["class_name"] != "Sequential":
        _check_chain(layers, path)
    chain, counts, known = Chain(path), dict[str, int](), {each["config"]["name"] for each in layers} & {*arrays}
    for layer in layers:
        kind, about = layer["class_name"], layer["config"]
        name = about["name"]
        snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", kind).lower()
        group = name if known else f"{snake}_{counts.get(snake, 0)}".removesuffix("_0")
        counts[snake] = counts.get(snake, 0) + 1
        if kind == "Dense":
            parts = arrays.get(group, [])
            if len(parts) != 1 + bool(about.get("use_bias", True)):
                raise DataError(f"layer {name}: {len(parts)} weights under {group!r}", path)
            chain.dense(name, parts[0], parts[1] if len(parts) > 1 else None)
            _activate(chain, about.get("activation"), name, path)
        elif kind == "Activation":
            _activate(chain, about["activation"], name, path)
        elif kind == "ReLU" and not (about.get("max_value") or about.get("negative_slope") or about.get("threshold")):
            chain.activation("relu", name=name)
        elif kind == "LeakyReLU":
            chain.activation("leaky_relu", float(about.get("negative_slope", about.get("alpha", _LEAK_OF_LAYER))), name)
        elif kind == "Softmax" and about.get("axis", -1) in (-1, 1):
            chain.activation("softmax", name=name)
        elif kind not in _IDLE and not (kind == "Flatten" and not chain.begun):
            raise DataError(
                f"layer {name} is a {kind}, which hdl does not run or know; expected Dense and Activation", path
            )
    return chain.network()


def _activate(chain: Chain, given: Any, name: str, path: str) -> None:
    """Apply the activation that a layer names."""
    if isinstance(given, dict) and isinstance(given.get("config"), str):  # a function by its name
        given = given["config"]
    if given in (None, "linear"):
        return
    if not isinstance(given, str) or given not in (*HIDDEN, *OUTPUTS):
        shown = given.get("class_name") if isinstance(given, dict) else given
        raise DataError(f"layer {name} has activation {shown}; expected one of {', '.join(HIDDEN)}, softmax", path)
    chain.activation(given, _LEAK, name)


def _check_chain(layers: list[Any], path: str) -> None:
    """Refuse a graph in which a layer does not take what the one before it gives."""
    before = None
    for layer in layers:
        name, taken = layer["config"]["name"], _sources(layer.get("inbound_nodes", []))
        if taken != ([] if before is None else [before]):
            raise DataError(f"layer {name} takes {', '.join(taken) or 'nothing'}: no chain of layers", path)
        before = name


def _sources(node: Any) -> list[str]:
    """List the layers that the nodes of a layer take: in Keras 3 by `keras_history`, before by [name, 0, 0, {}]."""
    if isinstance(node, dict):
        if "keras_history" in node:
            return [node["keras_history"][0]]
        return [name for value in node.values() for name in _sources(value)]
    if isinstance(node, list):
        if len(node) >= 3 and isinstance(node[0], str) and isinstance(node[1], int):
            return [node[0]]
        return [name for value in node for name in _sources(value)]
    return []
