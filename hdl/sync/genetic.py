"""Mode `genetic`: the shards' networks are a population; the fit ones breed the next.

All candidates start from the same weights, so that unit u means the same in each of them and rows can be exchanged;
the shards' data and mutation make them differ. Each trains on its shard with an optimiser whose state starts at zero
every round, because no state fits an offspring of two. Its fitness is 1/cost on the common samples.

The next population, ranked by cost: the `elite` best unchanged; the others are children of two parents, drawn by
roulette wheel from the best `keep` share, crossed over and mutated. The n-th of them trains on shard
(n + round + 1) mod K, so that an elite sees all of the data in K rounds. `w` is the fittest network.

A *row* is all parameters that enter one unit: its column of W_l and its bias.

Letters: K shards, P parameters.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hdl import rng
from hdl.errors import NonFinite
from hdl.ops import layout
from hdl.spec import Spec
from hdl.wire import Tensors, Update, Weights

# Streams of one child's randomness: (key, round, child, stream); layers are added to ROWS.
PARENTS, MASK, NOISE, TABLES, ROWS = 0, 1, 2, 3, 16


def start(spec: Spec, w: NDArray) -> Tensors:
    """Makes the first state: `population` [K, P], in which every candidate has the first weights w [P]."""
    return {"population": np.tile(w, (spec.shards, 1))}


def join(a: Update, b: Update) -> Tensors:
    """Joins two siblings: their candidates and costs follow each other, by shard number."""
    return {name: np.concatenate([tensor, b.tensors[name]]) for name, tensor in a.tensors.items()}


def merge(spec: Spec, weights: Weights, total: Update) -> tuple[Tensors, NDArray, dict[str, Any]]:
    """Breeds the next population: the state, the fittest candidate [P], and the lineage under `genetic`.

    Raises
    ------
    NonFinite
        A candidate's cost is not finite.
    """
    candidates, costs = total.tensors["w"], total.tensors["cost"]
    if not np.isfinite(costs).all():
        raise NonFinite(f"round {weights.round}: costs of the candidates are {costs.tolist()}; a smaller lr may help")
    genetic, size = spec.sync.genetic, spec.shards
    ranked = np.argsort(costs, kind="stable")
    pool = ranked[: math.ceil(genetic.keep * size)]
    population, parents = np.empty_like(candidates), [[0, 0]] * size
    for number in range(size):
        shard = (number + weights.round + 1) % size
        if number < genetic.elite:
            a = b = int(ranked[number])
            population[shard] = candidates[a]
        else:
            a, b = choose(spec, weights.round, number, pool, costs)
            child = cross(spec, weights.round, number, candidates[a], candidates[b])
            population[shard] = mutate(spec, weights.round, number, child)
        parents[shard] = [a, b]
    lineage = {"best": int(ranked[0]), "costs": costs.tolist(), "parents": parents}
    return {"population": population}, candidates[ranked[0]].copy(), {"genetic": lineage}


def choose(spec: Spec, round: int, child: int, pool: NDArray, costs: NDArray) -> tuple[int, int]:
    """Draws two parents from the pool, different if it has two, with probabilities proportional to their fitness."""
    draws = rng.uniforms(rng.derive(spec.seed, rng.GENETIC), round, child, PARENTS, n=2)
    first = _spin(pool, costs, draws[0])
    others = pool[pool != first]
    return first, _spin(others, costs, draws[1]) if others.size else first


def _spin(pool: NDArray, costs: NDArray, draw: float) -> int:
    """Spins the roulette wheel: gives the candidate whose slice of the wheel holds `draw` in (0, 1)."""
    wheel = np.cumsum(1 / np.maximum(costs[pool], 1e-12))
    return int(pool[min(np.searchsorted(wheel, draw * wheel[-1], side="right"), pool.size - 1)])


def cross(spec: Spec, round: int, child: int, a: NDArray, b: NDArray) -> NDArray:
    """Crosses the parents a and b [P] over: gives a child [P].

    `rows`: in each layer, units below a random one come from a, the others from b. `uniform_rows`: each unit from a
    or b by a fair coin (Syswerda 1989); tables of embedded categories go whole, as one layer's units do.
    `single_point` (Holland 1975): parameters below a random one from a, the others from b. `arithmetic`
    (Michalewicz 1992): s·a + (1 - s)·b with one random share s.
    """
    key, kind = rng.derive(spec.seed, rng.GENETIC), spec.sync.genetic.crossover
    shape = layout.of(spec)
    if kind == "arithmetic":
        share = np.float32(rng.uniforms(key, round, child, ROWS)[0])
        return b + (a - b) * share
    if kind == "single_point":
        at = 1 + int(rng.uniforms(key, round, child, ROWS)[0] * (a.size - 1))
        return np.concatenate([a[:at], b[at:]])
    out = a.copy()
    layers = zip(shape.split(out), shape.split(b), strict=True)
    for layer, ((weights, bias), (b_weights, b_bias)) in enumerate(layers):
        units = bias.size
        draws = rng.uniforms(key, round, child, ROWS + layer, n=units)
        if kind == "uniform_rows":
            from_b = draws < 0.5
        else:
            from_b = np.arange(units) >= 1 + int(draws[0] * (units - 1))
        weights[:, from_b] = b_weights[:, from_b]
        bias[from_b] = b_bias[from_b]
    tables = list(zip(shape.tables(out), shape.tables(b), strict=True))
    if tables:
        draws = rng.uniforms(key, round, child, TABLES, n=len(tables))
        first = 1 + int(draws[0] * (len(tables) - 1))
        for number, (table, b_table) in enumerate(tables):
            if draws[number] < 0.5 if kind == "uniform_rows" else number >= first:
                table[:] = b_table
    return out


def mutate(spec: Spec, round: int, child: int, w: NDArray) -> NDArray:
    """Adds normal noise to a share of w [P]; its deviation is `mutation_scale` times that of the layer's W."""
    genetic, key = spec.sync.genetic, rng.derive(spec.seed, rng.GENETIC)
    if not genetic.mutation_rate or not genetic.mutation_scale:
        return w
    hit = rng.uniforms(key, round, child, MASK, n=w.size) < genetic.mutation_rate
    shape, deviation = layout.of(spec), np.zeros_like(w)
    for (weights, _), deviations in zip(shape.split(w), shape.split(deviation), strict=True):
        for tensor in deviations:
            tensor[:] = weights.astype(np.float64).std()
    for table, spread in zip(shape.tables(w), shape.tables(deviation), strict=True):
        spread[:] = table.astype(np.float64).std()
    noise = rng.normals(key, round, child, NOISE, n=int(hit.sum()))
    out = w.copy()
    out[hit] += np.float32(genetic.mutation_scale) * deviation[hit] * noise.astype(np.float32)
    return out
