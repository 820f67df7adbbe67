"""The live page's style and script, and the policy that lets the browser take these two and nothing else.

They stand in the page itself, and here in Python, because a node has hdl's Python files alone.
"""

from __future__ import annotations

import base64
import hashlib

from hdl.report import page

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
    ".workers td,.workers th{vertical-align:top;text-align:left}.workers .shards{min-width:120px;max-width:190px}"
    ".workers .host,.workers .shards{overflow-wrap:anywhere}.workers .host{min-width:150px}"
    ".workers .mono{font-size:12px;color:var(--ink-2)}.workers .time{min-width:130px}"
    ".said{list-style:none;margin:8px 0 0;padding:0;font-size:14px}"
    ".said li{display:grid;grid-template-columns:74px minmax(0,1fr);padding:6px 0;border-bottom:1px solid var(--line)}"
    ".said li:last-child{border-bottom:0}.said time{color:var(--ink-2);font-variant-numeric:tabular-nums}"
    ".said span{overflow-wrap:anywhere}"
    ".lost{margin:0;padding:10px 20px;text-align:center;background:rgb(var(--warm)/.16);font-size:14px}"
    "@media(min-width:701px){.cards:has(:nth-child(6)){grid-template-columns:repeat(3,1fr)}}"
    "@media(max-width:700px){.workers thead{display:none}.workers,.workers tbody{display:block}"
    ".workers tr{display:grid;grid-template-columns:minmax(0,1fr) auto;gap:2px 12px;padding:12px 0;"
    "border-bottom:1px solid var(--line)}.workers tbody tr:last-child{border-bottom:0}"
    ".workers td,.workers td:first-child{border:0;padding:0;min-width:0;order:2}"
    ".workers td:first-child,.workers .state{order:1}"
    ".workers .host,.workers .time,.workers .shards{max-width:none;grid-column:1/-1}figure text{font-size:16px}"
    ".card:last-child:nth-child(odd){grid-column:1/-1}.workers [data-name]::before{content:attr(data-name) ' ';"
    "color:var(--ink-2);font-size:13px}}"
)  # fmt: skip

# Every 2 s it asks for the page again and takes over its content, unless text is selected; three times without an
# answer show the notice `lost`.
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


def policy_hash(content: str) -> str:
    """Make the policy's hash of an inline style or script, as Content-Security-Policy writes it."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


POLICY = (
    f"default-src 'none'; style-src {policy_hash(STYLE)}; script-src {policy_hash(SCRIPT)}; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'"
)
