"""Lists what a command line leaves to hdl: the fields of the spec that neither a flag nor a file sets."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hdl import recipe
from hdl.errors import SpecError

CHOICES = ("auto", "plain")


def fields(chosen: str | None, file: dict[str, Any], given: Iterable[str], base: Any = None) -> tuple[str, ...]:
    """List the fields of the recipe for tables that are left to hdl.

    Parameters
    ----------
    chosen : {'auto', 'plain'} or None
        What `--recipe` says: `plain` leaves nothing, so that each field has its own default.
    file : dict
        What `--spec` says.
    given : iterable of str
        Fields that flags set.
    base : Spec, optional
        Of a training that is resumed: what it left.

    Raises
    ------
    SpecError
        There is no such choice.
    """
    if chosen not in (None, *CHOICES):
        raise SpecError(f"--recipe: expected one of {', '.join(CHOICES)} (given {chosen!r})")
    if chosen == "plain":
        return ()
    said = set(given)
    if "auto" in file:  # it names what its other fields say no more than by default: so --dry-run writes it
        return tuple(path for path in file["auto"] if path not in said)
    before = base.auto if base is not None else recipe.FIELDS
    return tuple(path for path in before if path not in said and not _said(path.split("."), file))


def _said(path: list[str], file: Any) -> bool:
    """Tell whether a file sets a field; null leaves it to the data, as ever."""
    for name in path:
        if not isinstance(file, dict) or file.get(name) is None:
            return False
        file = file[name]
    return True
