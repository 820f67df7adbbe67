"""Measures of networks, exact and mergeable: whatever parts samples are measured in, the last digit is the same.

`Measures` sums over samples and keeps their ranks; parts are joined, sent and stored. `METRICS` names what comes of it.
"""

from __future__ import annotations

from hdl.metrics.curves import Curves
from hdl.metrics.measures import Measures
from hdl.metrics.names import METRICS, Metric, better
from hdl.metrics.task import Task

__all__ = ["METRICS", "Curves", "Measures", "Metric", "Task", "better"]
