"""Makes web pages ask for a ticket by SPNEGO, and answer over HTTPS by a certificate of the cluster's own."""

from __future__ import annotations

from pathlib import Path

from hdl.cluster.config import kerberos
from hdl.cluster.config.common import Layout, Site, Sites, write_site


def tls(root: Path) -> Path:
    """Return the folder of the certificate: ``ca.pem``, ``trust.p12``, ``key.p12`` and their ``password``."""
    return root / "tls"


def http_secret(root: Path) -> Path:
    """Return the file of the key that signs the pages' cookies."""
    return root / "kdc/http-secret"


def vary(sites: Sites, layout: Layout) -> None:
    """Close the pages, if the layout's options ``spnego`` and ``https`` ask for it."""
    if layout.options.get("spnego"):
        sites["core"] |= _spnego(layout)
    if layout.options.get("https"):
        _https(sites, layout)


def _spnego(layout: Layout) -> Site:
    return {
        "hadoop.http.filter.initializers": "org.apache.hadoop.security.AuthenticationFilterInitializer",
        "hadoop.http.authentication.type": "kerberos",
        "hadoop.http.authentication.simple.anonymous.allowed": "false",
        "hadoop.http.authentication.signature.secret.file": http_secret(layout.root),
        "hadoop.http.authentication.kerberos.principal": "*",
        "hadoop.http.authentication.kerberos.keytab": kerberos.keytab(layout.root, "HTTP"),
    }


def _https(sites: Sites, layout: Layout) -> None:
    """Move every page's address, with its port, to the property that HTTPS has in its place."""
    moved = {
        "hdfs": {
            "dfs.namenode.http-address": "dfs.namenode.https-address",
            "dfs.datanode.http.address": "dfs.datanode.https.address",
        },
        "yarn": {"yarn.resourcemanager.webapp.address": "yarn.resourcemanager.webapp.https.address"},
        "mapred": {"mapreduce.jobhistory.webapp.address": "mapreduce.jobhistory.webapp.https.address"},
    }
    for site, names in moved.items():
        for plain, secure in names.items():
            sites[site][secure] = sites[site].pop(plain)
    sites["hdfs"]["dfs.http.policy"] = "HTTPS_ONLY"
    sites["yarn"]["yarn.http.policy"] = "HTTPS_ONLY"
    sites["mapred"]["mapreduce.jobhistory.http.policy"] = "HTTPS_ONLY"
    folder = tls(layout.root)
    password = (folder / "password").read_text()
    trust = {
        "truststore.location": folder / "trust.p12",
        "truststore.password": password,
        "truststore.type": "pkcs12",
    }
    key = {
        "keystore.location": folder / "key.p12",
        "keystore.password": password,
        "keystore.keypassword": password,
        "keystore.type": "pkcs12",
    }
    for side, stores in (("server", trust | key), ("client", trust)):
        path = layout.conf / f"ssl-{side}.xml"
        write_site(path, {f"ssl.{side}.{name}": value for name, value in stores.items()})
        path.chmod(0o600)
