"""A federation: two NameNodes, each with a namespace of its own, over the same DataNodes."""

from __future__ import annotations

from pathlib import Path

from hdl.cluster.config import federation
from hdl.cluster.masters import Masters


class Federation(Masters):
    """Is two NameNodes that do not know each other, and one ResourceManager."""

    name_nodes = ("namenode1", "namenode2")

    @property
    def uri(self) -> str:
        """The default file system, which is the view of both namespaces."""
        return f"viewfs://{federation.VIEW}"

    def web(self) -> dict[str, str]:
        """Return the web addresses of the masters; of the NameNodes the first one's."""
        return {"namenode": self.address("namenode_web1"), "resourcemanager": self.address("resourcemanager_web")}

    def formats(self, root: Path) -> dict[str, list[str]]:
        """Format both for one cluster: a DataNode serves no other."""
        words = ["-format", "-clusterId", "CID-hdl", "-nonInteractive", "-force"]
        there = {k: (federation.name_folder(root, k) / "current").exists() for k in federation.NUMBERS}
        return {f"namenode{k}": words for k, exists in there.items() if not exists}
