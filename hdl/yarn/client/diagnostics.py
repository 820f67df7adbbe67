"""Words YARN's diagnostics: the cause in one sentence, out of what YARN writes around it."""

from __future__ import annotations

import re

from hdl import java_errors

LONGEST = 400  # characters
# What YARN writes before and after the reason, in the order of its text.
_AROUND = (
    r"Application application_\d+_\d+ failed \d+ times? (?:\(.*?\) ?)?(?:in previous \d+ milliseconds )?due to ",
    r"AM Container for appattempt_\w+ exited with +exitCode: -?\d+",
    r"ApplicationMaster for attempt appattempt_\w+",
    r"Failing this attempt\.? ?(?:Diagnostics: )?",
    r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+\] ?",
    r"Exception from container-launch\.( Container id: \S+)?( Exit code: \d+)?( Exception message: )?",
    r"For more detailed output, check (?:the )?application tracking page: \S+",
    r"Then,? click on links to logs of each attempt\.",
    r"[. ]*Failing the application\.",
    r"Container exited with a non-zero exit code (?:-?\d+)?[^/]*?\. Error file: \S+ Last 4096 bytes of \S+ :",
)


def cause(text: str) -> str:
    """Say in one sentence why YARN ended an application.

    Examples
    --------
    >>> cause("Application application_1_0002 failed 1 times due to AM Container for appattempt_1_0002_000001 exited "
    ...       "with  exitCode: -1000 Failing this attempt.Diagnostics: [2026-11-29 22:00:01.000]File file:/x does not "
    ...       "exist For more detailed output, check the application tracking page: http://h/x Then click on links to "
    ...       "logs of each attempt. . Failing the application.")
    'File file:/x does not exist'
    """
    if (known := java_errors.explain(text)) and "\n" not in known:
        return known[:LONGEST]
    rest = " ".join(text.split())
    for pattern in _AROUND:
        rest = re.sub(pattern, "", rest)
    return (rest.strip(" .") or " ".join(text.split()))[:LONGEST]
