"""hdl: deep learning on Hadoop."""

__version__ = "0.1.0"
