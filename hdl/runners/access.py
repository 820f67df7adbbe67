"""Says who beside its owner may look at an application or end it, and which tags it has, in YARN's own terms."""

from __future__ import annotations

from collections.abc import Iterable

from hdl.errors import SpecError

MOST_TAGS, TAG_CHARACTERS = 10, 100  # YARN's defaults for yarn.resourcemanager.application.max-tags and max-tag.length


def acl(text: str, name: str = "acl") -> str:
    """Check an access control list, as YARN writes it: users, a blank, groups.

    Parameters
    ----------
    text : str
        ``"ada,bob analysts"``; ``" analysts"`` of groups alone, ``"*"`` for everybody, empty for nobody.
    name : str
        Of the flag or the field, for the message.

    Raises
    ------
    SpecError
        YARN would read the text as another list than it looks like.

    Examples
    --------
    >>> acl("ada,bob analysts")
    'ada,bob analysts'
    """
    users, blank, groups = text.rstrip().partition(" ")
    lists = [part.split(",") for part in (users, groups) if part]
    if any(not word or not word.isprintable() or " " in word for words in lists for word in words) or (
        blank and not groups
    ):
        raise SpecError(
            f"{name}: expected users, one blank, groups, each separated by commas alone, such as "
            f"'ada,bob analysts', ' analysts' or '*' (given {text!r})"
        )
    return text.rstrip()


def tags(texts: Iterable[str], name: str = "tags") -> tuple[str, ...]:
    """Check tags and write them as YARN keeps them, in small letters.

    Raises
    ------
    SpecError
        YARN, or MapReduce, which separates tags by commas, would refuse or change them.

    Examples
    --------
    >>> tags(["Nightly", "digits"])
    ('nightly', 'digits')
    """
    given = tuple(dict.fromkeys(text.strip().lower() for text in texts))
    for tag in given:
        if not tag or not tag.isascii() or not tag.isprintable() or "," in tag or len(tag) > TAG_CHARACTERS:
            raise SpecError(
                f"{name}: expected at most {TAG_CHARACTERS} ASCII characters without a comma (given {tag!r})"
            )
    if len(given) > MOST_TAGS:
        raise SpecError(f"{name}: expected at most {MOST_TAGS} (given {len(given)})")
    return given


def job_properties(view: str, modify: str, given_tags: Iterable[str]) -> dict[str, str]:
    """Make the properties by which MapReduce hands the same to YARN for its job."""
    properties = {
        "mapreduce.job.acl-view-job": view,
        "mapreduce.job.acl-modify-job": modify,
        "mapreduce.job.tags": ",".join(given_tags),
    }
    return {name: value for name, value in properties.items() if value}
