"""YARN's configuration as a client without Java reads it, and what in it asks for Hadoop's own client."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import NamedTuple

from hdl import hadoop_conf, identity, kerberos

FILES = (*hadoop_conf.FILES, "yarn-site.xml", "resource-types.xml")
NAME = re.compile(r"[A-Za-z0-9_][\w.-]*\$?", re.ASCII)  # of a user, of which no rule of Hadoop's makes another one
# Settings that only Hadoop's client heeds.
FOREIGN = ("yarn.client.failover-proxy-provider", "hadoop.socks.server", "hadoop.rpc.socket.factory.class.default")


class Conf(dict[str, str]):
    """A configuration's properties, by the methods of Java's Configuration that `listening` uses."""

    def getBoolean(self, name: str, default: bool) -> bool:
        value = self.get(name, "").strip().lower()
        return value == "true" if value in ("true", "false") else default

    def getTrimmed(self, name: str, default: str) -> str:
        return self.get(name, default).strip()

    def getTrimmedStringCollection(self, name: str) -> list[str]:
        return hadoop_conf.names(self.get(name))

    def getSocketAddr(self, name: str, default: str, port: int) -> Place:
        text = self.get(name) or f"{self.get('yarn.resourcemanager.hostname') or '0.0.0.0'}:{port}"
        match = re.fullmatch(r"\[?([^\[\]]*?)\]?(?::(\d+))?", text.strip())
        return Place(match[1], int(match[2] or port)) if match else Place(text, port)


class Place(NamedTuple):
    """As Java's InetSocketAddress."""

    host: str
    port: int

    def getHostString(self) -> str:
        return self.host

    def getPort(self) -> int:
        return self.port


def unfit(settings: Mapping[str, str]) -> str:
    """Say what asks for Hadoop's own client; empty where nothing in the configuration or the environment does."""
    if os.environ.get("HADOOP_PROXY_USER"):
        return "HADOOP_PROXY_USER is set"
    if settings.get("hadoop.security.authentication", "simple").strip().lower() != "simple" or kerberos.given():
        return "the cluster is secured, and who calls is proved by Hadoop's client"
    if not hadoop_conf.default(settings).startswith("hdfs://"):
        return f"fs.defaultFS is {hadoop_conf.default(settings)}"
    if settings.get("yarn.federation.enabled", "").strip().lower() == "true":
        return "yarn.federation.enabled is set"
    if not any(name.startswith(("yarn.resourcemanager.address", "yarn.resourcemanager.hostname")) for name in settings):
        return f"yarn-site.xml in {hadoop_conf.folder() or 'no folder'} does not say where the ResourceManager is"
    if name := next((name for name in FOREIGN if settings.get(name)), ""):
        return f"{name} is set"
    try:
        user = identity.unproved()
    except KeyError:
        return "the operating system has no name for this user"
    return "" if NAME.fullmatch(user) else f"{user!r} may be another name to Hadoop"
