"""What the columns of a table do to a network's answers, computed for its report where that takes no long time."""

from __future__ import annotations

from typing import Any

from hdl import data, importance
from hdl.errors import HdlError
from hdl.importance.columns import of_schema
from hdl.predict import Model
from hdl.report.gather import image_of

COLUMNS, ROWS, REPETITIONS, SAMPLES = 100, 2000, 3, 1_000_000  # at most, for a report that nobody asked it for


def effects(model: Model, path: str, options: Any, samples: int) -> importance.Effects | None:
    """Compute importance and partial dependence on labelled data; None of images, and where there is too much of it.

    Parameters
    ----------
    path : str
        The data, which the model was just measured on.
    options : data.Options
    samples : int
        In it.

    Returns
    -------
    Effects or None
    """
    schema = model.schema
    pixels = image_of(model.about.get("schema") or {}) is not None
    if samples > SAMPLES or pixels or not model.measurable or not (schema.encodings or schema.names):
        return None
    try:
        if len(of_schema(schema)) > COLUMNS:
            return None
        source = data.open_source(path, options, model.schema)
        return importance.measure(model, source, ROWS, REPETITIONS)
    except HdlError:  # there are no columns, or one class alone: the page does without
        return None
