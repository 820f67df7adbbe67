"""Defines a training's log: points of scalars, the training that they tell of, and a writer of them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hdl.errors import OutputError
from hdl.loggers import secrets
from hdl.outputs import check_folder


@dataclass(frozen=True)
class Point:
    """Scalars of the weights after some rounds.

    Parameters
    ----------
    step : int
        Rounds behind the weights: 0 for the first ones.
    time : float
        When they were measured, as Unix time in seconds.
    values : dict of str to float
        Finite numbers by their names.
    """

    step: int
    time: float
    values: Mapping[str, float]


@dataclass(frozen=True)
class Training:
    """The training that is logged.

    Parameters
    ----------
    run : str
        Id of the run, that its table holds.
    table : str
        Folder of its weight table.
    part : str
        Name among several trainings of one command, as layer2 of a stack; '' for the only one.
    spec : dict
        The spec's JSON.
    validated : bool
        Whether rounds are measured on validation samples.
    """

    run: str
    table: str
    part: str
    spec: Mapping[str, Any]
    validated: bool


class Writer:
    """Keeps the log of a training at one place; a subclass a kind of place.

    `check` is called before the training, and its errors end the command. The others are called in a thread of the
    log's own, in this order: `begin`, `write` again and again, `end`. After an error they may be called again, from
    `begin` on, which finds out what is there already.

    Parameters
    ----------
    scheme, target : str
        The flag's two halves, as tensorboard and DIR.
    """

    seconds = 10.0  # that the end of a training waits for what is not yet written

    def __init__(self, scheme: str, target: str):
        self.target = target
        self.shown = f"{scheme}:{secrets.masked(target)}"  # for people; no password is in it

    def check(self, runs: Mapping[str, str | None], overwrite: bool) -> None:
        """Refuses a place that cannot take the log, before the training.

        Parameters
        ----------
        runs : dict of str to str or None
            Of each part of the training the id of the run that it goes on with; None for a new one.
        overwrite : bool
            Whether the log of an earlier training is replaced.

        Raises
        ------
        SpecError, OutputError, Unavailable
        """

    def check_folder(self, folder: Path) -> None:
        """Refuses a folder of this machine that takes no new files, by making one; it may be one that will be made."""
        check_folder(str(folder), str(folder))
        there = folder.absolute()
        while not os.path.lexists(there) and there.parent != there:
            there = there.parent
        try:
            with tempfile.TemporaryFile(dir=there):
                pass
        except OSError as error:
            raise OutputError(f"--log {self.shown}: {there} takes no new files ({error.strerror})") from None

    def begin(self, training: Training, overwrite: bool) -> Mapping[str, int]:
        """Opens the log of a training, and returns the last step that it has of each name."""
        raise NotImplementedError

    def write(self, points: Sequence[Point]) -> None:
        """Adds points, by ascending steps; they are at their place when this returns."""
        raise NotImplementedError

    def end(self, state: str) -> None:
        """Closes the log of a training that is 'finished', 'stopped' or 'failed'."""
