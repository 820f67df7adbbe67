"""Brings the archive of Java's classes to the nodes, whose master starts by it: see `hdl.java_archive`."""

from __future__ import annotations

from contextlib import suppress

from hdl import fs, hadoop_conf, identity, java_archive
from hdl.errors import HdlError
from hdl.yarn.resource_manager import class_path

FOLDER = ".hdl/classes"  # in the user's home


def ready(make: bool) -> str:
    """Put the archive of Java's classes on HDFS, where it is not there; return its path there.

    Parameters
    ----------
    make : bool
        Make it where there is none, once for a class path: 5 s of a processor.

    Returns
    -------
    str
        ``….jsa``, beside which ``….json`` lies; empty where there is none.
    """
    with suppress(HdlError, OSError):
        description = class_path.archivable(class_path.entries())
        if description is None:
            return ""
        conf = hadoop_conf.folder()
        archive = (
            java_archive.make(description, conf, class_path.program()) if make else java_archive.kept(description, conf)
        )
        if archive is None:
            return ""
        folder = fs.join(identity.home(), FOLDER)
        path = fs.join(folder, archive.name)
        if not fs.exists(path):
            fs.mkdir(folder, private=True)
            for file in (archive.with_suffix(".json"), archive):  # the archive comes last: then both are there
                with suppress(FileExistsError):
                    fs.publish(fs.join(folder, file.name), file.read_bytes(), private=True, closed=True)
        return path
    return ""
