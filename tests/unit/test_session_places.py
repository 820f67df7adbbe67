"""What a session knows of whoever has connected to it."""

import socket

from hdl.session import client, places


def test_who_has_gone_is_known_at_once():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with ours:
        ours.settimeout(60.0)  # nobody waits for that
        assert not places.gone(ours)
        theirs.send(b"more")
        assert not places.gone(ours)
        assert ours.recv(9) == b"more"  # it is still to be read
        theirs.close()
        assert places.gone(ours)


def test_who_waits_for_a_sessions_end_makes_nothing_in_its_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(places, "place", lambda name: tmp_path)
    client.wait_end("gone")  # its process has removed the lock, and is about to remove the folder
    assert not [*tmp_path.iterdir()]
