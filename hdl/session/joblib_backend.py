"""The backend `hdl` of joblib: scikit-learn's searches, whose fits a session's workers train.

scikit-learn's own tasks stay threads of the caller's process, so no worker unpickles anything. In them a fit of an
estimator of hdl's is an order to the session: `hdl.session.fits`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from joblib.parallel import ParallelBackendBase


def register() -> None:
    """Tell joblib of the backend, where there is a joblib."""
    try:
        from joblib import register_parallel_backend
    except ImportError:
        return
    register_parallel_backend("hdl", make)


def make(**given: Any) -> ParallelBackendBase:
    """Make the backend; its parameters are those of `hdl.session.threads.SessionBackend`."""
    from hdl.session.threads import SessionBackend

    return SessionBackend(**given)
