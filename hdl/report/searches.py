"""The page of a search: its trials, where good ones lie, which hyper-parameters matter, and the curves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hdl.errors import Unavailable
from hdl.metrics import METRICS
from hdl.outputs import put
from hdl.report import lineage, page
from hdl.report.figures import FAINT, INK, SERIES, _canvas, _matplotlib, _svg
from hdl.search.grid import shown
from hdl.search.trials import Asked, Trial, curve_of, loss_of, ranked, state_of

ROWS = 60  # of the table of trials
BEST = 5  # trials that stand out
FEWEST = 8  # trials from which importances are told
REPEATS = 20


def write(path: str, data: str, asked: Asked, trials: Sequence[Trial], stopped: set[int]) -> None:
    """Write the page.

    Raises
    ------
    Unavailable
        matplotlib is not installed.
    """
    put(path, html(data, asked, trials, stopped).encode())


def html(data: str, asked: Asked, trials: Sequence[Trial], stopped: set[int]) -> str:
    """Make the page of a search's trials."""
    order = [each for each in ranked(trials) if each.result and each.result.score is not None]
    parts = ['<header><div class="brand">hdl</div><h1>Search</h1>', f'<p class="path">{page.text(data)}</p></header>']
    if not order:
        return page.page("hdl search", [*parts, page.warning("no trial has a score")])
    best = order[0]
    assert best.result is not None
    assert best.result.score is not None
    title = METRICS[best.result.decides].title
    ended = sum(state_of(each, stopped) == "done" for each in trials)
    parts.append(page.cards([
        (f"best validation {title}", f"{best.result.score:.6g}", f"trial {best.number}; trials were chosen by it"),
        ("trials", f"{len(trials)}", f"{ended} to their ends, " + (
            f"{lineage.children(trials)} times one became a child of others" if asked.scheduler == "pbt"
            else f"{len(stopped)} stopped for others")),
        ("sampler", asked.sampler, f"seed {asked.seed}"),
        ("scheduler", asked.scheduler, f"measured by {asked.folds} folds" if asked.folds else "measured by validation"),
    ]))  # fmt: skip
    note = "Each line is a trial; the best ones are drawn on top. Stopped ones are measured at an earlier round."
    parts.append(page.section("Where good trials lie", note, _coordinates(asked, order, title)))
    if asked.scheduler == "pbt":
        parts.append(lineage.section(asked, ranked(trials)))
    parts.append(_importance_section(asked, order))
    note = "Validation of every trial over its rounds; those that were stopped end early."
    parts.append(page.section("Curves", note, _curves(order, stopped, title)))
    parts.append(_table(asked, trials, stopped, title))
    return page.page("hdl search", parts)


def _coordinates(asked: Asked, order: Sequence[Trial], title: str) -> str:
    """Draw parallel coordinates: an axis a parameter, and the measure as the last one."""
    parameters = asked.space.parameters
    with _canvas(9.6, 3.8) as (figure, axes):
        losses = np.array([loss_of(each.result) for each in order if each.result])
        low, high = losses.min(), losses.max()
        places = range(len(parameters) + 1)
        for rank, each in reversed(list(enumerate(order))):
            y = [parameter.place(each.values[parameter.name]) for parameter in parameters]
            y.append(1 - (losses[rank] - low) / (high - low) if high > low else 0.5)
            top = rank < BEST
            axes.plot(places, y, color=SERIES[0] if top else INK, linewidth=2.2 if top else 0.8,
                      alpha=1 if top else 0.28, zorder=3 if top else 1, clip_on=False)  # fmt: skip
        for at, parameter in enumerate(parameters):
            axes.axvline(at, color=FAINT, linewidth=1, zorder=0)
            marks = [(parameter.place(value), shown(value)) for value in parameter.ends]
            for height, said in marks if len(marks) <= 8 else (marks[0], marks[-1]):
                axes.annotate(said, (at, height), xytext=(4, 5), textcoords="offset points", fontsize=8, va="center",
                              zorder=4, gid="over")  # fmt: skip
        axes.axvline(len(parameters), color=FAINT, linewidth=1, zorder=0)
        worst, best = (f"{abs(value):.4g}" for value in (high, low))
        for height, said in ((1, best), (0, worst)):
            axes.annotate(said, (len(parameters), height), xytext=(4, 0), textcoords="offset points", fontsize=8,
                          va="center")  # fmt: skip
        axes.set_xticks(list(places), [*(each.name for each in parameters), f"validation {title}"])
        axes.set_yticks([])
        axes.set_ylim(-0.05, 1.05)
        axes.grid(False)
        axes.spines["bottom"].set_visible(False)
        svg = _svg(figure, "parallel coordinates of the trials")
    return page.figure(svg, "Parallel coordinates", [(0, f"the best {min(BEST, len(order))}")])


def importances(asked: Asked, order: Sequence[Trial]) -> dict[str, float] | None:
    """Measure how much each hyper-parameter matters: the permutation importance of a random forest that predicts the
    losses of the trials (Breiman 2001); None of too few trials.

    Raises
    ------
    Unavailable
        scikit-learn is not installed.
    """
    parameters = asked.space.parameters
    finite = [each for each in sorted(order, key=lambda each: each.number) if each.result]
    if len(finite) < FEWEST:
        return None
    try:
        from sklearn.ensemble import RandomForestRegressor
        from sklearn.inspection import permutation_importance
    except ImportError:
        raise Unavailable("importances need scikit-learn: pip install 'hdl-hadoop[sklearn]'") from None
    x = np.array([[parameter.place(each.values[parameter.name]) for parameter in parameters] for each in finite])
    # Ranks, so that a few trials that failed to learn do not decide.
    y = np.argsort(np.argsort([loss_of(each.result) for each in finite if each.result], kind="stable"), kind="stable")
    forest = RandomForestRegressor(200, random_state=0, n_jobs=1).fit(x, y)
    found = permutation_importance(forest, x, y, n_repeats=REPEATS, random_state=0, n_jobs=1).importances_mean
    found = np.maximum(found, 0)
    total = found.sum()
    names = [each.name for each in parameters]
    shares = {name: float(value / total) if total else 0.0 for name, value in zip(names, found, strict=True)}
    return dict(sorted(shares.items(), key=lambda item: -item[1]))


def _importance_section(asked: Asked, order: Sequence[Trial]) -> str:
    try:
        found = importances(asked, order)
    except Unavailable as error:
        return page.section("Which hyper-parameters matter", str(error))
    if found is None:
        return page.section("Which hyper-parameters matter", f"Told of {FEWEST} trials or more.")
    note = "Share of the permutation importance in a random forest that predicts the trials' ranks."
    rows = [(name, f"{100 * share:.0f} %") for name, share in found.items()]
    return page.section("Which hyper-parameters matter", note, page.barred(("", "share"), rows, found.values()))


def _curves(order: Sequence[Trial], stopped: set[int], title: str) -> str:
    with _canvas(9.6, 3.8) as (figure, axes):
        higher = METRICS[order[0].result.decides].higher if order[0].result else False
        for rank, each in reversed(list(enumerate(order))):
            if not each.result:
                continue
            y = [-value if higher else value for value in curve_of(each.result)]
            top = rank < BEST
            ended = each.number in stopped
            axes.plot(range(1, len(y) + 1), y, color=SERIES[0] if top else SERIES[1] if ended else INK,
                      linewidth=2 if top else 0.9, alpha=1 if top else 0.5, zorder=3 if top else 1,
                      marker="o" if len(y) == 1 else None, markersize=3)  # fmt: skip
        axes.set_xlabel("round")
        axes.set_ylabel(f"validation {title}")
        axes.xaxis.set_major_locator(_matplotlib(".ticker").MaxNLocator(8, integer=True))
        svg = _svg(figure, "validation over rounds")
    series = [(0, f"the best {min(BEST, len(order))}"), (1, "stopped")]
    return page.figure(svg, f"Validation {title} over rounds", series)


def _table(asked: Asked, trials: Sequence[Trial], stopped: set[int], title: str) -> str:
    names = [each.name for each in asked.space.parameters]
    rows = []
    for place, each in enumerate(ranked(trials)[:ROWS], 1):
        result = each.result
        score = f"{result.score:.6g}" if result and result.score is not None else "–"
        values = [shown(each.values[name]) for name in names]
        state = state_of(each, stopped)
        rows.append((place, each.number, *values, score, result.rounds if result else 0, state))
    more = len(trials) - len(rows)
    note = f"The best {ROWS}; {more} more are in search.parquet." if more else ""
    return page.section("Trials", note, page.table(("", "trial", *names, title, "rounds", "state"), rows))
