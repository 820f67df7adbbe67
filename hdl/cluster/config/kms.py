"""A key server (KMS), for folders of HDFS whose files are encrypted by clients: encryption zones."""

from __future__ import annotations

from pathlib import Path

from hdl.cluster.config import kerberos
from hdl.cluster.config.common import LOOPBACK, Layout, Site, Sites, write_site

PORTS = ("kms",)
KEY_RIGHTS = ("MANAGEMENT", "GENERATE_EEK", "DECRYPT_EEK", "READ")


def folder(root: Path) -> Path:
    """Return the folder of the keys."""
    return root / "data/kms"


def java_flags(root: Path) -> list[str]:
    """Return the flags by which the server finds its configuration."""
    conf = root / "conf"
    log4j = f"-Dlog4j.configuration=file:{conf}/kms-log4j.properties"
    return [f"-Dkms.config.dir={conf}", f"-Dkms.log.dir={root / 'logs'}", log4j]


def vary(sites: Sites, layout: Layout) -> None:
    """Tell clients of the key server and write its own configuration, if the layout's option ``kms`` asks for it."""
    if not layout.options.get("kms"):
        return
    folder(layout.root).mkdir(mode=0o700, parents=True, exist_ok=True)
    port = layout.ports["kms"]
    sites["core"]["hadoop.security.key.provider.path"] = f"kms://http@localhost:{port}/kms"
    write_site(layout.conf / "kms-site.xml", _server(layout.root, port))
    write_site(layout.conf / "kms-acls.xml", _rights())
    (layout.conf / "kms-log4j.properties").write_text((layout.home / "etc/hadoop/log4j.properties").read_text())


def _server(root: Path, port: int) -> Site:
    server = "hadoop.kms"
    return {
        f"{server}.http.host": LOOPBACK,
        f"{server}.http.port": port,
        f"{server}.key.provider.uri": f"jceks://file@{folder(root)}/keys.jceks",
        f"{server}.authentication.type": "kerberos",
        f"{server}.authentication.kerberos.principal": "*",
        f"{server}.authentication.kerberos.keytab": kerberos.keytab(root, "HTTP"),
        f"{server}.authentication.kerberos.name.rules": "DEFAULT",
        f"{server}.proxyuser.{kerberos.GATEWAY}.hosts": "*",
        f"{server}.proxyuser.{kerberos.GATEWAY}.users": "*",
    }


def _rights() -> Site:
    """Let users use keys, and HDFS's superuser, who sees every file, decrypt none."""
    return {f"default.key.acl.{right}": "*" for right in KEY_RIGHTS} | {
        "hadoop.kms.blacklist.DECRYPT_EEK": kerberos.SERVICES[0],
    }
