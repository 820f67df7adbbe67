"""hdfs-native's answers: waited for so long and no longer, in threads that end before the process, in words of ours."""

import errno
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hdl import hdfs_answers
from hdl.errors import DeadlineError
from hdl.hdfs_client import Unable

ROOT = Path(__file__).parents[2]
SAFE = "org.apache.hadoop.hdfs.server.namenode.SafeModeException"


def said(name, text="said so"):
    return RuntimeError(f'RPCError("{name}", "{text}\\n\\tat org.apache.hadoop.X(X.java:1)\\n")')


@pytest.mark.parametrize(("error", "number"), [
    (FileNotFoundError("/x"), errno.ENOENT),
    (FileExistsError("/x"), errno.EEXIST),
    (said("org.apache.hadoop.security.AccessControlException", 'Permission denied: inode=\\"/\\"'), errno.EACCES),
    (said("org.apache.hadoop.hdfs.protocol.DSQuotaExceededException"), errno.EDQUOT),
    (said(SAFE), errno.EROFS),
    (said("org.apache.hadoop.ipc.RetriableException", f"{SAFE}: Cannot create"), errno.EROFS),
    (said("org.apache.hadoop.fs.InvalidPathException"), errno.EINVAL),
])  # fmt: skip
def test_what_a_namenode_says_becomes_an_error_of_the_path(error, number):
    passing, made = hdfs_answers.understood("hdfs:///x", error)
    assert isinstance(made, OSError)
    assert (passing, made.errno, made.filename) == (False, number, "hdfs:///x")


def test_what_the_client_cannot_do_is_another_matter_than_what_passes():
    for error in (
        NotImplementedError("File encryption"),
        RuntimeError("NoSASLMechanism"),
        said("org.apache.hadoop.hdfs.UnknownCryptoProtocolVersionException"),
    ):
        passing, made = hdfs_answers.understood("hdfs:///x", error)
        assert not passing
        assert isinstance(made, Unable)
    for error in (OSError("Connection refused (os error 111)"), said("org.apache.hadoop.ipc.StandbyException")):
        passing, made = hdfs_answers.understood("hdfs:///x", error)
        assert passing
        assert isinstance(made, DeadlineError)


def test_no_step_lasts_for_ever_and_a_panic_ends_nothing():
    class Panic(BaseException):
        pass

    def panic():
        raise Panic("todo")

    def late():
        raise TimeoutError("its own")

    with pytest.raises(Unable, match="no answer within"):
        hdfs_answers.within(0.1, time.sleep, 3)
    with pytest.raises(Unable, match="panicked: todo"):
        hdfs_answers.within(10, panic)
    with pytest.raises(TimeoutError, match="its own"):
        hdfs_answers.within(10, late)
    assert hdfs_answers.within(10, max, 1, 2) == 2


def test_a_process_waits_at_its_end_for_a_step_that_nobody_waits_for():
    ended = []
    with pytest.raises(Unable):
        hdfs_answers.within(0.05, lambda: (time.sleep(0.5), ended.append(1)))
    assert not hdfs_answers.settle(0.05)
    assert hdfs_answers.settle(30)
    assert ended


def test_a_thread_that_has_come_back_is_asked_again_and_one_that_has_not_is_not():
    first = hdfs_answers.within(10, threading.get_ident)
    assert hdfs_answers.within(10, threading.get_ident) == first
    held = threading.Event()
    with pytest.raises(Unable):
        hdfs_answers.within(0.05, held.wait)
    assert hdfs_answers.within(10, threading.get_ident) != first
    held.set()
    hdfs_answers.settle(30)
    with ThreadPoolExecutor(8) as pool:
        assert [*pool.map(lambda number: hdfs_answers.within(10, int, number), range(400))] == [*range(400)]


def test_a_process_ends_well_while_what_hdfs_native_gave_goes_with_its_thread(tmp_path):
    """The last reference to a file may be an error's, and what is done as it goes may last."""
    code = """if True:
        import time
        from hdl import hdfs_answers
        class File:
            def close(self):
                raise OSError
            def __del__(self):
                time.sleep(0.5)
                open("gone", "x").close()
        def step():
            File().close()
        hdfs_answers.begin(step)
        """
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert (tmp_path / "gone").exists()
