"""Registers a master with YARN and asks for its containers, before Python imports the rest of the master.

For an application's first attempt, whose task config has come with its credentials and says where the data is. Any
other master has to look at HDFS first: it registers in `lead`.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Sequence
from concurrent import futures
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

from hdl import timeline
from hdl.yarn.comm import tokens
from hdl.yarn.comm.control_server import Server
from hdl.yarn.comm.credentials import Credentials
from hdl.yarn.dashboard.listening import listen
from hdl.yarn.resource_manager.clients import Clients
from hdl.yarn.resource_manager.containers import Containers
from hdl.yarn.resource_manager.hadoop import Hadoop
from hdl.yarn.resource_manager.resources import Resources, application_of
from hdl.yarn.settings import ORDER, Settings


@dataclass(frozen=True)
class Early:
    """Holds what a master has begun before all of it was imported.

    Parameters
    ----------
    resources : Resources
    server : Server
        Listens for workers.
    page : socket
        Listens for those who look at the live page, which is served later.
    containers : Future of Containers
        Asked for, once the master has registered.
    """

    resources: Resources
    server: Server
    page: socket.socket
    containers: Future[Containers]


def begin(clients: Clients, staging: str) -> Future[Early | None]:
    """Begin to register and to ask; the future's value is None where the master has to look at HDFS first.

    Raises
    ------
    HdlError
        By the future: this is no container of YARN, or its task config is wrong. By `Early.containers`: YARN refuses.
    """
    pool = ThreadPoolExecutor(2, thread_name_prefix="hdl-early")

    def prepare() -> Early | None:
        attempt, entries = application_of(os.environ["CONTAINER_ID"])[1], tokens.read()
        config = json.loads(entries.get(ORDER, b"{}"))
        near, host = config.get("near"), os.environ["NM_HOST"]
        if attempt > 1 or not near:
            return None
        settings, credentials = Settings.make(**config["settings"]), Credentials.from_dict(entries)
        server, page = Server(credentials, host), listen(host)
        resources = Hadoop(settings, staging, clients=clients, files=config.get("files"))
        port = page.getsockname()[1]

        def ask() -> Containers:
            return registered(resources, server, credentials, settings, host, port, address(host, port), near)

        return Early(resources, server, page, pool.submit(ask))

    begun = pool.submit(prepare)
    begun.add_done_callback(lambda _: pool.shutdown(wait=False))
    return begun


def wait(begun: Future[Early | None]) -> None:
    """Wait until it has been asked, or until that is known to fail: who needs the containers is told the error."""
    futures.wait([begun])
    if not begun.exception() and (early := begun.result()):
        futures.wait([early.containers])


def address(host: str, port: int) -> str:
    """Name the live page's address."""
    return f"http://{host}:{port}/"


def registered(
    resources: Resources, server: Server, credentials: Credentials, settings: Settings, host: str, port: int, url: str,
    near: Sequence[Sequence[str]] = (),
) -> Containers:  # fmt: skip
    """Register the master, and ask for a container near each of these lists of hosts."""
    left = resources.register(host, port, url)
    timeline.reached("master", "registered")
    containers = Containers(resources, server, credentials, settings.relax_seconds, left)
    if near:
        containers.ask_early(near)
    return containers
