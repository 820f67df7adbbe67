"""A score in words and as JSON.

Letters: C classes.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hdl import majority
from hdl.cli.common import aligned, count, percent, shown_rmse, table_of
from hdl.metrics import METRICS

MOST_CLASSES = 12  # of a table in a terminal
WIDTH = 100  # columns of a sentence
SHARES = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)  # of the samples, whose gains are shown
AS_PERCENT = ("accuracy", "balanced_accuracy", "top_k")
AMOUNTS = ("rmse", "mae", "deviance", "pinball")  # in the targets' unit, or its square
# What is told of a network, in this order, as far as it has it; what has a threshold of its own is told with that.
TOLD = ("auc", "pr_auc", "logloss", "brier", "f1", "mcc", "balanced_accuracy", "top_k", "r2", "rmse", "mae",
        "deviance", "pinball")  # fmt: skip
AVERAGED = ("auc", "pr_auc", "f1")  # of several classes: each against the rest
BEST = ("f1", "mcc", "balanced_accuracy")


def score_json(score: Any, model: Any, curves: bool = False) -> dict[str, Any]:
    """Turn a score into plain values, with the points of its curves if they are wanted."""
    confusion = None if score.confusion is None else np.asarray(score.confusion).tolist()
    classes = list(model.schema.classes) or None
    names = classes or model.schema.targets or ()
    drawn = score.curves.plain() if score.curves is not None else {}
    return {
        "version": model.version.number,
        "sha256": model.version.signature,
        "samples": score.samples,
        "weight": score.weight,
        "unlabelled": score.unlabelled,
        "dropped": score.dropped,
        "bad_records": score.bad,
        "unseen": score.unseen,
        "cost": score.cost,
        "accuracy": score.accuracy,
        "majority": score.majority,
        "warning": warning(score, classes),
        "metrics": score.metrics,
        "thresholds": score.thresholds,
        "r2": score.r2,
        "rmse": score.rmse,
        "loss": score.loss and dict([score.loss]),
        "classes": classes,
        "per_class": [row | {"class": names[row["class"]] if names else row["class"]} for row in score.per_class],
        "confusion": confusion,
        **(
            {"mistakes": [[classes[true], classes[guess], times] for true, guess, times in score.mistakes]}
            if classes and score.mistakes
            else {}
        ),
        "gains": drawn.get("gains"),
        "calibration": drawn.get("calibration"),
        **({"curves": drawn} if curves else {}),
    }


def warning(score: Any, classes: Sequence[Any] | None) -> str | None:
    """Say so if the accuracy is about what always answering the largest class would give."""
    return majority.told(score.accuracy, score.confusion, classes, score.majority)


def score_text(score: Any, schema: Any, threshold: Any = None) -> str:
    """Write a score for people: measures, a warning, and tables as far as they fit a terminal.

    Parameters
    ----------
    score : Score
    schema : Schema
        Of the model.
    threshold : Threshold, optional
        From which probability on the second of two classes was answered.
    """
    classes = schema.classes
    parts = [aligned(facts(score, classes, threshold))]
    if said := warning(score, classes):
        parts.append(textwrap.fill(f"Beware: {said}.", WIDTH))
    if 0 < len(score.per_class) <= MOST_CLASSES:
        parts.append(class_text(score, classes or schema.targets))
    if score.confusion is not None and 0 < len(classes) <= MOST_CLASSES:
        parts.append("\n".join(confusion_lines(score.confusion, classes)))
    if score.thresholds:
        parts.append(threshold_text(score, classes))
    if score.curves is not None:
        parts += [gains_text(score, classes)] if len(score.curves.gains.get("share", ())) else []
        parts += [calibration_text(score, classes)] if len(score.curves.calibration.get("count", ())) else []
    return "\n\n".join(parts)


def facts(score: Any, classes: Sequence[Any], threshold: Any = None) -> list[tuple[str, str]]:
    """Write the measures that are one number each."""
    lines = [("samples", f"{score.samples:,}"), ("cost", f"{score.cost:.6f}")]
    if score.weight is not None:
        lines.insert(1, ("weight", f"{score.weight:,.6g} in all, by which the measures are means"))
    if score.accuracy is not None:
        at = "" if threshold is None else f"   '{classes[1]}' from {threshold.told}"
        lines.append(("accuracy", percent(score.accuracy) + at))
    lines += measures(score, classes)
    if score.loss is not None and score.loss[0] not in [name for name, _ in lines]:
        lines.append((score.loss[0], f"{score.loss[1]:.6g}"))
    names = [METRICS[name].title for name in TOLD if name in score.metrics and score.metrics[name] is None]
    if names:
        missing = [f"'{classes[row['class']]}'" for row in score.per_class if classes and not row["samples"]]
        lines.append(("not defined", ", ".join(names) + (f": no sample is {' or '.join(missing)}" if missing else "")))
    skipped = [
        f"{number:,} row{'' if number == 1 else 's'} {why}"
        for number, why in ((score.unlabelled, "without a label"), (score.dropped, "that miss a number"))
        if number
    ]
    skipped += [count(score.bad, "bad record")] if score.bad else []
    if skipped:
        lines.append(("skipped", ", ".join(skipped)))
    if score.unseen:
        lines.append(("unseen", unseen_text(score.unseen)))
    if score.mistakes:
        said = [f"{classes[true]} taken for {classes[guess]} ({times:,}×)" for true, guess, times in score.mistakes[:5]]
        lines.append(("mistakes", "; ".join(said)))
    return lines


def unseen_text(unseen: Mapping[str, int]) -> str:
    """Say how many cells have a level that training had not seen, by column.

    Examples
    --------
    >>> unseen_text({"town": 2, "street": 1200})
    'levels that training had not seen, which count as none: town (2 cells), street (1,200 cells)'
    """
    each = ", ".join(f"{name} ({count(number, 'cell')})" for name, number in unseen.items())
    return f"levels that training had not seen, which count as none: {each}"


def measures(score: Any, classes: Sequence[Any]) -> list[tuple[str, str]]:
    """Write the measures beside cost and accuracy, those of two classes that have a threshold of their own apart."""
    lines = []
    for name in TOLD:
        value = score.metrics.get(name)
        if value is None or name in score.thresholds or (name == "deviance" and score.loss is None):
            continue  # the deviance of squares is the square of the RMSE
        said = shown_rmse(score.rmse) if name == "rmse" and score.rmse is not None else shown(name, value)
        if name in AVERAGED and not score.thresholds:
            said += f"   mean over the {len(score.per_class) or len(classes)} {'classes' if classes else 'labels'}"
        if name in ("mae", "deviance", "pinball") and isinstance(score.rmse, list):
            said += f"   mean over the {len(score.rmse)} outputs"
        if name == "r2" and isinstance(score.rmse, list):
            number = len(score.rmse)
            said += f"   over {'both' if number == 2 else f'all {number}'} outputs by their variances"
        if name == "pr_auc" and len(classes) == 2 and score.per_class:
            sizes = [row["samples"] for row in score.per_class]
            said += f"   of '{classes[1]}'; {sizes[1] / sum(sizes):.4f} by chance"
        lines.append((f"top-{min(5, len(classes) - 1)} accuracy" if name == "top_k" else title_of(name, score), said))
    return lines


def title_of(name: str, score: Any) -> str:
    """Name a measure for people."""
    return name if score.loss is not None and score.loss[0] == name else METRICS[name].title


def shown(name: str, value: float | None) -> str:
    """Write the value of a measure: a share in per cent, amounts in six digits, others with four decimals."""
    if value is None:
        return "–"
    if name in AS_PERCENT:
        return percent(value)
    if name in ("rmse", "mae"):
        return shown_rmse(value)
    return f"{value:.6g}" if name in ("cost", "deviance", "pinball") else f"{value:.4f}"


def validated(validation: dict[str, Any], digits: int = 2, titled: bool = False) -> list[str]:
    """Put the measures of the samples held out into words: the one that decides (else accuracy or cost), and the AUC.

    Parameters
    ----------
    validation : dict
        The measures by name; `by` is the name of the one that decides, or None.
    digits : int
        Decimals of per cents.
    titled : bool
        Whether each has its name before it, accuracy and cost too.
    """
    by = validation.get("by")
    if by is None or validation.get(by) is None:
        by = "accuracy" if validation.get("accuracy") is not None else "cost"
    words = []
    for name in dict.fromkeys((by, "auc")):
        value = validation.get(name)
        if value is None:
            continue
        plain = not titled and (name == "accuracy" or (name == "cost" and validation.get("by") is None))
        said = percent(value, digits) if name in AS_PERCENT else f"{value:.4g}" if name in AMOUNTS else f"{value:.4f}"
        words.append(said if plain else f"{METRICS[name].title} {said}")
    return words


def measures_of(row: dict[str, Any], by: str | None = None) -> dict[str, Any]:
    """Gather what a round's row tells of the samples held out, by the measures' names, and which of them decides."""
    return {name[4:]: value for name, value in row.items() if name.startswith("val_")} | {"by": by}


def class_text(score: Any, names: Sequence[Any]) -> str:
    """Write the figures of each class as a table."""
    ranked = any(row["auc"] is not None for row in score.per_class) and len(score.per_class) > 2
    rows = [
        [str(names[row["class"]] if names else row["class"])[:24], f"{row['samples']:,.6g}" if score.weight is not None
         else f"{row['samples']:,}", *(shown(name, row[name]) for name in ("precision", "recall", "f1")),
         *((shown("auc", row["auc"]), shown("auc", row["pr_auc"])) if ranked else ())]
        for row in score.per_class
    ]  # fmt: skip
    kind = "class" if score.accuracy is not None and score.confusion is not None else "label"
    head = [kind, "weight" if score.weight is not None else "samples", "precision", "recall", "F1"]
    return "\n".join(table_of([*head, *(("AUC", "PR-AUC") if ranked else ())], rows))


def threshold_text(score: Any, classes: Sequence[Any]) -> str:
    """Write the best threshold of each measure that depends on one."""
    rows = [[METRICS[name].title, shown(name, score.metrics[name]), f"{score.thresholds[name]:.6g}"]
            for name in BEST if name in score.thresholds]  # fmt: skip
    return "\n".join(table_of(["at its best threshold", "", f"'{classes[1]}' from a probability of"], rows))


def gains_text(score: Any, classes: Sequence[Any]) -> str:
    """Write which share of the second class the samples of the highest probabilities hold."""
    gains, rows = score.curves.gains, []
    shares = np.asarray(gains["share"])
    for at in dict.fromkeys(int(np.searchsorted(shares, share - 1e-9)) for share in SHARES):
        at = min(at, len(shares) - 1)
        rows.append([
            percent(shares[at], 1), f"{gains['threshold'][at]:.4g}", percent(gains["cumulative_rate"][at], 1),
            percent(gains["cumulative_capture"][at], 1), f"{gains['cumulative_lift'][at]:.2f}",
        ])  # fmt: skip
    name = classes[1] if len(classes) == 2 else "1"
    lines = table_of(["most probable", "from", f"are '{name}'", f"of all '{name}'", "lift"], rows)
    ks = score.metrics.get("ks")
    return "\n".join([*lines, *([f"largest gain over chance (KS)  {ks:.4f}"] if ks is not None else [])])


def calibration_text(score: Any, classes: Sequence[Any]) -> str:
    """Say in a line how far probabilities are from what is observed."""
    table = score.curves.calibration
    predicted, observed, number = (np.asarray(table[name], float) for name in ("predicted", "observed", "count"))
    share = number / number.sum()
    off = float((share * np.abs(predicted - observed)).sum())
    name = f"'{classes[1]}'" if len(classes) == 2 else "1"
    return textwrap.fill(
        f"calibration  {name} is predicted with {percent(float(share @ predicted))} on average and observed in "
        f"{percent(float(share @ observed))}; bins of probability are off by {percent(off)} on average",
        WIDTH,
        subsequent_indent=" " * len("calibration  "),
    )


def confusion_lines(confusion: Any, classes: Any) -> list[str]:
    """Write a confusion matrix in plain text: rows true, columns predicted, a dot for none."""
    names = [str(name)[:10] for name in classes]
    cells = [[str(value) if value else "·" for value in row] for row in np.asarray(confusion).tolist()]
    width = max(map(len, [*names, *(cell for row in cells for cell in row)])) + 2
    side = max(len("true"), *map(len, names))
    head = f"{'true':>{side}}" + "".join(f"{name:>{width}}" for name in names) + "  ← predicted"
    return [head, *(f"{name:>{side}}" + "".join(f"{cell:>{width}}" for cell in row)
                    for name, row in zip(names, cells, strict=True))]  # fmt: skip
