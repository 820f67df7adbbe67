"""Simulates the YARN application with 2 to 1,000 workers: `python -m tests.bench.scale [PART …]`.

    costs      what one core of this machine takes for a message, a byte, a join, a connection
    simulate   rounds of the whole application in a discrete-event simulation on these costs, beside others' exchanges
    data       a shard's memory and the first pass at 100 million rows, from measured rates
    real       real worker processes on this machine, 2 to 64, beside what the simulation says of the same run

Without a part: the first three, in less than three minutes. `--costs FILE` keeps the costs, or takes those that are
there: the same costs and seed give the same figures. `--picture FILE` draws docs/scale.svg. What is stated, and not
measured, is in `tests.bench.scaling.costs.Cluster`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path

from tests.bench.scaling import calibrate, halving, rates, real
from tests.bench.scaling.application import FAN, RELAYED, Application, Told
from tests.bench.scaling.costs import Cluster, Costs
from tests.bench.scaling.picture import LINES, draw
from tests.bench.scaling.schedules import Direct, Mirrored, Ring, Schedule, Servers, traffic

WORKERS = (2, 4, 8, 16, 32, 64, 128, 256, 512, 1000)
SIZES = {"48 MB": 48_000_000, "0.33 MB": 328_248}  # of an update: a large net, and 784-100-32-10
SOME = (2, 8, 32, 64, 256, 1000)
REAL = (2, 4, 8, 16, 32, 64)
CROWD = 8  # pairs of processes, at most, that measure messages on shared cores
HDL, ALL, RING, ONE, EIGHT = LINES
EXCHANGES: dict[str, Callable[[int, int], Schedule]] = {
    HDL: lambda n, size: plan(n, size),
    ALL: lambda n, size: Mirrored(Direct(n, size)),
    RING: lambda n, size: Mirrored(Ring(n, size)),
    ONE: Servers,
    EIGHT: lambda n, size: Servers(n, size, 8),
}


@cache
def plan(n: int, size: int) -> Schedule:
    """Plans hdl's exchange with a shard a worker."""
    return halving.halving(n, n, size)


def synchronise(schedule: Schedule, size: int, costs: Costs, cluster: Cluster) -> float:
    """Simulates one exchange among equal workers that begin together, and gives its seconds; no master is in it."""
    bare = replace(costs, step=0.0, master_message=0.0, master_round=0.0, relay=0.0)
    still = replace(cluster, compute=0.0, spread=0.0, slow=0.0)
    if isinstance(schedule, Servers):  # a queue of whole updates: how finely they overlap is of no matter
        still = replace(still, segment=(cluster.segment[0], 8 * cluster.segment[1]))
    return Application(schedule, size, still, bare, beats=False).run(1).rounds[0] - 2 * cluster.latency


def train(n: int, size: int, costs: Costs, cluster: Cluster, rounds: int, seed: int = 1) -> Told:
    """Simulates rounds of the whole application."""
    fan = FAN if n > RELAYED else 0
    return Application(plan(n, size), size, cluster, costs, fan, seed=seed).run(rounds)


def lose(n: int, size: int, costs: Costs, cluster: Cluster, all_to_all: bool = False) -> float:
    """Simulates the loss of a worker whose shards others take over, and gives the seconds until the round is over."""
    schedule = Direct(n, size) if all_to_all else plan(n, size)
    fan = 0 if all_to_all or n <= RELAYED else FAN
    told = Application(schedule, size, cluster, costs, fan).lose(elastic=True)
    return told.pause


def master(n: int, costs: Costs, relays: bool) -> float:
    """Computes the master's seconds of processor time in a round, from its measured costs."""
    if relays and n > RELAYED:
        return costs.master_round + FAN * costs.master_message + (n - FAN) * costs.master_entry
    return costs.master_round + n * costs.master_message


def simulate(costs: Costs, cluster: Cluster, picture: Path | None, checked: dict[int, real.Run] | None = None) -> None:
    """Simulates all, prints the tables of docs/scale.md and draws its picture."""
    panels: dict[str, tuple[str, dict[str, dict[int, float]]]] = {}
    for name, size in SIZES.items():
        curves = {
            exchange: {n: 1e3 * synchronise(make(n, size), size, costs, cluster) for n in WORKERS}
            for exchange, make in EXCHANGES.items()
        }
        panels[f"{name} synchronised"] = "ms", curves
        table(f"{name}, ms of a synchronisation", curves)
    size = SIZES["48 MB"]
    sent: dict[str, dict[int, float]] = {HDL: {}, ALL: {}, RING: {}, ONE: {}, EIGHT: {}}
    peers: dict[str, dict[int, float]] = {HDL: {}, ALL: {}, RING: {}}
    for n in WORKERS:
        counted = traffic(plan(n, size))
        sent[HDL][n] = max(max(each.sent, each.received) for each in counted) / size
        sent[ALL][n] = sent[RING][n] = 2 * (n - 1) / n
        sent[ONE][n], sent[EIGHT][n] = n, n / 8  # of a server, which is the busiest
        peers[HDL][n] = 2 * max(each.peers for each in counted)
        peers[ALL][n], peers[RING][n] = 2 * (n - 1), 2
    panels["Busiest node, each way"] = "updates", sent
    table("bytes that the busiest node sends or gets, in updates", sent)
    panels["A worker's connections"] = "the most", peers
    table("connections of a worker to others, the most", peers)
    load = {
        "by relays above 64 (hdl)": {n: 1e3 * master(n, costs, True) for n in WORKERS},
        "to each worker": {n: 1e3 * master(n, costs, False) for n in WORKERS},
    }
    panels["The master's processor"] = "ms a round", load
    table("the master's processor, ms a round", load)
    told = {n: train(n, size, costs, cluster, 2) for n in SOME}
    lost = {n: lose(n, size, costs, cluster) for n in SOME}
    rounds = {
        "a round": {n: statistics.mean(each.rounds) for n, each in told.items()},
        "its slowest worker's computing": {n: statistics.mean(each.computing) for n, each in told.items()},
        "worker lost, shards to others": lost,
        "worker lost, another container": {
            n: seconds + cluster.container + costs.master_hello for n, seconds in lost.items()
        },
    }
    panels[f"Rounds of {cluster.compute:g} s and 48 MB"] = "s", rounds
    table("a whole round with stragglers and losses, s", rounds)
    everybody = {n: lose(n, size, costs, cluster, all_to_all=True) for n in SOME if n <= 64}
    table("the same loss where everybody connects to everybody, s", {ALL: everybody})
    if picture:
        runs = checked or {}
        points = {
            "A worker's connections": {n: float(max(run.connections)) for n, run in runs.items()},
            "Busiest node, each way": {n: max(run.sent) / run.size for n, run in runs.items()},
        }
        draw(panels, points, picture)


def table(title: str, curves: dict[str, dict[int, float]]) -> None:
    """Prints curves as a table."""
    numbers = sorted({n for curve in curves.values() for n in curve})
    print(f"\n| {title} | {' | '.join(map(str, numbers))} |\n|---|{'--:|' * len(numbers)}")
    for name, curve in curves.items():
        figures = [f"{float(format(curve[n], '.4g')):,.9g}" if n in curve else "" for n in numbers]
        print(f"| {name} | {' | '.join(figures)} |", flush=True)


def check(costs: Costs, workers: tuple[int, ...], net: str = "784-100-32-10") -> dict[int, real.Run]:
    """Runs real workers on this machine, and prints what was counted and taken beside the simulation of the same."""
    print(f"\n{net}, real processes on {os.cpu_count()} cores (load {os.getloadavg()[0]:.1f}); simulated in brackets\n")
    print(
        "| workers | messages each sends | bytes (without heads) | connections | threads | a message, cores shared, µs "
        "| processors, ms (with that) | clock, ms (with that) |"
    )
    print("|--:|--:|--:|--:|--:|--:|--:|--:|")
    found = {}
    for n in workers:
        run = found[n] = real.run(n, n, net)
        schedule = plan(n, run.size)
        counted = traffic(schedule)
        here = Cluster(local=True, cores=os.cpu_count() or 1, compute=0.0, spread=0.0, slow=0.0, latency=0.0)
        message = calibrate.crowded(min(n // 2, CROWD))
        busy, seconds = [], []
        for each in costs, replace(costs, send_message=message, receive_message=message):
            simulated = Application(schedule, run.size, here, each, FAN if n > RELAYED else 0)
            seconds.append(statistics.median(simulated.run(5).rounds))
            busy.append(simulated.network.host.busy / 5)
        print(
            f"| {n} | {span(run.messages)} ({span([each.messages for each in counted])}) | "
            f"{span(run.sent)} ({span([each.sent for each in counted])}) | {span(run.connections)} "
            f"({span([2 * each.peers for each in counted])}) | {max(run.threads)} | "
            f"{1e6 * message:.0f} | {1e3 * (run.cpu + run.master):.1f} ({1e3 * busy[0]:.1f}; {1e3 * busy[1]:.1f}) | "
            f"{1e3 * run.seconds:.1f} ({1e3 * seconds[0]:.1f}; {1e3 * seconds[1]:.1f}) |",
            flush=True,
        )
    return found


def span(values: list[int]) -> str:
    """Words the least and the most."""
    return f"{min(values)}" if min(values) == max(values) else f"{min(values)} to {max(values)}"


def on_paper(rows: int = 100_000_000) -> None:
    """Prints what 100 million rows take on 10, 100 and 1,000 workers, from rates that are measured here."""
    print(f"\n| {rows:,} rows: table | bytes a row, file and decoded | µs a row, first pass and decoding | "
          "10 workers: GB and s each | 100 workers | 1,000 workers | its summary, MB | joining two, ms |")  # fmt: skip
    print("|---|--:|--:|--:|--:|--:|--:|--:|")
    for each in rates.rates():
        shares = [
            f"{rows / n * each.memory / 1e9:.3g} GB, {rows / n * (each.summary + each.load):.3g} s"
            for n in (10, 100, 1000)
        ]
        print(
            f"| {each.name} | {each.file:.0f}, {each.memory:.0f} | {1e6 * each.summary:.2f}, {1e6 * each.load:.2f} | "
            f"{' | '.join(shares)} | {each.shard_summary / 1e6:.2f} | {1e3 * each.join:.1f} |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART")
    parser.add_argument("--costs", type=Path)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--workers", type=int, nargs="+", default=REAL, help="of the real runs")
    options = parser.parse_args()
    parts = options.parts or ["costs", "simulate", "data"]
    if unknown := sorted({*parts} - {"costs", "simulate", "data", "real"}):
        parser.error(f"no part {unknown[0]!r}: expected costs, simulate, data or real")
    print(f"load {os.getloadavg()[0]:.1f}")
    if options.costs and options.costs.exists() and "costs" not in options.parts:
        costs = Costs(**json.loads(options.costs.read_text()))
    else:
        costs = calibrate.calibrate()
        if options.costs:
            options.costs.write_text(json.dumps(asdict(costs), indent=1) + "\n")
    if "costs" in parts:
        print("\n| cost, µs of a core | |\n|---|--:|")
        for name, seconds in asdict(costs).items():
            print(f"| {name} | {1e6 * seconds:.4g} |")
    checked = check(costs, tuple(options.workers)) if "real" in parts else None
    if "simulate" in parts:
        simulate(costs, Cluster(), options.picture, checked)
    if "data" in parts:
        on_paper()


if __name__ == "__main__":
    main()
