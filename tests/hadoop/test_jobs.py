"""Jobs on the real cluster: an example, Hadoop Streaming, pydoop with our patch, all with the packed environment."""

import re
import sys
import time
from pathlib import Path

import pytest

from hdl import envpack, fs
from hdl.runners import splits

PYTHON = "hdlenv/bin/python"
HERE = Path(__file__).parent
PYDOOP = [sys.executable, "-c", "import sys; from pydoop.app.main import main; main(sys.argv[1:])"]
ALL = {"localhost", "127.0.0.2"}
# A busy machine lets one of four tasks lag behind; a second attempt would be counted too.
SPECULATIVE = ["-D", "mapreduce.map.speculative=false"]


@pytest.fixture(scope="module")
def environment(cluster, packed):
    """The packed environment, on HDFS."""
    return envpack.upload(packed)


def counters(text):
    return {name.strip(): int(value) for name, value in re.findall(r"^\s+([^=\n]+)=(\d+)$", text, re.M)}


def output(folder):
    files = [fs.open(path).read() for path in fs.glob(f"{folder}/part-*")]
    return dict(line.split(b"\t", 1) for file in files for line in file.splitlines())


@pytest.mark.full
def test_wordcount_runs_beside_its_data(cluster, run, folder):
    fs.publish(f"{folder}/in", b"to be or not to be\n" * 100)
    path = folder.removeprefix("hdfs://")
    jar = next(cluster.home.glob("share/hadoop/mapreduce/hadoop-mapreduce-examples-*.jar"))
    done = run("hadoop", "jar", jar, "wordcount", f"{path}/in", f"{path}/out")
    assert output(f"{folder}/out") == {b"be": b"200", b"not": b"100", b"or": b"100", b"to": b"200"}
    assert counters(done.stderr)["Data-local map tasks"] == 1


@pytest.mark.full
def test_streaming_with_the_packed_environment(run, folder, environment, tmp_path):
    (tmp_path / "mapper.py").write_text(
        "import sys, numpy, hdl\n"
        "for line in sys.stdin: print('sum', int(numpy.fromstring(line, sep=' ').sum()), sep='\\t')\n"
        "print('where', hdl.__path__[0].rsplit('/', 2)[1], sep='\\t')\n"
    )
    (tmp_path / "reducer.py").write_text(
        "import sys, collections\nseen = collections.defaultdict(list)\n"
        "for line in sys.stdin: key, value = line.split(); seen[key].append(value)\n"
        "print('sum', sum(map(int, seen['sum'])), sep='\\t'); print('where', *set(seen['where']), sep='\\t')\n"
    )
    fs.mkdir(f"{folder}/in")
    for number in range(2):
        fs.publish(f"{folder}/in/{number}", b"1 2 3\n4 5 6\n")
    path = folder.removeprefix("hdfs://")
    python = "hdlenv/bin/python"
    run(
        "mapred", "streaming", "-D", "mapreduce.job.reduces=1",
        "-files", f"{tmp_path}/mapper.py,{tmp_path}/reducer.py", "-archives", f"{environment}#hdlenv",
        "-input", f"{path}/in", "-output", f"{path}/out",
        "-mapper", f"{python} mapper.py", "-combiner", "cat", "-reducer", f"{python} reducer.py",
    )  # fmt: skip
    assert output(f"{folder}/out") == {b"sum": b"42", b"where": b"hdlenv"}


def submit(run, folder, environment, python, payloads, **options):
    fs.publish(f"{folder}/splits", splits.encode(payloads))
    path = folder.removeprefix("hdfs://")
    return run(
        *PYDOOP, "submit", "--python-program", python, "--no-override-env", "--no-override-home",
        "--cache-archive", f"{environment}#hdlenv",
        "--upload-file-to-cache", HERE / "trial_job.py", "--do-not-use-java-record-reader", "--num-reducers", "1",
        "-D", f"{splits.URI}={path}/splits", "-D", "mapreduce.map.maxattempts=1", *SPECULATIVE,
        "trial_job", f"{path}/splits", f"{path}/out", **options,
    )  # fmt: skip


# test_every_column.py has pydoop, a combiner and the packed environment; test_yarn.py workers beside their data.
@pytest.mark.full
def test_pydoop_moves_bytes_beside_the_data_with_the_packed_environment(run, folder, environment):
    payloads = [({"shard": shard}, [sorted(ALL)[shard % 2]]) for shard in range(2)]
    done = submit(run, folder, environment, PYTHON, payloads)
    # 2 shards emit their number twice, and a combiner joined the two before the reducer saw them
    assert output(f"{folder}/out") == {b"2 joined": b"2 2", b"where": b"hdlenv/hdl"}
    counted = counters(done.stderr)
    assert counted["samples"] == 2 * 10 + 0 + 1
    assert counted["Data-local map tasks"] == 2


@pytest.mark.full
def test_without_hosts_no_task_is_local(run, folder, environment):
    done = submit(run, folder, environment, PYTHON, [({"shard": 0}, [])])
    assert "Data-local map tasks" not in counters(done.stderr)


@pytest.mark.full
@pytest.mark.parametrize("how", ["in the middle", "before it connects"])
def test_a_python_that_dies_fails_its_task_at_once(run, folder, environment, how):
    early = how == "before it connects"
    python = "/bin/false" if early else PYTHON
    payloads = [({"shard": 0, "die": True}, [])]
    done = submit(run, folder, environment, python, payloads, check=False)
    assert done.returncode == 1
    (application,) = set(re.findall(r"application_\d+_\d+", done.stdout + done.stderr))
    expected = "ended with status 1 before it connected" if early else "hdl: the trial's message"
    deadline = time.monotonic() + 180
    while expected not in (log := run("yarn", "logs", "-applicationId", application, check=False).stdout):
        assert time.monotonic() < deadline, log[-3000:]  # it is gathered after the job's end
        time.sleep(1)
