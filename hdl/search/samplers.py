"""Samplers: which hyper-parameters a trial of a search has, as a pure function of the seed and the trial's number.

`tpe` looks at the trials before, in waves of a fixed size: a wave begins when all trials of the waves before it have
been measured, and learns from these in the order of their numbers. So the number of workers decides nothing.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

from hdl import rng
from hdl.errors import Unavailable
from hdl.search.space import Parameter, Space

WAVE = 4  # trials that are drawn by one look at those before
SOBOL_MOST = 1 << 20
Seen = tuple[int, dict[str, Any], float]  # a trial's number, its values and its loss, of which less is better
Sampler = Callable[[Space, int, int, Sequence[Seen]], dict[str, Any]]


def random(space: Space, seed: int, number: int, seen: Sequence[Seen] = ()) -> dict[str, Any]:
    """Draws each parameter by itself."""
    count = len(space.parameters)
    return space.at(rng.uniforms(rng.derive(seed, rng.TRIALS), number, n=count)[:count].tolist())


def sobol(space: Space, seed: int, number: int, seen: Sequence[Seen] = ()) -> dict[str, Any]:
    """Takes the point of Sobol's sequence, which leaves no large gaps, shifted by the seed (Cranley & Patterson 1976).

    Raises
    ------
    Unavailable
        SciPy is not installed.
    """
    try:
        from scipy.stats import qmc
    except ImportError:
        raise Unavailable("--sampler sobol needs SciPy: pip install 'hdl-hadoop[sklearn]'") from None
    count = len(space.parameters)
    sequence = qmc.Sobol(count, scramble=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # that it is balanced at powers of 2 alone
        point = sequence.fast_forward(number).random(1)[0] if number else sequence.random(1)[0]
    shift = rng.uniforms(rng.derive(seed, rng.SHIFT), n=count)[:count]
    return space.at(((point + shift) % 1.0).tolist())


def tpe(space: Space, seed: int, number: int, seen: Sequence[Seen] = ()) -> dict[str, Any]:
    """Draws where good trials are denser than the others: Optuna's tree-structured Parzen estimator (Bergstra 2011).

    Parameters
    ----------
    seen : sequence of Seen
        Trials of the waves before.

    Raises
    ------
    Unavailable
        Optuna is not installed.
    """
    try:
        import optuna
    except ImportError:
        raise Unavailable("--sampler tpe needs Optuna: pip install 'hdl-hadoop[search]'") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    wave, within = divmod(number, WAVE)
    distributions = {each.name: _distribution(each, optuna.distributions) for each in space.parameters}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Optuna calls experimental
        settings: dict[str, Any] = {"n_startup_trials": 2 * WAVE, "constant_liar": True, "multivariate": True}
        drawn = rng.words(rng.derive(seed, rng.TRIALS), wave, n=1)[0]
        study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=int(drawn), **settings))
        for _, values, loss in sorted(seen, key=lambda each: each[0]):
            if math.isfinite(loss):
                study.add_trial(optuna.trial.create_trial(params=values, distributions=distributions, value=loss))
        for _ in range(within + 1):
            found = study.ask(fixed_distributions=distributions).params
    return {each.name: _rounded(each, found[each.name]) for each in space.parameters}


def _distribution(parameter: Parameter, kinds: Any) -> Any:
    if parameter.kind == "choice":
        return kinds.CategoricalDistribution(parameter.values)
    log = parameter.kind == "log"
    if parameter.whole:
        return kinds.IntDistribution(int(parameter.low), int(parameter.high), log=log)
    return kinds.FloatDistribution(parameter.low, parameter.high, log=log)


def _rounded(parameter: Parameter, value: Any) -> Any:
    if parameter.kind == "choice" or parameter.whole:
        return value
    return min(max(float(f"{value:.6g}"), parameter.low), parameter.high)


SAMPLERS: dict[str, Sampler] = {"random": random, "sobol": sobol, "tpe": tpe}


def waits_for(name: str, number: int) -> int:
    """Counts the trials, from the first one on, that must have been measured before a trial is drawn."""
    return number // WAVE * WAVE if name == "tpe" else 0
