"""Awaits hdfs-native's answers for a time, and turns its errors, often Java's exceptions, into the builtins'."""

from __future__ import annotations

import atexit
import errno
import os
import re
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from queue import SimpleQueue
from typing import Any

from hdl.errors import DeadlineError
from hdl.hdfs_client import Unable
from hdl.libhdfs import INTERNAL, worded

EXIT_SECONDS = 5.0  # until a step that nobody waits for any more has ended
ERRNOS = {
    "java.io.FileNotFoundException": errno.ENOENT,
    "org.apache.hadoop.fs.FileAlreadyExistsException": errno.EEXIST,
    "org.apache.hadoop.fs.InvalidPathException": errno.EINVAL,
    "org.apache.hadoop.fs.ParentNotDirectoryException": errno.ENOTDIR,
    "org.apache.hadoop.fs.PathIsNotEmptyDirectoryException": errno.ENOTEMPTY,
    "org.apache.hadoop.hdfs.protocol.DSQuotaExceededException": errno.EDQUOT,
    "org.apache.hadoop.hdfs.protocol.FSLimitException$PathComponentTooLongException": errno.ENAMETOOLONG,
    "org.apache.hadoop.hdfs.protocol.NSQuotaExceededException": errno.EDQUOT,
    "org.apache.hadoop.hdfs.protocol.QuotaByStorageTypeExceededException": errno.EDQUOT,
    "org.apache.hadoop.hdfs.server.namenode.SafeModeException": errno.EROFS,
    "org.apache.hadoop.security.AccessControlException": errno.EACCES,
}
# A NameNode says these for a while only.
PASSING = ("org.apache.hadoop.ipc.RetriableException", "org.apache.hadoop.ipc.StandbyException")
# A client is meant, not the path: Hadoop's own may know better.
CLIENTS = ("SecretManager$InvalidToken", "UnknownCryptoProtocolVersionException")


class _Asker:
    """Asks in a thread of its own, one question after another."""

    def __init__(self) -> None:
        self._questions: SimpleQueue[tuple[Future[Any], Callable, Sequence[Any]]] = SimpleQueue()
        threading.Thread(target=self._run, daemon=True, name="hdfs-native").start()
        _all.append(self)

    def ask(self, step: Callable, arguments: Sequence[Any]) -> Future[Any]:
        answer: Future[Any] = Future()
        self._questions.put((answer, step, arguments))
        return answer

    def _run(self) -> None:
        while True:
            answer, step, arguments = self._questions.get()
            try:
                result, failure = step(*arguments), None
            except BaseException as error:  # a panic of Rust is no Exception
                result = None
                failure = error if isinstance(error, Exception) else Unable(f"hdfs-native panicked: {error}")
            if step is not _nothing:
                _idle.append(self)  # before the answer, so that who asks next finds it
            if failure is not None:
                answer.set_exception(failure)
            else:
                answer.set_result(result)
            # They would live until the next question; and what goes with them may call into hdfs-native.
            del answer, step, arguments, result, failure


_all: list[_Asker] = []
_idle: list[_Asker] = []


def _nothing() -> None:
    """Answer once all that was asked before is over, and gone."""


@atexit.register
def settle(seconds: float = EXIT_SECONDS) -> bool:
    """Wait for the threads in hdfs-native; returns whether all have come back.

    One that comes back while Python ends would abort the process, and one that closes a file would leave it to the
    NameNode, which takes a while to see that nobody will.
    """
    return not wait([asker.ask(_nothing, ()) for asker in [*_all]], seconds).not_done


def begin(step: Callable, *arguments: Any) -> Future[Any]:
    """Call into hdfs-native in a thread; returns what will hold the answer, or the error.

    A thread that has come back is asked again: to start one for each question is most of the way of a short answer.
    """
    try:
        asker = _idle.pop()
    except IndexError:
        asker = _Asker()
    return asker.ask(step, arguments)


def within(seconds: float, step: Callable, *arguments: Any) -> Any:
    """Call into hdfs-native, which has no deadlines of its own and ends by what Python takes for no Exception.

    Raises
    ------
    Unable
        It did not return in time (its thread may go on), or panicked.
    """
    done = begin(step, *arguments)
    try:
        return done.result(seconds)
    except TimeoutError:
        if done.done():
            raise
        raise Unable(f"hdfs-native had no answer within {seconds:.0f} s") from None


def understood(path: str, error: Exception) -> tuple[bool, Exception]:
    """Tell whether an error of hdfs-native passes by itself, and make the one to raise of it.

    It tells of Java's exceptions by their class and message, some under the builtins' names, and of the rest as
    Rust's debugger shows it.
    """
    if isinstance(error, Unable):
        return False, error
    said = re.match(r'RPCError\("([\w.$]+)", "(.*)"\)$', str(error), re.DOTALL)
    if said:
        name, text = said[1], said[2].partition("\\n")[0].replace('\\"', '"')
    elif isinstance(error, FileNotFoundError | FileExistsError | IsADirectoryError):
        number = {FileNotFoundError: errno.ENOENT, FileExistsError: errno.EEXIST}.get(type(error), errno.EISDIR)
        return False, OSError(number, os.strerror(number), path)
    elif isinstance(error, OSError):
        return True, DeadlineError(f"{path}: the NameNode does not answer ({first_line(error)})")
    else:
        return False, Unable(first_line(error))
    if "SafeModeException" in text:  # of several NameNodes the active one says so within another exception
        name = "org.apache.hadoop.hdfs.server.namenode.SafeModeException"
    if name in PASSING:
        return True, DeadlineError(f"{path}: no NameNode is active ({text})")
    if name.endswith(CLIENTS):
        return False, Unable(f"{name}: {text}")
    return False, worded(ERRNOS.get(name, INTERNAL), path, f"{name}: {text}")


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, of a stack trace that is."""
    return re.split(r"\n|\\n", str(error))[0][:300] or type(error).__name__
