"""Keys and certificate of one application: made by the client, carried in the containers' credentials, never shown.

The client makes `Credentials` and hands them to YARN with the master's container; the master hands each worker its
`WorkerCredentials`. Nothing of them is in an argument, the environment, a log or a file of ours.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import ssl
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from hdl.errors import SpecError, WorkerError
from hdl.yarn.comm import tokens
from hdl.yarn.comm.tokens import to_tokens

__all__ = ["CLIENT", "MASTER", "SESSION", "Credentials", "WorkerCredentials", "to_tokens"]

MASTER = "master"  # the master's name among those that own keys
SESSION = "session"  # of the client that gives a session's application one order after the other
CLIENT = "client"  # of the client that follows the application, which hands the master fresh tokens
ROOT_BYTES = 32
# A certificate's dates end the trust in a key that outlives its use. This one is trusted by its own application alone,
# of which nothing is left once it ends: dates would only end trainings that are long, or on nodes whose clocks are off.
VALID_FROM = datetime(1970, 1, 1, tzinfo=UTC)
VALID_TO = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)  # "no well-defined expiration": RFC 5280, 4.1.2.5
_PREFIX = "hdl."  # of our aliases among a container's credentials


@dataclass(frozen=True)
class _Keys:
    """Base of both kinds of keys: to and from a container's credentials, and contexts for TLS."""

    certificate: bytes
    key: bytes

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: keys not shown>"

    @classmethod
    def from_dict(cls, entries: Mapping[str, bytes]):
        """Read the keys from the dict that `to_dict` makes; entries of others are passed over.

        Raises
        ------
        WorkerError
            A key is missing or malformed; the message names it and shows no value.
        """
        return cls(**_checked_entries(entries, cls))  # type: ignore[arg-type]

    @classmethod
    def from_container(cls):
        """Read the keys from the YARN container that this process runs in.

        Raises
        ------
        WorkerError
            This is not a container, or keys are missing or malformed.
        """
        return cls.from_dict(tokens.read())

    def to_dict(self) -> dict[str, bytes]:
        """Return each key under its alias in Hadoop's credentials."""
        return {_PREFIX + name: _bytes(getattr(self, name)) for name in type(self).__dataclass_fields__}

    def tls(self, server: bool) -> ssl.SSLContext:
        """Make the context of one side of a bulk connection: mutual TLS 1.3 among holders of the application's key."""
        try:
            return _context(self.certificate, self.key, server)
        except (ssl.SSLError, ValueError):  # the message shows no part of the keys
            raise WorkerError("the application's certificate or its key is not a PEM file that OpenSSL reads") from None


@dataclass(frozen=True, repr=False)
class Credentials(_Keys):
    """Holds the keys of one application, of its client and master.

    Parameters
    ----------
    certificate, key : bytes
        PEM: the application's self-signed certificate and its key, shared by master and workers.
    root : bytes [32]
        All CURVE keys are derived from the root, so that a second master knows the keys that the first has handed out.

    Examples
    --------
    >>> credentials = Credentials.make()  # doctest: +SKIP
    >>> WorkerCredentials.from_dict(credentials.worker("container_1")).name  # doctest: +SKIP
    'container_1'
    """

    root: bytes

    def __post_init__(self) -> None:
        if len(self.root) != ROOT_BYTES:
            raise WorkerError(f"the application's root key has {len(self.root)} bytes; expected {ROOT_BYTES}")

    @classmethod
    def make(cls) -> Credentials:
        """Make new keys, for a new application."""
        certificate, key = _certificate()
        return cls(certificate, key, secrets.token_bytes(ROOT_BYTES))

    def curve(self, name: str) -> tuple[bytes, bytes]:
        """Derive the public and secret CURVE key of a worker or the master, 40 characters of Z85 each."""
        import zmq
        from zmq.utils import z85

        made = bytearray(hmac.digest(self.root, b"hdl curve " + _checked(name).encode(), hashlib.sha256))
        made[0] &= 248  # a Curve25519 secret: RFC 7748, section 5
        made[31] = made[31] & 127 | 64
        secret = z85.encode(bytes(made))
        return zmq.curve_public(secret), secret

    def worker(self, name: str) -> dict[str, bytes]:
        """Derive one worker's credentials: its own pair, the master's public key, the certificate; not the root.

        Raises
        ------
        SpecError
            The name is the master's, empty, too long or not plain text.
        """
        if name == MASTER:
            raise SpecError(f"no worker can be named {MASTER!r}: it would get the master's key")
        public, secret = self.curve(name)
        return WorkerCredentials(self.certificate, self.key, name, public, secret, self.curve(MASTER)[0]).to_dict()

    def identity(self, name: str, channel: str) -> bytes:
        """Return the identity of a worker's connection."""
        return identity(name, self.curve(name)[1], channel)


@dataclass(frozen=True, repr=False)
class WorkerCredentials(_Keys):
    """Holds the keys of one worker.

    Parameters
    ----------
    certificate, key : bytes
        PEM, as in `Credentials`.
    name : str
    public, secret : bytes
        The worker's CURVE pair.
    master : bytes
        The master's public CURVE key.
    """

    name: str
    public: bytes
    secret: bytes
    master: bytes

    def identity(self, channel: str) -> bytes:
        """Return the identity of the worker's connection."""
        return identity(self.name, self.secret, channel)


def identity(name: str, secret: bytes, channel: str) -> bytes:
    """Return a connection's identity: worker, channel, and a proof that only its owner and the master know.

    ZeroMQ lets a peer choose its identity freely, and gives a connection the place of an older one of the same
    identity. So a worker that could guess another one's identity would receive the other one's messages.
    """
    label = f"{name}/{channel}"
    proof = hmac.digest(secret, b"hdl identity " + label.encode(), hashlib.sha256)
    return f"{label}/{proof[:16].hex()}".encode()


def _checked(name: str) -> str:
    if not (0 < len(name) <= 160 and name.isascii() and name.isprintable() and "/" not in name):
        raise SpecError(f"a name of 1 to 160 plain characters without '/' is needed (given {name!r})")
    return name


def _bytes(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value


def _checked_entries(entries: Mapping[str, bytes], cls: type[_Keys]) -> dict[str, str | bytes]:
    """Take the fields of a kind of keys out of a container's credentials, and check them."""
    out: dict[str, str | bytes] = {}
    for name in cls.__dataclass_fields__:
        value = entries.get(_PREFIX + name)
        if not value:
            raise WorkerError(f"no {_PREFIX + name} among the container's credentials: was it started by hdl?")
        if name in ("public", "secret", "master") and len(value) != 40:
            raise WorkerError(f"{_PREFIX + name} among the container's credentials: expected 40 characters")
        try:
            out[name] = _checked(value.decode("ascii")) if name == "name" else bytes(value)
        except (UnicodeDecodeError, SpecError):
            raise WorkerError(f"{_PREFIX + name} among the container's credentials is no worker's name") from None
    return out


def _certificate() -> tuple[bytes, bytes]:
    """Make a new key and its self-signed certificate, as PEM."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "hdl application")])
    usage = x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.SERVER_AUTH, x509.ExtendedKeyUsageOID.CLIENT_AUTH])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(VALID_FROM)
        .not_valid_after(VALID_TO)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)  # it vouches for itself alone
        .add_extension(usage, critical=False)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    encoded = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    return made.public_bytes(serialization.Encoding.PEM), encoded


def _context(certificate: bytes, key: bytes, server: bool) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_3
    # A holder of the application's key is one of the application, wherever it runs. Addresses are not names here:
    # containers come and go on any host, and nobody else's certificate is trusted. So there is no host name to check.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=certificate.decode("ascii"))
    if server:
        context.num_tickets = 0  # sessions are not resumed: each connection shows its key
    with _file(key + b"\n" + certificate) as path:
        context.load_cert_chain(path)
    return context


@contextmanager
def _file(content: bytes) -> Iterator[str]:
    """Give a path that OpenSSL can read a key from: of memory that has no name in any folder (memfd).

    Where the system has no such memory it is a file that only this user can read, removed at once.
    """
    if hasattr(os, "memfd_create") and os.path.isdir("/proc/self/fd"):
        with open(os.memfd_create("hdl"), "wb") as file:
            file.write(content)
            file.flush()
            yield f"/proc/self/fd/{file.fileno()}"
    else:
        with tempfile.NamedTemporaryFile(prefix="hdl-") as file:  # mode 0600
            file.write(content)
            file.flush()
            yield file.name
