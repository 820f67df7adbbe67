"""A version that is damaged: --resume falls back to the one before and says so, --strict refuses, readers refuse."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from hdl import cli
from hdl.table import Table, chains
from tests.unit.test_table import version

FLAGS = ["--recipe", "plain", "--net", "0-5-0", "--seed", "3", "--shards", "2", "--batch", "16", "--no-report",
         "--workers", "1"]  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path, rng = tmp_path_factory.mktemp("damage") / "data.csv", np.random.default_rng(1)
    labels = np.arange(60) % 2
    np.savetxt(
        path, np.c_[rng.normal(size=(60, 3)) + labels[:, None], labels], "%.5g", ",", header="a,b,c,y", comments=""
    )
    return str(path)


@pytest.fixture
def run(data, tmp_path, capfd):
    """Runs `hdl train` into one table; gives status and what was said."""

    def train(*flags, epochs=3, table="model"):
        capfd.readouterr()
        arguments = ["train", data, "--out", str(tmp_path / table), "--epochs", str(epochs), *FLAGS, *flags]
        return cli.run(arguments), capfd.readouterr().err

    return train


DAMAGES = {
    "a flipped bit of a weight": lambda content: content[:-3] + bytes([content[-3] ^ 1]) + content[-2:],
    "a flipped bit of the header": lambda content: content[:40] + bytes([content[40] ^ 1]) + content[41:],
    "cut in the header": lambda content: content[:200],
    "cut by a byte": lambda content: content[:-1],
    "empty": lambda content: b"",
}


def spoil(table, number, damage="a flipped bit of a weight"):
    path = Path(table.file(number))
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    return path.name


@pytest.mark.parametrize(
    "damage",
    # Of damages that the header tells, one: the reader's own tests have them all.
    [
        "a flipped bit of a weight",
        "cut in the header",
        pytest.param("a flipped bit of the header", marks=pytest.mark.full),
    ],
)
def test_a_resumed_training_goes_on_from_the_last_whole_version_and_says_so(run, tmp_path, damage):
    assert run(epochs=5, table="expected")[0] == run(epochs=4)[0] == 0
    table = Table(str(tmp_path / "model"))
    names = [spoil(table, 4, damage), spoil(table, 3, damage)]
    files = sorted(path.name for path in tmp_path.glob("model/*"))
    status, said = run("--resume", "--strict", epochs=5)
    assert status == 4
    assert names[0] in said
    assert "--strict: nothing was changed" in said
    assert sorted(path.name for path in tmp_path.glob("model/*")) == files
    status, said = run("--resume", epochs=5)
    assert status == 0, said
    for name in names:
        assert re.search(rf"beware: .*{name}: .*; going on from version 2, which is whole", said), said
    table, expected = Table(table.path), Table(str(tmp_path / "expected"))
    assert table.read().signature == expected.read().signature
    assert len(table.rows()) == 5


def test_strict_says_which_sha256_was_expected(run, tmp_path):
    run()
    spoil(Table(str(tmp_path / "model")), 3)
    _, said = run("--resume", "--strict", epochs=5)
    assert re.search(r"its SHA-256 is [0-9a-f]{64}, its header says [0-9a-f]{64}", said)


def test_where_all_versions_are_damaged_nothing_goes_on(run, tmp_path):
    run()
    table = Table(str(tmp_path / "model"))
    for number in table.numbers():
        spoil(table, number)
    Path(table.path, "v00000000-copy.safetensors").unlink()
    status, said = run("--resume", epochs=5)
    assert status == 4
    assert "SHA-256" in said
    with pytest.raises(OSError, match="all 4 versions are damaged"):
        table.last_whole()


def test_strict_is_about_a_resumed_training(run):
    status, said = run("--strict")
    assert (status, "--resume" in said) == (2, True)


@pytest.mark.parametrize("command", ["predict", "evaluate", "report", "inspect", "export"])
def test_what_reads_a_damaged_version_refuses_it(run, data, tmp_path, capfd, command):
    if command == "export":
        pytest.importorskip("onnx")
    run()
    table = Table(str(tmp_path / "model"))
    name = spoil(table, 3)
    rest = {
        "predict": [data, "--out", str(tmp_path / "p.csv")],
        "evaluate": [data],
        "export": [str(tmp_path / "o.onnx")],
    }
    assert cli.run([command, table.path, *rest.get(command, [])]) == 4
    assert name in capfd.readouterr().err
    assert not list(tmp_path.glob("[po].*"))


# Two runs in one table, as an hdl that knew no owners let them write it.


@pytest.fixture
def mixed(tmp_path):
    table = Table(str(tmp_path / "mixed"))
    for number in range(7):
        table.publish(version(number, w=(number, 2, 3)))
        if number > 3:
            path = Path(table.file(number))
            path.unlink()
            other = version(number, w=(number, 7, 7))
            object.__setattr__(other, "run", "another")
            table.publish(other)
    return table


def test_a_mixed_table_is_not_read(mixed):
    for read in mixed.read, mixed.header, mixed.rows, mixed.best, mixed.with_zero, lambda: mixed.read(5):
        with pytest.raises(
            OSError, match=r"v0000000\d.safetensors: of run another, and the table is run run's.*hdl repair"
        ):
            read()
    assert mixed.read(3).weights.w.tolist() == [3, 2, 3]


def repair(*arguments):
    return cli.run(["repair", *arguments])


def test_repair_shows_whose_versions_are_and_keeps_one_runs(mixed, tmp_path, capfd):
    files = {path.name: path.read_bytes() for path in tmp_path.glob("mixed/*")}
    assert repair(mixed.path) == 4
    told = capfd.readouterr()
    assert re.search(r"(?m)^run +0, 1, 2, 3 +–$", told.out)
    assert re.search(r"(?m)^another +4, 5, 6 +–$", told.out)
    assert "--keep run keeps one run's versions" in told.err
    assert repair(mixed.path, "--keep", "run") == 2  # nobody can be asked
    assert "will make versions 0, 1, 2, 3 of run run the table" in capfd.readouterr().out
    assert repair(mixed.path, "--keep", "ano", "--yes") == 4
    assert "its version 0" in capfd.readouterr().err
    assert repair(mixed.path, "--keep", "nobody", "--yes") == 4
    assert "expected the name of one of the runs" in capfd.readouterr().err
    assert {path.name: path.read_bytes() for path in tmp_path.glob("mixed/*")} == files
    assert repair(mixed.path, "--keep", "run", "--yes") == 0
    place = re.search(r"the others are in (.*)", capfd.readouterr().out)[1]
    assert {path.name: path.read_bytes() for path in Path(place).iterdir()} == {
        name: content for name, content in files.items() if int(name[1:9]) > 3
    }
    table = Table(mixed.path)
    assert table.numbers() == [0, 1, 2, 3]
    assert table.read().weights.w.tolist() == [3, 2, 3]
    with pytest.raises(OSError, match="belongs to"):
        mixed.publish(version(4))  # whoever wrote there is stopped
    assert repair(mixed.path) == 0
    capfd.readouterr()
    assert repair(mixed.path, "--json") == 0
    (shown,) = json.loads(capfd.readouterr().out)["runs"]
    assert (shown["run"], shown["versions"], shown["counts"]) == ("run", [0, 1, 2, 3], True)


def test_repair_of_a_table_whose_owners_file_is_damaged(run, tmp_path, capfd):
    run()
    table = Table(str(tmp_path / "model"))
    signature = table.read().signature
    Path(table.path, "owner-00000001.json").write_text("{}")
    for command in (["inspect", table.path], ["repair", table.path]):
        assert cli.run(command) == 4
        assert "owner-00000001.json: not what hdl wrote" in capfd.readouterr().err
    (chain,) = chains.find(table.path)
    assert repair(table.path, "--keep", chain.name, "--yes") == 0
    assert Table(table.path).read().signature == signature
    assert run("--resume", epochs=4)[0] == 0


def test_repair_tells_of_what_is_damaged_though_the_table_can_be_read(run, tmp_path, capfd):
    run()
    table = Table(str(tmp_path / "model"))
    assert repair(table.path) == 0
    assert "the table is whole" in capfd.readouterr().out
    copy = Path(table.path, "v00000000-copy.safetensors")
    copy.write_bytes(copy.read_bytes()[:-1])
    spoil(table, 2)
    assert repair(table.path) == 0
    told = capfd.readouterr()
    assert "whole" not in told.out
    assert re.search(r"beware: .*v00000000-copy.safetensors: .*version 0 is whole in its other file", told.err)
    assert "beware: version 2 cannot be read, the others can" in told.err
    (chain,) = chains.find(table.path)
    assert repair(table.path, "--keep", "", "--yes") == 4
    assert repair(table.path, "--keep", chain.name, "--yes") == 0
    capfd.readouterr()
    assert repair(table.path) == 0
    assert "the table is whole" in capfd.readouterr().out
    assert Table(table.path).numbers() == [0, 1, 3]
    assert repair(str(tmp_path)) == 4
    assert "tables are in model" in capfd.readouterr().err


def test_repair_tells_of_damaged_common_samples_which_a_resumed_training_draws_again(run, tmp_path, capfd):
    genetic = ("--sync", "genetic", "--shards", "2")
    assert run(*genetic, epochs=3, table="expected")[0] == run(*genetic, epochs=2)[0] == 0
    common = Path(tmp_path, "model", "common.safetensors")
    common.write_bytes(common.read_bytes()[:-1])
    assert repair(str(common.parent)) == 0
    told = capfd.readouterr()
    assert "whole" not in told.out
    assert re.search(
        r"beware: .*common.safetensors: .*; without this file, hdl train --resume makes it again", told.err
    )
    common.unlink()
    assert run("--resume", epochs=3)[0] == 0
    assert Table(str(common.parent)).read().signature == Table(str(tmp_path / "expected")).read().signature


def test_overwrite_and_an_empty_folder_mind_no_damaged_owners_file(run, tmp_path):
    run(epochs=2)
    signature = Table(str(tmp_path / "model")).read().signature
    Path(tmp_path, "model", "owner-00000001.json").write_text("")
    assert run("--resume", epochs=3)[0] == run(epochs=2)[0] == 4
    assert run("--overwrite", epochs=2)[0] == 0
    (tmp_path / "empty").mkdir()
    Path(tmp_path, "empty", "owner-00000007.json").write_text("")
    assert run(epochs=2, table="empty")[0] == 0
    for name in "model", "empty":
        assert Table(str(tmp_path / name)).read().signature == signature


def test_a_quiet_training_tells_of_a_damaged_version_all_the_same(run, tmp_path):
    run()
    name = spoil(Table(str(tmp_path / "model")), 3)
    status, said = run("--resume", "--quiet", epochs=4)
    assert status == 0
    assert re.fullmatch(rf"beware: .*{name}: .*; going on from version 2, which is whole\n", said)


def test_versions_copied_without_their_owners_file_are_a_table(run, tmp_path):
    run()
    run("--resume", epochs=4)
    table, copy = Table(str(tmp_path / "model")), tmp_path / "copy"
    copy.mkdir()
    for number in table.numbers():
        path = Path(table.file(number))
        assert re.fullmatch(r"v\d{8}\.2-[0-9a-f]{12}\.safetensors", path.name)
        (copy / path.name).write_bytes(path.read_bytes())
    assert Table(str(copy)).read().signature == table.read().signature
    (copy / "v00000000.safetensors").write_bytes(b"of another one")
    with pytest.raises(OSError, match="versions of several runs"):
        Table(str(copy)).read()


def test_a_version_follows_the_one_that_was_published_before_by_its_sha256(run, tmp_path):
    assert run(epochs=2)[0] == run("--resume", epochs=4)[0] == 0
    table = Table(str(tmp_path / "model"))
    versions = [table.read(number) for number in table.numbers()]
    assert [each.follows for each in versions] == [
        None, *((each.number, each.signature) for each in versions[:-1])
    ]  # fmt: skip
    assert chains.unbroken(table) == []
    other = Table(str(tmp_path / "other"))
    for number in range(3):
        other.publish(version(number))
    Path(other.file(1)).unlink()
    Table(other.path).publish(version(1, w=(9, 9, 9)))
    assert [
        said.startswith("version 2 was made after a version 1 with SHA-256") for said in chains.unbroken(other)
    ] == [True]
