"""The probability from which on the second of two classes is answered: a number, or the best for a measure.

A threshold that is named by a measure is what was best on the samples that the training held out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from hdl.errors import SpecError

if TYPE_CHECKING:
    from hdl.predict import Model

NAMES = {"f1": "f1", "mcc": "mcc", "balanced": "balanced_accuracy"}  # name: the measure that it is best for


class Threshold(NamedTuple):
    """A threshold, and where it is from: a name of `NAMES`, or None of a number that was given."""

    value: float
    best_for: str | None

    @property
    def told(self) -> str:
        """Say it in words."""
        return f"{self.value:.6g}" + (f", best for {self.best_for} on the validation samples" if self.best_for else "")


def find(model: Model, given: float | str) -> Threshold:
    """Find the threshold that is meant for a model of two classes.

    Parameters
    ----------
    model : Model
    given : float or str
        A probability from 0 to 1, also as text, or a name of `NAMES`.

    Raises
    ------
    SpecError
        The model has no two classes; it is neither a probability nor a name; or the training held out no samples.
    """
    classes = model.schema.classes
    if len(classes) != 2:
        has = f"{len(classes)} classes" if classes else "none: it answers with numbers"
        if not classes and model.spec.loss == "sigmoid":
            has = "several labels a sample"
        elif not classes and model.schema.encoding == "none":
            has = "none: it learned without labels"
        raise SpecError(f"threshold: is for a model of two classes, and this one has {has} (given {given!r})")
    if isinstance(given, str) and given in NAMES:
        return Threshold(_best(model, given), given)
    try:
        value = float(given)
    except ValueError:
        value = float("nan")
    if not 0 <= value <= 1:
        names = ", ".join(NAMES)
        raise SpecError(f"threshold: expected a probability from 0 to 1, or one of {names} (given {given!r})")
    return Threshold(value, None)


def _best(model: Model, name: str) -> float:
    """Look up the best threshold for a measure in the row that tells of the version's validation."""
    from hdl.table import Table

    number, key = model.version.number, f"val_threshold_{NAMES[name]}"
    row = next((row for row in Table(model.path).rows() if row.get("parent") == number and key in row), {})
    if row.get(key) is not None:
        return float(row[key])
    if not model.spec.validated:
        why = "its training held out no samples (--validation SHARE)"
    elif key in row:
        why = f"the samples that its training held out are all of one class, or too few to measure {NAMES[name]}"
    else:
        why = f"its training measured no thresholds for version {number}"
    raise SpecError(
        f"threshold {name}: no such threshold is known of {model.path}, since {why}; "
        f"give a number, such as one that hdl evaluate tells"
    )
