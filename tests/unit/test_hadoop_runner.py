"""What a Hadoop runner asks of a job, without a Hadoop."""

import shlex
from types import SimpleNamespace

import pytest

from hdl import fs, hadoop_conf, wire
from hdl.data import FileSplit
from hdl.runners import streaming
from hdl.runners.streaming import StreamingRunner
from hdl.runners.uber import UBER, UBER_BYTES


@pytest.fixture
def runner(monkeypatch):
    monkeypatch.setattr(streaming, "streaming_jar", lambda: "streaming.jar")
    monkeypatch.setattr(streaming, "hadoop", lambda: "hadoop")
    made = StreamingRunner(python="python3")
    made._typed, made._inputs = False, ["hdfs:///data/part-00000.csv", "hdfs:///data/part-00001.csv"]
    return made


def command(runner, **properties):
    return runner._command({"mapreduce.job.reduces": 1, **properties}, "hdfs:///out")[0]


def test_in_the_master_streaming_needs_no_reducer(runner):
    words = command(runner, **UBER)
    assert "mapreduce.job.reduces=0" in words
    assert "-reducer" not in words
    assert "-combiner" not in words


def test_in_containers_and_of_large_weights_it_has_one(runner):
    words = command(runner)
    assert "mapreduce.job.reduces=1" in words
    assert words[words.index("-reducer") + 1] == shlex.join(["python3", "-P", "-m", "hdl.streaming.reducer"])
    assert "-combiner" in words
    runner._weights_bytes = UBER_BYTES // 2 + 1
    assert "-reducer" in command(runner, **UBER)


@pytest.mark.parametrize(
    ("data", "table", "out", "expected"),
    [
        ("hdfs:///data/a", "hdfs:///model", "hdfs:///out", set()),
        ("/data/a", "model", "hdfs:///out", set()),
        ("hdfs://other:9000/data/a", "hdfs:///model", "hdfs:///out", {"hdfs://other:9000"}),
        (
            "hdfs://one/a",
            "viewfs://company/model",
            "hdfs://two:1/o",
            {"hdfs://one", "hdfs://two:1", "viewfs://company"},
        ),
    ],
)
def test_a_job_takes_tokens_of_all_file_systems_along(runner, data, table, out, expected):
    runner._job, runner._splits = (
        SimpleNamespace(table=table, spec=None),
        [[FileSplit(data, 0, 1)], [FileSplit(data, 1, 2)]],
    )
    given = runner._file_systems(out)
    assert {*given.get("mapreduce.job.hdfs-servers", "").split(",")} - {""} == expected
    assert set(given) == ({"mapreduce.job.hdfs-servers"} if expected else set())


def test_a_rounds_weights_decide_for_the_job(runner, monkeypatch):
    """The size that counts is that of what each shard sends, and what is sent is closed."""
    sent = []
    monkeypatch.setattr(
        fs, "publish", lambda path, content, private=False, closed=False: sent.append((path, private, closed))
    )
    monkeypatch.setattr(wire, "encode", lambda weights: b"x" * 1000)
    monkeypatch.setattr(StreamingRunner, "_run", lambda self, stage, config: [])
    monkeypatch.setattr(StreamingRunner, "_work", "hdfs:///user/ada/.hdl/jobs/1")
    runner.round(None)
    assert runner._weights_bytes == 1000
    assert sent == [("hdfs:///user/ada/.hdl/jobs/1/weights-0", True, True)]


def test_jobs_close_files_soon_unless_the_configuration_says_how(tmp_path, monkeypatch):
    monkeypatch.setenv("HADOOP_CONF_DIR", str(tmp_path))
    assert StreamingRunner().settings.items() >= hadoop_conf.CLOSING.items()
    name = next(iter(hadoop_conf.CLOSING))
    site = f"<configuration><property><name>{name}</name><value>9</value></property></configuration>"
    (tmp_path / "hdfs-site.xml").write_text(site)
    assert not hadoop_conf.CLOSING.keys() & StreamingRunner().settings.keys()
