"""The leaderboard of a search while it runs: the best trials so far on a terminal, else a line for each result."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from hdl.cli.combinations import label_of
from hdl.cli.common import count, duration
from hdl.cli.search_progress import Board, score

SHOWN = 10


class Leaderboard(Board):
    """Display of a search; any thread may call its methods.

    Parameters
    ----------
    total : int
        Trials.
    trials : function -> sequence of Trial
        Those that have begun, the best first.
    quiet : bool
    """

    def __init__(self, total: int, trials: Callable[[], Sequence[Any]], quiet: bool = False):
        self._trials, self._began, self._results = trials, time.monotonic(), 0
        super().__init__(total, lambda each: label_of(each.values), quiet)

    def _display(self, console: Any) -> Any:
        from rich.live import Live

        return Live(console=console, refresh_per_second=4, transient=True)  # a table of all comes after it

    def told(self, result: Any, share: float) -> None:
        """Shows the result of a trial that was trained up to a share of its rounds."""
        with self._lock:
            self._shares.pop(result.name, None)
            self._results += 1
            if not self._live:
                part = "" if share >= 1 else f" at {100 * share:.3g} % of its rounds"
                self.say(f"{result.name} {self._label(result)}: {score(result)}{part} "
                         f"({count(result.rounds, 'round')}, {duration(result.seconds)})")  # fmt: skip
            self._show()

    def _show(self) -> None:
        if not self._live:
            return
        from rich import box
        from rich.table import Table

        order = self._trials()
        about = f"{len(order)} of {count(self._total, 'trial')} begun, {count(self._results, 'result')}, "
        about += f"{len(self._shares)} running, {duration(time.monotonic() - self._began)}"
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, caption=about, caption_justify="left")
        for name in ("", "trial", "validation", "of its rounds"):
            table.add_column(name, justify="right", no_wrap=True)
        table.add_column("")
        for place, each in enumerate([each for each in order if each.done][:SHOWN], 1):
            share, result = each.done[-1]
            table.add_row(str(place), str(each.number), score(result), f"{100 * share:.3g} %", label_of(each.values))
        self._live.update(table)
