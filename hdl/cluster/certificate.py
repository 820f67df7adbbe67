"""A certificate for the cluster's web pages, by the JDK's keytool; no password is in an argument."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from hdl import programs
from hdl.cluster.assemble import java_home

SECONDS = 60
QUICK = ("-J-XX:+UseSerialGC", "-J-XX:TieredStopAtLevel=1")


def make(folder: Path, hosts: list[str]) -> None:
    """Make a key and a certificate that signs itself, unless they are there.

    Parameters
    ----------
    folder : Path
        It gets ``key.p12``, ``trust.p12``, ``ca.pem``, and the ``password`` of the first two.
    hosts : list of str
        Names and addresses that the certificate is for.

    Raises
    ------
    HdlError
        keytool fails.
    DeadlineError
    """
    if (folder / "trust.p12").exists():
        return
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    password = secrets.token_hex(16)
    with open(os.open(folder / "password", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(password)
    environment = {"PATH": os.environ.get("PATH", os.defpath), "PASSWORD": password}
    names = ",".join(f"{'ip' if host[0].isdigit() else 'dns'}:{host}" for host in dict.fromkeys(hosts))
    key, certificate = str(folder / "key.p12"), str(folder / "ca.pem")
    for words in (
        ["-genkeypair", "-keyalg", "EC", "-groupname", "secp256r1", "-validity", "365", "-dname", "CN=localhost",
         "-ext", f"SAN={names}", "-ext", "BC=ca:true", "-keystore", key],
        ["-exportcert", "-rfc", "-keystore", key, "-file", certificate],
        ["-importcert", "-noprompt", "-file", certificate, "-keystore", str(folder / "trust.p12")],
    ):  # fmt: skip
        tool = [str(java_home() / "bin/keytool"), *QUICK, *words, "-alias", "hdl", "-storetype", "PKCS12"]
        programs.check([*tool, "-storepass:env", "PASSWORD"], SECONDS, environment=environment)
