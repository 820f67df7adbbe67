"""Base of all estimators: validated input, a seed, a device, a network that goes into a weight table.

Letters: N samples, I features, O outputs.
"""

from __future__ import annotations

import os
import uuid
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from sklearn.base import BaseEstimator
from sklearn.utils import check_array, check_random_state, check_X_y
from sklearn.utils.validation import check_is_fitted, validate_data

from hdl import data, devices, ops, sync
from hdl import spec as specs
from hdl.data.block import fits_float32
from hdl.data.schema import Schema
from hdl.data.shard import centred
from hdl.data.tabular.frame import Column
from hdl.errors import NonFinite
from hdl.estimators import rounding, tables
from hdl.estimators.arrays import float_type, local
from hdl.estimators.rounding import Rounded
from hdl.ops import Samples, layout
from hdl.ops.rows import Numbers
from hdl.spec import LINE_SEARCH_RULES, Spec
from hdl.table import Table, Version
from hdl.wire import Weights

NOTHING = object()  # stands for no y
TYPES = (np.float64, np.float32, np.uint8)  # that are taken as they are; the first one stands for all others

TOO_LARGE = (  # scikit-learn's words
    "Solver produced non-finite parameter weights. The input data may contain large values and need to be preprocessed."
)


def by_batches(estimator: Any) -> bool:
    """Tell whether the solver takes mini-batch steps, so that `partial_fit` is there."""
    if estimator.solver in LINE_SEARCH_RULES:
        raise AttributeError(f"partial_fit needs a solver of mini-batch steps, not {estimator.solver}")
    return True


Answer = Callable[[Samples], NDArray[np.float32]]
Make = Callable[[Spec], ops.Operations]


class Learner(BaseEstimator):
    """Base of every estimator: validated input, a seed, a network that can be stored."""

    categorical_features: Any = "from_dtype"
    device: str
    scale: str | None
    n_jobs: int | None
    _mixed = False  # whether features may be a table's, with categories, dates and missing cells
    _class = "cpu"  # of device that the last fit computed on
    _schema: Schema

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_weights")

    def _begin(self, again: bool) -> None:
        """Choose the device of a fit, and its seed: an integer `random_state` is the seed itself."""
        self._class = devices.resolve(self.device, warnings.warn).partition(":")[0]
        if again:
            return
        if isinstance(self.random_state, (int, np.integer)):
            self._seed = int(self.random_state)
        else:
            self._seed = int(check_random_state(self.random_state).randint(2**31 - 1))

    def _make(self, spec: Spec, jobs: int | None = None) -> ops.Operations:
        """Make the operations of a spec, on the device that the parameters name, with as many threads as they say."""
        return ops.make(spec, devices.resolve(self.device), threads(self.n_jobs) if jobs is None else jobs)

    def _answers(self, X: Any, answerer: Callable[[Make], Answer]) -> tuple[NDArray[np.float32], type[np.floating]]:
        """Compute answers to X [N, I], and tell the float type in which they are given.

        The core reads plain numbers where they lie, whatever their type and order, looks at them on the way, and ends
        where one is not finite; several threads take parts in turns.

        Parameters
        ----------
        answerer : function
            Given what makes operations, it gives a function of samples [n, I] that computes their answers [n, O].
        """
        X = tables.named(local(X))
        x = self._plain(X, NOTHING, reset=False) if devices.resolve(self.device) == "cpu" else None
        found = None if x is None else self._in_turns(x, answerer)
        if x is not None and found is not None:
            return found, float_type(x)
        x = self._read(X, reset=False)
        return answerer(self._make)(self._seen(x)), float_type(x)

    def _in_turns(self, x: NDArray | Numbers, answerer: Callable[[Make], Answer]) -> NDArray[np.float32] | None:
        """Compute answers to plain numbers [N, I]; None where they are not all finite."""
        jobs, centred = threads(self.n_jobs), self._schema.center is not None
        left, answers = rounding.parts(x.shape) if centred else rounding.turns(x.shape, jobs), dict[int, NDArray]()
        count = len(left)

        def work(mine: Iterator[slice]) -> None:
            answer = answerer(self._make if count == 1 else partial(self._make, jobs=1))
            for part in mine:
                seen = self._centred(x[part]) if centred else self._where_it_lies(x[part])
                if seen is None:
                    left.clear()
                    return
                answers[part.start] = answer(seen)

        try:
            rounding.share(left, jobs, work)
        except NonFinite:
            return None
        found = [answers[start] for start in sorted(answers)]
        return None if len(found) < count else found[0] if count == 1 else np.concatenate(found)

    def _centred(self, x: NDArray | Numbers) -> Samples | None:
        """Return plain numbers as the core takes them once they are centred; None where they are not all finite."""
        given = self._looked_at(x, reset=False, jobs=1)
        return None if given is None else self._seen(given)

    def _where_it_lies(self, x: NDArray | Numbers) -> Samples:
        """Return plain numbers as the core takes them: bytes side by side as they are, which are finite."""
        if isinstance(x, np.ndarray) and not (x.dtype == np.uint8 and x.flags.c_contiguous):
            x = Numbers([x])
        return Samples(x, None, self._schema.scale, self._schema.shift)

    def _read(self, X: Any, y: Any = NOTHING, *, reset: bool, **targets: Any) -> Any:
        """Return validated features as a block of data has them, a table's as a `Frame`; with y the labels too.

        Raises
        ------
        ValueError
            In scikit-learn's words: other columns than those of the fit, NaN where none was fitted, and so on.
        """
        X = tables.named(local(X))
        y = y if y is NOTHING else local(y, "y")
        plain = self._plain(X, y, reset)
        looked_at = None if plain is None else self._looked_at(plain, reset)
        if looked_at is not None:
            return looked_at if y is NOTHING else (looked_at, self._targets(len(looked_at), y, targets))
        x = self._raw(X, reset)
        if x is None:
            checks = {"accept_sparse": "csr", "dtype": TYPES, "reset": reset}
            if y is NOTHING:
                return self._inputs(validate_data(self, X, **checks))
            X, y = validate_data(self, X, y, **checks, **targets)
            return self._inputs(X), y
        if reset:
            validate_data(self, X, *([] if y is NOTHING else [y]), skip_check_array=True)
        if y is NOTHING:
            check_array(np.zeros((len(x), min(1, x.shape[1]))), estimator=self, input_name="X")
            return x
        return x, self._targets(len(x), y, targets, min(1, x.shape[1]))

    def _targets(self, samples: int, y: Any, targets: dict[str, Any], width: int = 1) -> NDArray:
        """Return y as scikit-learn checks it beside so many samples, which have been looked at."""
        return check_X_y(np.zeros((samples, width)), y, estimator=self, **targets)[1]

    def _plain(self, X: Any, y: Any, reset: bool) -> NDArray | Numbers | None:
        """Return X as numbers [N, I] of which only what their values are is open yet; None: more needs a look first.

        Raises
        ------
        ValueError
            In scikit-learn's words: it has other columns than those of the fit.
        """
        x = tables.numbers_of(X)
        if x is None or len(x.shape) != 2 or not min(x.shape):
            return None
        if tables.chosen(self.categorical_features) or not (reset or self._columns() is None):
            return None
        if reset or x is not X or x.shape[1] != self.n_features_in_ or hasattr(self, "feature_names_in_"):
            validate_data(self, X, *([] if y is NOTHING else [y]), reset=reset, skip_check_array=True)
        return x

    def _looked_at(self, x: NDArray | Numbers, reset: bool, jobs: int | None = None) -> NDArray | Rounded | None:
        """Return numbers that are all finite, rounded in the same pass where that loses nothing; else None."""
        if isinstance(x, np.ndarray) and x.dtype == np.uint8:
            return x
        jobs = threads(self.n_jobs) if jobs is None else jobs
        if specs.parse({"scale": self.scale or "none"}).scale.fitted if reset else self._schema.center is not None:
            return x if isinstance(x, np.ndarray) and x.dtype in TYPES and rounding.finite(x, jobs) else None
        seen = rounding.rounded(x, jobs)
        return None if seen is None else Rounded(seen, float_type(x))

    def _raw(self, X: Any, reset: bool) -> Any:
        """Return a table's raw rows, checked; None of what scikit-learn checks: numbers that are all there."""
        known = None if reset else self._columns()
        if known is not None:
            validate_data(self, X, reset=False, skip_check_array=True)  # names come first: kinds are told by them
            X = X.toarray() if sparse.issparse(X) else X
        elif not (reset and self._mixed) and not tables.is_table(X):
            return None
        frame = tables.frame(X, self.categorical_features, known)
        if frame is None:
            return None
        if np.isinf(frame.numbers).any():
            raise ValueError("Input X contains infinity or a value too large for dtype('float64').")
        if known is None and not (reset and self._mixed):
            if not reset:
                validate_data(self, X, reset=False, skip_check_array=True)
            tables.refuse_mixed(frame, type(self).__name__ if reset else "the model")
            return frame.numbers
        return frame

    def _columns(self) -> Sequence[Column] | None:
        """Return the raw columns of a model that was fitted on a table."""
        encodings = self._schema.encodings
        return None if encodings is None else encodings.columns

    def _inputs(self, X: Any) -> Any:
        """Return validated features as a block of data has them: float64 is rounded only when it has been centred."""
        if not sparse.issparse(X):
            return X
        X = sparse.csr_array(X, dtype=X.dtype if X.dtype.kind == "f" else np.float32)
        if not X.has_canonical_format:
            X = X.copy()
            X.sum_duplicates()
        indices, indptr = X.indices.astype(np.int32, copy=False), X.indptr.astype(np.int64, copy=False)
        return data.Csr(X.data, indices, indptr, X.shape[1])

    def _seen(self, x: Any, y: NDArray | None = None, weight: NDArray | None = None) -> Samples:
        """Return features as the core takes them, with encoded labels and what each sample counts.

        Raises
        ------
        ValueError
            A value is beyond float32's range, and no scaling brings it there.
        """
        x = tables.block(x)
        encodings, scale, shift = self._schema.encodings, self._schema.scale, self._schema.shift
        seen: Any
        if encodings is not None:
            x, y, weight = self._whole(x, y, weight)
            seen, scale, shift = encodings.encode(x), None, None
            fits = fits_float32(_values(seen))
        elif isinstance(x, np.ndarray) and x.dtype != np.uint8 and self._schema.center is None:
            seen = x if rounding.ready(x) else rounding.rounded(x, threads(self.n_jobs))
            fits = seen is not None
        else:  # what stays as it was given has been looked at
            seen = centred(x, self._schema)
            fits = _values(seen) is _values(x) or fits_float32(_values(seen))
        if not fits:
            told = "Input X contains a value too large for dtype('float32')."
            raise ValueError(told if y is None else f"{TOO_LARGE} ({told})")
        if isinstance(seen, np.ndarray):
            seen = np.ascontiguousarray(seen)
        return Samples(seen, y, scale, shift, weight)

    def _whole(self, x: Any, y: NDArray | None, weight: NDArray | None = None) -> tuple[Any, ...]:
        """Leave out samples that lack a number, where `missing` says so; of those to predict none can be."""
        encodings = self._schema.encodings
        if encodings is None or encodings.missing not in ("drop", "error"):
            return x, y, weight
        lacks, names = encodings.lacking(x)
        if not lacks.any():
            return x, y, weight
        if y is None or encodings.missing == "error":
            listed = ", ".join(map(repr, names))
            raise ValueError(
                f"sample {np.flatnonzero(lacks)[0]} of X lacks {listed}; expected no missing number, as the model was "
                f"fitted with missing={encodings.missing!r}"
            )
        return x[~lacks], y[~lacks], None if weight is None else weight[~lacks]

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


def _values(x: Any) -> NDArray:
    """Return the numbers in features of every kind, without a copy."""
    return x.data if isinstance(x, data.Csr) else getattr(x, "numbers", x)


def threads(jobs: int | None) -> int:
    """Count threads as scikit-learn counts jobs: None is 1, -1 all processors, -2 all but one.

    All processors are those that this process may use; where it is one of several side by side, such as of a grid
    search, those of its share, which joblib leaves in OMP_NUM_THREADS.
    """
    if jobs is None or jobs > 0:
        return jobs or 1
    share = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    there = min(devices.cores(), int(share) or 1) if share.isdecimal() else devices.cores()
    return max(1, there + 1 + jobs)
