"""Base of all estimators: validated input, a seed, a device, a network that goes into a weight table.

Letters: N samples, I features, O outputs.
"""

from __future__ import annotations

import os
import uuid
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from hdl import data, devices, ops, sync
from hdl.data.schema import Schema
from hdl.data.shard import centred
from hdl.ops import Samples, layout
from hdl.spec import LINE_SEARCH_RULES, Spec
from hdl.table import Table, Version
from hdl.wire import Weights

TYPES = (np.float64, np.float32, np.uint8)  # that are taken as they are; the first one stands for all others


def by_batches(estimator: Any) -> bool:
    """Tell whether the solver takes mini-batch steps, so that `partial_fit` is there."""
    if estimator.solver in LINE_SEARCH_RULES:
        raise AttributeError(f"partial_fit needs a solver of mini-batch steps, not {estimator.solver}")
    return True


class Learner(BaseEstimator):
    """Base of every estimator: validated input, a seed, a network that can be stored."""

    _class = "cpu"  # of device that the last fit computed on
    _schema: Schema

    def _begin(self, again: bool) -> None:
        """Choose the device of a fit, and its seed: an integer `random_state` is the seed itself."""
        self._class = devices.resolve(self.device, warnings.warn).partition(":")[0]
        if again:
            return
        if isinstance(self.random_state, (int, np.integer)):
            self._seed = int(self.random_state)
        else:
            self._seed = int(check_random_state(self.random_state).randint(2**31 - 1))

    def _make(self, spec: Spec) -> ops.Operations:
        """Make the operations of a spec, on the device that the parameters name."""
        return ops.make(spec, devices.resolve(self.device), threads(self.n_jobs))

    def _inputs(self, X: Any) -> Any:
        """Return validated features as a block of data has them: float64 is rounded only when it has been centred."""
        if not sparse.issparse(X):
            return np.ascontiguousarray(X)
        X = sparse.csr_array(X, dtype=X.dtype if X.dtype.kind == "f" else np.float32)
        if not X.has_canonical_format:
            X = X.copy()
            X.sum_duplicates()
        return data.Csr(X.data, X.indices.astype(np.int32), X.indptr.astype(np.int64), X.shape[1])

    def _seen(self, x: Any, y: NDArray | None = None) -> Samples:
        """Return features as the core takes them.

        Raises
        ------
        ValueError
            A value is beyond float32's range, and no scaling brings it there.
        """
        seen = centred(x, self._schema)
        values = seen.data if isinstance(seen, data.Csr) else seen
        if not np.isfinite(values).all():
            raise ValueError("Input X contains a value too large for dtype('float32').")
        return Samples(seen, y, self._schema.scale, self._schema.shift)

    def _resumed(self, spec: Spec) -> Weights:
        """Return the last weights, with their optimiser's state where it still fits; a line search starts anew."""
        w, state = self._weights.w, self._weights.state
        if w.size != layout.of(spec).size:
            raise ValueError(
                f"the net was {self._fitted.net} and is now {spec.net}: "
                "the weights that warm_start or partial_fit keeps do not fit"
            )
        new = sync.start(spec, w)
        shapes = [{name: array.shape for name, array in each.items()} for each in (state, new.state)]
        if spec.optimizer.line_search or shapes[0] != shapes[1]:
            return new if spec.optimizer.line_search else replace(new, round=self._weights.round)
        return self._weights

    def to_table(self, path: str) -> None:
        """Write the network as version 0 of a new weight table, for `hdl predict` and the like.

        Raises
        ------
        VersionExists
            There is a table already.
        """
        check_is_fitted(self)
        plain, tensors = self._schema.to_parts()
        about = {"data": "", "options": {}, "cuts": [], "schema": plain, "isa": "", "device": self._class,
                 "samples": self._schema.samples}  # fmt: skip
        dump = self._fitted.model_dump(mode="json")
        version = Version(0, self._weights, dump, uuid.uuid4().hex, about=about, schema=tensors)
        Table(path).publish(version)


def threads(jobs: int | None) -> int:
    """Count threads as scikit-learn counts jobs: None is 1, -1 all processors, -2 all but one."""
    if jobs is None:
        return 1
    return jobs if jobs > 0 else max(1, (os.cpu_count() or 1) + 1 + jobs)


def rows(samples: Samples, rows: Any) -> Samples:
    y = None if samples.y is None else samples.y[rows]
    return Samples(samples.x[rows], y, samples.scale, samples.shift)
