"""Looks for secrets wherever others might read them: arguments, environments, logs, local files, files on HDFS."""

import base64
import binascii
import os
import stat
import subprocess
from contextlib import suppress
from pathlib import Path

import psutil

from hdl.yarn.comm import tokens
from hdl.yarn.names import CONTROL
from hdl.yarn.settings import ORDER, RENEWAL

LEAST = 8  # bytes: of shorter ones the scan would find others by chance
NO_SECRETS = {*(f"hdl.{name}" for name in ("name", "public", "master", "certificate")), CONTROL, ORDER, RENEWAL}
PART = 1 << 24  # bytes of a file that are looked at together


class Secrets:
    """Finds secrets in bytes: as they are, in hexadecimal, in base64, and as Python or Java print bytes.

    Parameters
    ----------
    known : dict of str to bytes
        By the names under which they are reported; the values are never shown.
    """

    def __init__(self, known):
        self.names = sorted(known)
        self._forms = {name: {form for form in _forms(value) if len(form) >= LEAST} for name, value in known.items()}
        assert all(self._forms.values()), "a secret is too short to look for"
        self._longest = max((len(form) for forms in self._forms.values() for form in forms), default=0)

    def among(self, places):
        """List (place, name of the secret) for all that are found; `places` are (place, bytes or a local path)."""
        found = []
        for place, content in places:
            found += [(place, name) for name in self._in(content)]
        return found

    def _in(self, content):
        if isinstance(content, bytes):
            return {name for name, forms in self._forms.items() if any(form in content for form in forms)}
        names, rest = set(), b""
        # YARN takes the logs of what has ended away: to HDFS, where they are looked at too.
        with suppress(FileNotFoundError), open(content, "rb") as file:
            while part := file.read(PART):
                names |= self._in(rest + part)
                rest = part[-self._longest :]
        return names


def _forms(value):
    yield value
    yield binascii.hexlify(value)
    yield binascii.hexlify(value).upper()
    yield repr(value)[2:-1].encode()  # Python's b'…', also where a traceback shows a variable
    yield ", ".join(map(str, value)).encode()  # list(value)
    yield ", ".join(str(byte - 256 if byte > 127 else byte) for byte in value).encode()  # Java's Arrays.toString
    for shift in range(3):  # base64 of more than the secret: only what its bytes alone decide
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            encoded = encode(bytes(shift) + value).rstrip(b"=")
            yield encoded[4 if shift else 0 : len(encoded) // 4 * 4]


def of_pem(name, pem):
    """The secrets in a PEM: its lines as they are, and the bytes that they encode."""
    lines = [line for line in pem.splitlines() if b"-----" not in line]
    return {name: base64.b64decode(b"".join(lines))} | {f"{name}, line {n}": line for n, line in enumerate(lines)}


def of_container(process):
    """Read the secrets that YARN has handed to a container, from the file that is the one place they may lie in."""
    content = Path(process.environ()[tokens.VARIABLE]).read_bytes()
    found = {}
    for alias, value in tokens.parse(content).items():
        if alias not in NO_SECRETS:
            found |= of_pem(alias, value) if value.startswith(b"-----BEGIN") else {alias: value}
    return found | {f"token {number}": value for number, value in enumerate(_passwords(content))}


def _passwords(content):
    """The passwords of a token file's tokens, of either format."""
    reader = tokens._Reader(content, 5)
    if content[4] == 0:
        for _ in range(reader.count()):
            yield [reader.piece() for _ in range(5)][2]  # alias, identifier, password, kind, service
        return
    for number, entry in tokens._Reader(reader.take(reader.varint())).fields():
        if number == 1:
            token = dict(tokens._Reader(dict(tokens._Reader(entry).fields())[2]).fields())
            yield token[2]


def of_keytab(path):
    """The keys in a keytab, and the file as it is."""
    listed = subprocess.run(["klist", "-K", "-k", path], capture_output=True, text=True, check=True).stdout
    keys = [word.strip("()")[2:] for word in listed.split() if word.startswith("(0x")]
    assert keys
    return {f"key {number} of {path}": bytes.fromhex(key) for number, key in enumerate(keys)}


def containers(application):
    """List the processes in an application's containers."""
    mark = application.removeprefix("application_")
    return [process for process in processes() if mark in (_environment(process) or {}).get("CONTAINER_ID", "")]


def processes(of=None):
    """List processes, or one and its descendants."""
    return [*psutil.process_iter()] if of is None else [psutil.Process(of), *psutil.Process(of).children(True)]


def arguments(running):
    """What everybody on the machine sees: the arguments of processes."""
    for process in running:
        yield from _read(process, "cmdline")


def environments(running):
    """The environments of processes."""
    for process in running:
        yield from _read(process, "environ")


def _read(process, name):
    try:
        yield f"{name} of process {process.pid}", Path(f"/proc/{process.pid}/{name}").read_bytes()
    except OSError:
        return


def _environment(process):
    try:
        return process.environ()
    except (psutil.Error, OSError):
        return None


def local(root, since=0.0, others=True, but=()):
    """The files below a folder, with `others` those that other users may read, as if the folder itself were open.

    Folders of other clusters, which other tests may have, are passed over.

    Parameters
    ----------
    root : str
    since : float
        Only files that were changed after this time.
    but : sequence of str
        Folders that are passed over.
    """
    held = []
    try:
        held = sorted(os.scandir(root), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in held:
        if entry.path in but or os.path.exists(f"{entry.path}/cluster.json"):
            continue
        try:
            found = entry.stat(follow_symlinks=False)
        except OSError:  # it is gone
            continue
        if stat.S_ISDIR(found.st_mode) and (found.st_mode & 0o001 or not others):
            yield from local(entry.path, since, others, but)
        elif stat.S_ISREG(found.st_mode) and found.st_mtime >= since and (found.st_mode & 0o004 or not others):
            yield entry.path, entry.path


def there(places):
    """Leave out files that have gone since they were listed."""
    for place, content in places:
        if isinstance(content, bytes) or os.access(content, os.R_OK):
            yield place, content
