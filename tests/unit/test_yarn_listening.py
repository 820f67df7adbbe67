"""Whether a ResourceManager listens, of one and of several: found out before Hadoop's client tries for minutes."""

import contextlib
import socket
import threading
import time

import pytest

from hdl.errors import DeadlineError
from hdl.yarn.resource_manager import listening

SERVED, ADMIN = listening.ADDRESS, listening.ADMIN_ADDRESS


class Conf(dict):
    """As Hadoop's Configuration."""

    def getBoolean(self, name, default):
        return self.get(name, default)

    def getTrimmed(self, name, default):
        return self.get(name, default).strip()

    def getTrimmedStringCollection(self, name):
        return [word.strip() for word in self[name].split(",")]


@contextlib.contextmanager
def listener(port=0):
    with socket.create_server(("127.0.0.1", port)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def silent():
    with listener() as address:
        return address


def several(*served, admin=()):
    conf = Conf({"yarn.resourcemanager.ha.enabled": True,
                 "yarn.resourcemanager.ha.rm-ids": " , ".join(f"rm{k}" for k in range(len(served)))})  # fmt: skip
    conf.update({f"{SERVED}.rm{k}": f" {address}" for k, address in enumerate(served)})
    conf.update({f"{ADMIN}.rm{k}": address for k, address in enumerate(admin)})
    return conf


def test_of_several_one_is_enough():
    with listener() as address:
        listening.check_listening(several(silent(), address))
        listening.check_listening(several(address, silent()))


def test_several_that_are_all_dead_are_told_at_once(monkeypatch):
    monkeypatch.setattr(listening, "FAILOVER_SECONDS", 3600)
    first, second = silent(), silent()
    with pytest.raises(DeadlineError, match="none of YARN's ResourceManagers answers: rm0 at ") as error:
        listening.check_listening(several(first, second, admin=(silent(), silent())))
    assert first in str(error.value)
    assert second in str(error.value)


def test_one_that_waits_for_its_turn_is_waited_for(monkeypatch):
    served = silent()
    opened, over = threading.Event(), threading.Event()

    def take_over():
        time.sleep(0.3)
        with listener(int(served.rpartition(":")[2])):
            opened.set()
            over.wait(60)

    with listener() as admin:
        thread = threading.Thread(target=take_over)
        thread.start()
        try:
            listening.check_listening(several(silent(), served, admin=(silent(), admin)))
            assert opened.is_set()
        finally:
            over.set()
            thread.join()


def test_one_that_never_becomes_active_is_given_up(monkeypatch):
    monkeypatch.setattr(listening, "FAILOVER_SECONDS", 0)
    with listener() as admin, pytest.raises(DeadlineError, match=r"\(rm1 did not become active within 0 s\)"):
        listening.check_listening(several(silent(), silent(), admin=(silent(), admin)))


def test_hosts_without_ports_and_none_at_all():
    conf = several("", "")
    conf["yarn.resourcemanager.hostname.rm0"] = "127.0.0.1"
    assert listening.address_of(conf, SERVED, 8032, "rm0") == ("127.0.0.1", 8032)
    assert listening.address_of(conf, SERVED, 8032, "rm1") is None
    listening.check_listening(several("", ""))  # is left to Hadoop's client
