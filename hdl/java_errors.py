"""Words Java's exceptions: from what Hadoop's client throws to one sentence with the cause and what helps.

An exception comes as its class, its message and its causes, or as the text of a stack trace, which is what libhdfs
keeps and what `hadoop jar` prints. The first row of `hdl.java_rules.RULES` that fits any of it
gives the sentence.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from hdl.errors import HdlError
from hdl.java_rules import RULES

Thrown = tuple[str, str]  # class and message of an exception


SEARCHED = [(re.compile(rule.pattern, re.M), rule) for rule in RULES]
_HEAD = re.compile(
    r"^(?:(?P<lead>Caused by: |Exception in thread \"[^\"]*\" )|(?=\w+\.))"  # Kerberos's classes say no package
    r"(?P<name>(?:[\w$]+\.)*[\w$]*(?:Exception|Error|Rule|InvalidToken))(?:\((?P<inner>[\w.$]+)\))?(?:: (?P<said>.*))?$"
)


def sentence(class_name: str, message: str | None, causes: Sequence[Thrown] = ()) -> str | None:
    """Word a Java exception in one sentence.

    Parameters
    ----------
    class_name : str
        Its class's full name.
    message : str or None
    causes : sequence of (class name, message)
        Its cause, that one's cause, and so on.

    Returns
    -------
    str or None
        The cause and what helps; None for an exception that is not in the table.

    Examples
    --------
    >>> sentence("java.io.IOException", "Name node is in safe mode.")    # doctest: +ELLIPSIS
    'the NameNode is in safe mode and changes nothing: ...'
    """
    matched = _match([(class_name, message or ""), *causes])
    return matched[0] if matched else None


def error(doing: str, text: str) -> HdlError:
    """Make hdl's error of a stack trace.

    Parameters
    ----------
    doing : str
        What failed, as a path; begins the message.
    text : str
        The exception with its causes as Java prints it.

    Returns
    -------
    HdlError
        A LoginError where the cluster does not let the user in, a DeadlineError where it does not answer.
    """
    sentence, kind = _worded(text) or (first_line(text), HdlError)
    made = kind(f"{doing}: {sentence}")
    made.add_note(text)  # what `--traceback` shows
    return made


def explain(text: str) -> str | None:
    """Word what a program of Hadoop's has printed: the last exception in it, and where that is unknown, any.

    Returns
    -------
    str or None
        One sentence; of an exception that the table does not have what `cause` says; None if there is none.
    """
    matched = _worded(text)
    return matched[0] if matched else None


def _worded(text: str) -> tuple[str, type[HdlError]] | None:
    thrown = parse(text)
    matched = _match(thrown) or _match([("", line) for line in _told(text)])
    return matched or ((cause(thrown), HdlError) if thrown else None)


def kind(class_name: str, message: str | None, causes: Sequence[Thrown] = ()) -> type[HdlError] | None:
    """Return what hdl raises for a Java exception, or None for one that is not in the table."""
    matched = _match([(class_name, message or ""), *causes])
    return matched[1] if matched else None


def brief(class_name: str, message: str | None) -> str:
    """Word an unknown exception: its class without the package, and the first line of its message.

    Examples
    --------
    >>> brief("java.lang.IllegalStateException", "not now")
    'IllegalStateException: not now'
    """
    name = class_name.rpartition(".")[2]
    return f"{name}: {first_line(message)}" if message else name


def root(thrown: Sequence[Thrown]) -> Thrown:
    """Return the exception that began it: of those with a message the innermost, or else the innermost."""
    return next((each for each in reversed(thrown) if first_line(each[1])), thrown[-1])


def cause(thrown: Sequence[Thrown]) -> str:
    """Word unknown exceptions: the one that began it, and the outermost where that says something else.

    Examples
    --------
    >>> cause([("java.io.IOException", "job.xml: not read"), ("a.RuntimeException", ""), ("a.EOFException", "byte 7")])
    'EOFException: byte 7 (IOException: job.xml: not read)'
    """
    first, outer = root(thrown), thrown[0]
    worded, said = brief(*first), first_line(outer[1])
    return worded if not said or first == outer or first_line(first[1]) in said else f"{worded} ({brief(*outer)})"


def first_line(text: str | None) -> str:
    """Return the first line of a text that says something."""
    return next((line.strip() for line in (text or "").splitlines() if line.strip()), "")


def parse(text: str) -> list[Thrown]:
    """Read the last stack trace in a text: the exception and its causes, from the outermost inwards.

    Of an exception that came from a server the class is the one that was thrown there.

    Examples
    --------
    >>> parse("java.io.IOException: a\\n\\tat x.y(z)\\nCaused by: java.net.ConnectException: b\\n\\t... 9 more")
    [('java.io.IOException', 'a'), ('java.net.ConnectException', 'b')]
    """
    thrown: list[Thrown] = []
    open_message = False
    for line in text.splitlines():
        if match := _HEAD.match(line):
            if not (match["lead"] or "").startswith("Caused"):
                thrown = []
            thrown.append((match["inner"] or match["name"], match["said"] or ""))
            open_message = True
        elif line.startswith(("\t", " ")):
            open_message = False
        elif open_message and thrown:  # a message of several lines
            thrown[-1] = (thrown[-1][0], f"{thrown[-1][1]}\n{line}")
    return thrown


def _told(text: str) -> list[str]:
    """Return the lines of a text that belong to no stack."""
    return [line for line in text.splitlines() if line.strip() and not re.match(r"\s+(at |\.\.\. )", line)]


def _match(thrown: Sequence[Thrown]) -> tuple[str, type[HdlError]] | None:
    """Find the first rule that fits; a rule may fit a cause, or what an outer message repeats of it."""
    text = "\n".join(f"{name}: {line}" if name else line for name, said in thrown for line in [" ".join(_told(said))])
    for pattern, rule in SEARCHED:
        if match := pattern.search(text):
            if callable(rule.sentence):
                return rule.sentence(match), rule.kind
            groups = {name: value or "?" for name, value in match.groupdict().items()}
            return rule.sentence.format(**groups), rule.kind
    return None
