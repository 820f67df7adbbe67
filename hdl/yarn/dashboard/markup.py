"""The live page's HTML: one document without scripts of others, images, fonts or links that load anything.

It is made of the report's pieces, in the report's style. Every value passes through `text`. The only script is our
own, let in by its hash: it asks for the same page again and takes over what is in it.
"""

from __future__ import annotations

import base64
import hashlib
import math
import statistics
import time
from collections.abc import Sequence
from typing import Any, TypeGuard

from hdl.report import page
from hdl.report.page import text
from hdl.yarn.dashboard.chart import chart
from hdl.yarn.dashboard.state import Shot

STRAGGLES = 1.25  # times the median of the others' seconds
SHARDS, TITLE = 40, 60  # characters
STATES = ("starting", "running", "finished", "failed")

STYLE = page.STYLE + (
    ".top{display:flex;flex-wrap:wrap;gap:6px 12px;align-items:center;margin-top:10px}"
    ".pill{display:inline-block;border-radius:99px;padding:1px 10px;font-size:13px;font-weight:600;white-space:nowrap;"
    "background:rgb(var(--accent)/.14);color:rgb(var(--accent))}"
    ".pill.failed,.pill.slow{background:rgb(var(--warm)/.16);color:rgb(var(--warm))}"
    ".pill.finished{background:var(--line);color:var(--ink)}"
    ".whole,.bar{display:block;width:100%;height:6px;border-radius:3px;background:var(--line)}"
    ".whole{margin-top:14px}.whole rect,.bar rect{fill:rgb(var(--accent))}.slow .bar rect{fill:rgb(var(--warm))}"
    "figure text{fill:var(--ink-2);font-size:13px}.grid{stroke:var(--line)}"
    ".line{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}"
    ".line.c0{stroke:var(--s0)}.line.c1{stroke:var(--s1)}.dot.c0{fill:var(--s0)}.dot.c1{fill:var(--s1)}"
    ".key .c0{background:var(--s0)}.key .c1{background:var(--s1)}"
    "a{color:rgb(var(--accent))}"
    ".crew td,.crew th{vertical-align:top;text-align:left}.crew .shards{min-width:120px;max-width:190px}"
    ".crew .host,.crew .shards{overflow-wrap:anywhere}.crew .host{min-width:150px}"
    ".crew .mono{font-size:12px;color:var(--ink-2)}.crew .time{min-width:130px}"
    ".said{list-style:none;margin:8px 0 0;padding:0;font-size:14px}"
    ".said li{display:grid;grid-template-columns:74px minmax(0,1fr);padding:6px 0;border-bottom:1px solid var(--line)}"
    ".said li:last-child{border-bottom:0}.said time{color:var(--ink-2);font-variant-numeric:tabular-nums}"
    ".said span{overflow-wrap:anywhere}"
    ".lost{margin:0;padding:10px 20px;text-align:center;background:rgb(var(--warm)/.16);font-size:14px}"
    "@media(max-width:700px){.crew thead{display:none}.crew,.crew tbody{display:block}"
    ".crew tr{display:grid;grid-template-columns:minmax(0,1fr) auto;gap:2px 12px;padding:12px 0;"
    "border-bottom:1px solid var(--line)}.crew tbody tr:last-child{border-bottom:0}"
    ".crew td,.crew td:first-child{border:0;padding:0;min-width:0;order:2}.crew td:first-child,.crew .state{order:1}"
    ".crew .host,.crew .time,.crew .shards{max-width:none;grid-column:1/-1}figure text{font-size:16px}"
    ".card:last-child:nth-child(odd){grid-column:1/-1}.crew [data-name]::before{content:attr(data-name) ' ';"
    "color:var(--ink-2);font-size:13px}}"
)  # fmt: skip

SCRIPT = """
(()=>{let missed=0;
async function again(){
try{
const answer=await fetch(location.href,{cache:"no-store"});
const found=new DOMParser().parseFromString(await answer.text(),"text/html");
const main=found.querySelector("main[data-hdl]");
if(!answer.ok||!main)throw 0;
missed=0;
if(getSelection().isCollapsed){document.title=found.title;document.querySelector("main").replaceWith(main)}
}catch{missed++}
document.getElementById("lost").hidden=missed<3;
setTimeout(again,missed<3?(document.hidden?10000:2000):10000)}
setTimeout(again,2000)})()
""".strip().replace("\n", "")


def _hash(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


POLICY = (
    f"default-src 'none'; style-src {_hash(STYLE)}; script-src {_hash(SCRIPT)}; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'"
)


def render(shot: Shot) -> str:
    """The page as HTML text."""
    status = shot.status
    parts = [_head(shot), _cards(shot), _curves(shot), _workers(status["workers"]), _messages(status["messages"])]
    if status["facts"]:
        parts.append(page.section("Job", "", page.facts(status["facts"].items())))
    parts.append(
        '<footer>Shown anew every 2 s · <a href="status.json">status.json</a> · '
        '<a href="events.json?since=0">events.json</a></footer>'
    )
    where = f"{status['round']} of {status['rounds']}" if status["rounds"] else status["state"]
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{text(where)} · hdl</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{text(POLICY)}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<style>{STYLE}</style></head>\n<body>"
        '<p class="lost" id="lost" hidden>No answer: the application has ended, or its master is being replaced.</p>'
        "<main data-hdl>\n" + "\n".join(part for part in parts if part) + f"\n</main><script>{SCRIPT}</script></body>"
        "</html>\n"
    )


def _head(shot: Shot) -> str:
    status = shot.status
    state = status["state"] if status["state"] in STATES else ""
    title = status["facts"].get("net") or "Training"
    title = title if len(title) <= TITLE else f"{title[: TITLE - 1]}…"  # all of it is under Job
    stage, done, total = shot.progress
    words = [status["stage"]] if status["stage"] else []
    if stage and total and stage != "round":
        words.append(f"{done:g} of {total:g} shards")
    share = status["round"] / status["rounds"] if status["rounds"] else 0.0
    return (
        f'<header><div class="brand">hdl</div><h1>{text(title)}</h1>'
        f'<p class="path">{text(status["application"])}</p>'
        f'<div class="top"><span class="pill {state}">{text(status["state"])}</span>'
        f'<span class="note">{text(" · ".join(words))}</span></div>{_bar(share, "whole")}</header>'
    )


def _cards(shot: Shot) -> str:
    status, rows = shot.status, shot.status["rows"]
    trained = [row for row in rows if not row.get("final")]
    last: dict[str, Any] = trained[-1] if trained else {}
    told = last.get("seconds")
    times = told if isinstance(told, dict) else {"round": told}
    spent = math.fsum(value for name in ("round", "merge") if _number(value := times.get(name)))
    pace = f"{_short(last['samples'] / spent)} samples/s" if spent and _number(last.get("samples")) else ""
    items = [
        ("Round", f"{status['round']:,}", f"of {status['rounds']:,}" if status["rounds"] else ""),
        ("Cost", _figure(last.get("cost")), _validation(shot, "val_cost", _figure)),
    ]
    if shot.curves["accuracy"] or shot.curves["val_accuracy"]:
        items.append(("Accuracy", _percent(last.get("accuracy")), _validation(shot, "val_accuracy", _percent)))
    items.append(("Last round", seconds(spent) if spent else "–", pace))
    items.append(("Running for", seconds(shot.seconds), f"since {_clock(time.time() - shot.seconds)}"))
    return page.cards(items)


def _validation(shot: Shot, name: str, show: Any) -> str:
    points = shot.curves[name]
    return f"validation {show(points[-1][1])}" if points else "training"


def _curves(shot: Shot) -> str:
    drawings = []
    for title, name, share in (("Cost", "cost", False), ("Accuracy", "accuracy", True)):
        named = [(shot.curves[name], 0, "training"), (shot.curves[f"val_{name}"], 1, "validation")]
        lines = [(points, color, kind) for points, color, kind in named if points]
        if lines:
            keys = "".join(f'<span class="key"><i class="c{color}"></i>{kind}</span>' for _, color, kind in lines)
            drawings.append(
                f'<figure><figcaption><b>{title}</b><span class="keys">{keys}</span></figcaption>'
                f"{chart(f'{title} over rounds', [line[:2] for line in lines], share)}</figure>"
            )
    if not drawings:
        return page.section("Learning curves", "They begin with the first round.")
    return page.section("Learning curves", "", f'<div class="pair">{"".join(drawings)}</div>')


def _workers(workers: Sequence[dict[str, Any]]) -> str:
    if not workers:
        return page.section("Workers", "None yet: containers have been asked for.")
    slow, factor = straggler(workers)
    note = f"{len(workers)} of them." if len(workers) > 1 else ""
    if slow is not None:
        name = workers[slow].get("worker", slow)
        note += f" Worker {name} is the straggler: {factor:.1f} times as long as the median of the others."
    longest = max((worker["seconds"] for worker in workers if _number(worker.get("seconds"))), default=0) or 1
    stale = any(worker.get("staleness") is not None for worker in workers)
    head = ["worker", "host", "shards", "state", "last round", *(["behind"] if stale else []), "log"]
    rows = (_worker(worker, longest, stale, number == slow) for number, worker in enumerate(workers))
    top = "".join(f"<th>{name}</th>" for name in head)
    body = f'<table class="plain crew"><thead><tr>{top}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
    return page.section("Workers", note.strip(), f'<div class="scroll">{body}</div>')


def _worker(worker: dict[str, Any], longest: float, stale: bool, slow: bool) -> str:
    spent, url, behind = worker.get("seconds"), str(worker.get("log") or ""), worker.get("staleness")
    timed = f"{seconds(spent)}{_bar(spent / longest, 'bar')}" if _number(spent) else "–"
    named = ' <span class="pill slow">straggler</span>' if slow else ""
    # Nothing but a web page may be behind a link.
    link = f'<a href="{text(url)}" target="_blank" rel="noopener noreferrer">log</a>'
    cells = [
        f'<td data-name="worker">{text(worker.get("worker", "?"))}</td>',
        f'<td class="host">{text(worker.get("host") or "–")}'
        f'<div class="mono">{text(worker.get("container") or "")}</div></td>',
        f'<td class="shards" data-name="shards">{text(shards(worker.get("shards") or ()))}</td>',
        f"<td class=state>{text(worker.get('state') or '–')}{named}</td>",
        f'<td class="time">{timed}</td>',
        f'<td data-name="behind">{"–" if behind is None else text(behind)}</td>' if stale else "",
        f"<td>{link if url.startswith(('http://', 'https://')) else '–'}</td>",
    ]
    return f"<tr{' class=slow' if slow else ''}>{''.join(cells)}</tr>"


def _messages(messages: Sequence[dict[str, Any]]) -> str:
    if not messages:
        return ""
    said = "".join(
        f"<li><time>{_clock(message['time'])}</time><span>{text(message['text'])}</span></li>"
        for message in reversed(messages)
    )
    return page.section("Messages", "The last ones, newest first.", f'<ul class="said">{said}</ul>')


def straggler(workers: Sequence[dict[str, Any]]) -> tuple[int | None, float]:
    """Which worker took much longer than the others for the last round, and how many times their median.

    Examples
    --------
    >>> straggler([{"seconds": 1.0}, {"seconds": 1.1}, {"seconds": 2.2}])[0]
    2
    """
    timed = [(worker["seconds"], number) for number, worker in enumerate(workers) if _number(worker.get("seconds"))]
    if len(timed) < 2:
        return None, 1.0
    longest, number = max(timed)
    usual = statistics.median(spent for spent, other in timed if other != number)
    factor = longest / usual if usual > 0 else 1.0
    return (number, factor) if factor >= STRAGGLES else (None, factor)


def shards(numbers: Sequence[int]) -> str:
    """Their numbers in short.

    Examples
    --------
    >>> shards([0, 1, 2, 5, 7, 8])
    '0–2, 5, 7–8'
    """
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    said = ", ".join(str(a) if a == b else f"{a}–{b}" for a, b in runs)
    return said if len(said) <= SHARDS else f"{said[: SHARDS - 2]} … ({len(numbers)})"


def seconds(value: float) -> str:
    """A time as text: 0.42 ms, 80 ms, 1.2 s, 3 min 20 s, 2 h 5 min."""
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


def _short(value: float) -> str:
    for limit, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if value >= limit:
            return f"{value / limit:.3g}{unit}"
    return f"{value:.3g}"


def _clock(when: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(when))


def _figure(value: Any) -> str:
    return f"{value:.4g}" if _number(value) else "–"


def _percent(value: Any) -> str:
    return f"{100 * value:.2f} %" if _number(value) else "–"


def _number(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
