"""Lists who may submit applications: without Kerberos, the users that were named to the cluster.

A job runs as the user who started the cluster. Submission over the web asks for no name that could be looked up, and is
off. What is left without Kerberos: a name is only claimed.
"""

from __future__ import annotations

from hdl.cluster.config.common import Layout, Site, Sites

FILE = "hadoop-policy.xml"


def vary(sites: Sites, layout: Layout) -> None:
    """Turn the lists on, and submission over the web off."""
    sites["core"]["hadoop.security.authorization"] = "true"
    sites["yarn"]["yarn.webapp.enable-rest-app-submissions"] = "false"


def policy(options: dict) -> Site:
    """Make the properties of ``hadoop-policy.xml``: with Kerberos none, as its realm has no other users."""
    if options.get("kerberos"):
        return {}
    users = ",".join(options["users"])
    return {
        "security.applicationclient.protocol.acl": users,
        "security.resourcemanager-administration.protocol.acl": users,
    }
