"""Files beside samples that are not read: by their names, or for a reason that is told."""

from __future__ import annotations

import re

from hdl.data.formats import some

# By their names; the first rule that fits says why. Folders are judged by the first two only.
_ASIDE = (
    (re.compile(r"^(__macosx|\.ds_store|thumbs\.db|desktop\.ini|ehthumbs\.db|icon\r)$", re.I), "an operating system's"),
    (re.compile(r"^_"), "a mark of an engine"),
    (re.compile(r"^\."), "hidden"),
    (re.compile(r"\.(crc|md5|sha1|sha256|sha512|sum|asc|sig)$|^(check|md5|sha\d+)sums?\b", re.I), "checksums"),
    (
        re.compile(
            r"^(readme|licen[cs]e|copyright|copying|notice|changelog|makefile|citation)\b"
            r"|\.(md|names|rst|pdf|docx?|html?|py|sh|ipynb|bib|tex)$"
            r"|(^|[^a-z])(mapping|description|codebook|(class|label|feature)_?names|metadata|dataset_infos?)\.(txt|json|ya?ml)$",
            re.I,
        ),
        "a text about the data",
    ),
    (re.compile(r"\.mat$", re.I), "of MATLAB, which hdl does not read"),
)  # fmt: skip


def aside(name: str, folder: bool = False) -> str | None:
    """Give the reason why a file or folder of this name holds no samples; None if it may.

    Examples
    --------
    >>> aside("Thumbs.db"), aside("_SUCCESS"), aside("a.csv"), aside("licence", folder=True)
    ("an operating system's", 'a mark of an engine', None, None)
    """
    return next((reason for pattern, reason in _ASIDE[: 3 if folder else None] if pattern.search(name)), None)


class LeftOut:
    """Names that are left out, by reason.

    Examples
    --------
    >>> left = LeftOut()
    >>> left.add("hidden", ".a.crc"); left.add("hidden", ".b.crc"); left.add("a mark of an engine", "_SUCCESS")
    >>> left.lines()
    ['.a.crc, .b.crc: hidden', '_SUCCESS: a mark of an engine']
    """

    def __init__(self) -> None:
        self.reasons: dict[str, list[str]] = {}

    def add(self, reason: str, *names: str) -> None:
        if names:
            self.reasons.setdefault(reason, []).extend(names)

    def lines(self) -> list[str]:
        """List a line for each reason, with the first few names."""
        return [f"{some(names, 3)}: {reason}" for reason, names in self.reasons.items()]

    def __str__(self) -> str:
        return f" (left out: {'; '.join(self.lines())})" if self.reasons else ""
