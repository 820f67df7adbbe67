"""Key and trust stores for a cluster whose pages are HTTPS, made by the JDK's keytool."""

import os
import subprocess

SANS = "san=dns:localhost,ip:127.0.0.1,ip:127.0.0.2"


def stores(folder):
    """Make a key store, and a trust store with its certificate; returns the properties of Hadoop's files for them."""
    folder.mkdir(mode=0o700, exist_ok=True)
    password = folder / "password"
    password.write_text(os.urandom(16).hex())
    key, trust, certificate = folder / "key.p12", folder / "trust.p12", folder / "certificate.pem"
    for path in key, trust, certificate:
        path.unlink(missing_ok=True)
    stored = ["-storetype", "PKCS12", "-storepass:file", password, "-alias", "hadoop"]
    for words in (
        ["-genkeypair", "-keyalg", "EC", "-dname", "CN=localhost", "-ext", SANS, "-validity", "9", "-keystore", key],
        ["-exportcert", "-rfc", "-file", certificate, "-keystore", key],
        ["-importcert", "-noprompt", "-file", certificate, "-keystore", trust],
    ):
        subprocess.run(["keytool", *words, *stored], check=True, capture_output=True, timeout=60)
    word = password.read_text()
    client = {"location": trust, "password": word, "type": "pkcs12"}
    server = {"location": key, "password": word, "keypassword": word, "type": "pkcs12"}
    return {
        "ssl-client.xml": {f"ssl.client.truststore.{name}": value for name, value in client.items()},
        "ssl-server.xml": {f"ssl.server.keystore.{name}": value for name, value in server.items()}
        | {f"ssl.server.truststore.{name}": value for name, value in client.items()},
    }
