"""Two processes on loopback, 48 MB and 41 KB: TCP, our TLS, ZeroMQ, CURVE. `python tests/bench/transport.py [rounds]`.

Large: one message there, two bytes back. Small: the same message there and back. The four take turns in one run, so
that a busy machine is so for all of them. The table holds milliseconds.
"""

import os
import socket
import statistics
import subprocess
import sys
import time

import zmq

from hdl.runners import frames
from hdl.yarn.comm import control, control_server, tls
from hdl.yarn.comm.credentials import Credentials, WorkerCredentials

KINDS = ["TCP", "TLS 1.3 (ours)", "ZeroMQ", "CURVE"]
SIZES = {"48 MB": 48 * 10**6, "41 KB": 41 * 10**3}


def answer(channel):
    """Answers as the other side: small messages come back as they are, large ones as two bytes."""
    receive, send = channel
    while True:
        message = receive()
        send(message if len(message) < 1 << 20 else b"ok")


def framed(channel):
    return (lambda: frames.receive(channel)), (lambda message: frames.send(channel, message))


def queued(channel):
    return (lambda: channel.recv(copy=False).buffer), (lambda message: channel.send(message, copy=False))


def paired(secrets=None):
    """Makes a ZeroMQ socket; with secrets it encrypts by CURVE."""
    channel = zmq.Context.instance().socket(zmq.PAIR)
    if secrets:
        channel.curve_publickey, channel.curve_secretkey = secrets.curve("master")
        channel.curve_serverkey = secrets.curve("master")[0]
    return channel


def child():
    """Reads the keys and the address from standard input, connects and answers."""
    secrets = Credentials.from_dict({"hdl." + name: bytes.fromhex(input()) for name in ("certificate", "key", "root")})
    kind, where = input(), input()
    if kind == "control":
        client = control.Client(WorkerCredentials.from_dict(secrets.worker("worker")), where)
        client.send({})
        while True:
            client.send(client.receive(3600))
    host, port = where.rpartition(":")[::2]
    if kind == "TCP":
        channel = socket.create_connection((host, int(port)))
        channel.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    elif kind.startswith("TLS"):
        channel = tls.connect(secrets.tls(server=False), (host, int(port)), {}, 60)
    else:
        channel = paired(secrets if kind == "CURVE" else None)
        channel.connect(f"tcp://{where}")
    try:
        answer(queued(channel) if kind in ("ZeroMQ", "CURVE") else framed(channel))
    except (EOFError, OSError):
        return


def start(secrets, kind, where, children):
    process = subprocess.Popen([sys.executable, __file__, "child"], stdin=subprocess.PIPE, text=True)
    lines = [value.hex() for value in (secrets.certificate, secrets.key, secrets.root)]
    process.stdin.write("\n".join([*lines, kind, where]) + "\n")
    process.stdin.flush()
    children.append(process)


def connected(kind, secrets, children):
    """Connects to a new process; gives this end's functions (receive, send)."""
    if kind == "TCP":
        with socket.create_server(("127.0.0.1", 0)) as server:
            start(secrets, kind, f"127.0.0.1:{server.getsockname()[1]}", children)
            channel = server.accept()[0]
        channel.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return framed(channel)
    if kind.startswith("TLS"):
        channels = []
        listener = tls.Listener(secrets.tls(server=True), "127.0.0.1", lambda channel, hello: channels.append(channel))
        start(secrets, kind, f"127.0.0.1:{listener.address[1]}", children)
        while not channels:
            time.sleep(0.01)
        print("cipher:", channels[0].cipher()[0])
        return framed(channels[0])
    channel = paired(secrets if kind == "CURVE" else None)
    channel.curve_server = kind == "CURVE"
    start(secrets, kind, f"127.0.0.1:{channel.bind_to_random_port('tcp://127.0.0.1')}", children)
    return queued(channel)


def main(rounds):
    secrets, children = Credentials.make(), []
    server = control_server.Server(secrets, "127.0.0.1")
    server.admit("worker")
    try:
        start(secrets, "control", server.address, children)
        channels = {kind: connected(kind, secrets, children) for kind in KINDS}
        assert server.receive(60)
        print(f"{'':16s} {'size':>6s} {'least':>8s} {'quartile':>8s} {'median':>8s} {'quartile':>8s}")
        for size, length in SIZES.items():
            message, repeats = os.urandom(length), rounds if length > 10**6 else 20 * rounds
            times = {kind: [] for kind in KINDS}
            for number in range(repeats + 2):
                for kind, (receive, send) in channels.items():
                    began = time.perf_counter()
                    send(message)
                    receive()
                    if number > 1:
                        times[kind].append(1e3 * (time.perf_counter() - began))
            for kind in KINDS:
                show(kind, size, times[kind])
        times = []
        for number in range(20 * rounds):
            began = time.perf_counter()
            server.send("worker", {"round": number})
            server.receive(60)
            times.append(1e3 * (time.perf_counter() - began))
        show("control, JSON", "16 B", times)
    finally:
        for process in children:
            process.kill()
            process.wait()
    os._exit(0)  # ZeroMQ would wait for the dead


def show(kind, size, times):
    first, middle, third = statistics.quantiles(times, n=4)
    print(f"{kind:16s} {size:>6s} {min(times):8.2f} {first:8.2f} {middle:8.2f} {third:8.2f}", flush=True)


if __name__ == "__main__":
    if sys.argv[1:] == ["child"]:
        child()
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 31)
