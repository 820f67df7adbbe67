"""Makes the live page's HTML: one document without images, fonts, others' scripts or links that load anything.

It is made of the report's pieces, in the report's style: a header, cards of figures, learning curves, the workers, the
last messages, and facts of the job. Every value passes through `text`, which escapes it.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Sequence
from typing import Any, TypeGuard

from hdl.report import page
from hdl.report.page import text
from hdl.yarn.dashboard.assets import POLICY, SCRIPT, STYLE
from hdl.yarn.dashboard.chart import chart
from hdl.yarn.dashboard.state import Snapshot, participation

STRAGGLER_FACTOR = 1.25  # a straggler takes so many times the median of the others' seconds, or more
SHARDS_CHARACTERS, TITLE_CHARACTERS = 40, 60  # at most
SESSION = ("trains", "waits", "decoded data", "memory used")  # facts of a session, which has a section for them
STATES = ("starting", "running", "finished", "failed")  # those that the style knows


def render(snapshot: Snapshot) -> str:
    """Render the page as HTML text."""
    status, facts = snapshot.status, dict(snapshot.status["facts"])
    session = {name: facts.pop(name) for name in SESSION if name in facts}
    sections = [
        _header(snapshot, "Session" if session else "Training"),
        _cards(snapshot),
        page.section("Session", "", page.lines(session.items())) if session else "",
        _curves(snapshot),
        _workers(status["workers"], participation(status["workers"], status["facts"])),
        _messages(status["messages"]),
    ]
    if facts:
        sections.append(page.section("Job", "", page.facts(facts.items())))
    sections.append(
        '<footer>Shown anew every 2 s · <a href="status.json">status.json</a> · '
        '<a href="events.json?since=0">events.json</a></footer>'
    )
    title = f"{status['round']} of {status['rounds']}" if status["rounds"] else status["state"]
    content = "\n".join(section for section in sections if section)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{text(title)} · hdl</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{text(POLICY)}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<style>{STYLE}</style></head>\n<body>"
        '<p class="lost" id="lost" hidden>No answer: the application has ended, or its master is being replaced.</p>'
        f"<main data-hdl>\n{content}\n</main><script>{SCRIPT}</script></body>"
        "</html>\n"
    )


def _header(snapshot: Snapshot, kind: str) -> str:
    status = snapshot.status
    state = status["state"] if status["state"] in STATES else ""
    title = status["facts"].get("net") or kind
    title = title if len(title) <= TITLE_CHARACTERS else f"{title[: TITLE_CHARACTERS - 1]}…"  # the whole is under Job
    stage, done, total = snapshot.progress
    now = [status["stage"]] if status["stage"] else []
    if stage and total and stage != "round":
        now.append(f"{done:g} of {total:g} shards")
    share = status["round"] / status["rounds"] if status["rounds"] else 0.0
    return (
        f'<header><div class="brand">hdl</div><h1>{text(title)}</h1>'
        f'<p class="path">{text(status["application"])}</p>'
        f'<div class="top"><span class="pill {state}">{text(status["state"])}</span>'
        f'<span class="note">{text(" · ".join(now))}</span></div>{_bar(share, "whole")}</header>'
    )


def _cards(snapshot: Snapshot) -> str:
    status, rows = snapshot.status, snapshot.status["rows"]
    trained = [row for row in rows if not row.get("final")]
    last: dict[str, Any] = trained[-1] if trained else {}
    taken = last.get("seconds")
    phases = taken if isinstance(taken, dict) else {"round": taken}
    spent = math.fsum(value for name in ("round", "merge") if _is_number(value := phases.get(name)))
    pace = f"{_with_prefix(last['samples'] / spent)} samples/s" if spent and _is_number(last.get("samples")) else ""
    cards = [
        ("Round", f"{status['round']:,}", f"of {status['rounds']:,}" if status["rounds"] else ""),
        ("Cost", _decimal(last.get("cost")), _validation(snapshot, "val_cost", _decimal)),
    ]
    if snapshot.curves["accuracy"] or snapshot.curves["val_accuracy"]:
        cards.append(("Accuracy", _percent(last.get("accuracy")), _validation(snapshot, "val_accuracy", _percent)))
    measured: dict[str, Any] = next((row for row in reversed(rows) if _is_number(row.get("val_cost"))), {})
    for title, name in (("AUC", "val_auc"), ("R²", "val_r2")):
        if _is_number(measured.get(name)):
            cards.append((title, _decimal(measured[name]), "validation"))
    cards.append(("Last round", duration(spent) if spent else "–", pace))
    cards.append(("Running for", duration(snapshot.seconds), f"since {_clock(time.time() - snapshot.seconds)}"))
    return page.cards(cards)


def _validation(snapshot: Snapshot, name: str, show: Any) -> str:
    points = snapshot.curves[name]
    return f"validation {show(points[-1][1])}" if points else "training"


def _curves(snapshot: Snapshot) -> str:
    figures = []
    for title, name, percent in (("Cost", "cost", False), ("Accuracy", "accuracy", True)):
        both = [(snapshot.curves[name], 0, "training"), (snapshot.curves[f"val_{name}"], 1, "validation")]
        lines = [(points, color, kind) for points, color, kind in both if points]
        if lines:
            keys = "".join(f'<span class="key"><i class="c{color}"></i>{kind}</span>' for _, color, kind in lines)
            figures.append(
                f'<figure><figcaption><b>{title}</b><span class="keys">{keys}</span></figcaption>'
                f"{chart(f'{title} over rounds', [line[:2] for line in lines], percent)}</figure>"
            )
    if not figures:
        return page.section("Learning curves", "They begin with the first round.")
    return page.section("Learning curves", "", f'<div class="pair">{"".join(figures)}</div>')


def _workers(workers: Sequence[dict[str, Any]], number: str = "") -> str:
    if not workers:
        return page.section("Workers", "None yet: containers have been asked for.")
    slowest, factor = straggler(workers)
    remark = f"{number} take part." if number else f"{len(workers)} of them." if len(workers) > 1 else ""
    if slowest is not None:
        name = workers[slowest].get("worker", slowest)
        remark += f" Worker {name} is the straggler: {factor:.1f} times as long as the median of the others."
    longest = max((worker["seconds"] for worker in workers if _is_number(worker.get("seconds"))), default=0) or 1
    asynchronous = any(worker.get("staleness") is not None for worker in workers)
    columns = ["worker", "host", "shards", "state", "last round", *(["behind"] if asynchronous else []), "log"]
    rows = (_worker_row(worker, longest, asynchronous, number == slowest) for number, worker in enumerate(workers))
    header = "".join(f"<th>{name}</th>" for name in columns)
    table = f'<table class="plain workers"><thead><tr>{header}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
    return page.section("Workers", remark.strip(), f'<div class="scroll">{table}</div>')


def _worker_row(worker: dict[str, Any], longest: float, asynchronous: bool, slow: bool) -> str:
    spent, url, behind = worker.get("seconds"), str(worker.get("log") or ""), worker.get("staleness")
    timed = f"{duration(spent)}{_bar(spent / longest, 'bar')}" if _is_number(spent) else "–"
    pill = ' <span class="pill slow">straggler</span>' if slow else ""
    # A link may lead to a web page only: the address comes from YARN.
    link = f'<a href="{text(url)}" target="_blank" rel="noopener noreferrer">log</a>'
    cells = [
        f'<td data-name="worker">{text(worker.get("worker", "?"))}</td>',
        f'<td class="host">{text(worker.get("host") or "–")}'
        f'<div class="mono">{text(worker.get("container") or "")}</div></td>',
        f'<td class="shards" data-name="shards">{text(shard_ranges(worker.get("shards") or ()))}</td>',
        f"<td class=state>{text(worker.get('state') or '–')}{pill}</td>",
        f'<td class="time">{timed}</td>',
        f'<td data-name="behind">{"–" if behind is None else text(behind)}</td>' if asynchronous else "",
        f"<td>{link if url.startswith(('http://', 'https://')) else '–'}</td>",
    ]
    return f"<tr{' class=slow' if slow else ''}>{''.join(cells)}</tr>"


def _messages(messages: Sequence[dict[str, Any]]) -> str:
    if not messages:
        return ""
    items = "".join(
        f"<li><time>{_clock(message['time'])}</time><span>{text(message['text'])}</span></li>"
        for message in reversed(messages)
    )
    return page.section("Messages", "The last ones, newest first.", f'<ul class="said">{items}</ul>')


def straggler(workers: Sequence[dict[str, Any]]) -> tuple[int | None, float]:
    """Find the worker that took much longer than the others for the last round.

    Returns
    -------
    int or None, float
        Place in the sequence, None if there is no such worker; seconds of the slowest over the median of the others.

    Examples
    --------
    >>> straggler([{"seconds": 1.0}, {"seconds": 1.1}, {"seconds": 2.2}])[0]
    2
    """
    times = [(worker["seconds"], place) for place, worker in enumerate(workers) if _is_number(worker.get("seconds"))]
    if len(times) < 2:
        return None, 1.0
    longest, slowest = max(times)
    usual = statistics.median(spent for spent, place in times if place != slowest)
    factor = longest / usual if usual > 0 else 1.0
    return (slowest, factor) if factor >= STRAGGLER_FACTOR else (None, factor)


def shard_ranges(numbers: Sequence[int]) -> str:
    """List shards' numbers in short, as ranges.

    Examples
    --------
    >>> shard_ranges([0, 1, 2, 5, 7, 8])
    '0–2, 5, 7–8'
    """
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    listed = ", ".join(str(first) if first == last else f"{first}–{last}" for first, last in runs)
    short = f"{listed[: SHARDS_CHARACTERS - 2]} … ({len(numbers)})"
    return listed if len(listed) <= SHARDS_CHARACTERS else short


def duration(value: float) -> str:
    """Write seconds as text: 0.42 ms, 80 ms, 1.2 s, 3 min 20 s, 2 h 5 min."""
    if value < 0.9995:
        return f"{1000 * value:.2g} ms" if value < 0.0095 else f"{1000 * value:.0f} ms"
    if value < 59.5:
        return f"{value:.1f} s" if value < 9.95 else f"{value:.0f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60:,} h {minutes % 60} min"


def _bar(share: float, kind: str) -> str:
    width = 100 * min(max(share, 0.0), 1.0)
    return (
        f'<svg class="{kind}" viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true">'
        f'<rect width="{width:.1f}" height="6"/></svg>'
    )


def _with_prefix(value: float) -> str:
    for limit, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= limit:
            return f"{value / limit:.3g}{unit}"
    return f"{value:.3g}"


def _clock(when: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(when))


def _decimal(value: Any) -> str:
    return f"{value:.4g}" if _is_number(value) else "–"


def _percent(value: Any) -> str:
    return f"{100 * value:.2f} %" if _is_number(value) else "–"


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
