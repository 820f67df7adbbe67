"""Samples of an application for the tests of its dashboard, and the elements of a page."""

import html.parser

from hdl.driver import Stage, Started
from hdl.spec import Spec
from hdl.yarn.dashboard.state import State

NASTY = '"><script>alert(1)</script><img src=x onerror=alert(2)>'


def row(number, **more):
    """A row of metrics of the round that starts from `number` rounds."""
    return {"version": number + 1, "parent": number, "round": number, "samples": 100, "cost": 1 / (number + 1),
            "accuracy": 0.5, "val_cost": None, "val_accuracy": None, "seconds": {"round": 0.01, "merge": 0.001},
            "final": False, **more}  # fmt: skip


def worker(number, **more):
    """A worker as `Membership.status` describes it."""
    return {"worker": number, "container": f"container_1_{number}", "host": f"node{number}", "shards": [number],
            "state": "computing", "seconds": 0.01, "staleness": None, "log": f"http://node{number}:8042/log",
            **more}  # fmt: skip


def begun_state():
    """An application whose training has begun, with two workers."""
    state = State("application_1_0001", {"net": "4-3-2", "data": "hdfs:///d"}, [worker(0), worker(1)])
    state.hear(Stage("train"))
    state.hear(Started(Spec(), 100, 10, 0))
    return state


class Elements(html.parser.HTMLParser):
    """All elements of a page with their attributes."""

    def __init__(self, text):
        super().__init__()
        self.elements = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
