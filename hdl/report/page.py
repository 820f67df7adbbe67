"""The report's HTML: small functions from values to markup; every value passes through `text`."""

from __future__ import annotations

import base64
import html
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def text(value: Any) -> str:
    """Write a value as HTML text, safe inside attributes too."""
    return html.escape(str(value), quote=True)


def short(value: Any, most: int = 40) -> str:
    """Cut a name that is longer than there is room for; it is not escaped yet."""
    name = str(value)
    return name if len(name) <= most else f"{name[: most - 1]}…"


def page(title: str, body: Iterable[str]) -> str:
    """Make the whole document; it names nothing outside of itself, and forbids the browser to."""
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{text(title)}</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark">'
        f"<style>{STYLE}</style></head>\n<body><main>\n"
        + "\n".join(part for part in body if part)
        + "\n</main></body></html>\n"
    )


def section(title: str, note: str, *parts: str) -> str:
    """Make a titled card; `note` is plain text."""
    note = f'<p class="note">{text(note)}</p>' if note else ""
    return f"<section><h2>{text(title)}</h2>{note}{''.join(parts)}</section>"


def cards(items: Iterable[tuple[str, str, str]]) -> str:
    """Make the headline of cards (name, value, what it was measured on), the first one large."""
    return (
        '<div class="cards">'
        + "".join(
            f'<div class="card"><div class="name">{text(name)}</div><div class="value">{text(value)}</div>'
            f'<div class="note">{text(note)}</div></div>'
            for name, value, note in items
        )
        + "</div>"
    )


def figure(svg: str, title: str, series: Sequence[tuple[int, str]]) -> str:
    """Show a drawing with its title and legend: (number of the colour, name)."""
    keys = "".join(f'<span class="key"><i style="background:var(--s{n})"></i>{text(name)}</span>' for n, name in series)
    return f'<figure><figcaption><b>{text(title)}</b><span class="keys">{keys}</span></figcaption>{svg}</figure>'


def facts(items: Iterable[tuple[str, Any]]) -> str:
    """List names and values in two columns."""
    rows = "".join(f"<div><dt>{text(name)}</dt><dd>{text(value)}</dd></div>" for name, value in items)
    return f'<dl class="facts">{rows}</dl>'


def lines(items: Iterable[tuple[str, Any]]) -> str:
    """List names and long values, a line each."""
    rows = "".join(f"<dt>{text(name)}</dt><dd>{text(value)}</dd>" for name, value in items)
    return f'<dl class="lines">{rows}</dl>'


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Make a plain table; the first column names, the others are numbers."""
    top = "".join(f"<th>{text(cell)}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{text(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="scroll"><table class="plain"><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def barred(head: Sequence[str], rows: Iterable[Sequence[Any]], shares: Iterable[float | None]) -> str:
    """Make a plain table of text, with a bar of the share [0, 1] at the end of each row; None has no bar."""
    top = "".join(f"<th>{text(cell)}</th>" for cell in head)
    body = []
    for row, share in zip(rows, shares, strict=True):
        bar = "" if share is None else f'<i class="bar" style="width:{100 * share:.1f}%"></i>'
        cells = "".join(f"<td>{text(cell)}</td>" for cell in row)
        body.append(f'<tr>{cells}<td class="wide-bar">{bar}</td></tr>')
    return (
        f'<div class="scroll"><table class="plain texts"><thead><tr>{top}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def measures(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Make a plain table whose last column is text about the row."""
    return table(head, rows).replace('class="plain"', 'class="plain about"', 1)


def warning(content: str) -> str:
    """Make a box that stands out."""
    return f'<div class="warning"><b>Beware</b> {text(content)}</div>'


def gap(content: str) -> str:
    """Put some room above markup."""
    return f'<div class="gap">{content}</div>'


def folded(summary: str, content: str) -> str:
    """Hide markup behind a summary that opens it."""
    return f"<details><summary>{text(summary)}</summary>{content}</details>"


def confusion(matrix: NDArray, classes: Sequence[Any]) -> str:
    """Show a confusion matrix [C, C], rows true and columns predicted, with recall and precision."""
    total, right = matrix.sum(axis=1), np.diag(matrix)
    claimed = matrix.sum(axis=0)
    worst = max(int((matrix - np.diag(right)).max()), 1)
    names = [text(name) for name in classes]
    head = "<th></th>" + "".join(f"<th scope=col>{name}</th>" for name in names) + "<th class=edge>recall %</th>"
    rows = []
    for true, name in enumerate(names):
        cells = []
        for guess, value in enumerate(matrix[true]):
            kind, share = ("hit", value / max(total[true], 1)) if true == guess else ("miss", (value / worst) ** 0.5)
            about = f"{name} taken for {names[guess]}: {value}"
            shade = f' class={kind} style="--a:{share:.3f}"' if value else " class=none"
            cells.append(f'<td{shade} title="{about}">{value if value else "·"}</td>')
        recall = f"<td class=edge>{_share(right[true], total[true])}</td>"
        rows.append(f"<tr><th scope=row>{name}</th>{''.join(cells)}{recall}</tr>")
    foot = "".join(f"<td>{_share(hit, all_)}</td>" for hit, all_ in zip(right, claimed, strict=True))
    return (
        f'<div class="scroll"><table class="confusion"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody>'
        f"<tfoot><tr><th scope=row>precision %</th>{foot}<td class=edge>{_share(right.sum(), total.sum())}</td></tr>"
        "</tfoot></table></div>"
    )


def confusion_picture(url: str, classes: int) -> str:
    """Show a confusion matrix of many classes as a picture."""
    about = f"confusion matrix of {classes} classes, rows true and columns predicted"
    return f'<img class="heat" src="{url}" alt="{text(about)}">'


def tiles(pictures: Iterable[tuple[int, float, str]]) -> str:
    """Show pictures of first-layer weights: (unit, norm, data URL)."""
    images = "".join(
        f'<img src="{url}" alt="weights into unit {unit}" title="unit {unit}, norm {norm:.3g}">'
        for unit, norm, url in pictures
    )
    return f'<div class="tiles">{images}</div>'


def picture(title: str, note: str, png: bytes) -> str:
    """Show a PNG file as a figure, with a note below its title."""
    url = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    return (
        f'<figure><figcaption><b>{text(title)}</b></figcaption><img class="heat" src="{url}" alt="{text(title)}">'
        f'<p class="note">{text(note)}</p></figure>'
    )


def details(summary: str, content: str) -> str:
    """Hide text behind a summary that opens it; shown as it is."""
    return f"<details><summary>{text(summary)}</summary><pre>{text(content)}</pre></details>"


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f}" if whole else "–"


STYLE = """
:root{--bg:#f6f7f9;--card:#fff;--ink:#14181f;--ink-2:#5b6472;--line:#e3e6eb;--accent:37 99 235;--warm:234 108 16;
--s0:#2563eb;--s1:#ea6c10;--s2:#0d9488;--s3:#9333ea;--s4:#ca8a04;--s5:#db2777}
@media(prefers-color-scheme:dark){:root{--bg:#0f1217;--card:#171b22;--ink:#e8ebf0;--ink-2:#97a1b0;--line:#2a303a;
--accent:96 150 255;--warm:251 146 60;--s0:#6096ff;--s1:#fb923c;--s2:#2dd4bf;--s3:#c084fc;--s4:#facc15;--s5:#f472b6}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,
"Helvetica Neue",Arial,sans-serif;-webkit-text-size-adjust:100%}
main{max-width:1080px;margin:0 auto;padding:40px 20px 64px;display:grid;gap:20px;grid-template-columns:minmax(0,1fr)}
header{padding:0 4px}
.brand{color:rgb(var(--accent));font-weight:700;letter-spacing:.02em;font-size:14px}
h1{font-size:clamp(26px,5vw,38px);line-height:1.15;letter-spacing:-.02em;margin:4px 0 6px;overflow-wrap:anywhere;
font-weight:680}
h2{font-size:18px;letter-spacing:-.01em;margin:0 0 2px;font-weight:640}
.path,.hash,pre,.mono{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"Liberation Mono",monospace}
.path,.hash{font-size:13px;color:var(--ink-2);overflow-wrap:anywhere;margin:0}
.note{color:var(--ink-2);font-size:13.5px;margin:0;overflow-wrap:anywhere}
section>.note{margin-bottom:14px}
section,.card{background:var(--card);border:1px solid var(--line);border-radius:14px}
section{padding:22px 24px}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(180px,1fr));gap:14px}
.card{padding:16px 20px}
.card .note{overflow-wrap:anywhere}
.card .name{font-size:13.5px;color:var(--ink-2)}
.card .value{font-size:28px;font-weight:660;letter-spacing:-.02em;line-height:1.25;font-variant-numeric:tabular-nums}
.card:first-child .value{color:rgb(var(--accent))}
.pair{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,360px),1fr));gap:28px;margin-top:8px}
figure{margin:0;min-width:0}.pair figure{max-width:640px}
figure svg{width:100%;height:auto;display:block;overflow:visible}
figure svg [id="over"] text{paint-order:stroke;stroke:var(--card);stroke-width:4px;stroke-linejoin:round}
figcaption{display:flex;flex-wrap:wrap;gap:2px 16px;font-size:14px;margin-bottom:6px;justify-content:space-between}
figcaption b{font-weight:600;min-width:0;overflow-wrap:anywhere}
.keys{display:flex;flex-wrap:wrap;gap:2px 14px;color:var(--ink-2)}
.key i{display:inline-block;width:10px;height:10px;border-radius:3px;margin-right:6px}
.wide{overflow-x:auto}.wide svg{min-width:620px}
.scroll{overflow-x:auto;margin:10px -4px 0;padding:0 4px}
table{border-collapse:separate;border-spacing:2px;font-variant-numeric:tabular-nums;font-size:14px}
th{font-weight:500;color:var(--ink-2);font-size:13px;white-space:nowrap}
.confusion{min-width:min(100%,720px)}
.confusion td{text-align:center;min-width:38px;height:34px;padding:0 6px;border-radius:5px}
.confusion th{padding:2px 8px;max-width:140px;overflow:hidden;text-overflow:ellipsis}
.confusion tbody th,.confusion tfoot th{text-align:right}
.hit{background:rgb(var(--accent)/calc(.12 + .62*var(--a)));font-weight:600}
.miss{background:rgb(var(--warm)/calc(.1 + .6*var(--a)))}
.none{color:var(--line)}
.edge,.confusion tfoot td{color:var(--ink-2);font-size:13px;white-space:nowrap}
.plain{width:100%;border-spacing:0}
.plain th,.plain td{text-align:right;padding:6px 10px;border-bottom:1px solid var(--line)}
.plain th:first-child,.plain td:first-child{text-align:left;padding-left:0}
.plain tbody tr:last-child td{border-bottom:0}
.texts{min-width:640px}.texts th,.texts td{text-align:left}.texts td:first-child{font-weight:560;min-width:120px}
.texts td:first-child,.texts td:nth-child(4){overflow-wrap:break-word}
.texts td:nth-child(4){color:var(--ink-2);min-width:180px}
.about td:last-child,.about th:last-child{text-align:left;color:var(--ink-2);font-size:13px;padding-left:22px}
.about td:last-child{overflow-wrap:anywhere;min-width:150px}
.plain td{white-space:nowrap}.plain td:first-child,.texts td,.about td:last-child{white-space:normal}
.plain td:first-child{overflow-wrap:anywhere;min-width:90px}
.warning{background:rgb(var(--warm)/.13);border:1px solid rgb(var(--warm)/.5);border-radius:14px;padding:14px 20px;
overflow-wrap:anywhere}.warning b{color:rgb(var(--warm));margin-right:6px}
.gap{margin-top:18px}
.bars{margin:0;display:grid;gap:5px}
.bars>div{display:grid;grid-template-columns:minmax(80px,26%) minmax(0,1fr) 132px;gap:12px;align-items:center;
font-size:14px}
.bars dt{overflow:hidden;text-overflow:ellipsis;white-space:nowrap;text-align:right}
.bars dd{margin:0;color:var(--ink-2);font-size:13px;font-variant-numeric:tabular-nums;white-space:nowrap}
.bars .track{position:relative;height:16px}
.track i{position:absolute;top:1px;bottom:1px;left:0;border-radius:3px;background:var(--s0)}
.track s{position:absolute;top:7px;height:2px;background:var(--ink);border-radius:1px}
.levels .track{display:grid;height:calc(7px + 7px*var(--n));gap:1px;padding:3px 0}
.levels .track i{position:relative;top:0;bottom:0;min-width:2px;border-radius:2px}
.levels dd:last-child{white-space:normal}
.wide-bar{width:20%;min-width:110px}.bar{display:block;height:10px;border-radius:3px;background:var(--s0)}
.tiles{display:grid;grid-template-columns:repeat(16,1fr);gap:8px}
.tiles img{width:100%;image-rendering:pixelated;border-radius:6px;background:var(--bg);display:block}
.heat{width:min(100%,640px);image-rendering:pixelated;border-radius:6px;background:var(--bg);display:block}
.facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,300px),1fr));gap:0 36px;margin:6px 0 0}
.facts div{display:flex;justify-content:space-between;gap:16px;border-bottom:1px solid var(--line);padding:7px 0;
font-size:14px}
.facts dt{color:var(--ink-2);white-space:nowrap}
.facts dd{margin:0;text-align:right;overflow-wrap:anywhere;min-width:0;font-variant-numeric:tabular-nums}
.lines{display:grid;grid-template-columns:max-content minmax(0,1fr);gap:8px 28px;margin:12px 0 0;font-size:14px}
.lines dt{color:var(--ink-2)}
.lines dd{margin:0;overflow-wrap:anywhere;white-space:pre-line;font-variant-numeric:tabular-nums}
details{margin-top:14px;font-size:14px}summary{cursor:pointer;color:var(--ink-2)}
pre{background:var(--bg);border-radius:10px;padding:14px;overflow:auto;font-size:12.5px;line-height:1.55}
footer{color:var(--ink-2);font-size:13px;padding:0 4px}
@media(max-width:600px){main{padding:24px 12px 40px;gap:14px}section{padding:18px 16px}
.cards{grid-template-columns:1fr 1fr;gap:10px}.card{padding:12px 14px}.card .value{font-size:22px}
.tiles{grid-template-columns:repeat(8,1fr);gap:6px}}
@media(max-width:600px){.confusion{min-width:100%;font-size:12px}.confusion td{min-width:22px;height:26px;padding:0 1px}
.confusion th,.edge,.confusion tfoot td{padding:0 2px;font-size:10.5px}.confusion tfoot th{white-space:normal}}
@media print{body{background:#fff}section,.card{break-inside:avoid}}
""".replace("\n", "")
