"""The graph of a weight table's network, with what is known of it as the file's metadata."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from hdl.export.building import build

if TYPE_CHECKING:
    from hdl.predict import Model

WIDE = ("center", "spread", "target_mean", "target_deviation", "encodings")


def of_model(model: Model, **wishes: Any) -> Any:
    """Builds the ONNX graph of a model: see `hdl.export.build`, which takes the wishes.

    The metadata are `hdl.table`, `hdl.table_version`, `hdl.sha256` (of the weights), `hdl.spec`, `hdl.classes` and
    `hdl.features` where they have names; the version of hdl is that of the producer.

    Examples
    --------
    >>> graph = of_model(hdl.predict.Model("digits"), opset=21)  # doctest: +SKIP
    """
    schema = model.schema
    about = {
        "hdl.table": model.path,
        "hdl.table_version": str(model.version.number),
        "hdl.sha256": model.version.signature,
        "hdl.spec": model.spec.to_json(),
    }
    if schema.classes:
        about["hdl.classes"] = json.dumps(list(schema.classes), ensure_ascii=False)
    if schema.names and schema.encodings is None:
        about["hdl.features"] = json.dumps(list(schema.names), ensure_ascii=False)
    return build(
        model.spec, model.w, schema.scale, schema.shift, schema.classes or None, about,
        **{name: getattr(schema, name) for name in WIDE}, offset=model.reading.get("offset"), below=model.below,
        **wishes,
    )  # fmt: skip
