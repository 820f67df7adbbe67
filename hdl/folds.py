"""Cross-validation: a training for each fold, which it holds out, and answers by networks that have not seen the row.

Folds are dealt out by the seed, the same share of each class to each (`hdl.data.holdout.Folds`), or a column names
them. Nothing that a fold's training fits sees the fold: neither weights nor scales, vocabularies or quantiles. The
folder of a cross-validation holds a weight table a fold, ``fold1``, ``fold2``, …, and ``folds.json`` with the measures.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hdl import data, fs, strict_json
from hdl.arrow import pa
from hdl.data import Bad, Block, Options, Source
from hdl.data.holdout import reading
from hdl.data.labels import canonical
from hdl.errors import DataError, SpecError, TableError
from hdl.evaluation import Score
from hdl.outputs import put
from hdl.predict import Model
from hdl.search.grid import Combination, read
from hdl.spec import Holdout, Spec
from hdl.table import Table

FILE = "folds.json"
FINAL = "final"  # table of the network that is trained on all rows afterwards
MOST = 100  # folds


@dataclass(frozen=True)
class Cut:
    """Says how rows are parted into folds.

    Parameters
    ----------
    count : int
        Folds, dealt out by the seed; 0: a column names them.
    column : str or None
    values : tuple of str
        Of the column, one a fold.
    """

    count: int = 0
    column: str | None = None
    values: tuple[str, ...] = ()

    @property
    def folds(self) -> int:
        """Number of folds."""
        return len(self.values) if self.column else self.count

    def combinations(self, spec: Spec) -> list[Combination]:
        """Make the training of each fold; ``fold1`` holds the first one out.

        Raises
        ------
        SpecError
            The spec holds out samples already.
        """
        if spec.validated:
            raise SpecError("folds: each of them is held out once; give one of --folds and --validation")
        out, left = [], _left(spec)
        for number in range(self.folds):
            if self.column:
                rule, shown = Holdout(column=self.column, value=self.values[number]), self.values[number]
            else:
                rule, shown = Holdout(stratified=True, folds=self.count, fold=number), str(number + 1)
            out.append(
                Combination(f"fold{number + 1}", {"fold": shown}, spec.with_(holdout=rule.model_dump(), auto=left))
            )
        return out


def cut(text: str, path: str, options: Options) -> Cut:
    """Read how folds are asked for: a number of them, or ``column:NAME``, whose values are read in one pass.

    Raises
    ------
    SpecError, DataError
        It is neither; the column is not there, is missing in a row, or has one value or more than 100.
    """
    if text.isdecimal():
        if not 2 <= int(text) <= MOST:
            raise SpecError(f"--folds: expected a number from 2 to {MOST} (given {text})")
        return Cut(int(text))
    kind, _, name = text.partition(":")
    if kind != "column" or not name.strip():
        raise SpecError(f"--folds: expected a number, such as 5, or column:NAME (given {text!r})")
    name = name.strip()
    source, found = with_column(path, options, name), dict[str, int]()
    bad = Bad(options.max_bad_records)
    for splits in source.splits(1):
        for block in source.read(splits, bad):
            for row, value in enumerate(values_of(block, name)):
                if value is None:
                    raise DataError(f"column {name!r} is missing; each row is in one fold", **block.where(row))
                found[value] = found.get(value, 0) + 1
            if len(found) > MOST:
                raise SpecError(f"--folds: column {name!r} has more than {MOST} values; folds are at most as many")
    if len(found) < 2:
        raise SpecError(f"--folds: column {name!r} is {next(iter(found), 'nothing')!r} alone; expected 2 folds or more")
    numeric = all(value.lstrip("-").isdecimal() for value in found)
    return Cut(0, name, tuple(sorted(found, key=(lambda value: (int(value), value)) if numeric else None)))


def with_column(path: str, options: Options, name: str, schema: Any = None) -> Source:
    """Open a table with a column that is carried along, and is no feature."""
    options = reading(Options.make(options, held=()), Spec(holdout=Holdout(column=name, value="")))
    try:
        source = data.open_source(path, Options.make(options, held=(), keep=(name,)), schema)
    except DataError as error:
        flag = f"--folds column:{name}"
        told = error.message.replace(f"--ignore {options.ignore[-1]}", flag).replace(f"--keep {name}", flag)
        raise DataError(told, error.path, error.line, error.offset) from None
    if source.kept_schema is None:
        raise DataError(f"--folds: {source.format} samples without plain columns have no column {name!r}", path)
    return source


def values_of(block: Block, name: str) -> list[str | None]:
    """Give the values of a column that is carried along as texts: 3.0 as 3; None where it is missing."""
    column = block.kept.column(block.kept.schema.names.index(name))
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    texts: dict[Any, str | None] = {}
    out = []
    for value in column.to_pylist():
        if value not in texts:
            missing = value is None or value != value or (isinstance(value, str) and not value.strip())
            texts[value] = None if missing else str(canonical(value.strip() if isinstance(value, str) else value))
        out.append(texts[value])
    return out


@dataclass
class Fold:
    """The measures of one fold by the network that has not seen it.

    Parameters
    ----------
    number : int
        From 1.
    value : str
        Of the column that names folds; else the number.
    table : str
    version : int
        That answers.
    sha256 : str
    samples : int
    metrics : dict of str to float or None
    """

    number: int
    value: str
    table: str
    version: int
    sha256: str
    samples: int
    metrics: dict[str, float | None]


@dataclass
class Found:
    """Holds what a cross-validation found.

    Parameters
    ----------
    folds : list of Fold
    mean, spread : dict of str to float
        Of the folds' measures: their mean, and their standard deviation with n - 1.
    score : Score
        Of all rows, each by the network that had not seen it: exact, and no mean of the folds' measures.
    records, empty : int
        Rows of the data, and those without an answer.
    """

    folds: list[Fold]
    mean: dict[str, float]
    spread: dict[str, float]
    score: Score
    records: int = 0
    empty: int = 0
    places: list[str] = field(default_factory=list)

    def plain(self) -> dict[str, Any]:
        """Give plain values of JSON."""
        folds = [vars(each) for each in self.folds]
        whole = {"samples": self.score.samples, "metrics": self.score.metrics}
        rows = {"records": self.records, "empty": self.empty}
        return {"folds": folds, "mean": self.mean, "spread": self.spread, "out_of_fold": whole, **rows}


def models(out: str, count: int, threads: int = 1, device: str = "cpu") -> list[Model]:
    """Open the network of each fold: its last version, or with early stopping the best one.

    Without early stopping no version is chosen by its measures on the fold, so that these stay unbiased.
    """
    found = []
    for number in range(1, count + 1):
        path = fs.join(out, f"fold{number}")
        version = Table(path).latest()
        if version is None:
            raise TableError(f"{path}: there is no version; the fold's training has not begun")
        patient = Table(path).header(0)["spec"].get("patience")
        found.append(Model(path, None if patient else version, threads, device))
    return found


def summarise(metrics: Sequence[Mapping[str, float | None]]) -> tuple[dict[str, float], dict[str, float]]:
    """Compute mean and standard deviation (n - 1) of each measure that all folds have.

    Examples
    --------
    >>> summarise([{"auc": 0.5, "f1": None}, {"auc": 1.0, "f1": 0.5}])
    ({'auc': 0.75}, {'auc': 0.3535533905932738})
    """
    mean, spread = dict[str, float](), dict[str, float]()
    for name in metrics[0]:
        values = [value for each in metrics if (value := each.get(name)) is not None]
        if len(values) == len(metrics):
            mean[name] = math.fsum(values) / len(values)
            squares = math.fsum((value - mean[name]) ** 2 for value in values)
            spread[name] = math.sqrt(squares / (len(values) - 1))
    return mean, spread


def final_spec(spec: Spec, networks: Sequence[Model]) -> Spec:
    """Make the spec of the training on all rows: where folds stopped early, of as many epochs as the median of them.

    Parameters
    ----------
    spec : Spec
        As the folds were asked for.
    """
    rest: dict[str, Any] = {"holdout": {}, "validation": 0.0, "patience": 0, "metric": None, "auto": _left(spec)}
    found = networks[0].spec  # with what was left to hdl
    if spec.patience and found.sync.unit == "epochs":
        every = 1 if found.sync.mode == "gradient" else found.sync.every
        taken = sorted(max(1, model.version.number * every) for model in networks)
        left = tuple(path for path in _left(spec) if path not in ("epochs", "sync.every"))
        sync = {**spec.sync.model_dump(), "every": found.sync.every}
        rest |= {"epochs": min(found.epochs, taken[len(taken) // 2]), "sync": sync, "auto": left}
    return spec.with_(**rest)


def _left(spec: Spec) -> tuple[str, ...]:
    """List what is left to hdl but for the validation, which folds are."""
    return tuple(path for path in spec.auto if path != "validation")


def load(out: str) -> dict[str, Any] | None:
    """Read ``folds.json``; None if there is none.

    Raises
    ------
    TableError
        It is not one that `save` wrote.
    """
    names = ("data", "options", "spec", "cut", "found")
    return read(
        fs.join(out, FILE),
        lambda fields: {name: fields[name] for name in names} | {"init_from": fields.get("init_from", "")},
    )


def save(
    out: str, path: str, options: Options, spec: Spec, cut: Cut, found: Found | None = None, init_from: str = ""
) -> None:
    """Write ``folds.json``, over an older one."""
    fields = {
        "data": path,
        "options": options.model_dump(mode="json"),
        "init_from": init_from,
        "spec": spec.model_dump(mode="json"),
        "cut": vars(cut) | {"values": [*cut.values]},
        "found": found and found.plain(),
    }
    fs.mkdir(out)
    put(fs.join(out, FILE), strict_json.dumps(fields, indent=1).encode())
