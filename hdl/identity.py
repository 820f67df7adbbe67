"""Asks Hadoop who we are and where our home folder is; all of hdl that names a user or a folder of one asks here.

Hadoop's own UserGroupInformation (UGI) decides: by a Kerberos ticket and the cluster's rules that make a short name of
its principal (hadoop.security.auth_to_local), else by HADOOP_USER_NAME, else by the operating system's user; and
HADOOP_PROXY_USER is the user that is acted for. So whom the operating system takes us for says nothing here.
"""

from __future__ import annotations

import os
import pwd
import re
import sys
from collections.abc import Mapping
from typing import Any

from hdl import libhdfs
from hdl.errors import SpecError

UGI = "org.apache.hadoop.security.UserGroupInformation"
HDFS_CONFIGURATION = "org.apache.hadoop.hdfs.HdfsConfiguration"


def user() -> str:
    """Name the user that we are to Hadoop: UGI's short name, or in a container the submitter, as YARN says.

    A container may run as another user of the operating system, and with Kerberos it has tokens but no ticket: there
    UGI would name whom the node runs containers as.

    Raises
    ------
    Unavailable, DeadlineError
        There is no connection to HDFS, whose client is asked where JPype has not started Java.
    """
    if name := submitter():
        return name
    if java := _java():
        return str(java(UGI).getCurrentUser().getShortUserName())
    if _prefix is not None:
        return unproved()
    return _home(libhdfs.default()).rpartition("/")[2]


def unproved() -> str:
    """Name the user that we are to a cluster without Kerberos, which takes our word for it; nobody is asked."""
    return os.environ.get("HADOOP_USER_NAME") or pwd.getpwuid(os.geteuid()).pw_name


def claim(settings: Mapping[str, str] | None) -> None:
    """Have this process ask nobody any more, by the configuration of a cluster that takes our word for who we are.

    None has it ask again.
    Java that runs, and a container's submitter, still count first.
    """
    global _prefix
    _prefix = None if settings is None else settings.get("dfs.user.home.dir.prefix", "/user").rstrip("/")


_prefix: str | None = None  # of home folders, where our word is taken


def home(path: str | None = None) -> str:
    """Name our home folder on a file system, most often ``hdfs:///user/NAME``; it may be missing.

    Hadoop makes it of `user` and the cluster's ``dfs.user.home.dir.prefix``.

    Parameters
    ----------
    path : str, optional
        Any path there; its scheme and address are the home's. None: the default file system.

    Raises
    ------
    SpecError
        The path has no scheme.
    Unavailable, DeadlineError
        There is no connection, or no default file system.
    """
    path = _default() if path is None else path
    address = re.match(r"[A-Za-z][A-Za-z0-9+.-]*://[^/]*", path)
    if not address:
        raise SpecError(f"{path}: expected a path with a scheme, such as hdfs:///data, to find our home folder there")
    folder, _, name = _home(path).rpartition("/")
    return f"{address[0]}{folder}/{submitter() or name}"


def submitter() -> str:
    """Name the user who submitted the application that this container belongs to; empty outside of containers."""
    return os.environ.get("USER", "") if "CONTAINER_ID" in os.environ else ""  # YARN sets both


def _java() -> Any:
    """Return what loads Java's classes, if JPype has started a virtual machine: only hdl.yarn starts one."""
    jpype = sys.modules.get("jpype")
    runs = getattr(jpype, "isJVMStarted", None)  # not there yet while another thread imports it
    return jpype.JClass if jpype and runs and runs() else None


def _default() -> str:
    """Name the root of the default file system: ``hdfs:///`` for any HDFS."""
    java = _java()
    if not java:
        return libhdfs.default() if _prefix is None else "hdfs:///"
    root = java("org.apache.hadoop.fs.FileSystem").getDefaultUri(java(HDFS_CONFIGURATION)())
    return "hdfs:///" if str(root.getScheme()) == "hdfs" else f"{root.getScheme()}://{root.getAuthority() or ''}/"


def _home(path: str) -> str:
    """Find the home folder on a path's file system, without scheme and address."""
    java = _java()
    if java and path.startswith("hdfs://"):  # as HDFS's client does, but without a connection
        conf = java(HDFS_CONFIGURATION)()
        folder = java("org.apache.hadoop.hdfs.DFSUtilClient").getHomeDirectory(conf, java(UGI).getCurrentUser())
    elif _prefix is not None and path.startswith("hdfs://"):
        folder = f"{_prefix}/{unproved()}"
    else:
        folder = libhdfs.home(path)
    return re.sub(r"^[A-Za-z][A-Za-z0-9+.-]*:(//[^/]*)?", "", str(folder)).rstrip("/")
