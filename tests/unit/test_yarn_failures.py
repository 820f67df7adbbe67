"""Whose fault a failure is, which nodes are avoided and for how long, and what ends a training."""

import pytest

from hdl.yarn.master import kept_nodes
from hdl.yarn.master.failures import Failure, Failures
from hdl.yarn.resource_manager.resources import Container

FULL = "its disk: [Errno 28] No space left on device"


class Cluster:
    """Failures of a cluster with a clock that is set by hand."""

    def __init__(self, nodes=4, **fields):
        self.now, self.number, self.kept = 1000.0, 0, []
        self.all = Failures(
            **{"limit": 3, "validity": 3600.0, "avoid_seconds": 60.0, "clock": lambda: self.now, **fields}
        )
        self.all.nodes, self.all.changed = nodes, self.kept.append

    def launch(self, host):
        self.now, self.number = self.now + 0.1, self.number + 1
        container = Container(f"container_1700000000000_0003_01_{self.number:06d}", host, 0)
        self.all.launched(container)
        return container

    def fail(self, host, kind="node", keys=(0,), reason=FULL, container=None, later=1.0):
        """A container that is launched now fails after a moment; what was said, and why the training ends."""
        failure = Failure(tuple(keys), kind, container or self.launch(host), reason, 300 << 20)
        self.now += later
        return self.all.add(failure), self.all.over("worker 1", failure, 512)


def test_a_full_disk_has_its_node_avoided_at_once_and_named():
    cluster = Cluster()
    said, over = cluster.fail("b")
    log = "hdl logs application_1700000000000_0003 --worker container_1700000000000_0003_01_000001"
    assert said == [f"node b is avoided for 60 s: {FULL}; its log: {log}"]
    assert (cluster.all.avoided, over) == (["b"], "")
    assert log in cluster.all.told()
    assert cluster.all.told().startswith("b until ")


def test_a_node_is_tried_again_and_avoided_for_twice_as_long_each_time():
    cluster = Cluster()
    for seconds, text in ((60, "60 s"), (120, "2 min"), (240, "4 min")):
        assert f"node b is avoided for {text}" in cluster.fail("b")[0][0]
        cluster.now += seconds - 0.5
        assert cluster.all.review() == []
        assert cluster.all.avoided == ["b"]
        cluster.now += 0.5
        assert cluster.all.review() == ["node b is tried again"]
        assert cluster.all.avoided == []


def test_a_node_that_is_tried_again_has_one_chance_whatever_fails_it():
    cluster = Cluster()
    cluster.fail("b")
    cluster.now += 60
    cluster.all.review()
    said, over = cluster.fail("b", "exited", reason="exit status 1")
    assert said[0].startswith("node b is avoided for 2 min: exit status 1")
    assert (cluster.all.count(0), over) == (0, "")


def test_several_workers_that_a_node_fails_at_once_are_one_strike():
    cluster = Cluster()
    there = [cluster.launch("b") for _ in range(4)]
    said = [cluster.fail("b", container=container)[0] for container in there]
    assert [len(each) for each in said] == [1, 0, 0, 0]
    assert cluster.all._nodes["b"].strikes == 1


def test_what_a_node_fails_never_ends_the_training_while_others_are_left():
    cluster = Cluster()
    for _ in range(50):
        assert cluster.fail("b")[1] == ""
        cluster.now += 3600
        cluster.all.review()
    assert cluster.all.count(0) == 0


def test_it_is_forgotten_how_often_a_node_failed_after_the_validity():
    cluster = Cluster(validity=600.0)
    cluster.fail("b")
    cluster.now += 60
    cluster.all.review()
    cluster.fail("b")
    cluster.now += 721
    cluster.all.review()
    assert "avoided for 60 s" in cluster.fail("b")[0][0]


@pytest.mark.parametrize(("nodes", "most"), [(0, 0), (1, 0), (2, 1), (3, 1), (6, 2), (100, 33)])
def test_at_most_a_third_of_the_nodes_is_avoided_and_never_the_last(nodes, most):
    cluster = Cluster(nodes)
    for number in range(50):
        cluster.fail(f"node{number}", keys=(number,))
    assert len(cluster.all.avoided) == most


def test_a_node_that_cannot_be_avoided_fails_at_the_trainings_cost():
    cluster = Cluster(nodes=1)
    assert [cluster.fail("a")[1] for _ in range(2)] == ["", ""]
    over = cluster.fail("a")[1]
    assert over.startswith("worker 1 failed 3 times (on a (3 times); its log: hdl logs application_1700000000000_0003")
    assert over.endswith(f"the last one: {FULL}")


def test_a_crash_counts_by_shard_and_names_the_nodes():
    cluster = Cluster()
    assert cluster.fail("a", "exited", keys=(0, 1), reason="signal 11")[1] == ""
    assert cluster.fail("b", "exited", keys=(2,))[1] == ""
    assert cluster.fail("b", "exited", keys=(1,), container=Container("c", "b", 0))[1] == ""
    over = cluster.fail("c", "exited", keys=(1, 2), reason="signal 11")[1]
    assert "failed 3 times (on a, b, c; its log: hdl logs" in over
    assert cluster.all.count(1) == 3
    assert cluster.all.count(2) == 2


def test_a_node_on_which_one_container_after_the_other_crashes_is_avoided():
    cluster = Cluster()
    assert cluster.fail("b", "exited", reason="signal 11") == ([], "")
    said, over = cluster.fail("b", "exited", reason="signal 11")
    assert "node b is avoided for 60 s: signal 11" in said[0]
    assert (cluster.all.count(0), over) == (1, "")  # the second crash shows that it is the node
    assert cluster.fail("c", "exited")[1] == ""
    assert "failed 3 times (on b, c, d;" in cluster.fail("d", "exited")[1]


def test_containers_that_crash_at_the_same_time_show_nothing_of_their_node():
    cluster = Cluster()
    there = [cluster.launch("b") for _ in range(4)]
    for rank, container in enumerate(there):
        assert cluster.fail("b", "exited", keys=(rank,), container=container) == ([], "")
    assert cluster.all.avoided == []


def test_silence_never_ends_a_training_but_shows_a_node():
    cluster = Cluster()
    assert cluster.fail("b", "silent") == ([], "")
    assert cluster.fail("b", "silent")[0][0].startswith("node b is avoided")
    assert all(cluster.fail("c", "silent", later=5000.0)[1] == "" for _ in range(9))


def test_memory_is_the_trainings_own_fault_and_ends_it_the_second_time():
    cluster = Cluster()
    assert cluster.fail("b", "memory", reason="2 GB of 0.5") == ([], "")
    said, over = cluster.fail("b", "memory", reason="2 GB of 0.5")
    assert said == []
    assert over.startswith("worker 1 was killed for its memory twice, with 512 MiB: 2 GB of 0.5; it used 300 MiB when")
    assert "--worker-memory asks for more (on b (twice); its log: hdl logs" in over


@pytest.mark.parametrize("kind", ["memory", "exited"])
def test_failures_are_forgotten_after_the_validity(kind):
    cluster = Cluster(nodes=1)
    assert all(cluster.fail("a", kind, later=1801.0)[1] == "" for _ in range(9) if kind == "exited")
    assert all(cluster.fail("a", kind, later=3601.0)[1] == "" for _ in range(9))


@pytest.mark.parametrize("kind", ["preempted", "lost", "stopped"])
def test_what_is_nobodys_fault_is_nobodys_fault(kind):
    cluster = Cluster()
    assert [cluster.fail("b", kind) for _ in range(9)] == [([], "")] * 9
    assert cluster.all.avoided == []


def test_nodes_are_tried_before_their_time_where_no_other_gives_a_container():
    cluster = Cluster(patience=30.0)
    cluster.fail("b")
    assert cluster.all.standstill(29.0) == []
    assert cluster.all.standstill(31.0) == ["no other node has given a container for 30 s: b is tried before the time"]
    assert cluster.all.avoided == []
    cluster.fail("b")
    assert cluster.all.standstill(32.0) == []  # the same standstill: after another 30 s
    assert len(cluster.all.standstill(62.0)) == 1


def test_nobody_is_avoided_where_that_is_not_wanted():
    cluster = Cluster(avoid_seconds=0.0)
    assert cluster.fail("b")[0] == []
    assert cluster.all.avoided == []


def test_the_next_master_takes_over_which_nodes_are_avoided(tmp_path):
    cluster, other, said = Cluster(), Cluster(), []
    kept_nodes.keep(cluster.all, str(tmp_path), 1, said.append)
    for host, keys in (("b", (0,)), ("c", (1,))):
        cluster.fail(host, keys=keys)
    assert len([*tmp_path.glob("avoided-0001-*.json")]) == 1  # of four nodes one may be avoided
    other.now = cluster.now
    kept_nodes.keep(other.all, str(tmp_path), 2, said.append)
    assert (other.all.avoided, said) == (["b"], [])
    other.now += 60
    assert other.all.review() == ["node b is tried again"]
    assert "avoided for 2 min" in other.fail("b")[0][0]
    assert len([*tmp_path.glob("avoided-0002-*.json")]) == 2


def test_a_node_whose_time_passed_between_two_masters_is_given_back_to_yarn():
    cluster, other = Cluster(), Cluster()
    cluster.fail("b")
    other.now = cluster.now + 100
    other.all.restore(cluster.all.to_dict())
    assert other.all.avoided == ["b"]  # as YARN still does
    other.now += 1
    assert other.all.review() == ["node b is tried again"]
    other.all.restore(other.all.to_dict())
    assert other.all.avoided == []


def test_what_the_master_before_avoided_cannot_be_read_and_training_goes_on(tmp_path):
    (tmp_path / "avoided-0001-000001.json").write_text("{")
    cluster, said = Cluster(), []
    kept_nodes.keep(cluster.all, str(tmp_path), 2, said.append)
    assert cluster.all.avoided == []
    assert "cannot be read" in said[0]
    kept_nodes.keep(cluster.all, str(tmp_path / "gone"), 1, said.append)
    assert cluster.fail("b")[0]
    assert "a next master will not know" in said[1]
