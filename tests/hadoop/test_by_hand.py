"""Jobs that a user submits without hdl's driver: `pydoop submit`, `mapred streaming`, and no Hadoop at all."""

import os
import subprocess
import sys

import pytest

from hdl import fs
from hdl.envpack import PYTHON
from hdl.hdfs import Hdfs
from hdl.runners.streaming import streaming_jar
from hdl.table import Table
from tests.hadoop.runners import MODES, QUIET, local, put_csv, signatures

PYDOOP = [sys.executable, "-c", "from pydoop.app.main import main; main()", "submit"]
ARGUMENTS = [word for name, value in QUIET.items() for word in ("-D", f"{name}={value}")]


def plain(*paths):
    """Paths as pydoop's own commands take them: without the scheme."""
    return [path.removeprefix("hdfs://") for path in paths]


@pytest.fixture(params=["average", pytest.param("genetic", marks=pytest.mark.full)])
def began(cluster, folder, request):
    """Data, a table of one round, and a table of version 0 alone: what a round by hand begins with."""
    data = put_csv(f"{folder}/data")
    fields = MODES[request.param] | {
        "validation": 0.0,
        "metric": None,
    }  # which would close with a version that measures
    local(data, f"{folder}/one", epochs=1, **fields)
    fs.mkdir(f"{folder}/zero")
    with fs.open(Table(f"{folder}/one").file(0)) as file:
        fs.publish(Table(f"{folder}/zero").file(0), file.read())
    if request.param == "genetic":
        Table(f"{folder}/zero").publish_common(*Table(f"{folder}/one").common())
    return data, f"{folder}/one", f"{folder}/zero"


@pytest.mark.full  # test_every_column.py has a round by these mappers and reducers, and below is one by hand
def test_pydoop_submit_makes_a_round_whose_output_is_a_table(run, archive, folder, began):
    data, one, zero = began
    run(*PYDOOP, *ARGUMENTS,
        "--python-program", PYTHON, "--no-override-env", "--no-override-home",
        "--cache-archive", f"{archive}#hdl-env",
        "--do-not-use-java-record-reader", "--do-not-use-java-record-writer", "--num-reducers", 1,
        "-D", "mapreduce.input.fileinputformat.split.minsize=1000000000",
        "-D", "mapreduce.map.memory.mb=1024", "-D", "mapreduce.reduce.memory.mb=1024",
        "-D", f"hdl.table={zero}", "hdl.runners.mapreduce", *plain(data, f"{folder}/out"))  # fmt: skip
    assert signatures(f"{folder}/out") == signatures(one)
    shown = run(sys.executable, "-m", "hdl", "inspect", f"{folder}/out").stdout
    assert signatures(one)[1] in shown


def test_plain_streaming_makes_a_round_that_publish_adds(run, archive, folder, began, tmp_path):
    data, one, zero = began
    head = tmp_path / "head"
    head.write_text("a,b,c,class\n")
    Hdfs().upload(head, f"{folder}/head")
    files = [Table(zero).file(0), f"{folder}/head", *filter(fs.exists, [Table(zero).common_file])]
    script = f"{PYTHON} -P -m hdl.streaming."
    run("hadoop", "jar", streaming_jar(), *ARGUMENTS, "-D", "mapreduce.job.reduces=1",
        "-D", "mapreduce.input.fileinputformat.split.minsize=1000000000",
        "-D", "mapreduce.job.ubertask.enable=true",
        "-files", ",".join(files), "-archives", f"{archive}#hdl-env",
        "-input", data, "-output", f"{folder}/out",
        "-mapper", f"{script}mapper", "-combiner", f"{script}combiner", "-reducer", f"{script}reducer")  # fmt: skip
    lines = run("hadoop", "fs", "-cat", f"{folder}/out/part-*").stdout
    publish = subprocess.run(
        [sys.executable, "-m", "hdl.streaming.publish", zero], input=lines, text=True, capture_output=True
    )
    assert publish.returncode == 0, publish.stderr
    assert signatures(zero) == signatures(one)


@pytest.mark.full
def test_pydoop_submit_begins_a_table(run, archive, folder):
    data = put_csv(f"{folder}/data")
    fields = '{"net":"0-5-0","epochs":3,"batch":8,"seed":3,"optimizer":"momentum","dropout":0.2}'
    run(*PYDOOP, *ARGUMENTS,
        "--python-program", PYTHON, "--no-override-env", "--no-override-home",
        "--cache-archive", f"{archive}#hdl-env",
        "--do-not-use-java-record-reader", "--do-not-use-java-record-writer", "--num-reducers", 1,
        "-D", "mapreduce.input.fileinputformat.split.minsize=1000000000",
        "-D", "hdl.stage=summarise", "-D", f"hdl.spec={fields}", "hdl.runners.mapreduce",
        *plain(data, f"{folder}/out"))  # fmt: skip
    local(data, f"{folder}/one", **MODES["average"])
    assert signatures(f"{folder}/out") == {0: signatures(f"{folder}/one")[0]}
    assert os.path.basename(Table(f"{folder}/out").file(0)) in fs.list(f"{folder}/out")
