"""Population based training (Jaderberg et al. 2017): the trials are a population that trains together.

After each generation the worst of them become children of the best: a child goes on from the weights of a parent, with
hyper-parameters of its two parents that are moved a little. The others train on as they are. What is drawn is drawn by
seed, generation and trial, and a generation begins when the one before it has ended: the order of results decides
nothing. Parents are drawn as mode `genetic` draws them: see `hdl.sync.genetic`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hdl import rng
from hdl.errors import SpecError
from hdl.search.space import Parameter, Space
from hdl.search.tasks import Ready, Scheduler, Task, best
from hdl.spec import Spec
from hdl.sync import genetic

ETA, GENERATIONS = 4, 10
STEP = 0.1  # of its range, or of the range's logarithm, by which a number moves
ANEW = 0.25  # probability that a choice is drawn anew
# Of a spec what may change in the middle of a training: neither shapes nor which samples are read.
FREE = ("optimizer", "l1", "l2", "max_norm", "dropout", "input_dropout", "label_smoothing")


class Population(Scheduler):
    """Lets every trial train in all generations; of `eta` trials the worst one becomes a child of the best ones.

    Parameters
    ----------
    size : int
        Trials.
    eta, generations : int
    seed : int
    """

    def __init__(self, size: int, eta: int = ETA, generations: int = GENERATIONS, seed: int = 1):
        if eta < 2:
            raise SpecError(f"--eta: expected a whole number from 2 on (given {eta})")
        self._size, self._eta, self._generations, self._spec = size, eta, generations, Spec(seed=seed)
        self._left, self._losses = [Task(number, 1 / generations) for number in range(size)], dict[int, float]()

    def ask(self, ready: Ready) -> Task | None:
        if self._left and (self._left[0].rung or ready(self._left[0].number)):
            return self._left.pop(0)
        return None

    def tell(self, task: Task, loss: float, curve: Sequence[float] = ()) -> None:
        # The weights that go on are the last ones, whatever was the best of their rounds.
        self._losses[task.number] = curve[-1] if curve and math.isfinite(loss) else loss
        if len(self._losses) == self._size and task.rung + 1 < self._generations:
            self._left, self._losses = self._next(task.rung + 1), {}

    def _next(self, generation: int) -> list[Task]:
        losses = self._losses
        share = (generation + 1) / self._generations
        pool = best(losses, max(1, self._size // self._eta))
        stay = set(best(losses, self._size - self._size // self._eta)) if pool else set(losses)
        places = sorted(losses, key=lambda number: (losses[number], number))
        costs = np.empty(self._size)  # a wheel of ranks: a loss has no zero of its own
        costs[places] = np.arange(1, self._size + 1)

        def parents(number: int) -> tuple[int, int]:
            if number in stay:
                return number, number
            return genetic.choose(self._spec, generation, number, np.array(pool), costs)

        return [Task(number, share, generation, parents=parents(number)) for number in range(self._size)]


def make_child(
    space: Space, seed: int, generation: int, number: int, parents: Sequence[Mapping[str, Any]], fixed: Sequence[str]
) -> dict[str, Any]:
    """Make a child's hyper-parameters: each of one of its two parents, and moved.

    Parameters
    ----------
    space : Space
    seed, generation, number : int
        By which it is drawn.
    parents : (dict, dict)
        Their values; the weights are the first one's.
    fixed : sequence of str
        Parameters that belong to the weights, and stay as they are.
    """
    key, values = rng.derive(seed, rng.POPULATION), dict[str, Any]()
    for at, each in enumerate(space.parameters):
        whose, move, where = rng.uniforms(key, generation, number, at, n=3)[:3].tolist()
        inherited = parents[0 if each.name in fixed or whose < 0.5 else 1][each.name]
        values[each.name] = inherited if each.name in fixed else _moved(each, inherited, move, where)
    return values


def _moved(parameter: Parameter, value: Any, move: float, where: float) -> Any:
    if parameter.kind == "choice":
        return parameter.at(where) if move < ANEW else value
    place = parameter.place(value) + (STEP if where < 0.5 else -STEP)
    return parameter.at(min(max(place, 0.0), 1.0))


def fixed_of(space: Space, specs: Mapping[str, Sequence[Spec]]) -> list[str]:
    """List the parameters that a child takes as they are from whom it has its weights.

    Parameters
    ----------
    space : Space
    specs : dict of str to sequence of Spec
        Of each parameter, specs that differ by it alone.
    """

    def fields(spec: Spec) -> dict[str, Any]:
        return spec.model_dump(exclude={*FREE, "auto"})

    return [each.name for each in space.parameters
            if any(fields(spec) != fields(specs[each.name][0]) for spec in specs[each.name])]  # fmt: skip
