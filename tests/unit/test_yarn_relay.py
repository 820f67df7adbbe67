"""Relays between three workers, over true connections: what goes down, what goes up, and what is lost with a relay."""

import time

import pytest

from hdl import sync
from hdl.errors import WorkerError
from hdl.yarn.comm import bundles, mailbox, summaries
from hdl.yarn.comm.credentials import Credentials, WorkerCredentials
from hdl.yarn.comm.mailbox import Mailbox
from hdl.yarn.master.member import Member
from hdl.yarn.master.relays import Relays
from hdl.yarn.protocol import Answers, Beats, ConnectMesh, Done, Relayed
from hdl.yarn.protocol.relay_tree import children, parent, subtree, towards
from hdl.yarn.resource_manager.resources import Container
from hdl.yarn.worker.relay import Relay

CREDENTIALS = Credentials.make()
PLACES = {0: None, 2: 0, 6: 2}  # with two below each: a line of three among seven
GENERATION = 1000001


class End:
    """One worker's relay, what it told the master, and what it was given."""

    def __init__(self):
        keys = WorkerCredentials.from_dict(CREDENTIALS.worker("container_1"))
        self.context = keys.tls(server=False)
        self.mailbox = Mailbox(keys.tls(server=True), "127.0.0.1")
        self.told, self.given = [], []
        self.relay = Relay(self.mailbox, self.context, self.told.append, self.given.append)

    def close(self):
        self.relay.leave()
        self.mailbox.close()


@pytest.fixture
def line():
    """Relays of the places 0, 2 and 6, each below the one before; of the others nobody has come."""
    ends = {place: End() for place in PLACES}
    for place, above in PLACES.items():
        address = ends[above].mailbox.address if above is not None else None
        command = ConnectMesh(1, GENERATION, place, 0, [], place=place, size=7, fan=2, above=address, patience=60.0)
        ends[place].relay.join(command)
    until(lambda: 6 in ends[2].relay.links.below and 2 in ends[0].relay.links.below)
    yield ends
    for end in ends.values():
        end.close()


def until(true, seconds=20.0):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "nothing has come"
        time.sleep(0.01)


def done(number, **fields):
    return Done(number, GENERATION, **fields)


def test_commands_go_down_and_answers_come_up_as_one(line):
    line[0].relay.forward(Relayed({"kind": "summarise"}))
    until(lambda: line[6].given)
    assert line[2].given == line[6].given == [Relayed({"kind": "summarise"})]
    line[6].relay.answer(done(5, seconds={"compute": 6.0}), {"a": [b"six"]})
    line[0].relay.answer(
        done(5, seconds={"compute": 1.0, "exchange": 0.25, "load": 1.0}, row={"cost": 1.0}, spilled=2), {}
    )
    time.sleep(0.2)
    assert not line[0].told  # place 2 has not answered
    line[2].relay.answer(
        done(5, seconds={"compute": 2.0, "exchange": 0.5, "load": 2.0}, row={"cost": 1.0}), {"b": [b"t", b"wo"]}
    )
    until(lambda: line[0].told)
    (answers,) = line[0].told
    assert sorted(zip(answers.places, answers.compute, answers.columns["spilled"], strict=True)) == [
        (0, 1.0, 2), (2, 2.0, None), (6, 6.0, None)]  # fmt: skip
    assert answers.row == {"cost": 1.0}
    assert answers.seconds == {"exchange": 0.25, "load": 3.0}
    content = mailbox.pull(line[0].context, line[0].mailbox.address, answers.bundle, 10.0)
    assert sorted((label, bytes(part)) for label, part in bundles.unpack(content)) == [
        ([2, "b"], b"two"), ([6, "a"], b"six")]  # fmt: skip
    assert not line[2].told
    assert not line[6].told


def test_payloads_reach_those_that_they_are_for(line):
    address = line[0].mailbox.address
    own = bundles.pack([(0, [b"zero"]), (2, [b"two"]), (6, [b"six"])])
    mailbox.spread(line[0].context, address, "own@1.1", own, 10.0)
    mailbox.spread(line[0].context, address, "all@1.1", bundles.pack([(None, [b"all"])]), 10.0)
    for place, content in (0, b"zero"), (2, b"two"), (6, b"six"):
        assert line[place].mailbox.payload("own@1.1", 10.0) == content
        assert line[place].mailbox.payload("all@1.1", 10.0) == b"all"


def test_signs_of_life_come_up_with_their_age(line):
    assert line[6].relay.beat(11, 0.5, 4096, 3)
    until(lambda: 6 in line[2].relay._below)
    time.sleep(0.3)
    line[2].relay.beat(-1, 0.0, 1, 1)
    until(lambda: 2 in line[0].relay._below)
    line[0].relay.beat(-1, 0.0, 1, 1)
    (beats,) = line[0].told
    assert beats.places == [0, 2, 6]
    assert (beats.shards[2], beats.shares[2], beats.rss[2], beats.moves[2]) == (11, 0.5, 4096, 3)
    assert beats.ages[0] == 0.0
    assert beats.ages[2] > 0.29


def test_who_loses_its_relay_turns_to_the_master_and_repeats_what_it_said(line):
    line[6].relay.answer(done(5), {"a": [b"six"]})
    until(lambda: line[2].relay._collection.places == {6})  # it waits there for that of place 2
    line[2].close()
    until(lambda: line[6].told)
    (answers,) = line[6].told
    assert answers.places == [6]
    assert mailbox.pull(line[6].context, line[6].mailbox.address, answers.bundle, 10.0)
    line[6].relay.beat(0, 0.0, 1, 1)
    assert (line[6].told[-1].places, line[6].told[-1].detached) == ([6], True)
    line[6].relay.answer(done(6), {})
    assert line[6].told[-1].command_id == 6
    until(lambda: not line[0].relay.links.below)
    line[0].relay.answer(done(6), {})  # and its own relay waits for it no more
    assert line[0].told[-1].places == [0]


def test_who_hears_nothing_of_its_relay_turns_to_the_master(line):
    line[6].relay._command = ConnectMesh(1, GENERATION, 6, 0, [], place=6, size=7, fan=2, above=("", 1), patience=0.0)
    line[6].relay.beat(0, 0.0, 1, 1)
    assert line[6].told[-1].detached


def test_a_stranger_is_not_taken_for_one_below(line):
    for hello in ({"generation": GENERATION, "place": 5}, {"generation": GENERATION - 1, "place": 6}):
        channel = mailbox.tls.connect(
            line[2].context, line[2].mailbox.address, {"purpose": "relay", "way": "down", **hello}, 10.0
        )
        assert channel.recv(1) == b""
        channel.close()
    assert [*line[2].relay.links.below] == [6]


# --- the master's side ------------------------------------------------------------------------------------------------


@pytest.fixture
def relays():
    members = [Member(rank, [rank], []) for rank in range(8)]
    for member in members:
        member.launched(Container(f"c{member.rank}", "node", member.rank), 0.0)
    found = Relays()
    found.plant(members, GENERATION, 2, 20.0)
    return found


def beats(*places, **fields):
    n = len(places)
    return Beats(GENERATION, [*places], [0] * n, [0.5] * n, [7] * n, [1] * n, [1.5] * n, **fields)


def test_a_relay_speaks_for_those_below_it_alone(relays):
    zero = relays.members[0]
    relays.beats(zero, beats(0, 2, 7), 100.0, lambda member: True)
    assert [member.incarnation.seen for member in relays.members] == [98.5, 0, 98.5, 0, 0, 0, 0, 98.5]
    relays.beats(zero, beats(0, 1), 200.0, lambda member: True)
    relays.beats(zero, beats(0, 99), 200.0, lambda member: True)
    assert relays.members[1].incarnation.seen == 0
    assert zero.incarnation.seen == 98.5
    assert relays.answers(zero, Answers(3, GENERATION, [0, 4], [], {}, {}), 3) is None
    assert relays.answers(zero, Answers(3, GENERATION - 1, [0], [], {}, {}), 3) is None
    assert relays.answers(zero, Answers(2, GENERATION, [0], [], {}, {}), 3) is None
    told = Answers(3, GENERATION, [6, 0], [6.0, 1.0], {"merge": 2.0}, {"gpu": ["x", ""]})
    assert relays.answers(zero, told, 3) == [6, 0]
    assert relays.members[6].done.gpu == "x"
    assert relays.seconds()["compute"].tolist() == [1.0, 0, 0, 0, 0, 0, 6.0, 0]
    assert relays.seconds()["merge"].tolist() == [2.0]


def test_nothing_is_noted_of_a_worker_that_has_another_one_in_its_place(relays):
    relays.members[2].lost()
    relays.beats(relays.members[0], beats(0, 2), 100.0, lambda member: True)
    assert relays.members[2].incarnation.seen == 0


def test_the_master_talks_to_who_is_detached_until_its_relay_hears_it_again(relays):
    assert [member.rank for member in relays.heads()] == [0, 1]
    six = relays.members[6]
    assert relays.beats(six, beats(6, detached=True), 100.0, lambda member: True) == (True, True)
    assert relays.beats(six, beats(6, detached=True), 101.0, lambda member: True)[1] is False
    assert [member.rank for member in relays.heads()] == [0, 1, 6]
    relays.beats(relays.members[0], beats(0, 2, 6), 102.0, lambda member: True)
    assert [member.rank for member in relays.heads()] == [0, 1]


def test_payloads_are_bundled_for_each_head(relays):
    split = relays.split([("name", [str(place).encode()]) for place in range(8)])
    assert [(head.rank, [label for label, _ in bundles.unpack(b"".join(content))]) for head, _, content in split] == [
        (0, [0, 2, 3, 6, 7]), (1, [1, 4, 5])]  # fmt: skip
    same = [b"all"]
    assert all(content == bundles.pack([(None, same)]) for *_, content in relays.split([("name", same)] * 8))
    assert relays.split([None] * 8) == []
    assert relays.split([None, *[("name", same)] * 7]) is None


@pytest.mark.parametrize(("size", "fan"), [(1, 2), (5, 16), (17, 16), (64, 8), (1000, 16)])
def test_every_place_has_one_way_to_the_master(size, fan):
    heads = children(None, size, fan)
    assert sorted(place for head in heads for place in subtree(head, size, fan)) == [*range(size)]
    for place in range(size):
        above = parent(place, fan)
        assert place in children(above, size, fan)
        if above is not None:
            assert towards(above, place, fan) == place


def test_a_bundle_that_is_cut_off_is_refused():
    content = b"".join(bundles.pack([(0, [b"one"]), (1, [b"two"])]))
    for damaged in (content[:-1], content[:3], content + b"x", b"\xff" * 8):
        with pytest.raises(ValueError, match="damaged"):
            bundles.unpack(damaged)
    with pytest.raises(WorkerError, match="expected a summary"):
        summaries.read("weights:3", b"")


class Shards(list):
    """Stands for a summary: which shards it is of, in the order in which they were joined."""

    def join(self, other):
        return Shards([[*self], [*other]])


@pytest.mark.parametrize("shards", [1, 2, 7, 8, 13])
def test_summaries_are_joined_along_the_fixed_tree_in_whatever_order_they_come(shards):
    alone = [summaries.Node(shard, shard + 1, Shards([shard])) for shard in range(shards)]
    expected = sync.tree_reduce([node.summary for node in alone], lambda a, b: a.join(b))
    assert summaries.whole(reversed(alone), shards) == expected
    some = [*summaries.joined(alone[::2]), *summaries.joined(alone[1::2])]  # as two workers would
    assert summaries.whole(some, shards) == expected
    assert len(summaries.joined(alone)) == bin(shards).count("1")
    if shards > 1:
        with pytest.raises(sync.SyncError, match=f"all {shards} shards; there are those of"):
            summaries.whole(alone[1:], shards)
