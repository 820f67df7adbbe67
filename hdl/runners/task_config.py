"""The configuration of a Hadoop job's tasks: the job's properties that begin with ``hdl.``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, Json, ValidationError

from hdl import scratch
from hdl import spec as specs
from hdl.errors import SpecError
from hdl.spec import Part

PREFIX = "hdl."


class TaskConfig(Part):
    """Tells a job's tasks what to do, in the job's properties: field `stage` is the property ``hdl.stage``.

    Parameters
    ----------
    stage : {'round', 'summarise', 'predict', 'measure'}
    table : str
        The folder with what a task starts from.
    data : str
        Path of the dataset, for tasks that read it themselves.
    options : dict, as JSON
        How to read the data; None: as version 0 of the table says.
    spec : dict, as JSON
        For `summarise` by hand: what version 0 is made from.
    version : int
        Of the table, for `predict`.
    suffix : str
        Of the files that `predict` writes.
    codes : bool
        `predict` writes codes and no answers, of `layer` (None: the usual one).
    threshold : float
        Of two classes: the probability from which on `predict` answers the second; None: the more probable class.
    evaluate_only, combiner, labels_only : bool
    threads : int
    device : {'cpu', 'cuda', 'cuda:N', 'auto'}
    memory : int
        Bytes of decoded features that a task keeps in memory.
    driver : bool
        A driver waits: updates go to it, and errors of hdl as messages, so that a sample that is wrong is reported at
        once. Without one a task with an error fails, and pydoop's reducer makes the next version itself.
    typed : bool
        Streaming: samples come as typed bytes.
    encrypt_spill : bool
        What a task puts on its node's disks is encrypted: see `hdl.sealed`.
    """

    stage: str = Field("round", pattern="^(round|summarise|predict|measure)$")
    table: str = "."
    data: str = ""
    options: Json[dict[str, Any]] | None = None
    spec: Json[dict[str, Any]] | None = None
    version: int | None = None
    suffix: str = ".csv"
    codes: bool = False
    layer: int | None = None
    threshold: float | None = Field(None, ge=0, le=1)
    evaluate_only: bool = False
    labels_only: bool = False
    combiner: bool = True
    threads: int = Field(1, ge=1)
    device: str = "cpu"
    memory: int = Field(256 << 20, ge=0)
    driver: bool = False
    typed: bool = False
    encrypt_spill: bool = False

    @classmethod
    def of(cls, properties: Mapping[str, str], prefix: str = PREFIX) -> TaskConfig:
        """Read the configuration in a job's properties, or in an environment that Streaming has copied them to.

        Raises
        ------
        SpecError
            Naming each property that is wrong.
        """
        given = {name: properties[prefix + name] for name in cls.model_fields if properties.get(prefix + name)}
        try:
            config = cls.model_validate(given)
        except ValidationError as error:
            raise SpecError("; ".join(prefix + specs._sentence(item) for item in error.errors())) from None
        if config.encrypt_spill:
            scratch.encrypt()
        return config
