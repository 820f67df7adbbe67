"""A master that registers and asks for containers before it has imported the rest, without YARN and without Java."""

import json
import subprocess
import sys

import pytest

from hdl.errors import HdlError, WorkerError
from hdl.runners.base import Job
from hdl.spec import Spec
from hdl.yarn.comm import tokens
from hdl.yarn.comm.credentials import Credentials
from hdl.yarn.dashboard.server import PageServer
from hdl.yarn.dashboard.state import State
from hdl.yarn.master import early
from hdl.yarn.resource_manager.resources import Changes, Resources
from hdl.yarn.settings import ORDER, Settings, to_task_config

HOST, SECONDS = "127.0.0.1", 60.0
NEAR = [["a", "b"], ["c"]]


class Cluster(Resources):
    """Notes what it is asked for."""

    def __init__(self, settings, staging, clients=None, files=None):
        self.settings, self.files, self.asked, self.registered = settings, files, [], None

    def register(self, host, port, url):
        if self.settings.name == "refused":
            raise HdlError("YARN does not want it")
        self.registered = host, port, url
        return []

    def ask(self, number, hosts=(), strict=False):
        self.asked.append((number, [*hosts]))

    def cancel(self, number):
        pass

    def poll(self, progress):
        return Changes()

    def launch(self, container, secret_keys):
        pass

    def stop(self, container):
        pass

    def unregister(self, succeeded, message, url=""):
        pass


@pytest.fixture
def begin(monkeypatch, tmp_path):
    """Begins as a container's process does; closes what listens at the end."""
    begun = []

    def start(attempt=1, near=NEAR, order=True, name="hdl"):
        job = Job("hdfs:///data", "hdfs:///table", Spec(net=(4, 2)))
        config = {**to_task_config(job, Settings.make(workers=2, name=name), near), "files": {"x": {"size": 1}}}
        secret_keys = Credentials.make().to_dict() | ({ORDER: json.dumps(config).encode()} if order else {})
        path = tmp_path / "tokens"
        path.write_bytes(tokens.to_tokens(secret_keys))
        monkeypatch.setenv(tokens.VARIABLE, str(path))
        monkeypatch.setenv("CONTAINER_ID", f"container_1700000000000_0001_{attempt:02d}_000001")
        monkeypatch.setenv("NM_HOST", HOST)
        begun.append(early.begin(None, "hdfs:///staging"))
        early.wait(begun[-1])
        return begun[-1]

    monkeypatch.setattr(early, "Hadoop", Cluster)
    yield start
    for each in begun:
        if not each.exception() and (found := each.result()):
            if not found.containers.exception():
                found.containers.result().event()  # ends the thread that launches
            found.server.close()
            found.page.close()


def test_it_has_asked_near_the_data_and_registered_the_pages_port(begin):
    found = begin().result()
    containers = found.containers.result(SECONDS)
    assert found.resources.asked == [(0, ["a", "b"]), (1, ["c"])]
    assert containers.near == NEAR
    port = found.page.getsockname()[1]
    assert found.resources.registered == (HOST, port, f"http://{HOST}:{port}/")
    assert found.resources.files == {"x": {"size": 1}}
    page = PageServer(State("application_1_0001"), HOST, [HOST], listening=found.page)
    assert page.port == port
    page.close()


@pytest.mark.parametrize("other", [{"attempt": 2}, {"near": []}, {"order": False}])
def test_a_master_that_has_to_look_at_hdfs_first_does_not_begin(begin, other):
    assert begin(**other).result(SECONDS) is None


def test_that_yarn_refuses_is_told_where_containers_are_wanted(begin):
    found = begin(name="refused").result(SECONDS)
    with pytest.raises(HdlError, match="YARN does not want it"):
        found.containers.result(SECONDS)


def test_outside_of_a_container_the_future_tells_it(begin, monkeypatch):
    monkeypatch.setattr(early.tokens, "read", lambda: (_ for _ in ()).throw(WorkerError("no container")))
    with pytest.raises(WorkerError, match="no container"):
        begin().result(SECONDS)


def test_what_asks_has_not_imported_what_reads_data():
    show = "import sys, hdl.yarn.master.early; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", show], capture_output=True, text=True, timeout=SECONDS, check=True)
    assert not {"pyarrow", "hdl.data", "hdl.driver", "hdl.spec", "hdl.evaluation"} & {*done.stdout.split()}
