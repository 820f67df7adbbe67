"""What samples count is told before the first round."""

import numpy as np

from hdl.data.findings import lines


def test_weights_of_samples_and_of_classes_are_told():
    schema = {"format": "csv", "samples": 150, "inputs": 4, "classes": ["a", "b"], "encoding": "index"}
    tensors = {"class_weights": np.array([0.5, 12.34567])}
    for options, given, expected in (
        ({"weights": "w"}, None, "column w"),
        ({}, tensors, "by class: a 0.5, b 12.35"),
        ({"weights": "w"}, tensors, "column w, times those by class: a 0.5, b 12.35"),
        ({}, None, None),
    ):
        told = dict(lines({"data": "x.csv", "schema": schema, "options": options}, given))
        assert told.get("weights") == expected
