"""An application's files without a Java virtual machine: by hdfs-native, and their blocks by Hadoop's RPC."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from hdl import fs, hadoop_conf, identity
from hdl.errors import HdlError
from hdl.yarn.api.interface import Unable, most_first
from hdl.yarn.api.rpc import Connection, Refused

if TYPE_CHECKING:
    from hdl.data import FileSplit

PROTOCOL = "org.apache.hadoop.hdfs.protocol.ClientProtocol"  # fields: ClientNamenodeProtocol.proto and hdfs.proto


class Files:
    """Does the half of `interface.Yarn` that is about HDFS; its methods may raise Unable.

    Parameters
    ----------
    settings : mapping
        The configuration's properties.
    """

    def __init__(self, settings: Mapping[str, str]):
        self.settings = settings
        self._default = urlsplit(hadoop_conf.default(settings)).netloc

    def reach(self, folder: str) -> None:
        with _unable():
            fs.exists(folder)

    def make_folder(self, folder: str) -> None:
        with _unable():
            fs.mkdir(os.path.dirname(folder))
            fs.mkdir(folder, private=True)

    def put(self, path: str, content: bytes) -> None:
        with _unable():
            fs.publish(path, content, private=True)

    def located(self, path: str) -> dict[str, Any]:
        authority, name = self._parts(path)
        with _unable():
            size, changed = fs.stamp(path)
        return {"path": f"hdfs://{authority}{name}", "size": size, "time": changed}

    def changed(self, folder: str) -> dict[str, float]:
        with _unable():
            return {name: fs.stamp(fs.join(folder, name))[1] / 1000 for name in fs.list(folder)}

    def remove(self, folder: str) -> None:
        with _unable(), suppress(FileNotFoundError):
            fs.remove(folder)

    def hosts(self, splits: list[FileSplit]) -> list[str]:
        held: dict[str, int] = {}
        name_nodes: dict[str, Connection] = {}
        try:
            for split in splits:
                authority, name = self._parts(split.path)
                if authority not in name_nodes:
                    name_nodes[authority] = self._name_node(authority)
                answer = name_nodes[authority].call("getBlockLocations", {1: name, 2: split.start, 3: split.length})
                nodes = [node.message(1) for block in answer.message(1).messages(2) for node in block.messages(3)]
                for host in {node.text(2) for node in nodes}:
                    held[host] = held.get(host, 0) + split.length
        except Refused as error:
            raise HdlError(f"the blocks of the data: {error}") from None
        finally:
            for each in name_nodes.values():
                each.close()
        return most_first(held)

    def _parts(self, path: str) -> tuple[str, str]:
        """Split a path of HDFS into its address, which is the default one where it gives none, and its name there."""
        if not path.startswith("hdfs://"):
            raise Unable(f"{path}: Hadoop's client knows what it stands for")
        authority, _, name = path.removeprefix("hdfs://").partition("/")
        return authority or self._default, f"/{name}"

    def _name_node(self, authority: str) -> Connection:
        addresses = hadoop_conf.name_nodes("hdfs", authority, self.settings)
        if len(addresses) != 1:  # of several the master asks the active one
            raise HdlError(f"hdfs://{authority}: nobody is asked here where blocks are")
        return Connection(*addresses[0], PROTOCOL, identity.unproved())


@contextmanager
def _unable() -> Iterator[None]:
    """Leave to Hadoop's client what HDFS refuses: it says why."""
    try:
        yield
    except OSError as error:
        raise Unable(str(error)) from error
