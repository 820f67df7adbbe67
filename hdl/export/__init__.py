"""A network as an ONNX file: raw features in, classes and probabilities, values or codes out.

The scaling rule, a table's vocabularies and the classes' names are part of the graph, so that its user needs no other
file.
"""

from hdl.export.building import OPSET, build, serialise
from hdl.export.codes import makes_codes
from hdl.export.lossy import Int8, int8_of
from hdl.export.rows import feeds
from hdl.export.stored import of_model

__all__ = ["OPSET", "Int8", "build", "feeds", "int8_of", "makes_codes", "of_model", "serialise"]
