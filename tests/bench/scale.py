"""Simulates the YARN application with 2 to 1,000 workers: `python -m tests.bench.scale [costs] [simulate] [data] [real]`.

    costs      what one core of this machine takes for a message, a byte, a join, a connection (seconds of the processor)
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
from pathlib import Path

from tests.bench.scaling import calibrate, halving, rates, real
from tests.bench.scaling.application import FAN, RELAYED, Application, Told
from tests.bench.scaling.costs import Cluster, Costs
from tests.bench.scaling.picture import LINES, draw
from tests.bench.scaling.schedules import Direct, Mirrored, Ring, Schedule, Servers, traffic

WORKERS = (2, 4, 8, 16, 32, 64, 128, 256, 512, 1000)
SIZES = {"48 MB": 48_000_000, "0.33 MB": 328_248}  # of an update: a large net, and 784-100-32-10
REAL = (2, 4, 8, 16, 32, 64)
HDL, ALL, RING, ONE, EIGHT = LINES
EXCHANGES: dict[str, Callable[[int, int], Schedule]] = {
    HDL: lambda n, size: halving.halving(n, n, size),
    ALL: lambda n, size: Mirrored(Direct(n, size)),
    RING: lambda n, size: Mirrored(Ring(n, size)),
    ONE: Servers,
    EIGHT: lambda n, size: Servers(n, size, 8),
}


def synchronise(schedule: Schedule, size: int, costs: Costs, cluster: Cluster) -> float:
    """Simulates one exchange among equal workers that begin together, and gives its seconds; no master is in it."""
    bare = replace(costs, step=0.0, master_message=0.0, master_round=0.0, relay=0.0)
    still = replace(cluster, compute=0.0, spread=0.0, slow=0.0)
    return Application(schedule, size, still, bare, beats=False).run(1).rounds[0] - 2 * cluster.latency


def train(n: int, size: int, costs: Costs, cluster: Cluster, rounds: int, seed: int = 1) -> Told:
    """Simulates rounds of the whole application."""
    fan = FAN if n > RELAYED else 0
    return Application(halving.halving(n, n, size), size, cluster, costs, fan, seed=seed).run(rounds)


def lose(n: int, size: int, costs: Costs, cluster: Cluster, elastic: bool, all_to_all: bool = False) -> float:
    """Simulates the loss of a worker, and gives the seconds that it costs beyond a round's."""
    schedule = Direct(n, size) if all_to_all else halving.halving(n, n, size)
    fan = 0 if all_to_all or n <= RELAYED else FAN
    told = Application(schedule, size, cluster, costs, fan).lose(elastic)
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
    sent: dict[str, dict[int, float]] = {HDL: {}, ALL: {}, RING: {}, "a server of 8": {}}
    peers: dict[str, dict[int, float]] = {HDL: {}, ALL: {}, RING: {}}
    for n in WORKERS:
        counted = traffic(halving.halving(n, n, size))
        sent[HDL][n] = max(max(each.sent, each.received) for each in counted) / size
        sent[ALL][n] = sent[RING][n] = 2 * (n - 1) / n
        sent["a server of 8"][n] = n / 8
        peers[HDL][n] = 2 * max(each.peers for each in counted)
        peers[ALL][n], peers[RING][n] = 2 * (n - 1), 2
    table("bytes that the busiest sends or gets, in updates", sent)
    table("connections of a worker to others, the most", peers)
    panels["Connections of a worker"] = "the most", peers
    load = {
        "by relays above 64 (hdl)": {n: 1e3 * master(n, costs, True) for n in WORKERS},
        "to each worker": {n: 1e3 * master(n, costs, False) for n in WORKERS},
    }
    panels["The master's processor"] = "ms a round", load
    table("the master's processor, ms a round", load)
    rounds = {n: train(n, size, costs, cluster, 3) for n in (2, 8, 64, 256, 1000)}
    whole = {
        "a round": {n: statistics.mean(told.rounds) for n, told in rounds.items()},
        "its slowest worker's computing": {n: statistics.mean(told.computing) for n, told in rounds.items()},
    }
    panels[f"A round of {cluster.compute:g} s and 48 MB"] = "s", whole
    table("a whole round with stragglers, s", whole)
    some = (2, 4, 8, 16, 32, 64, 128, 256)
    losses = {
        "another container": {n: lose(n, size, costs, cluster, False) for n in WORKERS},
        "its shards to others": {n: lose(n, size, costs, cluster, True) for n in WORKERS},
        "everybody connects to everybody": {n: lose(n, size, costs, cluster, True, True) for n in some},
    }
    panels["A worker is lost"] = "s until the round is over", losses
    table("a worker is lost, s until the round is over", losses)
    if picture:
        runs = checked or {}
        points = {"Connections of a worker": {n: float(max(run.connections)) for n, run in runs.items()}}
        draw(panels, points, picture)


def table(title: str, curves: dict[str, dict[int, float]]) -> None:
    """Prints curves as a table."""
    numbers = sorted({n for curve in curves.values() for n in curve})
    print(f"\n| {title} | {' | '.join(map(str, numbers))} |\n|---|{'--:|' * len(numbers)}")
    for name, curve in curves.items():
        print(f"| {name} | {' | '.join(f'{curve[n]:.4g}' if n in curve else '' for n in numbers)} |", flush=True)


def check(costs: Costs, workers: tuple[int, ...], net: str = "784-100-32-10") -> dict[int, real.Run]:
    """Runs real workers on this machine, and prints what was counted and taken beside the simulation of the same."""
    print(f"\n{net}, real processes on {os.cpu_count()} cores (load {os.getloadavg()[0]:.1f}); simulated in brackets\n")
    print("| workers | messages a worker sends | bytes sent (without heads) | connections | threads | ms of all processors | ms |")
    print("|--:|--:|--:|--:|--:|--:|--:|")
    found = {}
    for n in workers:
        run = found[n] = real.run(n, n, net)
        schedule = halving.halving(n, n, run.size)
        counted = traffic(schedule)
        here = Cluster(local=True, cores=os.cpu_count() or 1, compute=0.0, spread=0.0, slow=0.0, latency=0.0)
        simulated = Application(schedule, run.size, here, costs, FAN if n > RELAYED else 0)
        seconds = statistics.median(simulated.run(5).rounds)
        busy = simulated.network.host.busy / 5
        print(
            f"| {n} | {span(run.messages)} ({span([each.messages for each in counted])}) | "
            f"{span(run.sent)} ({span([each.sent for each in counted])}) | {span(run.connections)} "
            f"({span([2 * each.peers for each in counted])}) | {max(run.threads)} | "
            f"{1e3 * (run.cpu + run.master):.1f} ({1e3 * busy:.1f}) | {1e3 * run.seconds:.1f} ({1e3 * seconds:.1f}) |",
            flush=True,
        )
    return found


def span(values: list[int]) -> str:
    """Words the least and the most."""
    return f"{min(values)}" if min(values) == max(values) else f"{min(values)} to {max(values)}"


def on_paper(rows: int = 100_000_000) -> None:
    """Prints what 100 million rows take on 10, 100 and 1,000 workers, from rates that are measured here."""
    print(f"\n| {rows:,} rows: table | bytes a row, file and decoded | µs a row, first pass and decoding | "
          "10 workers: GB and s each | 100 workers | 1,000 workers | a shard's summary, MB | joining two, ms |")  # fmt: skip
    print("|---|--:|--:|--:|--:|--:|--:|--:|")
    for each in rates.rates():
        shares = [
            f"{rows / n * each.memory / 1e9:.2g} GB, {rows / n * (each.summary + each.load):.2g} s"
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
