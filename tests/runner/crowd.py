"""Crowds a port of this machine: so many idle connections and so many slow ones, made again when they are ended.

Run as `python crowd.py PORT IDLE SLOW FILE`; FILE is written once so many have been made, and again at the end
with how many were made. It ends with its standard input.
"""

import os
import resource
import selectors
import socket
import sys
import time
from pathlib import Path

GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00CURVE" + bytes(15) + bytes(32)
HELLO = b"\x04\xc8\x05HELLO\x01\x00" + bytes(193)
EVERY = 0.05  # s between two bytes of a slow one


def main(port, idle, slow, file):
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    selector, made, sent, due = selectors.DefaultSelector(), 0, {}, 0.0
    kinds = {True: slow, False: idle}

    def one(is_slow):
        nonlocal made
        peer = socket.socket()
        peer.setblocking(False)
        peer.connect_ex(("127.0.0.1", port))
        selector.register(peer, selectors.EVENT_READ, is_slow)
        made += 1
        if is_slow:
            sent[peer] = 0

    lacking = [is_slow for is_slow, count in kinds.items() for _ in range(count)]
    selector.register(0, selectors.EVENT_READ)
    os.set_blocking(0, False)
    while True:
        for is_slow in lacking[:100]:
            one(is_slow)
        del lacking[:100]
        if made >= idle + slow and not Path(file).exists():
            Path(file).write_text("all")
        if time.monotonic() > due:
            due = time.monotonic() + EVERY
            for peer, at in list(sent.items()):
                content = (GREETING + HELLO)[at : at + 1]
                try:
                    sent[peer] += peer.send(content)
                except OSError:
                    continue
        for key, _ in selector.select(EVERY if not lacking else 0):
            if key.fileobj == 0:
                Path(file).write_text(str(made))
                return
            try:
                if key.fileobj.recv(4096):
                    continue
            except BlockingIOError:
                continue
            except OSError:
                pass
            selector.unregister(key.fileobj)
            sent.pop(key.fileobj, None)
            key.fileobj.close()
            lacking.append(key.data)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:4]), sys.argv[4])
