"""YARN's diagnostics become one sentence, with the cause first."""

import pytest

from hdl.yarn.client.diagnostics import LONGEST, cause

FRAME = (
    "Application application_1_0002 failed 2 times due to AM Container for appattempt_1_0002_000002 exited with  "
    "exitCode: {code} Failing this attempt.Diagnostics: [2026-11-29 22:00:01.000]{said} For more detailed output, "
    "check the application tracking page: http://h:8088/cluster/app/application_1_0002 Then click on links to logs of "
    "each attempt. . Failing the application."
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (FRAME.format(code=-1000, said="File file:/x does not exist"), "File file:/x does not exist"),
        (FRAME.format(code=-104, said="Container [pid=1] is running 9B beyond the 'PHYSICAL' memory limit."),
         "Container [pid=1] is running 9B beyond the 'PHYSICAL' memory limit"),
        ("Application application_1_0002 submitted by user ada to unknown queue: nope", "nope"),
        ("User ada does not have permission to submit application_1_0002 to queue private", "private"),
        ("Application killed by user.", "Application killed by user"),
    ],
)  # fmt: skip
def test_what_yarn_writes_around_the_reason_is_left_out(text, expected):
    said = cause(text)
    assert expected in said
    assert "Failing" not in said
    assert "tracking page" not in said
    assert "\n" not in said


def test_it_is_never_long_and_never_empty():
    assert len(cause("x" * 10_000)) == LONGEST
    assert cause("Failing this attempt.") != ""
