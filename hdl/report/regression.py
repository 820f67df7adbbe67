"""The report's section of a regression: its predictions against the truth."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hdl.cli.common import count as samples
from hdl.report import drawings, page

if TYPE_CHECKING:
    from hdl.report import Facts


def section(facts: Facts) -> str:
    """Draw predicted over true values, and what is left over, of the first data of which there are samples."""
    score = next((score for score in facts.measured if score.pairs is not None and len(score.pairs)), None)
    if score is None or score.pairs is None:
        return ""
    pairs = score.pairs[np.isfinite(score.pairs).all(axis=1)]
    if not len(pairs):
        return ""
    true, predicted, count = pairs.T
    drawn = [
        page.figure(drawings.against("Predicted over true values", true, predicted, count), "Predicted and true", []),
        page.figure(drawings.residuals("Residuals", true, predicted, count), "Residuals", []),
    ]
    total = int(count.sum())
    some = f"{total:,} of {score.samples:,} samples" if total < score.samples else samples(total, "sample")
    note = f"{some}; on the broken line a prediction is right. A larger dot is several samples."
    return page.section(f"Predictions: {score.kind.lower()} data", note, f'<div class="pair">{"".join(drawn)}</div>')
