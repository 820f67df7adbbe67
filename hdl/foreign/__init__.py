"""Networks of other libraries: read from their files as plain numbers, and made as their living objects.

Nothing of a file is executed or unpickled: safetensors hold numbers alone, HDF5 is read for its datasets, Keras'
description of its layers is JSON, and ONNX is read as a graph. What is no chain of dense layers is refused by name.
"""

from __future__ import annotations

from hdl import fs
from hdl.errors import DataError
from hdl.foreign.fitting import fitted, in_units
from hdl.foreign.network import Network

__all__ = ["SUFFIXES", "Network", "fitted", "in_units", "is_foreign", "read", "save_sklearn"]

SUFFIXES = (".safetensors", ".keras", ".h5", ".onnx")
PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".joblib", ".bin", ".ckpt", ".skops")
MOST = 2 << 30  # bytes of a file: what protobuf's own limit is; half a billion weights


def is_foreign(path: str) -> bool:
    """Tell by its name whether a file may hold another library's network."""
    return path.lower().endswith((*SUFFIXES, *PICKLES))


def read(path: str) -> Network:
    """Read a network from another library's file.

    Parameters
    ----------
    path : str
        ``.safetensors`` of a PyTorch ``state_dict``, ``.keras``, ``.weights.h5`` or ``.h5`` of Keras, ``.onnx``.

    Raises
    ------
    DataError
        The file is damaged, too large, of another kind, or holds what is no chain of dense layers.
    Unavailable
        The library that reads the format is missing.
    OSError
        It cannot be opened.
    """
    name = path.lower()
    if name.endswith(PICKLES):
        raise DataError(
            "a pickle may run any program when it is read, so hdl reads none: save its numbers, for PyTorch by "
            "safetensors.torch.save_file(model.state_dict(), FILE), for scikit-learn by hdl.foreign.save_sklearn",
            path,
        )
    if fs.isdir(path):
        raise DataError(f"a folder; expected a file, {', '.join(SUFFIXES)}", path)
    if (size := fs.size(path)) > MOST:
        raise DataError(f"{size:,} bytes; expected a network of at most {MOST:,}", path)
    with fs.open(path) as file:
        content = file.read()
    if name.endswith(".safetensors"):
        from hdl.foreign.torch_file import network
    elif name.endswith(".onnx"):
        from hdl.foreign.onnx_file import network
    else:
        from hdl.foreign.keras_file import network
    return network(content, path)


def save_sklearn(estimator: object, path: str) -> None:
    """Write a fitted scikit-learn MLP as safetensors, named as PyTorch names layers, which `read` takes.

    Raises
    ------
    SpecError
        It is no fitted MLPClassifier or MLPRegressor.
    """
    from hdl.foreign.living import of_sklearn
    from hdl.foreign.torch_file import pack

    fs.publish(path, pack(of_sklearn(estimator)))
