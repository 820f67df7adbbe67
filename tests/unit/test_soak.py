"""What the soak makes of its trials' figures: a table, what grew, and what was not as promised."""

import re

import pytest

pytest.importorskip("psutil")

from tests.hadoop import soak
from tests.hadoop.fault_row import differs, lost
from tests.hadoop.fault_rows import ROWS

SAID = "worker 2 died: killed by signal 9\nanother container takes its place\n"
ROW = "worker-computes"


def test_a_training_that_keeps_its_promise_differs_in_nothing():
    assert differs(ROWS[ROW], 0, SAID, 15) == []
    memory = "worker 1 died: its container held 1.9 GB of 1 GB\n"
    assert differs(ROWS["memory-once"], 0, memory, 15) == []


@pytest.mark.parametrize(
    ("name", "status", "said", "version", "what"),
    [
        (ROW, 6, SAID, 15, "ended with 6, expected 0"),
        (ROW, 0, "", 15, r"\(\) were replaced, expected \('2',\)"),
        (ROW, 0, SAID + SAID, 15, r"\('2', '2'\) were replaced"),
        (ROW, 0, SAID + "training goes on from version 1\n", 15, "2 rounds were lost, expected at most 0"),
        (ROW, 0, SAID + "1.9 GB of 1 GB\n", 15, "GB of.* is said"),
        ("master-mid-round", 0, "attempt 2 of the master goes on from version 3 with 3 of 4 workers", 15, "not said"),
        ("memory-twice", 6, "", 2, "the last version is 2, expected 3"),
    ],
)
def test_what_differs_is_told(name, status, said, version, what):
    assert any(re.search(what, sentence) for sentence in differs(ROWS[name], status, said, version))


def test_lost_rounds_are_those_after_the_version_from_which_it_went_on():
    assert lost("attempt 2 of the master goes on from version 2 with") == 1
    assert lost("going on from version 3") == lost("") == 0


def figures(**more):
    good = {"pause": 4.1, "lost": 0, "equal": True, "processes": [], "applications": [], "files": [], "local": []}
    return {"row": ROW, "secrets": [], "broken": [], **good, **more}


def test_the_table_has_a_line_a_row_with_the_spread_of_its_trials():
    made = [figures(), figures(pause=6.0, files=["x"], secrets=[["log", "key"]], equal=False, broken=["it"])]
    *_, line = soak.table_of_rows([*made, {"row": ROW, "broken": ["the trial ended with 1"]}]).splitlines()
    assert line == "| … computes | 3 | 4.1 to 6 | 0 | 1 | 1 | 1 | 2 |"


def training(number, **more):
    return {"training": number, "equal": True, "seconds": 9.0, "memory": 200, "threads": 30, "on HDFS": 4, **more}


def test_what_grows_with_the_trainings_is_told():
    flat = [training(n, memory=[300, 200][n > 2] + n % 7, seconds=9 + n) for n in range(20)]
    assert soak.table_of_trainings(flat)[1] == []
    grows = [training(n, **{"on HDFS": 4 + n // 5, "memory": 200 + 2 * n}) for n in range(20)]
    shown, broken = soak.table_of_trainings(grows)
    assert broken == ["memory grew from 210 to 234", "on HDFS grew from 5 to 7"]
    assert "| memory | 210 | 234 |" in shown
    assert soak.table_of_trainings([training(1), training(2, equal=False)])[1] == ["1 trainings gave other weights"]


def test_rows_that_are_none_are_refused(capsys):
    with pytest.raises(SystemExit):
        soak.main(["--rows", "worker-computes,nothing"])
    assert "given nothing" in capsys.readouterr().err
    assert soak.main(["--list"]) == 0
    assert set(ROWS) == {line.split()[0] for line in capsys.readouterr().out.splitlines()}
