"""Progress: a live line on a terminal, plain lines in a log."""

import io

import pytest

from hdl.cli import progress
from hdl.cli.common import duration

ROW = {"round": 1, "cost": 0.25, "accuracy": 0.9, "seconds": 0.5, "samples": 1000}


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def test_a_log_gets_a_line_a_second_and_always_the_last_round():
    stream, clock = io.StringIO(), Clock()
    display = progress.Plain(stream, clock)
    display.begin(100)
    for number in range(1, 31):  # ten rounds a second, then stopped by Ctrl-C
        clock.now += 0.1
        display.round({**ROW, "round": number})
    display.close()
    told = [line.split("  ")[0] for line in stream.getvalue().splitlines()]
    assert told[0] == "round 1/100"
    assert told[-1] == "round 30/100"
    assert 3 <= len(told) <= 5
    assert "\x1b" not in stream.getvalue()


def test_time_left_counts_from_where_a_resumed_training_began():
    stream, clock = io.StringIO(), Clock()
    display = progress.Plain(stream, clock)
    display.begin(20, done=10)
    clock.now = 2.0
    display.round({**ROW, "round": 12})
    assert stream.getvalue() == "round 12/20  cost 0.2500  accuracy 90.00 %  2,000 samples/s  8.0 s left\n"


def test_numbers_that_are_not_there_are_not_told():
    assert progress.figures({"round": 1, "cost": None, "accuracy": None}, None) == []
    assert progress.figures(ROW, {"cost": 0.5, "accuracy": None})[2] == "validation 0.5000"
    assert progress.figures(ROW, {"cost": 0.5, "accuracy": 0.8})[2] == "validation 80.00 %"


@pytest.mark.parametrize(("columns", "word"), [(80, "acc 90.0 %"), (140, "accuracy 90.00 %")])
def test_a_terminal_line_fits(columns, word, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    display = progress.show(stream)
    assert isinstance(display, progress.Live)
    with display:
        display.say("[bold] is no markup")
        display.begin(1000)
        display.part(0.5)
        display.round({**ROW, "round": 998, "samples": 10**8}, {"cost": 1.0, "accuracy": 1.0})
    assert word in stream.getvalue()
    assert "…" not in stream.getvalue()
    assert "[bold] is no markup" in stream.getvalue()


def test_quiet_says_nothing(capfd):
    with progress.show(quiet=True) as display:
        display.say("x")
        display.begin(1)
        display.round(ROW)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0301, "30 ms"), (1.25, "1.2 s"), (42, "42 s"), (200, "3 min 20 s"), (7500, "2 h 5 min"), (3e5, "3 days")],
)
def test_durations(seconds, text):
    assert duration(seconds) == text
