"""The operations in NumPy: the mathematical truth that every other backend is tested against."""

from hdl.ops.reference.autoencoder import AutoencoderReference
from hdl.ops.reference.base import Reference
from hdl.ops.reference.dense import DenseReference
from hdl.ops.reference.rbm import RbmReference

__all__ = ["MODELS", "AutoencoderReference", "DenseReference", "RbmReference", "Reference"]

MODELS: dict[str, type[Reference]] = {
    "mlp": DenseReference,
    "autoencoder": AutoencoderReference,
    "rbm": RbmReference,
}
