"""The operations on a GPU."""

from hdl.ops.cuda.autoencoder import AutoencoderCuda
from hdl.ops.cuda.base import Cuda
from hdl.ops.cuda.dense import DenseCuda
from hdl.ops.cuda.rbm import RbmCuda

__all__ = ["MODELS", "AutoencoderCuda", "Cuda", "DenseCuda", "RbmCuda"]

MODELS: dict[str, type[Cuda]] = {"mlp": DenseCuda, "autoencoder": AutoencoderCuda, "rbm": RbmCuda}
