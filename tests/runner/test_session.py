"""Sessions of this machine: what stays, what is the same, and what becomes of each side that dies."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest

from hdl.session import places
from hdl.table import Table
from tests.runner.common import DEADLINE, until

TRAIN = ["--recipe", "plain", "--net", "0-5-0", "--seed", "3", "--no-report"]
ENDLESS = [*TRAIN, "--epochs", "1000000", "--quiet"]


def hdl(*words, **more):
    """Start a command."""
    command = [sys.executable, "-m", "hdl", *map(str, words)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **more)


def done(*words, status=0, **more):
    """Carry a command out; returns what it printed, and what it said."""
    process = hdl(*words, **more)
    out, err = process.communicate(timeout=DEADLINE)
    assert process.returncode == status, err
    return out, err


def state(name):
    """What the session says of itself."""
    return next(one for one in json.loads(done("session", "list", "--json")[0]) if one["name"] == name)


def signature(table, number=None):
    """SHA-256 of a table's last version, or of another one."""
    found = Table(str(table))
    return found.header(found.latest() if number is None else number)["signature"]


def eventually(condition):
    """Wait for something that comes."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A folder for sessions' folders, of this module alone."""
    own = tmp_path_factory.mktemp("state")
    before = os.environ.get("XDG_STATE_HOME")
    os.environ["XDG_STATE_HOME"] = str(own)
    yield own
    for name in places.names():
        done("session", "stop", name)
    if before is None:
        del os.environ["XDG_STATE_HOME"]
    else:
        os.environ["XDG_STATE_HOME"] = before


@pytest.fixture(scope="module")
def session(home):
    """The name of a session with two workers."""
    done("session", "start", "--workers", "2", "--name", "two")
    return "two"


def test_a_command_prints_what_it_prints_without_a_session(session, csv, tmp_path):
    data, words = csv(), ["--out", "model", *TRAIN, "--epochs", "3", "--validation", "0.2"]
    folders = [tmp_path / name for name in ("here", "first", "second")]
    told = []
    for folder, who in zip(folders, (["--workers", "2"], ["--session", session], ["--session", session]), strict=True):
        folder.mkdir()
        told.append(done("train", os.path.relpath(data, folder), *words, *who, cwd=folder))
    for out, err in told:
        assert out == told[0][0]
        assert re.sub(r"[\d,]+ samples/s|[\d.]+ m?s left", "", err) == re.sub(
            r"[\d,]+ samples/s|[\d.]+ m?s left", "", told[0][1]
        )
    assert len({signature(folder / "model", number) for folder in folders for number in [3]}) == 1


def test_measures_answers_and_codes_are_those_without_a_session(session, csv, tmp_path):
    data, table, parts = csv(), tmp_path / "model", tmp_path / "parts"
    done("train", data, "--out", table, *TRAIN, "--epochs", "2", "--session", session)
    parts.mkdir()  # a part for each worker, where the lone file is measured in the session's own process
    for number in range(2):
        (parts / f"part-{number}.csv").write_bytes(Path(csv(seed=number)).read_bytes())
    for who in ([], ["--session", session]):
        folder = tmp_path / f"with{len(who)}"
        folder.mkdir()
        (folder / "measures").write_text(done("evaluate", table, data, "--json", "--importance", *who)[0])
        (folder / "of parts").write_text(done("evaluate", table, parts, "--json", *who)[0])
        (folder / "printed").write_text(done("predict", table, data, "--out", "-", *who)[0])
        done("predict", table, data, "--out", folder / "answers.csv", *who)
        done("encode", table, data, folder / "codes.npy", *who)
    here, there = (sorted(folder.iterdir()) for folder in (tmp_path / "with0", tmp_path / "with2"))
    assert len(here) == 5
    assert [file.read_bytes() for file in here] == [file.read_bytes() for file in there]
    for command in (["evaluate", table, data], ["predict", table, data, "--out", tmp_path / "more.csv"]):
        _, err = done(*command, "--threads", "1", "--session", session, status=2)
        assert "--threads: session 'two' has its own" in err


def test_an_error_and_its_status_come_back(session, csv, tmp_path):
    _, err = done("train", tmp_path / "none.csv", "--out", tmp_path / "model", "--session", session, status=3)
    assert "no such file" in err
    _, err = done("train", csv(), "--out", tmp_path / "model", "--session", session, "--workers", 3, status=2)
    assert "--workers: session 'two' has its own" in err
    assert not (tmp_path / "model").exists()


def test_data_is_kept_as_long_as_its_files_are_the_same(session, csv, tmp_path):
    data, words = Path(csv(seed=5)), [*TRAIN, "--epochs", "2", "--quiet", "--session", session]
    stamp, before = data.stat(), data.read_bytes()
    done("train", data, "--out", tmp_path / "a", *words)
    lines = before.splitlines(keepends=True)
    changed = b"".join([lines[0], *reversed(lines[1:])])
    data.write_bytes(changed)
    os.utime(data, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))  # it looks as before, so nobody reads it
    done("train", data, "--out", tmp_path / "b", *words)
    assert signature(tmp_path / "b") == signature(tmp_path / "a")
    os.utime(data, ns=(stamp.st_atime_ns, stamp.st_mtime_ns + 1))
    done("train", data, "--out", tmp_path / "c", *words)
    done("train", data, "--out", tmp_path / "d", *words[:-2], "--workers", "2")
    assert signature(tmp_path / "c") == signature(tmp_path / "d") != signature(tmp_path / "a")


def test_ctrl_c_ends_the_command_and_not_the_session(session, csv, tmp_path, ctrl_c):
    before = state(session)
    process = hdl("train", csv(), "--out", tmp_path / "model", *ENDLESS, "--session", session)
    until(process, lambda: (Table(str(tmp_path / "model")).latest() or 0) >= 2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=DEADLINE)
    assert process.returncode == 130
    assert "interrupted; version" in err
    assert "is kept" in err
    after = state(session)
    assert not after["running"]
    assert len(after["pids"]) == len(before["pids"])
    assert after["pid"] == before["pid"]  # a worker in the midst of a message is another process
    words = [*TRAIN, "--epochs", "3", "--quiet"]
    done("train", csv(), "--out", tmp_path / "next", *words, "--session", session)
    done("train", csv(), "--out", tmp_path / "here", *words, "--workers", "2")
    assert signature(tmp_path / "next") == signature(tmp_path / "here")


def test_commands_take_turns_in_the_order_in_which_they_came(session, csv, tmp_path, ctrl_c):
    first = hdl("train", csv(), "--out", tmp_path / "0", *ENDLESS, "--session", session)
    until(first, lambda: Table(str(tmp_path / "0")).latest())
    others = []
    for number in (1, 2, 3):
        words = ["train", csv(), "--out", tmp_path / str(number), *TRAIN, "--epochs", "1", "--quiet"]
        others.append(hdl(*words, "--session", session))
        eventually(lambda: len(state(session)["waiting"]) == len(others))
    others[1].send_signal(signal.SIGINT)  # it has not begun, and so never does
    assert "interrupted before it began" in others[1].communicate(timeout=DEADLINE)[1]
    assert not (tmp_path / "2").exists()
    first.send_signal(signal.SIGINT)
    said = [process.communicate(timeout=DEADLINE)[1] for process in (first, others[0], others[2])]
    assert "the session is busy: 1 command before this one" in said[1]
    assert "the session is busy: 3 commands before this one" in said[2]
    ends = [Table(str(tmp_path / name)).rows()[-1]["time"] for name in ("0", "1", "3")]
    assert ends == sorted(ends)


def test_what_runs_goes_on_when_its_client_dies(session, csv, tmp_path):
    words = [*TRAIN, "--epochs", "40", "--session", session]
    process = hdl("train", csv(), "--out", tmp_path / "model", *words)
    until(process, lambda: Table(str(tmp_path / "model")).latest() is not None)
    process.kill()
    process.communicate()
    eventually(lambda: not state(session)["running"])
    assert Table(str(tmp_path / "model")).latest() == 40


@pytest.mark.parametrize("when", [pytest.param("idle", marks=pytest.mark.full), "in a round"])
def test_a_worker_that_dies_is_replaced(when, session, csv, tmp_path):
    words, victim = [*TRAIN, "--epochs", "60", "--quiet"], state(session)["pids"][0]
    if when == "idle":
        psutil.Process(victim).kill()
    process = hdl("train", csv(), "--out", tmp_path / "model", *words, "--session", session)
    if when == "in a round":
        until(process, lambda: (Table(str(tmp_path / "model")).latest() or 0) >= 1)
        psutil.Process(victim).kill()
    _, err = process.communicate(timeout=DEADLINE)
    assert process.returncode == 0, err
    assert victim not in state(session)["pids"]
    done("train", csv(), "--out", tmp_path / "here", *words, "--workers", "2")
    assert signature(tmp_path / "model") == signature(tmp_path / "here")


def test_what_was_used_longest_ago_goes_first(home, csv, tmp_path):
    done("session", "start", "--memory", "1m", "--name", "small")
    own = places.place("small")
    files = [csv(n=60_000, seed=seed) for seed in (1, 2, 1)]
    for number, data in enumerate(files):
        done("train", data, "--out", tmp_path / str(number), *TRAIN, "--epochs", "1", "--quiet", "--session", "small")
        kept = state("small")
        assert sum(one["bytes"] for one in kept["kept"]) <= kept["memory"] == 1 << 20
        assert kept["kept"][0]["data"] == data
    assert [one["data"] for one in state("small")["kept"]] == [files[2]]
    out, _ = done("session", "stop", "small")
    assert "has ended" in out
    assert not own.exists()


def test_a_session_whose_process_died_says_how_to_go_on(home, csv, tmp_path):
    done("session", "start", "--name", "gone", "--idle", "1h")
    pids = [state("gone")["pid"], *state("gone")["pids"]]
    data = csv()
    process = hdl("train", data, "--out", tmp_path / "model", *ENDLESS, "--session", "gone")
    until(process, lambda: (Table(str(tmp_path / "model")).latest() or 0) >= 1)
    psutil.Process(pids[0]).kill()
    _, err = process.communicate(timeout=DEADLINE)
    assert process.returncode == 6
    again = "hdl session start --name gone --idle 3600s"
    assert again in err
    _, err = done("train", csv(), "--out", tmp_path / "other", *TRAIN, "--session", "gone", status=2)
    assert err.count("\n") == 1
    assert again in err
    eventually(lambda: not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie" for pid in pids))
    done(*again.split()[1:])
    last = Table(str(tmp_path / "model")).latest()
    done("train", data, "--out", tmp_path / "model", "--resume", "--epochs", last + 2, "--quiet", "--no-report",
         "--session", "gone")  # fmt: skip
    done("session", "stop", "gone")


def test_an_idle_session_ends_by_itself(home):
    done("session", "start", "--name", "short", "--idle", "1s")
    eventually(lambda: "short" not in places.names())
    _, err = done("train", "x", "--session", "short", status=2)
    assert "no session 'short'" in err


def test_a_name_is_taken_once(session):
    _, err = done("session", "start", "--name", session, status=2)
    assert f"there is a session '{session}' already" in err


def test_nothing_grows(session, csv, tmp_path):
    data, words = csv(), [*TRAIN, "--epochs", "2", "--quiet", "--session", session]

    def used():
        own = state(session)
        processes = [psutil.Process(pid) for pid in (own["pid"], *own["pids"])]
        return [(each.num_fds(), each.num_threads(), len(each.children())) for each in processes], sum(
            each.memory_info().rss for each in processes
        )

    counts = []
    for number in range(12):
        done("train", data, "--out", tmp_path / str(number), *words)
        if number in (5, 11):
            counts.append(used())
    assert counts[0][0] == counts[1][0]
    assert counts[1][1] - counts[0][1] < 8 << 20


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to become another user")
def test_another_user_cannot_come_in(session):
    ask = (
        "import os, sys; os.setgid(65534); os.setuid(65534)\n"
        "from hdl.session import places\n"
        "places.connect(sys.argv[1])"
    )
    process = subprocess.run([sys.executable, "-c", ask, session], capture_output=True, text=True, timeout=DEADLINE)
    assert process.returncode != 0
    assert "PermissionError" in process.stderr or "No module named" in process.stderr
    assert places.read_record(places.place(session))


def test_a_folder_that_others_can_enter_is_refused(session):
    own = places.place(session)
    own.chmod(0o755)
    try:
        _, err = done("train", "x", "--session", session, status=2)
        assert "mode 700" in err
    finally:
        own.chmod(0o700)


@pytest.mark.full  # one that is lost and goes on, below, has that table too
def test_a_search_by_a_session_gives_the_table_of_one_without(session, csv, tmp_path):
    words = [*TRAIN, "--epochs", "3", "--validation", "0.2", "--trials", "3", "--scheduler", "halving",
             "--param", "lr=0.001:0.1", "--quiet"]  # fmt: skip
    data, tables = csv(), []
    for name, more in (("alone", ["--workers", "1"]), ("by it", ["--session", session])):
        done("search", data, "--out", tmp_path / name, *words, *more)
        tables.append(pq.read_table(tmp_path / name / "search.parquet").drop_columns(["seconds"]))
    assert tables[0].equals(tables[1])
    assert state(session)["done"] >= 1


def test_searches_and_a_training_go_on_at_once(session, csv, tmp_path, ctrl_c):
    words = [*TRAIN, "--epochs", "1000000", "--validation", "0.2", "--trials", "2", "--param", "lr=0.001:0.1"]
    searches = []
    for name in ("a", "b"):
        searches.append(hdl("search", csv(), "--out", tmp_path / name, *words, "--session", session))
        eventually(lambda: len(state(session)["turns"]) >= 2 * len(searches))
    first = [turn for turn in state(session)["turns"] if turn["workers"]]
    assert [each["workers"] for each in first] == [[0], [1]]
    assert all("/a/trial" in each["what"] for each in first)  # both of the first search, and nobody overtakes them
    training = hdl("train", csv(), "--out", tmp_path / "model", *TRAIN, "--epochs", "2", "--session", session)
    eventually(lambda: any(turn["whole"] for turn in state(session)["turns"]))
    shown = done("session", "list")[0]
    assert re.search(r"worker 0: .*/a/trial000\d, for", shown)
    assert re.search(r"waits for a worker: .*/b/trial000\d, for", shown)
    assert re.search(r"waits for all workers: .*model, for", shown)
    assert re.search(r"memory of the workers: [\d.]+ MiB, [\d.]+ MiB", shown)
    for search in searches:
        search.send_signal(signal.SIGINT)
        _, err = search.communicate(timeout=DEADLINE)
        assert search.returncode == 130, err
        assert f"--resume --session {session}" in err
    _, err = training.communicate(timeout=DEADLINE)
    assert training.returncode == 0, err
    assert "the session's workers are busy: 4 before this one" in err
    assert not state(session)["turns"]
    assert not state(session)["running"]
    assert Table(str(tmp_path / "model")).latest() == 2


def test_a_search_goes_on_to_its_table_in_a_session_that_is_started_again(home, csv, tmp_path):
    words = [*TRAIN, "--epochs", "40", "--validation", "0.2", "--trials", "4", "--param", "lr=0.001:0.1", "--quiet"]
    data = csv()
    done("search", data, "--out", tmp_path / "here", *words, "--workers", "1")
    done("session", "start", "--name", "lost", "--workers", "2")
    server = psutil.Process(state("lost")["pid"])
    search = hdl("search", data, "--out", tmp_path / "s", *words, "--session", "lost")
    until(search, lambda: (tmp_path / "s" / "trial0001").exists())
    server.kill()
    _, err = search.communicate(timeout=DEADLINE)
    assert search.returncode == 6
    assert re.findall("hdl: error: .*", err) == [err.strip()]  # one sentence
    again = re.search("Start it again with: (.*); then --resume goes on", err)[1]
    done(*again.split()[1:])
    done("search", data, "--out", tmp_path / "s", "--resume", "--session", "lost", "--quiet")
    done("session", "stop", "lost")
    tables = [pq.read_table(tmp_path / name / "search.parquet").drop_columns(["seconds"]) for name in ("here", "s")]
    assert tables[0].equals(tables[1])
