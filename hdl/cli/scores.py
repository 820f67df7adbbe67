"""A score in words and as JSON."""

from __future__ import annotations

from typing import Any

import numpy as np

from hdl.cli.common import count, percent, shown_rmse

MOST_CLASSES = 12  # of a confusion matrix in a terminal


def score_json(score: Any, model: Any) -> dict[str, Any]:
    """Turn a score into plain values."""
    confusion = None if score.confusion is None else np.asarray(score.confusion).tolist()
    classes = list(model.schema.classes) or None
    return {
        "version": model.version.number,
        "sha256": model.version.signature,
        "samples": score.samples,
        "weight": score.weight,
        "unlabelled": score.unlabelled,
        "dropped": score.dropped,
        "bad_records": score.bad,
        "cost": score.cost,
        "accuracy": score.accuracy,
        "r2": score.r2,
        "rmse": score.rmse,
        "loss": score.loss and dict([score.loss]),
        "classes": classes,
        "confusion": confusion,
        **(
            {"mistakes": [[classes[true], classes[guess], times] for true, guess, times in score.mistakes]}
            if classes and score.mistakes
            else {}
        ),
    }


def score_text(score: Any, classes: Any) -> str:
    """Write a score for people, with its confusion matrix where that fits a terminal."""
    lines = [f"samples   {score.samples:,}", f"cost      {score.cost:.6f}"]
    if score.weight is not None:
        lines.insert(1, f"weight    {score.weight:,.6g} in all, by which the measures are means")
    if score.accuracy is not None:
        lines.append(f"accuracy  {percent(score.accuracy)}")
    if score.r2 is not None:
        lines.append(f"R²        {score.r2:.6f}")
    if (rmse := score.rmse) is not None:
        lines.append(f"RMSE      {shown_rmse(rmse)}")
    if score.loss is not None:
        name, value = score.loss
        lines.append(f"{name:10}{value:.6g}")
    skipped = [
        f"{number:,} row{'' if number == 1 else 's'} {why}"
        for number, why in ((score.unlabelled, "without a label"), (score.dropped, "that miss a number"))
        if number
    ]
    skipped += [count(score.bad, "bad record")] if score.bad else []
    if skipped:
        lines.append(f"skipped   {', '.join(skipped)}")
    if score.confusion is not None and 0 < len(classes) <= MOST_CLASSES:
        lines += ["", *confusion_lines(score.confusion, classes)]
    if score.mistakes:
        said = [f"{classes[true]} taken for {classes[guess]} ({times:,}×)" for true, guess, times in score.mistakes[:5]]
        lines.append(f"mistakes  {'; '.join(said)}")
    return "\n".join(lines)


def confusion_lines(confusion: Any, classes: Any) -> list[str]:
    """Write a confusion matrix in plain text: rows true, columns predicted, a dot for none."""
    names = [str(name)[:10] for name in classes]
    cells = [[str(value) if value else "·" for value in row] for row in np.asarray(confusion).tolist()]
    width = max(map(len, [*names, *(cell for row in cells for cell in row)])) + 2
    side = max(len("true"), *map(len, names))
    head = f"{'true':>{side}}" + "".join(f"{name:>{width}}" for name in names) + "  ← predicted"
    return [head, *(f"{name:>{side}}" + "".join(f"{cell:>{width}}" for cell in row)
                    for name, row in zip(names, cells, strict=True))]  # fmt: skip
