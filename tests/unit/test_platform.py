"""The kind of core of all workers of a training: what they offer, what all have, what each is held to."""

import socket
from types import SimpleNamespace

import pytest

from hdl import devices, ops, wire
from hdl.data import FileSplit, Options
from hdl.errors import SpecError, Unavailable
from hdl.runners import platform, task, task_messages, task_stats
from hdl.runners.base import Plan
from hdl.runners.task_config import TaskConfig
from hdl.runners.work import operations
from hdl.spec import Spec, parse

NONE = "no NVIDIA driver (not there)"


@pytest.fixture
def gpus(monkeypatch):
    """`gpus(n)`: this process has n of them."""

    def make(count):
        monkeypatch.setattr(devices, "why_not", lambda index=0: None if index < count else NONE)
        monkeypatch.setattr(devices, "code", lambda index=0: f"sm_{90 - 10 * index}")

    return make


def offers(*found):
    return [(f"worker {rank}", {"isa": isa, "gpu": gpu}) for rank, (isa, gpu) in enumerate(found)]


@pytest.mark.parametrize(
    ("device", "found", "kind"),
    [
        ("cpu", [("avx512", ""), ("avx2", "")], "avx2"),
        ("cpu", [("avx512", ""), ("generic", ""), ("avx2", "")], "generic"),
        ("cuda", [("avx512", ""), ("avx2", "")], "cuda"),
        ("cuda:1", [("avx2", "")], "cuda"),
        ("auto", [("avx512", ""), ("avx2", "")], "cuda"),
        ("auto", [("avx512", ""), ("avx2", NONE)], "avx2"),
        ("reference", [("avx512", "")], "reference"),
    ],
)
def test_what_all_have_is_chosen(device, found, kind):
    assert platform.negotiate(offers(*found), device) == kind


def test_a_mix_is_refused_or_made_one_and_who_lacks_what_is_told():
    mixed = offers(("avx2", NONE), ("avx2", ""), ("avx2", "no PyCUDA"), ("avx2", NONE))
    without = f"worker 0, worker 3: {NONE}; worker 2: no PyCUDA"
    with pytest.raises(Unavailable) as error:
        platform.negotiate(mixed, "cuda")
    assert str(error.value) == f"device cuda: there is no GPU to use on {without}"
    told = []
    assert platform.negotiate(mixed, "auto", told.append) == "avx2"
    assert told == [f"device auto: the CPU, as there is no GPU to use on {without}"]
    assert platform.negotiate(offers(("avx2", "")), "auto", told.append) == "cuda"
    assert len(told) == 1


def test_gpus_that_round_otherwise_do_not_train_together():
    found = [(f"worker {n}", {"isa": "avx2", "gpu": "", "code": code}) for n, code in enumerate(("sm_90", "sm_80"))]
    assert platform.negotiate(found[:1], "cuda") == "cuda-sm_90"
    said = "their GPUs run different code, which gives different bytes (worker 0: sm_90; worker 1: sm_80)"
    with pytest.raises(Unavailable) as error:
        platform.negotiate(found, "cuda")
    assert str(error.value).endswith(said)
    told = []
    assert platform.negotiate(found, "auto", told.append) == "avx2"
    assert told == [f"device auto: the CPU, as {said}"]


def test_a_training_goes_on_only_on_the_code_that_it_began_with(gpus):
    gpus(2)
    assert platform.backend("cuda-sm_90", "auto") == ("cuda:0", None)
    with pytest.raises(Unavailable, match=r"the training is on GPUs that run sm_90; that of .* runs sm_80"):
        platform.backend("cuda-sm_90", "cuda:1")


def test_what_a_worker_offers(gpus, monkeypatch):
    isa = platform.best_isa()
    gpus(1)
    assert platform.capabilities("auto") == platform.capabilities("cuda") == {"isa": isa, "gpu": "", "code": "sm_90"}
    assert platform.capabilities("cpu") == {"isa": isa, "gpu": ""}
    with pytest.raises(Unavailable) as error:
        platform.capabilities("cuda:1")
    assert str(error.value) == f"device cuda:1, on {socket.gethostname()}: {NONE}"
    gpus(0)
    assert platform.capabilities("auto") == {"isa": isa, "gpu": NONE}
    monkeypatch.setattr(devices, "why_not", lambda index=0: pytest.fail("nobody asked for a GPU"))
    for device in "cpu", "reference":
        assert platform.capabilities(device) == {"isa": isa, "gpu": ""}
    with pytest.raises(SpecError, match="device: expected cpu"):
        platform.capabilities("gpu")


@pytest.mark.parametrize(
    ("kind", "device", "made"),
    [
        ("avx2", "cpu", ("cpu", "avx2")),
        ("avx2", "auto", ("cpu", "avx2")),
        ("cuda", "auto", ("cuda:0", None)),
        ("cuda", "cuda", ("cuda:0", None)),
        ("cuda", "cuda:1", ("cuda:1", None)),
        ("reference", "reference", ("reference", None)),
    ],
)
def test_what_a_worker_is_held_to(gpus, monkeypatch, kind, device, made):
    gpus(2)
    asked = []
    monkeypatch.setattr(ops, "make", lambda spec, backend, threads, isa: asked.append((backend, isa)))
    operations(Plan(parse({"net": "3-2-1", "loss": "squared"}), None, "", kind), device)
    assert asked == [made]


@pytest.mark.parametrize(
    ("kind", "device"), [("cuda", "cpu"), ("avx2", "cuda"), ("avx2", "cuda:1"), ("avx2", "reference")]
)
def test_another_class_than_the_trainings_is_refused(gpus, kind, device):
    gpus(2)
    made, asked = platform.device_class(kind), device.partition(":")[0]
    with pytest.raises(
        SpecError, match=f"given {device}; the training is on {made}, and {asked} would give other bytes"
    ):
        platform.backend(kind, device)


def test_a_worker_without_a_gpu_cannot_join_a_training_on_gpus(gpus):
    gpus(0)
    for device in "auto", "cuda":
        with pytest.raises(Unavailable) as error:
            platform.backend("cuda", device)
        said = f"the training is on GPUs, and {socket.gethostname()} has none to use: {NONE}"
        assert str(error.value) == said


def test_version_0_names_the_class():
    assert [Plan(Spec(), None, "", kind).device for kind in ("avx2", "generic", "cuda", "reference")] == [
        "cpu", "cpu", "cuda", "reference",
    ]  # fmt: skip


@pytest.fixture
def summarised(tmp_path):
    """The messages of a Hadoop job's task that summarises for a device."""
    path = tmp_path / "data.csv"
    path.write_text("a,class\n1,0\n2,1\n")

    def run(device):
        config = TaskConfig.of({"hdl.stage": "summarise", "hdl.device": device, "hdl.driver": "true"})
        splits = {0: [FileSplit(str(path), 0, path.stat().st_size)]}
        one = task.Task(config, str(path), splits)
        return task_messages.messages_or_error(lambda: [one.message(0, lambda *_: None), one.stats.end()], config)

    return run


def test_a_task_of_a_job_says_what_it_has(gpus, summarised):
    gpus(0)
    _, stats = task_messages.separate(summarised("auto"))
    told = []
    assert task_stats.negotiate(stats, "auto", told.append) == platform.best_isa()
    assert told == [f"device auto: the CPU, as there is no GPU to use on {socket.gethostname()} (shards [0]): {NONE}"]
    gpus(1)
    assert task_stats.negotiate(task_messages.separate(summarised("auto"))[1], "auto") == "cuda-sm_90"


def test_a_task_without_the_gpu_that_was_asked_for_tells_the_driver(gpus, summarised):
    gpus(0)
    (message,) = summarised("cuda")
    assert wire.header(message, len(message))[0] == "error"
    with pytest.raises(Unavailable, match=f"device cuda, on {socket.gethostname()}: no NVIDIA driver"):
        task_messages.separate([message])


def test_workers_on_yarn_agree_too():
    pytest.importorskip("zmq")
    from hdl.yarn.master.runner import MasterRunner
    from hdl.yarn.settings import Settings

    def member(rank, gpu):
        return SimpleNamespace(
            rank=rank, host=f"node{rank}", offer={"isa": "avx2", "gpu": gpu, "code": "" if gpu else "sm_90"}
        )

    said = []
    group = SimpleNamespace(settings=Settings.make(device="auto"), message=said.append, members=[member(0, "")])
    assert MasterRunner(group).platform() == "cuda-sm_90"
    group.members.append(member(1, NONE))
    assert MasterRunner(group).platform() == "avx2"
    assert said == [f"device auto: the CPU, as there is no GPU to use on worker 1 (node1): {NONE}"]
    group.settings = Settings.make(device="cuda")
    with pytest.raises(Unavailable, match=r"device cuda: there is no GPU to use on worker 1 \(node1\): no NVIDIA"):
        MasterRunner(group).platform()


@pytest.mark.parametrize(
    ("fields", "gpus"),
    [
        ({}, 0),
        ({"device": "cuda"}, 1),
        ({"device": "cuda:1"}, 1),
        ({"device": "cuda", "gpus": 2}, 2),
        ({"device": "cuda", "gpus": 0}, 0),
        ({"device": "auto"}, 0),
        ({"device": "auto", "gpus": 1}, 1),
    ],
)
def test_a_gpu_a_worker_is_asked_of_yarn_where_one_is_asked_for(fields, gpus):
    pytest.importorskip("zmq")
    from hdl.runners.base import Job
    from hdl.yarn.settings import Settings, from_task_config, to_task_config

    settings = Settings.make(**fields)
    assert settings.gpus == gpus
    job = Job("hdfs:///data", "hdfs:///model", None, Options())
    assert from_task_config(to_task_config(job, settings))[1] == settings


@pytest.mark.parametrize(
    ("found", "fields", "said"),
    [
        (
            {},
            {"device": "cuda"},
            r"--worker-gpus: given 1 .*this cluster has no resource type yarn.io/gpu.*--worker-gpus 0",
        ),
        ({"yarn.io/gpu": 4}, {"device": "cuda", "gpus": 5}, "given 5; a container of this cluster has at most 4"),
        ({"yarn.io/gpu": 0}, {"device": "cuda"}, "given 1; a container of this cluster has at most 0"),
        ({}, {"device": "cuda", "gpus": 0}, None),
        ({"yarn.io/gpu": 1}, {"device": "cuda"}, None),
    ],
)
def test_gpus_that_the_cluster_has_not_are_told_before_anything_is_submitted(found, fields, said):
    from hdl.yarn.client import submission
    from hdl.yarn.client.interface import Offer
    from hdl.yarn.settings import Settings

    most = Offer("application_1_0001", 8192, 8, found.get("yarn.io/gpu"))
    settings = Settings.make(**fields)
    if said is None:
        submission.check(settings, most)
        return
    with pytest.raises(SpecError, match=said):
        submission.check(settings, most)
