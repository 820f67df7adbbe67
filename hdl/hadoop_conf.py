"""Hadoop's configuration as its clients read it, and the NameNodes that a name stands for: no Java is started."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementInclude, ElementTree

FILES = ("core-site.xml", "hdfs-site.xml")
PROVIDER = "dfs.client.failover.proxy.provider."  # a name with one is several NameNodes': Hadoop's own test
PORTS = {"hdfs": 8020, "webhdfs": 9870, "swebhdfs": 9871}  # where the address gives none
# A file is closed when the NameNode has heard of its last block, mostly some milliseconds after it is first asked to.
# Hadoop's client asks again after 400 ms, doubled each time, 5 times; this is as patient, and quick where it can be.
CLOSING = {
    "dfs.client.block.write.locateFollowingBlock.initial.delay.ms": "20",
    "dfs.client.block.write.locateFollowingBlock.retries": "10",
}
MOST_STEPS = 20  # of ${…} within ${…}, as Hadoop has it


class Address(NamedTuple):
    """Is where a daemon listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def folder() -> str:
    """Name the configuration folder that the environment gives; empty if none."""
    home = os.environ.get("HADOOP_HOME")
    return os.environ.get("HADOOP_CONF_DIR") or (os.path.join(home, "etc/hadoop") if home else "")


def read(folder: str | os.PathLike, files: Sequence[str] = FILES) -> dict[str, str]:
    """Read the properties of a configuration folder's files, with what they include and with ``${…}`` filled in.

    What cannot be read is left out, as Hadoop's own defaults are: Hadoop itself then says what is wrong.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> one = "<property><name>{}</name><value>{}</value></property>"
    >>> site = one.format("fs.defaultFS", "hdfs://${name}") + one.format("name", "MyCluster")
    >>> _ = (folder / "core-site.xml").write_text(f"<configuration>{site}</configuration>")
    >>> read(folder)["fs.defaultFS"]
    'hdfs://MyCluster'
    """
    raw: dict[str, str] = {}
    final: set[str] = set()
    for name in files:
        for prop in _properties(Path(folder) / name):
            key = (prop.findtext("name") or prop.get("name") or "").strip()
            value = prop.findtext("value") if prop.find("value") is not None else prop.get("value")
            if key and value is not None and key not in final:
                raw[key] = value.strip()
            if (prop.findtext("final") or prop.get("final") or "").strip() == "true":
                final.add(key)
    return {key: _filled(value, raw) for key, value in raw.items()}


def _properties(path: Path) -> list[ElementTree.Element]:
    try:
        root = ElementTree.parse(path).getroot()
        ElementInclude.include(root, base_url=str(path))
    except (OSError, ElementTree.ParseError, ElementInclude.FatalIncludeError):
        return []
    return list(root.iter("property"))


def _filled(value: str, raw: Mapping[str, str]) -> str:
    """Put other properties, or the environment's variables (``${env.HOME}``), for ``${…}``; unknown ones stay."""

    def known(match: re.Match[str]) -> str:
        name = match[1]
        found = os.environ.get(name.removeprefix("env.")) if name.startswith("env.") else raw.get(name)
        return match[0] if found is None else found

    for _ in range(MOST_STEPS):
        before, value = value, re.sub(r"\$\{([^{}$\s]+)\}", known, value)
        if value == before:
            break
    return value


def closing(settings: Mapping[str, str]) -> dict[str, str]:
    """Return the properties by which Hadoop's client closes files soon: none where the user's configuration has one.

    Examples
    --------
    >>> closing({"dfs.client.block.write.locateFollowingBlock.retries": "7"})
    {}
    """
    return {} if CLOSING.keys() & settings.keys() else dict(CLOSING)


def default(settings: Mapping[str, str]) -> str:
    """Return the default file system's address; this machine's own where none is configured."""
    return settings.get("fs.defaultFS") or settings.get("fs.default.name") or "file:///"


def names(value: str | None) -> list[str]:
    """Split a property that is a list of names: commas part them, blanks and empty places do not count.

    Examples
    --------
    >>> names(" MyCluster, Other ,")
    ['MyCluster', 'Other']
    """
    return [name.strip() for name in (value or "").split(",") if name.strip()]


def name_nodes(scheme: str, authority: str, settings: Mapping[str, str]) -> list[Address]:
    """List the addresses of the NameNodes that an authority stands for; an empty list is left to Hadoop's client.

    Names are not folded to lower case, as they are keys of the configuration.

    Parameters
    ----------
    scheme, authority : str
        Of a path: ``hdfs`` and ``MyCluster`` of ``hdfs://MyCluster/data``.
    settings : mapping
        As `read` returns them.

    Examples
    --------
    >>> name_nodes("hdfs", "node1", {})
    [Address(host='node1', port=8020)]
    """
    address = _address(authority.rpartition("@")[2], PORTS[scheme]) if scheme in PORTS else None
    if address is None:
        return []
    if address.host not in names(settings.get("dfs.nameservices")) and PROVIDER + address.host not in settings:
        return [address]
    protocol = {"webhdfs": "http", "swebhdfs": "https"}.get(scheme, "rpc")
    members = names(settings.get(f"dfs.ha.namenodes.{address.host}"))
    given = [
        settings.get(".".join(filter(None, (f"dfs.namenode.{protocol}-address", address.host, one))))
        for one in members or [""]
    ]
    found = [_address(one or "", PORTS[scheme]) for one in given]
    return [one for one in found if one] if all(found) else []


def wrong_name(scheme: str, authority: str, settings: Mapping[str, str]) -> str:
    """Say what is wrong with an authority that is nearly one of the configured names; empty if nothing is.

    Examples
    --------
    >>> wrong_name("hdfs", "mycluster", {"dfs.nameservices": "MyCluster"})
    'expected hdfs://MyCluster, as it is written in dfs.nameservices'
    """
    address, known = _address(authority.rpartition("@")[2], 0), names(settings.get("dfs.nameservices"))
    if address is None or scheme not in PORTS:
        return ""
    if address.port and PROVIDER + address.host in settings:
        return f"{address.host} is a name of several NameNodes, which takes no port; expected {scheme}://{address.host}"
    if address.port or PROVIDER + address.host in settings:
        return ""
    alike = [name for name in known if name.lower() == address.host.lower() and name != address.host]
    return f"expected {scheme}://{alike[0]}, as it is written in dfs.nameservices" if alike else ""


def _address(text: str, port: int) -> Address | None:
    match = re.fullmatch(r"(?:\[([^\]]+)\]|([^:\[\]]+))(?::(\d+))?", text.strip())
    return Address(match[1] or match[2], int(match[3] or port)) if match else None
