"""Hadoop's own client of HDFS, in a Java virtual machine, through pydoop's libhdfs."""

from __future__ import annotations

import io
import posixpath

from hdl.hdfs_client import Info, Names
from hdl.libhdfs import Reading, Writing, call, resolve


class Java:
    """Reaches HDFS through libhdfs: all that Hadoop's client can do, at the price of a virtual machine.

    The methods are those of `hdl.hdfs_client.Client`.
    """

    def info(self, path: str) -> Info:
        system, name = resolve(path)
        status = call(path, system.get_path_info, name)
        rights = status.get("permissions", 0), status.get("owner", ""), status.get("group", "")
        changed = float(status.get("last_mod", 0))
        return Info(status["kind"] == "directory", status["size"], *rights, changed)

    def entries(self, path: str) -> Names:
        system, name = resolve(path)
        return [posixpath.basename(each["name"].rstrip("/")) for each in call(path, system.list_directory, name)]

    def open(self, path: str, size: int) -> io.RawIOBase:
        system, name = resolve(path)
        return Reading(path, call(path, system.open_file, name, "r"), size)

    def create(self, path: str) -> io.RawIOBase:
        system, name = resolve(path)
        return Writing(call(path, system.open_file, name, "w"))

    def rename(self, source: str, target: str) -> None:
        system, name = resolve(target)
        call(target, system.rename, resolve(source)[1], name)

    def delete(self, path: str) -> None:
        system, name = resolve(path)
        call(path, system.delete, name, True)

    def mkdirs(self, path: str) -> None:
        system, name = resolve(path)
        call(path, system.create_directory, name)

    def hosts(self, path: str, start: int, length: int) -> list[Names] | None:
        system, name = resolve(path)
        try:
            return call(path, system.get_hosts, name, start, length) or []
        except RuntimeError:  # pydoop's only error here: it drops libhdfs's errno
            return None

    def chmod(self, path: str, mode: int) -> None:
        system, name = resolve(path)
        call(path, system.chmod, name, mode)

    def user(self, path: str) -> str:
        system, _ = resolve(path)
        return posixpath.basename(system.get_working_directory().rstrip("/"))  # it is the home folder
