"""What a killed writer leaves on HDFS goes when the next one begins in the folder, by either client; a living one's
stays. And a job whose spilled data is encrypted, by Hadoop's tasks."""

import logging
import os
import signal
import subprocess
import sys

import pytest

from hdl import fs, scratch, temporary
from tests.hadoop.runners import QUIET, RUNNERS, local, put_csv, signatures, train

# Holds a file half-written until standard input ends.
WRITER = """
import sys
from hdl import fs
def half(file):
    file.write(b"x" * 1000)
    file.flush()
    print("there", flush=True)
    sys.stdin.read()
fs.publish(sys.argv[1], half)
"""


def begin(path):
    writer = subprocess.Popen([sys.executable, "-c", WRITER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert writer.stdout.readline() == b"there\n"
    return writer


def hidden(folder):
    return [name for name in fs.list(folder) if name.startswith(".")]


@pytest.mark.parametrize("client", ["libhdfs", "native"])
def test_a_killed_writers_file_goes_and_a_living_ones_stays(cluster, folder, monkeypatch, caplog, client):
    if client == "native":
        pytest.importorskip("hdfs_native")
    monkeypatch.setenv("HDL_HDFS", client)
    monkeypatch.setattr(temporary, "_swept", set())
    place = f"{folder}/{client}"
    fs.mkdir(place)
    killed, living = begin(f"{place}/a"), begin(f"{place}/b")
    try:
        os.kill(killed.pid, signal.SIGKILL)
        killed.communicate(timeout=300)
        assert len(hidden(place)) == 2
        fs.publish(f"{place}/.old.{'0' * 32}.tmp", b"1")  # as if from another machine, and not yet old; this one sweeps
        assert [name for name in hidden(place) if name.startswith(".a.")] == []
        assert len(hidden(place)) == 2
        monkeypatch.setattr(temporary, "_swept", set())
        monkeypatch.setattr(temporary, "FILE_SECONDS", -1.0)  # a day later
        with caplog.at_level(logging.WARNING, "hdl"):
            fs.publish(f"{place}/c", b"1")
        assert len(hidden(place)) == 1
        assert "removed what writers that died left there" in caplog.text
    finally:
        living.communicate(timeout=300)
    assert fs.list(place) == ["b", "c"]


@pytest.mark.full
@pytest.mark.parametrize("kind", sorted(RUNNERS))
def test_a_job_with_encrypted_temporary_data_gives_the_same_bytes(cluster, folder, archive, kind):
    """Hadoop's tasks encrypt what they spill too, as the job's property asks them to."""
    data = put_csv(f"{folder}/{kind}")
    local(data, f"{folder}/{kind}-local", epochs=2)
    scratch.encrypt()
    try:
        with RUNNERS[kind](archive=archive, settings=QUIET) as runner:
            train(data, f"{folder}/{kind}-model", runner, epochs=2)
    finally:
        scratch.encrypt(False)
    assert signatures(f"{folder}/{kind}-model") == signatures(f"{folder}/{kind}-local")
