"""The client of YARN's pages against servers of every kind, in a process of its own, as it needs a Java machine."""

import json
import os
import shutil
import ssl
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

pytest.importorskip("jpype", reason="no jpype: pip install jpype1 pyzmq")

from hdl.cluster import assemble

HOMES = [*map(str, assemble.cache_folder().glob(f"hadoop-{assemble.DEFAULT_VERSION}-*/"))]
HOME = os.environ.get("HADOOP_HOME") or next(iter(HOMES), "")
pytestmark = pytest.mark.skipif(not (HOME and shutil.which("java")), reason="no Java or no Hadoop: ./build.sh hadoop")

CHILD = """
import json, sys, threading
from hdl.yarn.client import web
from hdl.yarn.resource_manager import java
if "java" in sys.argv:
    java.start()
for line in sys.stdin:
    url, seconds = json.loads(line)
    try:
        answer = {"value": web.read_json(url, seconds)}
    except web.NoPage as error:
        answer = {"said": str(error), "lasting": error.lasting}
    answer["java"] = java.started()
    threads = java.load_class("java.lang.Thread").activeCount() if answer["java"] else threading.active_count()
    answer["threads"] = int(threads)
    print(json.dumps(answer), flush=True)
"""
COOKIE = 'hadoop.auth="u=ada&p=ada@LOCALHOST&t=kerberos&e=32503680000000&s=signed"'


class Client:
    """`client(url)`: what `web.read_json` returns or raises, with a Hadoop configuration of the test's own."""

    def __init__(self, conf, first="java", **environment):
        conf.mkdir(exist_ok=True)
        site = "<property><name>fs.defaultFS</name><value>hdfs://127.0.0.1:1</value></property>"
        (conf / "core-site.xml").write_text(f"<configuration>{site}</configuration>")
        mine = {name: value for name, value in os.environ.items() if not name.startswith(("HADOOP_", "YARN_", "KRB5"))}
        mine |= {"HADOOP_HOME": HOME, "HADOOP_CONF_DIR": str(conf), "KRB5CCNAME": str(conf / "none"), **environment}
        self._process = subprocess.Popen(
            [sys.executable, "-c", CHILD, first], env=mine, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __call__(self, url, seconds=20.0):
        self._process.stdin.write(json.dumps([url, seconds]) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self):
        self._process.kill()
        self._process.communicate()


@pytest.fixture(scope="module", params=["java", "plain"])
def client(request, tmp_path_factory):
    """Where Java runs it reads all pages, and where it does not those that ask for more: the answers are the same."""
    dead = "http://127.0.0.1:9"  # what the environment says of proxies is not for loopback
    client = Client(
        tmp_path_factory.mktemp("web") / "conf", request.param, http_proxy=dead, HTTPS_PROXY=dead, ALL_PROXY=dead
    )
    yield client
    client.close()


class Server(ThreadingHTTPServer):
    """A server whose paths a test defines: `server.paths[path] = function of the request`."""

    daemon_threads = True

    def __init__(self):
        self.paths, self.seen, self.over = {}, [], threading.Event()
        super().__init__(("127.0.0.1", 0), Request)
        self.url = f"http://localhost:{self.server_port}"
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def close(self):
        self.over.set()
        self.shutdown()
        self.server_close()


class Request(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.seen.append((self.command, self.path, self.headers.get("Cookie") or ""))
        self.server.paths.get(self.path, lambda request: request.answer(404))(self)

    do_OPTIONS = do_GET

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    server = Server()
    yield server
    server.close()


def answering(*arguments, **headers):
    return lambda request: request.answer(*arguments, **headers)


def test_a_page_is_read_and_no_thread_stays(client, server):
    server.paths["/a?since=1"] = answering(200, '{"name": "Zoë", "less": -1}'.encode())
    before = client(f"{server.url}/a?since=1")
    assert before["value"] == {"name": "Zoë", "less": -1}
    for _ in range(20):
        assert client(f"{server.url}/a?since=1")["threads"] <= before["threads"] + 2


def test_a_body_of_many_reads_arrives_whole(client, server):
    text = "äß" * 300_000
    server.paths["/"] = answering(200, json.dumps(text, ensure_ascii=False).encode())
    assert client(f"{server.url}/")["value"] == text


@pytest.mark.parametrize(
    ("answer", "said", "lasting"),
    [
        ((404,), "/x answers 404", False),
        ((503,), "/x answers 503", False),
        ((200, b"<html>"), "/x is no JSON but a page for people", False),
        ((403, b"ask\nada", {"Content-Type": "text/plain"}), "ask ada", True),
        ((403, b"<html>", {"Content-Type": "text/html"}), "/x is forbidden (403)", True),
        ((401, b"", {"WWW-Authenticate": "Basic realm=x"}), "asks for a sign-in that hdl does not know (Basic)", True),
        ((401,), "asks for a sign-in that hdl does not know (nothing", True),
        ((401, b"", {"WWW-Authenticate": "Negotiate"}), "asks for Kerberos (SPNEGO): ", True),
        ((302, b"", {"Location": "/x"}), "sends from one page to the next, 5 times", True),
        ((302, b"", {"Location": "file:///etc/passwd"}), "sends to file:///etc/passwd, which is not as safe", True),
    ],
)  # fmt: skip
def test_why_there_is_no_page_is_one_sentence(client, server, answer, said, lasting):
    status, body, headers = (*answer, b"", {})[:3] if len(answer) < 3 else answer
    server.paths["/x"] = answering(status, body, **(headers or {}))
    answer = client(f"{server.url}/x")
    assert said in answer["said"]
    assert "\n" not in answer["said"]
    assert answer["lasting"] is lasting
    assert client("http://127.0.0.1:1/")["said"] == "http://127.0.0.1:1 does not answer: Connection refused"


def test_a_redirect_keeps_what_was_asked_for(client, server):
    """As a standby ResourceManager sends to the active one."""
    standby = Server()
    try:
        for suffix in "", "?since=3":
            standby.paths["/e?since=3"] = answering(307, Location=f"{server.url}/e{suffix}")
            server.paths["/e?since=3"] = answering(200, b"[3]")
            assert client(f"{standby.url}/e?since=3")["value"] == [3]
    finally:
        standby.close()


def trickle(first, more):
    def answer(request):
        request.wfile.write(first)
        while not request.server.over.wait(0.1):
            request.wfile.write(more)
            request.wfile.flush()

    return answer


@pytest.mark.parametrize("how", ["never", "head", "body", "negotiation"])
def test_a_slow_server_holds_nobody_up(client, server, how):
    server.paths["/x"] = {
        "never": lambda request: request.server.over.wait(60),
        "head": trickle(b"HTTP/1.0 200 OK\r\n", b"A: b\r\n"),
        "body": trickle(b"HTTP/1.0 200 OK\r\n\r\n", b" "),
        "negotiation": lambda request: (
            request.answer(401, WWW_Authenticate="Negotiate")
            if request.command == "GET"
            else request.server.over.wait(60)
        ),
    }[how]
    answer = client(f"{server.url}/x", 1.0)  # the server would go on until the test ends, which waits for this
    assert answer["said"] == f"{server.url} does not answer within 1 s"
    server.paths["/y"] = answering(200, b"1")
    assert client(f"{server.url}/y")["value"] == 1


def test_a_negotiation_is_made_once_and_again_when_its_cookie_is_refused(client, server):
    good = [True]

    def page(request):
        if request.command == "OPTIONS":
            request.answer(200, Set_Cookie=COOKIE)
        elif COOKIE in (request.headers.get("Cookie") or "") and good[0]:
            request.answer(200, b"7")
        else:
            good[0] = True
            request.answer(401, WWW_Authenticate="Negotiate")

    path = "/proxy/application_1_0001/x"
    server.paths[path] = page
    assert [client(server.url + path)["value"] for _ in range(3)] == [7, 7, 7]
    assert [method for method, _, _ in server.seen] == ["GET", "OPTIONS", "GET", "GET", "GET"]
    assert all("checked_application_1_0001=true" in cookie for method, _, cookie in server.seen if method == "GET")
    good[0] = False
    assert client(server.url + path)["value"] == 7
    assert [method for method, _, _ in server.seen[5:]] == ["GET", "OPTIONS", "GET"]


def test_a_cookie_is_for_its_server_alone(client, server):
    other = Server()
    try:
        other.paths["/x"] = answering(200, b"1")
        server.paths["/x"] = lambda request: (
            request.answer(200, Set_Cookie=COOKIE) if request.command == "OPTIONS"
            else request.answer(302, Location=f"{other.url}/x") if request.headers.get("Cookie")
            else request.answer(401, WWW_Authenticate="Negotiate")
        )  # fmt: skip
        assert client(f"{server.url}/x")["value"] == 1
        assert other.seen == [("GET", "/x", "")]
    finally:
        other.close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate of localhost that has signed itself, with its key."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(x509.OID_COMMON_NAME, "x")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(now - timedelta(1)).not_valid_after(now + timedelta(9))
    made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
    pem = made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    kinds = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    pem += key.private_bytes(*kinds)
    path = tmp_path_factory.mktemp("tls") / "both.pem"
    path.write_bytes(pem)
    return path


@pytest.fixture
def https(server, certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.url = server.url.replace("http:", "https:")
    server.paths["/x"] = answering(200, b"1")
    return server


def ssl_client(conf, store, password="changeit"):
    names = {"location": store, "password": password, "type": "jks"}
    conf.mkdir()
    properties = "".join(
        f"<property><name>ssl.client.truststore.{name}</name><value>{value}</value></property>"
        for name, value in names.items()
    )
    (conf / "ssl-client.xml").write_text(f"<configuration>{properties}</configuration>")
    return conf


def test_a_certificate_that_nobody_trusts_is_told_with_the_file_that_decides(client, https):
    answer = client(f"{https.url}/x")
    assert "its certificate is not trusted here" in answer["said"]
    assert "ssl.client.truststore.location in ssl-client.xml" in answer["said"]
    assert "there is no ssl-client.xml here" in answer["said"]
    assert answer["lasting"]


def test_the_trust_store_of_ssl_client_xml_is_honoured(https, certificate, tmp_path):
    store = tmp_path / "trust.jks"
    subprocess.run(
        ["keytool", "-importcert", "-noprompt", "-alias", "a", "-file", certificate, "-keystore", store,
         "-storetype", "JKS", "-storepass", "changeit"], check=True, capture_output=True,
    )  # fmt: skip
    client = Client(ssl_client(tmp_path / "conf", store))
    try:
        assert client(f"{https.url}/x")["value"] == 1
        other = https.url.replace("localhost", "127.0.0.1")  # the certificate is for localhost
        assert "its certificate is for another host" in client(f"{other}/x")["said"]
        https.paths["/x"] = answering(302, Location=f"http://localhost:{https.server_port}/x")
        assert "which is not as safe" in client(f"{https.url}/x")["said"]
    finally:
        client.close()


def test_a_trust_store_that_is_not_there_is_told(https, tmp_path):
    client = Client(ssl_client(tmp_path / "conf", tmp_path / "gone.jks"))
    try:
        answer = client(f"{https.url}/x")
    finally:
        client.close()
    assert "ssl-client.xml names" in answer["said"]
    assert "gone.jks" in answer["said"]
    assert "\n" not in answer["said"]


# Python objects that Java holds, let go of and collected by Java as the process ends.
LEAVING = """
import jpype
from hdl.yarn.resource_manager import java
java.start()
def hand_over():
    for _ in range(2000):
        proxy = jpype.JProxy("java.util.concurrent.Callable", dict={"call": lambda: None})
        java.load_class("java.util.concurrent.FutureTask")(proxy).run()
hand_over()
java.load_class("java.lang.System").gc()
"""


def test_a_python_that_has_started_java_ends_as_any_other(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", LEAVING], env=os.environ | {"HADOOP_HOME": HOME}, capture_output=True, text=True,
        timeout=250,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
