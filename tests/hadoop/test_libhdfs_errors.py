"""What Java says of a failed call is the calling thread's, whole, and on nobody's standard error."""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from hdl import fs, libhdfs


def test_each_thread_is_told_of_its_own_call(cluster, folder, capfd):
    fs.mkdir(f"{folder}/there")
    system, name = libhdfs.resolve(folder)

    def fail(number):
        path = f"{name}/missing-{number}"
        with pytest.raises(FileNotFoundError) as raised:
            libhdfs.call(path, system.open_file, path, "r")
        said = libhdfs.last_exception()
        return (
            path in said.splitlines()[0],
            len(re.findall(r"^\tat ", said, re.M)) > 10,
            raised.value.__notes__ == [said],
        )

    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(fail, range(400)))
    assert set(told) == {(True, True, True)}
    libhdfs.call(name, system.list_directory, f"{name}/there")
    assert capfd.readouterr().err == ""


def test_what_an_earlier_call_left_is_not_told_of_a_later_one(cluster, folder):
    system, name = libhdfs.resolve(folder)
    with pytest.raises(FileNotFoundError):
        libhdfs.call(folder, system.open_file, f"{name}/missing", "r")
    assert libhdfs.last_exception()
    with pytest.raises(OSError, match="Is a directory") as raised, libhdfs.named(folder):
        raise IsADirectoryError(21, "Is a directory")  # nothing of Java's
    assert not hasattr(raised.value, "__notes__")


def test_an_exception_without_an_errno_of_its_own_is_one_sentence(cluster, folder, capfd):
    system, name = libhdfs.resolve(folder)
    with pytest.raises(OSError, match="a:b") as raised:
        libhdfs.call(folder, system.create_directory, f"{name}/a:b")
    assert "\n" not in str(raised.value)
    assert re.search(r"Exception: \S+", raised.value.__notes__[0])
    assert capfd.readouterr().err == ""
