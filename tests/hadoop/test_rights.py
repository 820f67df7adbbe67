"""What an ordinary user of HDFS may not do: each call says so with the right errno, one sentence, and leaves nothing.

The sentence names the folder whose rights are missing and who we are; no other reason is ever given.
"""

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from hdl import fs
from tests.hadoop.webhdfs import WebHdfs

ROOT = "/tests-rights"
LOOK = ("open", "size", "hosts", "exists", "exists not", "isdir", "remove", "remove folder")
CHANGE = ("mkdir", "publish", "publish taken", "publish_folder", "upload")


@pytest.fixture(scope="module")
def superuser(cluster):
    made = WebHdfs(cluster, cluster.superuser)
    made.mkdir(ROOT)
    yield made
    made.remove(ROOT)


@pytest.fixture
def place(superuser, request):
    """`place("755", owner="bob")`: a folder with a file and a folder in it, as hdfs:// path."""

    def place(mode, owner="bob", inside=None, below=""):
        path = f"{ROOT}/{request.node.name.translate(str.maketrans('[] /', '----'))}{below}"
        superuser.mkdir(path, mode, owner)
        superuser.put(f"{path}/file", b"content", "644", inside or owner)
        superuser.mkdir(f"{path}/sub", "755", inside or owner)
        superuser.put(f"{path}/sub/x", b"", "644", inside or owner)
        return f"hdfs://{path}"

    return place


@pytest.fixture(params=["libhdfs", "native"])
def client(monkeypatch, request):
    """Either client of HDFS."""
    if request.param == "native":
        pytest.importorskip("hdfs_native")
    monkeypatch.setenv("HDL_HDFS", request.param)


def fill(path):
    with fs.publish_folder(path) as local:
        Path(local, "part").write_bytes(b"1")


CALLS = {
    "open": lambda folder: fs.open(f"{folder}/file").read(),
    "list": fs.list,
    "glob": lambda folder: fs.glob(f"{folder}/f*"),
    "size": lambda folder: fs.size(f"{folder}/file"),
    "hosts": lambda folder: fs.hosts(f"{folder}/file", 0, 1) and None,
    "exists": lambda folder: fs.exists(f"{folder}/file"),
    "exists not": lambda folder: fs.exists(f"{folder}/none/none"),
    "isdir": lambda folder: fs.isdir(f"{folder}/sub"),
    "mkdir": lambda folder: fs.mkdir(f"{folder}/new/er"),
    "publish": lambda folder: fs.publish(f"{folder}/new", b"1"),
    "publish taken": lambda folder: fs.publish(f"{folder}/file", b"1"),
    "publish_folder": lambda folder: fill(f"{folder}/new"),
    "upload": lambda folder: fs.of(folder).upload(Path(__file__), f"{folder}/new"),
    "remove": lambda folder: fs.remove(f"{folder}/file"),
    "remove folder": lambda folder: fs.remove(f"{folder}/sub"),
}
# What calls answer where nothing is denied to them.
ANSWERS = {"open": b"content", "list": ["file", "sub"], "size": 7, "hosts": None, "exists": True, "exists not": False,
           "isdir": True}  # fmt: skip
SITUATIONS = {
    # name: rights of bob's folder, an access control list; what is denied to which calls
    "closed": ("700", "", {"enter": LOOK, "list": ("list", "glob"), "enter ": CHANGE}),
    "no x": ("744", "", {"enter": LOOK, "list": ("list", "glob"), "enter ": CHANGE}),
    "no r": ("711", "", {"list": ("list", "glob"), "write to": (*CHANGE, "remove", "remove folder")}),
    "no w": ("755", "", {"write to": (*CHANGE, "remove", "remove folder")}),
    "list lets in": ("700", "user:ada:r-x", {"write to": (*CHANGE, "remove", "remove folder")}),
    "list's mask": ("700", "user:ada:rwx,mask::r--", {"enter": LOOK, "list": ("list", "glob"), "enter ": CHANGE}),
    "list keeps out": ("777", "user:ada:---,mask::rwx", {"enter": LOOK, "list": ("list", "glob"), "enter ": CHANGE}),
}


@pytest.mark.parametrize("name", SITUATIONS)
def test_a_folder_without_rights_is_named_and_stays_as_it_is(superuser, place, client, name):
    mode, acl, denied = SITUATIONS[name]
    folder = place(mode)
    path = folder.removeprefix("hdfs://")
    if acl:
        superuser.setfacl(path, acl)
    before = [*superuser.walk(path)]
    expected = {call: right.strip() for right, calls in denied.items() for call in calls}
    for call, function in CALLS.items():
        if call not in expected:
            answer = function(folder)
            assert call == "glob" or answer == ANSWERS[call], call
            continue
        with pytest.raises(PermissionError) as caught:
            function(folder)
        error = caught.value
        assert error.errno == errno.EACCES
        said = f"permission denied by HDFS as user ada: no right to {expected[call]} the folder {folder} (bob:"
        assert error.strerror.startswith(said), call
        assert ("-getfacl" in error.strerror) == (name == "list keeps out"), call
        assert error.filename.startswith(folder), call
        assert ".tmp" not in str(error), call
    assert [*superuser.walk(path)] == before


def test_the_folder_that_is_named_is_the_one_above_that_is_closed(superuser, place):
    above = place("700")
    folder = place("777", owner="ada", below="/a")
    folder = place("777", owner="ada", below="/a/b")
    for call, function in CALLS.items():
        with pytest.raises(PermissionError, match=f"as user ada: no right to enter the folder {above} "):
            function(folder)
        assert call
    assert [name for name, *_ in superuser.list(folder.removeprefix("hdfs://"))] == ["file", "sub"]


def test_in_a_shared_folder_what_is_anothers_stays(superuser, place, client):
    """A sticky folder, as /tmp is: everybody makes files there, and removes and replaces their own alone."""
    folder = place("1777")
    path = folder.removeprefix("hdfs://")
    before = [*superuser.walk(path)]
    for call in ("remove", "remove folder"):
        with pytest.raises(
            PermissionError, match=rf"as user ada: only user bob may remove it from the folder {folder} "
        ):
            CALLS[call](folder)
    for name in ("file", "sub"):
        with pytest.raises(FileExistsError, match=f"exists already.*{folder}/{name}'"):
            fs.publish(f"{folder}/{name}", b"mine")
        with pytest.raises(FileExistsError, match=f"exists already.*{folder}/{name}'"):
            fill(f"{folder}/{name}")
    assert [*superuser.walk(path)] == before
    for call in ("mkdir", "publish_folder", "upload"):
        CALLS[call](folder)
        fs.remove(f"{folder}/new")
    fs.publish(f"{folder}/new", b"1")
    fs.remove(f"{folder}/new")
    assert [*superuser.walk(path)] == before


def test_a_folder_that_holds_anothers_is_not_removed_by_half(superuser, place):
    folder = place("755", owner="ada")
    path = folder.removeprefix("hdfs://")
    superuser.mkdir(f"{path}/sub/theirs", "755", "bob")
    superuser.put(f"{path}/sub/theirs/x", b"", "644", "bob")
    before = [*superuser.walk(path)]
    with pytest.raises(PermissionError, match=f"no right to write to the folder {folder}/sub/theirs "):
        fs.remove(f"{folder}/sub")
    assert [*superuser.walk(path)] == before
    superuser.own(f"{path}/sub/theirs", "ada")
    fs.remove(f"{folder}/sub")


def test_a_file_that_may_not_be_read_is_named(superuser, place):
    folder = place("755")
    superuser.chmod(f"{folder.removeprefix('hdfs://')}/file", "600")
    for call in ("open", "hosts"):
        with pytest.raises(PermissionError, match=f"as user ada: no right to read the file {folder}/file "):
            CALLS[call](folder)
    assert CALLS["size"](folder) == 7


def test_below_a_file_the_file_is_named_whoever_it_belongs_to(superuser, place):
    folder = place("755")
    file = f"{folder}/file"
    for mode in ("644", "600"):
        superuser.chmod(file.removeprefix("hdfs://"), mode)
        assert not fs.exists(f"{file}/x")
        assert not fs.isdir(f"{file}/x/y")
        assert fs.glob(f"{file}/*") == []
        for call in (fs.open, fs.size, fs.list, fs.remove, lambda path: fs.publish(path, b"1")):
            with pytest.raises(FileNotFoundError, match=f"{file} is a file"):
                call(f"{file}/x")
        for call in (fs.mkdir, fill):
            with pytest.raises(NotADirectoryError, match=f"{file} is a file: '{file}/x'"):
                call(f"{file}/x")


def test_at_the_root_an_ordinary_user_makes_nothing(superuser):
    before = [*superuser.list("/")]
    for call in (fs.mkdir, fill, lambda path: fs.publish(path, b"1")):
        with pytest.raises(PermissionError, match=r"as user ada: no right to write to the folder hdfs:/// \(hdfs:"):
            call("hdfs:///new")
    assert fs.isdir("hdfs:///")
    assert "user" in fs.list("hdfs:///")
    assert not fs.exists("hdfs:///new")
    assert [*superuser.list("/")] == before


@pytest.mark.parametrize("which", ["names", "space"])
def test_a_quota_is_said_by_every_call_and_nothing_is_left(superuser, place, which):
    folder = place("700", owner="ada")
    path = folder.removeprefix("hdfs://")
    superuser.quota(path, *((4, 1 << 40) if which == "names" else (1000, 100)))
    before = [*superuser.walk(path)]
    for call in (*CHANGE[1:], *(["mkdir"] if which == "names" else [])):
        with pytest.raises(OSError, match=f"quota of {path}, .* is exceeded") as caught:
            CALLS[call](folder)
        assert caught.value.errno == errno.EDQUOT, call
        assert caught.value.filename.startswith(folder), call
        assert ".tmp" not in str(caught.value), call
    assert [*superuser.walk(path)] == before
    fs.remove(f"{folder}/sub")
    if which == "names":
        fs.publish(f"{folder}/new", b"1")  # what was removed makes room


def test_what_is_private_is_closed_to_all_others_and_what_is_published_is_not(cluster, superuser, place, client):
    folder = place("755", owner="ada")
    path, bob = folder.removeprefix("hdfs://"), WebHdfs(cluster, "bob")
    fs.mkdir(f"{folder}/p/q", private=True)
    fs.publish(f"{folder}/p/q/file", b"1" * 3_000_000, private=True)
    fs.publish(f"{folder}/secret", b"2", private=True)
    fs.publish(f"{folder}/public", b"3")
    rights = {below.removeprefix(f"{path}/"): mode for below, _, mode, _ in superuser.walk(path)}
    assert rights == {"file": "644", "sub": "755", "sub/x": "644", "p": "700", "p/q": "700", "p/q/file": "600",
                      "secret": "600", "public": "644"}  # fmt: skip
    for name in ("p/q/file", "secret"):
        with pytest.raises(PermissionError):
            bob.read(f"{path}/{name}")
    assert bob.read(f"{path}/public") == b"3"
    assert fs.open_to_all(f"{folder}/public")
    assert not fs.open_to_all(f"{folder}/secret")
    assert not fs.open_to_all(f"{folder}/p/q/file")
    fs.mkdir(f"{folder}/sub", private=True)  # ours, and open: it is closed
    with pytest.raises(PermissionError):
        bob.list(f"{path}/sub")
    superuser.own(f"{path}/sub", "bob")
    with pytest.raises(PermissionError, match="is user bob's; expected a folder of ours"):
        fs.mkdir(f"{folder}/sub", private=True)


def test_a_file_is_private_before_its_first_byte(cluster, superuser, place, client):
    folder = place("755", owner="ada")
    path, seen = folder.removeprefix("hdfs://"), []

    def write(file):
        seen.extend((name, mode) for name, _, mode, _ in superuser.list(path) if name.startswith(".new"))
        file.write(b"1")

    fs.publish(f"{folder}/new", write, private=True)
    assert [mode for _, mode in seen] == ["600"]


def test_a_umask_of_077_is_kept_to(cluster, superuser, place, tmp_path):
    """The client's umask rules what is published; a fresh process reads it."""
    folder = place("777", owner="ada")
    shutil.copytree(cluster.conf, tmp_path / "conf")
    site = ElementTree.parse(tmp_path / "conf/core-site.xml")
    added = ElementTree.SubElement(site.getroot(), "property")
    ElementTree.SubElement(added, "name").text = "fs.permissions.umask-mode"
    ElementTree.SubElement(added, "value").text = "077"
    site.write(tmp_path / "conf/core-site.xml")
    script = (
        "import sys; from hdl import fs; folder = sys.argv[1]; fs.mkdir(folder + '/a/b')"
        "\nfs.publish(folder + '/c', b'')"
        "\nwith fs.publish_folder(folder + '/d') as local: fs.publish(local + '/e', b'')"
        "\nassert fs.list(folder + '/d') == ['e']; fs.remove(folder + '/a')"
    )
    environment = os.environ | {"HADOOP_CONF_DIR": str(tmp_path / "conf")}
    done = subprocess.run(
        [sys.executable, "-c", script, folder], capture_output=True, text=True, env=environment, timeout=300
    )
    assert done.returncode == 0, done.stderr[-3000:]
    path = folder.removeprefix("hdfs://")
    rights = {below.removeprefix(f"{path}/"): mode for below, _, mode, owner in superuser.walk(path)}
    assert rights == {"file": "644", "sub": "755", "sub/x": "644", "c": "600", "d": "700", "d/e": "600"}
