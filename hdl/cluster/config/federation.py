"""Changes the configuration for a federation of two NameNodes: two namespaces on the same nodes, one view of both.

The default file system is the view (``viewfs``): ``hdfs:///`` names nothing on such a cluster.
"""

from __future__ import annotations

from pathlib import Path

from hdl.cluster.config.common import LOOPBACK, Layout, Sites

VIEW = "HdlView"
NUMBERS = (1, 2)
PORTS = tuple(f"{name}{k}" for name in ("namenode", "namenode_web") for k in NUMBERS)
LINKS = {"/user": (1, "/user"), "/tmp": (1, "/tmp"), "/tests": (1, "/tests"), "/second": (2, "/tests")}


def vary(sites: Sites, layout: Layout) -> None:
    """Make a federation, if the layout's option ``federation`` asks for it."""
    if not layout.options.get("federation"):
        return
    hdfs = sites["hdfs"]
    for name in ("rpc-address", "http-address", "name.dir"):
        del hdfs[f"dfs.namenode.{name}"]
    hdfs["dfs.nameservices"] = "one, two"
    for k in NUMBERS:
        hdfs |= {
            f"dfs.namenode.rpc-address.{service(k)}": f"{LOOPBACK}:{layout.ports[f'namenode{k}']}",
            f"dfs.namenode.http-address.{service(k)}": f"{LOOPBACK}:{layout.ports[f'namenode_web{k}']}",
            f"dfs.namenode.name.dir.{service(k)}": name_folder(layout.root, k),
        }
    sites["core"]["fs.defaultFS"] = f"viewfs://{VIEW}/"
    for mount, (k, path) in LINKS.items():
        target = f"hdfs://{LOOPBACK}:{layout.ports[f'namenode{k}']}{path}"
        sites["core"][f"fs.viewfs.mounttable.{VIEW}.link.{mount}"] = target


def service(number: int) -> str:
    """Name one of the namespaces."""
    return ("one", "two")[number - 1]


def name_folder(root: Path, number: int) -> Path:
    """Return the folder of one NameNode's image."""
    return root / f"data/name{number}"


def own(kind: str, number: str) -> dict[str, str]:
    """Give the properties by which a NameNode of a federation knows which one it is."""
    return {"dfs.nameservice.id": service(int(number))} if kind == "namenode" else {}
