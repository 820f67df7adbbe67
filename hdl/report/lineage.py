"""The lineage of a population (`hdl search --scheduler pbt`): who descends from whom, and with which settings."""

from __future__ import annotations

from collections.abc import Sequence

from hdl.report import page
from hdl.report.figures import INK, SERIES, _canvas, _matplotlib, _svg
from hdl.search.grid import shown
from hdl.search.trials import Asked, Trial


def ancestors(trials: Sequence[Trial], number: int) -> list[int]:
    """Name the trials whose weights a trial's went through, one a generation, itself last.

    Examples
    --------
    >>> from hdl.search.trials import Step
    >>> first, other = Trial(0, "", {}), Trial(1, "", {})
    >>> first.steps = [Step((0, 0), {}), Step((0, 0), {})]
    >>> other.steps = [Step((1, 1), {}), Step((0, 1), {})]
    >>> ancestors([first, other], 1)
    [0, 1]
    """
    by_number = {each.number: each for each in trials}
    line = [number]
    for generation in range(len(by_number[number].steps) - 1, 0, -1):
        line.append(by_number[line[-1]].steps[generation].parents[0])
    return line[::-1]


def children(trials: Sequence[Trial]) -> int:
    """Count how often a trial went on from another one's weights."""
    return sum(step.parents[0] != each.number for each in trials for step in each.steps)


def section(asked: Asked, order: Sequence[Trial]) -> str:
    """Make the section of the page: the picture, the rates, and the best trial's line; `order` has the best first."""
    line = ancestors(order, order[0].number)
    note = (
        "Each row is a trial, each column a generation. Where a line comes from another row, the trial took over the "
        "weights of that one, and its settings, moved a little. The line of the best one is drawn on top."
    )
    named = [each.name for each in asked.space.parameters]
    steps = {each.number: each.steps for each in order}
    rows = [(generation + 1, number, *(shown(steps[number][generation].values[name]) for name in named))
            for generation, number in enumerate(line)]  # fmt: skip
    parts = [_tree(order, line), *(_rates(asked, order, line, name) for name in _numbers(asked, order))]
    return page.section("Who descends from whom", note, *parts, page.table(("generation", "trial", *named), rows))


def _numbers(asked: Asked, order: Sequence[Trial]) -> list[str]:
    """List the parameters that are numbers and that children moved."""
    moved = [each.name for each in asked.space.parameters if each.kind != "choice"]
    return [name for name in moved if any(len({step.values[name] for step in each.steps}) > 1 for each in order)]


def _tree(order: Sequence[Trial], line: Sequence[int]) -> str:
    numbers = sorted(each.number for each in order)
    place = {number: len(numbers) - 1 - at for at, number in enumerate(numbers)}
    with _canvas(9.6, 1.2 + 0.26 * len(numbers)) as (figure, axes):
        for each in order:
            for generation, step in enumerate(each.steps):
                best = line[generation] == each.number
                style = {"color": SERIES[0] if best else INK, "alpha": 1 if best else 0.35, "zorder": 3 if best else 1}
                axes.plot(generation + 1, place[each.number], marker="o", markersize=6 if best else 4, **style)
                if generation:
                    child = step.parents[0] != each.number
                    ends = [place[step.parents[0]], place[each.number]]
                    axes.plot([generation, generation + 1], ends, linewidth=2.4 if best else 1.2 if child else 0.8,
                              **style)  # fmt: skip
        axes.set_yticks([place[number] for number in numbers], [str(number) for number in numbers])
        axes.set_xlabel("generation")
        axes.set_ylabel("trial")
        axes.xaxis.set_major_locator(_matplotlib(".ticker").MaxNLocator(12, integer=True))
        axes.grid(False)
        svg = _svg(figure, "lineage of the population")
    return page.figure(svg, "Lineage", [(0, f"the line of trial {line[-1]}, the best one")])


def _rates(asked: Asked, order: Sequence[Trial], line: Sequence[int], name: str) -> str:
    """Draw a parameter of all trials over the generations."""
    (parameter,) = (each for each in asked.space.parameters if each.name == name)
    steps = {each.number: each.steps for each in order}
    with _canvas(9.6, 2.6) as (figure, axes):
        for each in order:
            values = [step.values[name] for step in each.steps]
            axes.step(range(1, len(values) + 1), values, where="mid", color=INK, linewidth=0.8, alpha=0.4)
        best = [steps[number][generation].values[name] for generation, number in enumerate(line)]
        axes.step(range(1, len(best) + 1), best, where="mid", color=SERIES[0], linewidth=2.4, zorder=3)
        if parameter.kind == "log":
            axes.set_yscale("log")
        axes.set_xlabel("generation")
        axes.set_ylabel(name)
        axes.xaxis.set_major_locator(_matplotlib(".ticker").MaxNLocator(12, integer=True))
        svg = _svg(figure, f"{name} over the generations")
    return page.figure(svg, f"{name} over the generations", [(0, f"the line of trial {line[-1]}")])
