"""`--log mlflow:URI`: a run on an MLflow server, in a database or a folder, by mlflow's own client.

The experiment is $MLFLOW_EXPERIMENT_NAME, or hdl. A run has the fields of the spec as parameters and the id of hdl's
run as the tag hdl.run, by which a resumed training finds it. User and password for a server are best given as mlflow's
own $MLFLOW_TRACKING_USERNAME and $MLFLOW_TRACKING_PASSWORD, since others on this machine see a command's arguments.
"""

from __future__ import annotations

import importlib
import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hdl import fs, strict_json
from hdl.errors import HdlError, OutputError, Unavailable
from hdl.loggers import secrets
from hdl.loggers.base import Point, Training, Writer

EXPERIMENT = "hdl"
MOST_METRICS, MOST_PARAMETERS, MOST_LETTERS = 1000, 100, 500  # of one request, and of a parameter in older servers
STATES = {"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}
# A server that does not answer is told of soon, and asked again later; nobody is told of the use of the library.
_SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


class MlflowRuns(Writer):
    """Writes runs of MLflow; arguments as those of `Writer`, the target being a tracking URI or a folder."""

    seconds = 30.0

    def __init__(self, scheme: str, target: str):
        super().__init__(scheme, target)
        for name, value in _SETTINGS.items():
            os.environ.setdefault(name, value)
        self._local = self.target if "://" not in target and not target.startswith("databricks") else ""
        if target.startswith("file:"):
            self._local = fs.plain(target)
        if self._local:  # mlflow wants to be told that a folder is meant, not a database
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        try:
            self._mlflow = importlib.import_module("mlflow")
        except ImportError:
            raise Unavailable(
                f"--log {self.shown}: needs mlflow, which is not installed: pip install 'hdl-hadoop[log]'"
            ) from None
        for name in ("mlflow", "alembic"):  # what a database is made of is no news for a training
            logging.getLogger(name).setLevel(logging.ERROR)

    def check(self, runs: Mapping[str, str | None], overwrite: bool) -> None:
        if self._local:
            self.check_folder(Path(self._local))
        try:
            self._connect()
        except HdlError:
            raise
        except ImportError as error:
            raise Unavailable(
                f"--log {self.shown}: needs {error.name}, which is not installed: pip install sqlalchemy alembic"
            ) from None
        except Exception as error:  # mlflow's own, requests', a database's
            raise OutputError(f"--log {self.shown}: {self._said(error)}") from None

    def _connect(self) -> None:
        self._client = self._mlflow.MlflowClient(os.path.abspath(self._local) if self._local else self.target)
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT
        found = self._client.get_experiment_by_name(name)
        if found is not None and found.lifecycle_stage == "deleted":
            raise OutputError(
                f"--log {self.shown}: its experiment {name!r} is deleted; restore it, or name another by "
                "$MLFLOW_EXPERIMENT_NAME"
            )
        self._experiment = found.experiment_id if found is not None else self._client.create_experiment(name)

    def _said(self, error: Exception) -> str:
        """Puts an error of the library into one line, without what is secret."""
        lines = str(error).strip().splitlines() or [type(error).__name__]
        said = re.sub(r"^API request to endpoint.*? failed with error code", "answered with", lines[0])
        cause = re.search(r"\[Errno \d+\] [\w ]+|Name or service not known|timed out", said)
        said = f"the server cannot be reached ({cause[0]})" if cause and "HTTP" in said else said[:300]
        return secrets.hidden(said, self.target)

    def begin(self, training: Training, overwrite: bool) -> Mapping[str, int]:
        self._connect()
        found = self._client.search_runs([self._experiment], f"tags.`hdl.run` = '{training.run}'", max_results=1)
        if found:
            self._run = found[0].info.run_id
            self._client.update_run(self._run, status="RUNNING")
            return {name: max(one.step for one in self._client.get_metric_history(self._run, name))
                    for name in found[0].data.metrics}  # fmt: skip
        tags = {"hdl.run": training.run, "hdl.table": training.table, "mlflow.source.name": "hdl"}
        if training.part:
            tags["hdl.part"] = training.part
        name = os.path.basename(training.table.rstrip("/"))
        run = self._client.create_run(self._experiment, tags=tags, run_name=name)
        self._run = run.info.run_id
        parameters = [self._mlflow.entities.Param(*pair) for pair in flat(training.spec)]
        for low in range(0, len(parameters), MOST_PARAMETERS):
            self._client.log_batch(self._run, params=parameters[low : low + MOST_PARAMETERS])
        return {}

    def write(self, points: Sequence[Point]) -> None:
        metric = self._mlflow.entities.Metric
        metrics = [
            metric(name, value, round(1000 * point.time), point.step)
            for point in points
            for name, value in point.values.items()
        ]
        for low in range(0, len(metrics), MOST_METRICS):
            self._client.log_batch(self._run, metrics=metrics[low : low + MOST_METRICS])

    def end(self, state: str) -> None:
        self._client.set_terminated(self._run, STATES[state])


def flat(spec: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    """Yields the fields of a spec as names with dots, and their values as text.

    Names that the user chose, as those of classes, stay in a value: they may hold what a name may not.
    """
    for name, value in spec.items():
        if isinstance(value, Mapping) and name != "class_weight":
            yield from flat(value, f"{before}{name}.")
        else:
            text = value if isinstance(value, str) else strict_json.dumps(value)
            yield before + name, text if len(text) <= MOST_LETTERS else text[: MOST_LETTERS - 1] + "…"
