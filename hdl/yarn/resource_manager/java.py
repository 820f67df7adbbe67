"""Hadoop's Java classes in this process: the virtual machine, configuration, and errors in words.

The only module of hdl that starts JPype. One process holds one virtual machine: this one must be started before
`hdl.hdfs` is used, which then attaches itself to it.
"""

from __future__ import annotations

import atexit
import importlib
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from hdl import hadoop_conf, java_errors, kerberos
from hdl.errors import DeadlineError, HdlError, LoginError, Unavailable
from hdl.yarn.resource_manager import class_path

CONNECT_SECONDS = 10.0
THREAD = "hdl-java"  # name of threads whose call to Java may outlast its caller
# Small and quick to start: the first compiler tier, one collector thread, class data from the JDK's archive. Signals
# stay Python's. The rest is what Hadoop needs on a JDK of today.
FLAGS = (
    "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-Xrs", "-Xss512k",
    "--add-opens=java.base/java.lang=ALL-UNNAMED", "-Djava.net.preferIPv4Stack=true",
    "-Dhadoop.root.logger=ERROR,console",
)  # fmt: skip
_STARTING = threading.Lock()
UNANSWERED = ("ConnectException", "Timeout", "UnknownHost", "StandbyException")  # in names of Java's exceptions
# For a client that a person waits for: it reports an absent daemon in seconds, not in a quarter of an hour.
IMPATIENT = {
    "yarn.resourcemanager.connect.max-wait.ms": int(1000 * CONNECT_SECONDS),
    "yarn.resourcemanager.connect.retry-interval.ms": 500,
    "yarn.client.failover-max-attempts": 60,  # of several ResourceManagers one takes over within half a minute
    "ipc.client.connect.max.retries": 3,
    "ipc.client.connect.retry.interval": 500,
    "ipc.client.connect.max.retries.on.timeouts": 1,
    "ipc.client.connect.max.retries.on.sasl": 1,
    "ipc.client.connect.timeout": int(1000 * CONNECT_SECONDS),
    "ipc.client.rpc-timeout.ms": 30000,
    "yarn.client.application-client-protocol.poll-interval-ms": 50,
    "yarn.client.application-client-protocol.poll-timeout-ms": 30000,
}


def start(heap: str = "256m", flags: Sequence[str] = ()) -> None:
    """Start the virtual machine, unless it runs.

    Parameters
    ----------
    heap : str
        Its largest heap, as Java writes it.
    flags : sequence of str
        Added to `FLAGS`.

    Raises
    ------
    Unavailable
        JPype, Java or Hadoop is missing, or another library has started a virtual machine already.
    """
    with _STARTING:  # a thread may have begun
        if not _jpype().isJVMStarted():
            _start(heap, flags)


def _start(heap: str, flags: Sequence[str]) -> None:
    jpype = _jpype()
    path, archived = class_path.prepared()
    os.environ["CLASSPATH"] = ":".join(path)  # libhdfs reads it, even where it attaches itself
    # The end of the process ends it: asked to end, Java waits for the threads that libhdfs has attached, for ever.
    config: Any = importlib.import_module("jpype.config")
    config.destroy_jvm = False
    try:
        # interrupt=False: Ctrl-C is a KeyboardInterrupt, as everywhere in hdl
        jpype.startJVM(
            *FLAGS, *archived, *kerberos.java_flags(), f"-Xmx{heap}", *flags, classpath=path, interrupt=False
        )
    except (OSError, ValueError, jpype.JVMNotFoundException, jpype.JVMNotSupportedException) as error:
        raise Unavailable(
            f"no Java virtual machine for YARN: {error}. Set JAVA_HOME to a JDK; if HDFS was read before in this "
            "process, then its virtual machine runs already: YARN's must be the first"
        ) from None
    atexit.register(_leave)


def _leave() -> None:
    """Stop JPype's thread that drops what Java has let go of: one that asks a Python that ends for its lock aborts it.

    JPype does so itself where Java is asked to end, which is what `start` must forbid.
    """
    with suppress(Exception):
        load_class("org.jpype.ref.JPypeReferenceQueue").getInstance().stop()


def load_bridge() -> None:
    """Import JPype without numpy, whose types it would learn although nobody here gives them to Java: 85 ms of the 100
    before Java starts. For a program's first steps, while no other thread imports; Java's start says what is missing.
    """
    if "numpy" not in sys.modules:
        sys.modules["numpy"] = None  # type: ignore[assignment]  # as Python's reference has it: it is not found
        try:
            with suppress(Unavailable):
                _jpype()
        finally:
            del sys.modules["numpy"]


def started() -> bool:
    """Tell whether JPype's virtual machine runs in this process."""
    runs = getattr(sys.modules.get("jpype"), "isJVMStarted", None)  # not there yet while another thread imports JPype
    return runs is not None and bool(runs())


def secure() -> bool:
    """Tell whether the cluster asks for Kerberos: as Hadoop says, or where no Java runs, the configuration itself."""
    if started():
        return bool(load_class("org.apache.hadoop.security.UserGroupInformation").isSecurityEnabled())
    settings = hadoop_conf.read(hadoop_conf.folder())
    return settings.get("hadoop.security.authentication", "simple").strip().lower() != "simple"


def _jpype() -> Any:
    try:
        import jpype
    except ImportError as error:
        raise Unavailable(f"--runner yarn needs jpype1 and pyzmq ({error}): pip install jpype1 pyzmq") from None
    return jpype


def load_class(name: str) -> Any:
    """Load a Java class by its full name; inner ones after a dollar sign.

    Raises
    ------
    Unavailable
        The class is not on the class path.
    """
    jpype = _jpype()
    try:
        return jpype.JClass(name)
    except (TypeError, jpype.JException):
        raise Unavailable(
            f"Hadoop's class path holds no {name}; `hadoop classpath --glob` shows what it holds"
        ) from None


def configuration(settings: dict[str, Any] | None = None) -> Any:
    """Read YARN's configuration from HADOOP_CONF_DIR; `settings` override it.

    Raises
    ------
    Unavailable
        Nothing is configured: the default file system would be this machine's.
    """
    # Its class adds YARN's files to all configurations. JPype need not learn its thousand constants for that: 50 ms.
    loader = load_class("java.lang.ClassLoader").getSystemClassLoader()
    load_class("java.lang.Class").forName("org.apache.hadoop.yarn.conf.YarnConfiguration", True, loader)
    conf = load_class("org.apache.hadoop.conf.Configuration")()
    for name, value in {**hadoop_conf.closing(hadoop_conf.read(hadoop_conf.folder())), **(settings or {})}.items():
        conf.set(name, str(value))
    default = str(conf.get("fs.defaultFS", "file:///"))
    if default.startswith("file:"):
        raise Unavailable(
            f"fs.defaultFS is {default!r}: does HADOOP_CONF_DIR ({os.environ.get('HADOOP_CONF_DIR', 'not set')}) "
            "hold the cluster's core-site.xml and yarn-site.xml?"
        )
    return conf


def check_login() -> None:
    """Fail at once where the cluster demands Kerberos and there is no ticket; Hadoop's client would try for long.

    Raises
    ------
    LoginError
        There is neither a ticket, nor a token of any kind.
    """
    with call("logging in to Hadoop"):
        known = load_class("org.apache.hadoop.security.UserGroupInformation")
        if not known.isSecurityEnabled():
            return
        user = known.getLoginUser()
        user = user.getRealUser() or user  # who acts for another has the ticket
        if not user.hasKerberosCredentials() and not user.getCredentials().numberOfTokens():
            raise LoginError(f"logging in to Hadoop: {kerberos.why_refused()}")


def proxies() -> list[str]:
    """Find the hosts of YARN's web proxies, through which people see an application's page."""
    start()
    utilities = load_class("org.apache.hadoop.yarn.webapp.util.WebAppUtils")
    addresses = utilities.getProxyHostsAndPortsForAmFilter(configuration())
    return sorted({str(address).rpartition(":")[0] for address in addresses})


def web_scheme(conf: Any) -> str:
    """Return what the addresses of YARN's pages begin with, by yarn.http.policy: http:// or https://."""
    return str(load_class("org.apache.hadoop.yarn.webapp.util.WebAppUtils").getHttpSchemePrefix(conf))


@contextmanager
def call(doing: str) -> Iterator[None]:
    """Call Java within this context: its exceptions become hdl's, with what was being done and what Java says.

    Raises
    ------
    DeadlineError
        A daemon did not answer.
    HdlError
        Anything else.
    """
    jpype = _jpype()
    try:
        yield
    except jpype.JException as error:
        worded = error_of(doing, thrown(error))
        worded.add_note(str(error.stacktrace()))  # `--traceback` shows it
        raise worded from None


def error_of(doing: str, chain: Sequence[tuple[str, str]]) -> HdlError:
    """Make hdl's error of a Java exception, given as `thrown` lists it; a server's comes without Java here."""
    (name, text), *causes = chain
    silent = any(word in each for each in (name, *dict(causes)) for word in UNANSWERED)
    kind = java_errors.kind(name, text, causes) or (DeadlineError if silent else HdlError)
    return kind(f"{doing}: {_worded(chain)}")


def message(error: Any) -> str:
    """Word a Java exception: by hdl's table of them, or else by its cause's own message, without class and stack."""
    return _worded(thrown(error))


def _worded(chain: Sequence[tuple[str, str]]) -> str:
    (name, text), *causes = chain
    if worded := java_errors.sentence(name, text, causes):
        return worded
    name, text = java_errors.root(chain)
    first = [line for line in (text or name).splitlines() if line.strip() and not line.startswith("\tat ")]
    return " ".join(" ".join(first[:3]).split())


def thrown(error: Any) -> list[tuple[str, str]]:
    """List the class and the message of a Java exception, of its cause, and so on."""
    if not hasattr(error, "getCause"):
        return [(type(error).__name__, str(error))]
    listed: list[tuple[str, str]] = []
    while error is not None and len(listed) < 20:  # a cause may be the exception itself
        listed.append((str(error.getClass().getName()), str(error.getMessage() or "")))
        error = error.getCause()
    return listed


def credentials_buffer(secret_keys: dict[str, bytes], tokens: Any = None) -> Any:
    """Make a container's credentials, as YARN carries them: secret keys by alias, and tokens of others (Java's)."""
    jpype = _jpype()
    credentials = load_class("org.apache.hadoop.security.Credentials")()
    if tokens is not None:
        credentials.addAll(tokens)
    text = load_class("org.apache.hadoop.io.Text")
    for name, value in secret_keys.items():
        credentials.addSecretKey(text(name), jpype.JArray(jpype.JByte)(value))
    buffer = load_class("org.apache.hadoop.io.DataOutputBuffer")()
    credentials.writeTokenStorageToStream(buffer)
    return load_class("java.nio.ByteBuffer").wrap(buffer.getData(), 0, buffer.getLength())


def call_within(seconds: float, doing: str, function: Callable[[], Any]) -> Any:
    """Call a function that calls Java, in a thread with a deadline; a call that takes longer is left running.

    Raises
    ------
    DeadlineError
        The deadline of so many seconds has passed.
    HdlError
        Java raised an exception.
    """
    box: dict[str, Any] = {}

    def run() -> None:
        try:
            box["value"] = function()
        except BaseException as error:
            box["error"] = error
        finally:
            load_class("java.lang.Thread").detach()  # JPype has attached it, and Java would keep it for ever

    thread = threading.Thread(target=run, name=THREAD, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise DeadlineError(f"{doing}: no answer within {seconds:g} s")
    if "error" in box:
        with call(doing):
            raise box["error"]
    return box.get("value")
