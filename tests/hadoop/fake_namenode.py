"""A server that passes itself off as a NameNode, and offers to do without any proof of who talks to whom."""

import socket
import struct
import threading
from contextlib import contextmanager

SASL_CALL = 2**32 - 33


@contextmanager
def serving():
    """Serve on a free port; gives the port, and the list of what was sent to it once no proof had been asked for."""
    asked = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(120)

        def serve():
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=_talk, args=(connection, asked), daemon=True).start()

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1], asked


def configuration(port):
    """A core-site.xml of a secured cluster whose NameNode it is."""
    properties = {
        "fs.defaultFS": f"hdfs://127.0.0.1:{port}",
        "hadoop.security.authentication": "kerberos",
        "hadoop.rpc.protection": "privacy",
        "dfs.namenode.kerberos.principal": "hdfs/localhost@HDL.TEST",
    }
    made = "".join(
        f"<property><name>{name}</name><value>{value}</value></property>" for name, value in properties.items()
    )
    return f"<configuration>{made}</configuration>"


def _talk(connection, asked):
    """Answer the first SASL message by the offer of SIMPLE (RpcHeader.proto), and keep what comes after it."""
    with connection:
        connection.settimeout(60)
        try:
            if not _exactly(connection, 7).startswith(b"hrpc"):
                return
            _exactly(connection, struct.unpack(">I", _exactly(connection, 4))[0])
            offer = _field(1, b"SIMPLE") + _field(2, b"")
            body = _sized(_field(1, SASL_CALL) + _field(2, 0)) + _sized(_field(2, 1) + _field(4, offer))
            connection.sendall(struct.pack(">I", len(body)) + body)
            while True:
                message = _exactly(connection, struct.unpack(">I", _exactly(connection, 4))[0])
                if b"SIMPLE" not in message:  # the choice that is confirmed
                    asked.append(message)
                if b"getFileInfo" in message:
                    return
        except OSError:
            return


def _exactly(connection, count):
    content = b""
    while len(content) < count:
        piece = connection.recv(count - len(content))
        if not piece:
            raise ConnectionResetError
        content += piece
    return content


def _field(number, value):
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    return _varint(number << 3 | 2) + _sized(value)


def _sized(message):
    return _varint(len(message)) + message


def _varint(number):
    low, rest = number & 0x7F, number >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])
