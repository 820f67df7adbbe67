"""An application as YARN reports it, for tests without a YARN."""

from hdl.yarn.client.interface import Report

APP = "application_1700000000000_0001"


def report(**fields):
    base = dict.fromkeys(("name", "user", "queue", "url", "host", "diagnostics"), "")
    base |= {"application": APP, "state": "RUNNING", "final": "UNDEFINED", "progress": 0.5}
    return Report(**{**base, "started": 0.0, "finished": 0.0, "attempt": 1, **fields})
