"""The HTML report of a table: one self-contained page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hdl.cli.common import count, duration, percent, shown_rmse
from hdl.report import columns, effects, figures, learning, page, quality, regression, spec_section
from hdl.report.measured import Measured

if TYPE_CHECKING:
    from hdl.report.feature_pictures import Picture

KINDS = {"autoencoder": "Autoencoder", "stacked": "Stacked autoencoder", "rbm": "RBM", "dbn": "Deep belief network"}
MANY_CLASSES = 30  # from here on the confusion matrix is a picture


@dataclass
class Facts:
    """Everything that the page shows; plain values, so that a page can be made without a table.

    Parameters
    ----------
    table : str
        Path of the table.
    version, sha256 : int, str
        The version whose weights are described, and the SHA-256 of `w`.
    spec : dict
        The spec's JSON.
    classes : sequence or None
        Names of the classes.
    data : list of (name, value)
        The data's summary.
    rows : list of dict
        Metrics of the rounds: `round`, and where known `cost`, `accuracy`, `val_cost`,
        `val_accuracy` and other `val_…`, `seconds`, `samples`, `workers`.
    measured : list of Measured
        The headline shows the first; the confusion matrix is that of the first that has one.
    columns : list of columns.Row
        Of a table: see `hdl.report.columns`.
    first_layer : array [I, H], optional
    pictures : list of Picture
        See `hdl.report.feature_pictures`.
    image : tuple, optional
        (height, width) or (height, width, channels) of the input.
    seconds : float
        Time of all rounds.
    metric : str, optional
        That decided which version is the best; None: the cost.
    """

    table: str
    version: int
    sha256: str
    spec: dict[str, Any]
    classes: Sequence[Any] | None
    data: list[tuple[str, Any]]
    rows: list[dict[str, Any]]
    measured: list[Measured] = field(default_factory=list)
    columns: list[columns.Row] = field(default_factory=list)
    first_layer: NDArray | None = None
    image: tuple[int, ...] | None = None
    pictures: list[Picture] = field(default_factory=list)
    seconds: float = 0.0
    made: str = ""
    metric: str | None = None


def render(facts: Facts) -> str:
    """Write the page as HTML text; equal facts give equal text."""
    model = facts.spec.get("model", "network")
    net = " – ".join(str(width) for width in facts.spec.get("net") or ()) or model
    net = f"{KINDS[model]} {net}" if model in KINDS else net
    sections = [
        f'<header><div class="brand">hdl</div><h1>{page.text(net)}</h1>'
        f'<p class="path">{page.text(facts.table)}</p></header>',
        _headline(facts),
        quality.warning(facts),
        learning.section(facts),
        quality.measures(facts),
        quality.curves(facts),
        regression.section(facts),
        _confusion(facts),
        quality.each_class(facts),
        *effects.sections(facts),
        _pictures(facts),
        _weights(facts),
        _columns(facts),
        _times(facts),
        page.section("Data", "What was found out before training.", page.lines(facts.data)) if facts.data else "",
        spec_section.section(facts.spec, bool(facts.columns)),
        f"<footer>Version {facts.version} of {page.text(facts.table)}"
        f"{' · made ' + page.text(facts.made) if facts.made else ''}</footer>",
    ]
    return page.page(f"{net} · hdl", sections)


def _headline(facts: Facts) -> str:
    items = []
    for score in facts.measured[:1]:
        where = f"{count(score.samples, 'sample')} of {score.source}"
        if score.accuracy is not None:
            items.append((f"{score.kind} accuracy", percent(score.accuracy), where))
        if score.loss is not None:
            items.append((f"{score.kind} {score.loss[0]}", f"{score.loss[1]:.4g}", where))
        if score.r2 is not None:
            items.append((f"{score.kind} R²", f"{score.r2:.4f}", where))
        if score.rmse is not None:
            items.append((f"{score.kind} RMSE", shown_rmse(score.rmse), "in the target's unit" if items else where))
        about = "mean loss" if score.rmse is None else "mean loss, of standardised targets"
        cost = f"{score.cost:.4g}" if np.isfinite(score.cost) else "–"
        items.append((f"{score.kind} cost", cost, about if items else where))
    rounds = max((int(row["round"]) for row in facts.rows), default=0)
    items.append(("Time", duration(facts.seconds), f"{rounds} rounds" if rounds != 1 else "1 round"))
    samples = sum(row.get("samples") or 0 for row in facts.rows)
    if samples and facts.seconds:
        items.append(("Speed", f"{_short(samples / facts.seconds)}/s", "samples trained a second"))
    digest = f'<p class="hash" title="SHA-256 of the weights">SHA-256 of the weights&ensp;{page.text(facts.sha256)}</p>'
    return f"<div>{page.cards(items)}</div>{digest}"


def _confusion(facts: Facts) -> str:
    for score in facts.measured:
        if score.confusion is not None:
            return _matrix(facts, score, score.confusion)
        if score.mistakes:
            classes = facts.classes or range(1 + max(max(pair[:2]) for pair in score.mistakes))
            rows = [(classes[true], classes[guess], f"{count:,}") for true, guess, count in score.mistakes[:12]]
            note = f"Of {len(classes):,} classes, too many for a matrix: the most frequent mistakes."
            title = f"Mistakes: {score.kind.lower()} data"
            return page.section(title, note, page.table(("true", "taken for", "times"), rows))
    return ""


def _matrix(facts: Facts, score: Measured, confusion: NDArray) -> str:
    """Make the section of one confusion matrix."""
    classes = facts.classes if facts.classes is not None else range(len(confusion))
    wrong = int(confusion.sum() - np.trace(confusion))
    note = f"Rows are true classes, columns what the network says. {wrong:,} of {score.samples:,} samples are mistaken."
    if len(confusion) > MANY_CLASSES:
        content = page.confusion_picture(figures.heat(confusion), len(confusion))
    else:
        content = page.confusion(confusion, classes)
    title = f"Confusion matrix: {score.kind.lower()} data"
    return page.section(title, note, content, _mistakes(confusion, classes))


def _mistakes(confusion: NDArray, classes: Sequence[Any]) -> str:
    """Put the most frequent mistakes into words."""
    off = confusion - np.diag(np.diag(confusion))
    worst = [int(at) for at in np.argsort(-off, axis=None, kind="stable")[:3] if off.flat[at] > 0]
    names = [page.short(name) for name in classes]
    pairs = [(names[at // len(off)], names[at % len(off)], int(off.flat[at])) for at in worst]
    if not pairs:
        return ""
    said = "; ".join(f"{true} taken for {guess} ({count}×)" for true, guess, count in pairs)
    return f'<p class="note" style="margin-top:10px">Most frequent: {page.text(said)}.</p>'


def _pictures(facts: Facts) -> str:
    if not facts.pictures:
        return ""
    shown = "".join(page.picture(picture.title, picture.note, picture.png) for picture in facts.pictures)
    return page.section("What was learned", "", f'<div class="pair">{shown}</div>')


def _weights(facts: Facts) -> str:
    w, shape = facts.first_layer, facts.image
    if w is None or shape is None:
        return ""
    shape = tuple(shape[:2]) if len(shape) == 3 and shape[2] == 1 else tuple(shape)
    if int(np.prod(shape)) != len(w) or (len(shape) == 3 and shape[2] != 3):
        return ""
    pictures = figures.weight_tiles(w, shape)
    colors = "their own colours" if len(shape) == 3 else "blue raises the unit, orange lowers it"
    note = f"What {len(pictures)} of {w.shape[1]} hidden units look for, the strongest first; {colors}."
    return page.section("First layer", note, page.tiles(pictures))


def _columns(facts: Facts) -> str:
    """Make the section of a table's columns."""
    shown = columns.shown(facts.columns)
    if not shown:
        return ""
    moves = [row.moves for row in shown]
    known = [move for move in moves if move is not None and np.isfinite(move)]
    most = max(known, default=0.0) or 1.0
    shares = [move / most if known and move is not None and np.isfinite(move) else None for move in moves]
    head = ["column", "kind", "inputs", "what they are", "missing", "moves the first layer" if known else ""]
    cells = [
        (
            row.name,
            row.kind,
            f"{row.inputs:,}" if row.inputs else "–",
            row.about,
            f"{row.missing:,}" if row.missing else "",
        )
        for row in shown
    ]
    note = "A bar says how far a deviation of a number, or another level of a category, moves the first layer."
    many = f" {len(shown)} of {len(facts.columns):,} columns are shown." if len(facts.columns) > len(shown) else ""
    return page.section("Columns", (note if known else "") + many, page.barred(head, cells, shares))


def _count(number: int) -> str:
    return f"{number:,}" if number else "–"


def _times(facts: Facts) -> str:
    """Draw rounds as bars and workers as dots, and a table of the workers."""
    timed = [row for row in facts.rows if _number(row.get("seconds"))]
    if not timed:
        return ""
    by_worker: dict[str, list[tuple[float, float, float]]] = {}
    for row in timed:
        for worker in row.get("workers") or ():
            entry = (row["round"], worker.get("seconds", 0.0), len(worker.get("shards") or ()))
            by_worker.setdefault(str(worker.get("worker", "?")), []).append(entry)
    workers = [(name, *np.array(entries, float).T) for name, entries in sorted(by_worker.items(), key=_natural)]
    rounds, seconds = (np.array([row[key] for row in timed], float) for key in ("round", "seconds"))
    svg = figures.times("Seconds of each round and worker", rounds, seconds, [worker[:3] for worker in workers])
    series = [(number % len(figures.SERIES), f"worker {name}") for number, (name, *_) in enumerate(workers)]
    drawing = page.figure(svg, "Seconds a round", series[: len(figures.SERIES)]).replace(
        "<svg", '<div class="wide"><svg', 1
    )
    parts = [drawing.replace("</svg>", "</svg></div>")]
    if workers:
        head = ("worker", "rounds", "shards", "mean", "longest", "total")
        parts.append(page.table(head, (_worker(*worker) for worker in workers)))
    note = f"Mean {duration(seconds.mean())}, longest {duration(seconds.max())}; bars are rounds, dots workers."
    return page.section("Time", note, *parts)


def _worker(name: str, rounds: NDArray, seconds: NDArray, shards: NDArray) -> tuple[str, ...]:
    times = (duration(value) for value in (seconds.mean(), seconds.max(), seconds.sum()))
    return name, str(len(np.unique(rounds))), str(int(shards.max())), *times


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and bool(np.isfinite(value))


def _natural(item: tuple[str, Any]) -> tuple[int, str]:
    return (len(item[0]), item[0])


def _short(value: float) -> str:
    for limit, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= limit:
            return f"{value / limit:.3g}{unit}"
    return f"{value:.3g}"
