"""Whatever stands in a file of --spec, or as the spec in a table or a message, ends in a spec or in a SpecError."""

import json

import pytest

from hdl import resume, wire
from hdl import spec as specs
from hdl.errors import SpecError
from hdl.runners import messages
from hdl.runners.task_config import TaskConfig
from hdl.spec import Spec
from tests.fuzz import mutations

CORPUS = [
    Spec().model_dump(mode="json"),
    Spec(net="784-100-32-10", loss="softmax", optimizer="lbfgs", sync={"mode": "gradient"}).model_dump(mode="json"),
    Spec(model="rbm", net=(5, 3), rbm={"visible": "gaussian"}).model_dump(mode="json"),
    {"net": "3-2-1", "optimizer": {"name": "adam", "lr": 0.1}, "class_weight": {"a": 2.0}, "scale": "none"},
]


def read(text):
    spec = specs.parse(text)
    again = specs.parse(spec.to_json())
    assert again == spec or "nan" in repr(spec).lower()
    resume.same_spec(spec, None, 0)
    return spec


@pytest.mark.parametrize("what", ["text", "values"])
def test_a_damaged_spec_ends_in_a_spec_or_an_error(fuzz, what):
    if what == "text":
        fuzz(read, mutations.bytes_of([json.dumps(each).encode() for each in CORPUS]), errors=(SpecError,))
    else:
        fuzz(read, mutations.json_of(CORPUS).map(mutations.text_of), errors=(SpecError,), share=2)


def test_a_spec_of_plain_values_as_a_version_holds_it(fuzz):
    fuzz(specs.parse, mutations.json_of(CORPUS), errors=(SpecError,))


def test_the_configuration_of_a_task(fuzz):
    given = {"hdl.stage": "round", "hdl.table": "t", "hdl.options": "{}", "hdl.threads": "2", "hdl.memory": "100",
             "hdl.typed": "true", "hdl.threshold": "0.5", "hdl.layer": "1",
             "hdl.spec": json.dumps(CORPUS[0])}  # fmt: skip

    def read(values):
        plain = values if isinstance(values, dict) else {}
        return TaskConfig.of({name: value for name, value in plain.items() if isinstance(value, str)})

    fuzz(read, mutations.json_of([given]), errors=(SpecError,), share=0.5)


def test_an_error_that_another_process_tells_of(fuzz):
    fields = {"type": "DataError", "message": "m", "path": "p", "line": 1, "offset": None, "trace": "t"}

    def read(values):
        kind, fields, _ = wire.unpack(wire.pack("error", values if isinstance(values, dict) else {}))
        return messages.error_from(fields, "worker 1"), kind

    fuzz(read, mutations.json_of([fields]), share=0.5)
