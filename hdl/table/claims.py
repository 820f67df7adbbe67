"""The claims of a training: on its table, or on the several tables of a stack, all of them at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from hdl.table import Table, Version


class Claims:
    """Takes over the tables of a training's stages when it writes for the first time.

    All that are still to be written are taken then, so that an earlier run that wakes between two stages cannot begin
    the next one.

    Parameters
    ----------
    folders : sequence of str
        Of the stages, in their order.
    seen : dict of str to int
        Epochs of the folders' owners when the training decided what to do: 0 of those that are not named.
    """

    def __init__(self, folders: Sequence[str], seen: Mapping[str, int]):
        self.tables = [Table(folder) for folder in folders]
        self._seen = seen

    def take(self, table: Table, base: Version | None = None, run: str = "") -> None:
        """Claims one of the tables and all after it, unless that was done.

        Parameters
        ----------
        table : Table
            One of `tables`.
        base : Version, optional
            Of it, that the training goes on from.
        run : str
            Id of a new run that writes to it, where that has one.

        Raises
        ------
        Fenced
            Another run has claimed one of them since the training began.
        """
        for each in self.tables[self.tables.index(table) :]:
            if each.owner is None:
                own = (base, run) if each is table else (None, "")
                each.claim(own[0], self._seen.get(each.path, 0), own[1])
