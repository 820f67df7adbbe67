"""How a container's process ends, and what of it is the fault of its node."""

import errno
import os
import subprocess
import sys

import pytest

from hdl import wire
from hdl.errors import DataError, NodeError, OutputError
from hdl.local_files import unwritable
from hdl.runners.messages import error_from, error_message
from hdl.yarn.process import NODE_STATUS, node_fault
from hdl.yarn.resource_manager.endings import ending


def raised(error, cause=None):
    try:
        try:
            raise cause or ValueError("first")
        except Exception as before:
            raise error from (before if cause else None)
    except Exception as caught:
        return caught


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EFBIG])
def test_a_disk_that_is_full_or_broken_is_the_nodes_fault(number):
    fault = node_fault(OSError(number, os.strerror(number), "/data/1/hdl-spill"))
    assert os.strerror(number) in str(fault)
    assert "/data/1/hdl-spill" in str(fault)


@pytest.mark.parametrize(
    "error",
    [
        unwritable("/data/1, where samples lie that memory does not hold", errno.ENOSPC),
        raised(DataError("could not be read"), OSError(errno.EIO, "Input/output error")),
        OSError("write failed: No space left on device"),  # a library that keeps no number
    ],
)
def test_it_is_seen_behind_other_errors(error):
    assert isinstance(node_fault(error), NodeError)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("No space left on device"),
        OSError(errno.ENOENT, "No such file", "/data/1"),
        OSError(errno.EIO, "no block", "hdfs:///digits/0.csv"),
        OutputError("hdfs:///model: cannot be written (Disk quota exceeded)"),
        raised(DataError("a word", "hdfs:///digits/0.csv", 3)),
        ConnectionResetError("gone"),
    ],
)
def test_other_errors_and_those_of_hdfs_are_not(error):
    assert node_fault(error) is None


def test_the_master_hears_what_it_was():
    fields = wire.unpack(error_message(node_fault(OSError(errno.ENOSPC, "full", "/a"))))[1]
    error = error_from(fields, "worker 1")
    assert isinstance(error, NodeError)
    assert "trace" not in fields


ENDS = """
import errno, sys
from hdl.errors import HdlError
from hdl.yarn.process import run_and_exit
def body():
    {}
run_and_exit("worker", body)
"""


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ("pass", 0, ""),
        ("raise HdlError('so')", 1, "hdl worker: so\n"),
        ("1 / 0", 1, "Traceback"),
        (
            "raise OSError(errno.ENOSPC, 'full')",
            NODE_STATUS,
            "hdl worker: this node cannot go on: its disk: [Errno 28]",
        ),
    ],
)
def test_a_process_ends_with_a_status_that_tells(body, status, said):
    done = subprocess.run([sys.executable, "-c", ENDS.format(body)], capture_output=True, text=True, timeout=250)
    assert done.returncode == status
    assert done.stderr.startswith(said)
    assert bool(said) == bool(done.stderr)


def test_a_log_that_cannot_be_written_changes_nothing():
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-c", ENDS.format("1 / 0")], stderr=full, stdout=full, timeout=250)
    assert done.returncode == 1


@pytest.mark.parametrize(
    ("status", "diagnostics", "kind"),
    [
        (-101, "", "node"),  # DISKS_FAILED
        (-1000, "DiskErrorException: No space available in any of the local directories.", "node"),
        (-1000, "FileNotFoundException: File does not exist: hdfs://nn/env.tar.gz", "exited"),
        (-1000, "Resource hdfs://nn/env.tar.gz changed on src filesystem", "exited"),
        (1, "Exception from container-launch. mkdir: No space left on device", "node"),
        (NODE_STATUS, "", "node"),
        (135, "", "node"),  # SIGBUS: a mapped page could not be read
        (139, "", "exited"),  # SIGSEGV
        (1, "Traceback", "exited"),
        (-100, "Container released on a *lost* node", "lost"),
        (-102, "", "preempted"),
        (-108, "Container Killed to make room for Guaranteed Container.", "preempted"),
        (-104, "", "memory"),
        (137, "Container killed by the OOM killer", "memory"),
        (137, "Killed by external signal", "exited"),
    ],
)
def test_yarns_ends_are_told_apart_by_whose_doing_they_are(status, diagnostics, kind):
    assert ending(status, diagnostics)[0] == kind
