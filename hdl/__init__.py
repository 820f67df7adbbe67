"""hdl: deep learning on Hadoop.

`MLPClassifier` and `MLPRegressor` are scikit-learn estimators, and `SparseAutoencoder`, `StackedAutoencoder`,
`BernoulliRBM`, `GaussianRBM` and `DBN` transformers. Everything is loaded when it is first asked for: `import hdl`
itself needs nothing but the standard library and NumPy.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hdl.estimators import (
        DBN,
        BernoulliRBM,
        GaussianRBM,
        MLPClassifier,
        MLPRegressor,
        SparseAutoencoder,
        StackedAutoencoder,
    )
    from hdl.session.api import Session

__version__ = "0.1.0"
__all__ = ["DBN", "BernoulliRBM", "GaussianRBM", "MLPClassifier", "MLPRegressor", "Session", "SparseAutoencoder",
           "StackedAutoencoder", "__version__"]  # fmt: skip

_FROM = {name: "hdl.estimators" for name in __all__ if name[0] != "_"} | {"Session": "hdl.session.api"}
_MODULES = {"data", "driver", "errors", "estimators", "models", "ops", "optim", "predict", "rng", "spec", "step",
            "sync", "table", "wire"}  # fmt: skip


def __getattr__(name: str) -> Any:
    """Loads a public name or module when it is first asked for (PEP 562)."""
    if name in _FROM:
        try:
            found = getattr(importlib.import_module(_FROM[name]), name)
            _register()
            return found
        except ModuleNotFoundError as error:
            if error.name not in ("sklearn", "scipy"):
                raise
            from hdl.errors import Unavailable

            raise Unavailable(f"hdl.{name} needs {error.name}: pip install scikit-learn") from None
    if name in _MODULES:
        return importlib.import_module(f"hdl.{name}")
    raise AttributeError(f"module 'hdl' has no attribute {name!r}")


def _register() -> None:
    """Tell joblib of its backend `hdl`."""
    importlib.import_module("hdl.session.joblib_backend").register()


def __dir__() -> list[str]:
    return sorted({*globals(), *_FROM, *_MODULES})


if "joblib" in sys.modules:  # else when an estimator or a session is asked for: joblib is not imported for this
    _register()
