"""Watches a master's training: the live page, or nothing."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Any

from hdl import driver
from hdl.runners.base import Job
from hdl.yarn.dashboard.server import PageServer
from hdl.yarn.dashboard.state import State
from hdl.yarn.master.early import address
from hdl.yarn.process import say
from hdl.yarn.resource_manager.viewers import Viewers
from hdl.yarn.settings import Settings


class Watcher:
    """Is told events and messages, and may show them at an address; this base class ignores them."""

    port, url = 0, ""

    def begins(self, job: Job) -> None:
        """Receive what is trained from now on, in a session."""

    def hear(self, event: Any) -> None:
        """Receive an event of the driver or the worker group."""

    def message(self, text: str) -> None:
        """Receive a message for people."""

    def workers(self, status: list[dict[str, Any]]) -> None:
        """Receive the workers' state: see `Membership.status`."""

    def facts(self, facts: dict[str, str]) -> None:
        """Receive what a session is doing, in words by their names."""

    def avoided(self, text: str) -> None:
        """Receive which nodes are avoided, until when and why; empty: none."""

    def close(self) -> None:
        """Stop showing; nothing more is told."""


class Live(Watcher):
    """Serves the live page, which YARN's proxy shows as the application's."""

    def __init__(
        self, application: str, job: Job, settings: Settings, host: str, proxies: Sequence[str],
        viewers: Viewers | None = None, listening: socket.socket | None = None,
    ):  # fmt: skip
        facts = {"data": job.data, "table": job.table, "workers": settings.number, "memory": f"{settings.memory} MiB"}
        self.state = State(application, facts)
        self.page = PageServer(self.state, host, proxies, viewers.refusal if viewers else None, listening)
        self.page.start()
        self.port, self.url = self.page.port, address(host, self.page.port)

    def begins(self, job: Job) -> None:
        self.state.add_facts({"data": job.data, "table": job.table})

    def hear(self, event: Any) -> None:
        if isinstance(event, driver.Started):
            spec = event.spec
            self.state.add_facts({
                "net": f"{f'layer {spec.layer}: ' if spec.layer else ''}{'-'.join(map(str, spec.net or ()))}",
                "samples": f"{event.samples:,}", "shards": spec.shards,
                "mode": spec.sync.mode, "optimizer": spec.optimizer.name,
            })  # fmt: skip
        self.state.hear(event)

    def message(self, text: str) -> None:
        say(f"hdl master: {text}")
        self.state.message(text)

    def workers(self, status: list[dict[str, Any]]) -> None:
        self.state.set_workers(status)

    def facts(self, facts: dict[str, str]) -> None:
        self.state.add_facts(facts)

    def avoided(self, text: str) -> None:
        if text or "nodes avoided" in self.state.facts:
            self.state.add_facts({"nodes avoided": text or "none any more"})

    def close(self) -> None:
        self.page.close()
