"""The operations by the C core, in float32."""

from hdl.ops.cpu.autoencoder import AutoencoderCpu
from hdl.ops.cpu.base import Cpu
from hdl.ops.cpu.dense import DenseCpu
from hdl.ops.cpu.rbm import RbmCpu

__all__ = ["MODELS", "AutoencoderCpu", "Cpu", "DenseCpu", "RbmCpu"]

MODELS: dict[str, type[Cpu]] = {"mlp": DenseCpu, "autoencoder": AutoencoderCpu, "rbm": RbmCpu}
