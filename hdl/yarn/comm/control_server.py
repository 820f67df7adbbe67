"""The master's side of the control channel: see `hdl.yarn.comm.control`.

Only workers on the server's list get through; what they say carries the name that their key proves, not one they claim.
"""

from __future__ import annotations

import os
import select
import threading
import time
from collections import Counter
from contextlib import suppress
from typing import Any

import zmq
from zmq.auth.thread import ThreadAuthenticator

from hdl.errors import WorkerError
from hdl.yarn.comm.control import BEAT, LINGER, WORK, MessageError, pack, take, tune, unpack
from hdl.yarn.comm.credentials import MASTER, Credentials
from hdl.yarn.comm.front import Front

_DOMAIN = b"hdl"
_DRAIN = 0.1  # s beyond its timeout that `receive` may go on dropping messages, before it says that there are none


class _Gate(ThreadAuthenticator):
    """Refuses keys for the time being only: a worker that is admitted later gets in when it tries again.

    ZeroMQ's own refusal (400) is final: its clients then give up for good, and without a word.
    """

    def _send_zap_reply(self, request_id: bytes, status_code: bytes, *rest: Any) -> None:
        super()._send_zap_reply(request_id, b"300" if status_code == b"400" else status_code, *rest)


class Server:
    """Serves the master's side of the control channel: one address for all workers.

    `receive` may run in one thread while others call the other methods: a lock is held while a message is received or
    sent, never while waiting for one. `close` must be called when no thread is in `receive`.

    Parameters
    ----------
    credentials : Credentials
    host : str
        Name or IPv4 address of the interface to bind; `address` gives it to workers unchanged.

    Attributes
    ----------
    address : str
        That a `control.Client` connects to.
    dropped : Counter
        Messages that were not passed on, by reason: 'refused', 'identity', 'malformed'.
    refused : Counter
        Connections that were ended before they had proved who they are: see `hdl.yarn.comm.front`.
    """

    def __init__(self, credentials: Credentials, host: str):
        self._credentials = credentials
        self._lock = threading.RLock()
        self._owners: dict[bytes, str] = {}  # admitted workers by public key
        self._members: dict[str, dict[str, bytes]] = {}  # identities of admitted workers, by channel
        self.dropped: Counter[str] = Counter()
        self._context = zmq.Context()
        self._gate = _Gate(self._context)
        self._gate.start()
        self._gate.configure_curve_callback(_DOMAIN.decode(), self)
        self._socket: Any = self._context.socket(zmq.ROUTER)
        tune(self._socket)
        self._socket.curve_server = True
        self._socket.curve_publickey, self._socket.curve_secretkey = credentials.curve(MASTER)
        self._socket.zap_domain = _DOMAIN
        self._socket.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, 1)  # without the gate nobody gets in, rather than everybody
        self._socket.router_mandatory = True  # a message to nobody is an error, not lost in silence
        self._socket.router_handover = True  # who comes back takes its old place at once
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._front: Front | None = None
        try:
            self._front = Front(host)
            self._socket.backlog = 1024
            self._socket.bind(self._front.endpoint)
        except (WorkerError, zmq.ZMQError) as error:
            self.close()
            raise error if isinstance(error, WorkerError) else WorkerError(f"cannot listen: {error}") from None
        self.refused = self._front.refused
        self._front.start()
        self.address = f"tcp://{host}:{self._front.port}"
        self._poll = select.poll()
        self._poll.register(self._socket.fd, select.POLLIN)  # type: ignore[arg-type]
        self._poll.register(self._wake, select.POLLIN)

    def admit(self, name: str) -> None:
        """Let a worker in, when it comes."""
        public = self._credentials.curve(name)[0]
        with self._lock:
            self._members[name] = {channel: self._credentials.identity(name, channel) for channel in (WORK, BEAT)}
            self._owners[public] = name

    def refuse(self, name: str) -> None:
        """Shut a worker out: from now on nothing is taken from it or sent to it, connected as it may be."""
        with self._lock:
            self._members.pop(name, None)
            self._owners = {public: owner for public, owner in self._owners.items() if owner != name}

    def callback(self, domain: str, key: bytes) -> bool:
        """Tell the authenticator, in its thread, whether the owner of a public key may connect."""
        return key in self._owners

    def receive(self, timeout: float) -> tuple[str, dict[str, Any]] | None:
        """Wait for an admitted worker's next message: name and fields; None if none comes within `timeout` seconds."""
        end = time.monotonic() + timeout
        while True:
            with self._lock:
                frames = take(self._socket)
                message = self._opened(frames) if frames else None
            if message:
                return message
            left = end - time.monotonic()
            if not frames:
                if left <= 0:
                    return None
                self._poll.poll(left * 1000)
                with suppress(BlockingIOError):
                    os.eventfd_read(self._wake)
            elif left < -_DRAIN:
                return None

    def send(self, name: str, fields: dict[str, Any]) -> bool:
        """Queue a message and return at once; False if the worker is not there or its queue is full."""
        message = pack(fields)
        with self._lock:
            if name not in self._members:
                return False
            try:
                self._socket.send_multipart([self._members[name][WORK], message], zmq.NOBLOCK)
                sent = True
            except zmq.ZMQError:  # not connected, or its queue is full
                sent = False
            # Sending also processes messages that have arrived, of which the receiver's poll would then not be told.
            if self._socket.getsockopt(zmq.EVENTS) & zmq.POLLIN:
                os.eventfd_write(self._wake, 1)
        return sent

    def close(self) -> None:
        """Close within about a second, in which queued messages are sent to workers that are there."""
        with self._lock:
            if self._wake < 0:
                return
            self._socket.close(LINGER)
            self._gate.stop()
            os.close(self._wake)
            self._wake = -1
        self._context.term()
        if self._front:
            self._front.close()

    def _opened(self, frames: list[zmq.Frame]) -> tuple[str, dict[str, Any]] | None:
        """Check who sent a message; returns sender and fields, or None for a message that is dropped and counted."""
        try:
            owner = self._owners.get(str(frames[-1].get("User-Id")).encode())
            if owner is None:
                raise MessageError("refused")
            if frames[0].bytes not in self._members[owner].values():
                raise MessageError("identity")
            if len(frames) != 2:
                raise MessageError("malformed")
            return owner, unpack(frames[1].bytes)
        except zmq.ZMQError:  # the connection has no key: its sender is unknown
            self.dropped["refused"] += 1
        except MessageError as error:
            reason = str(error)
            self.dropped[reason if reason in ("refused", "identity") else "malformed"] += 1
        return None
