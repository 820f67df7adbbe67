"""Names of file systems as Hadoop reads them: which NameNodes they stand for, and what is said of wrong ones."""

import socket
from types import SimpleNamespace

import pytest

from hdl import fs, hadoop_conf, libhdfs
from hdl.errors import DeadlineError, Unavailable
from hdl.hadoop_conf import name_nodes, wrong_name

PAIR = {
    "dfs.nameservices": " Other , MyCluster,plain_one ",
    "dfs.client.failover.proxy.provider.MyCluster": "org.apache…ConfiguredFailoverProxyProvider",
    "dfs.ha.namenodes.MyCluster": "nn1, nn2",
    "dfs.namenode.rpc-address.MyCluster.nn1": "a.example:9000",
    "dfs.namenode.rpc-address.MyCluster.nn2": " b.example ",
    "dfs.namenode.http-address.MyCluster.nn1": "a.example:50070",
    "dfs.namenode.http-address.MyCluster.nn2": "b.example:50071",
    "dfs.namenode.rpc-address.Other": "c.example:8021",
    "dfs.client.failover.proxy.provider.router": "…",  # several, of which the configuration does not say where they are
}


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("hdfs://MyCluster", ["a.example:9000", "b.example:8020"]),
        ("hdfs://mycluster", ["mycluster:8020"]),  # another name: keys are not folded
        ("hdfs://user@MyCluster", ["a.example:9000", "b.example:8020"]),
        ("hdfs://Other", ["c.example:8021"]),
        ("hdfs://plain_one", []),
        ("hdfs://router", []),
        ("hdfs://Node_1:9000", ["Node_1:9000"]),
        ("hdfs://node1", ["node1:8020"]),
        ("hdfs://10.0.0.1:1", ["10.0.0.1:1"]),
        ("hdfs://[::1]:9000", ["[::1]:9000"]),
        ("hdfs://[::1]", ["[::1]:8020"]),
        ("webhdfs://node1", ["node1:9870"]),
        ("webhdfs://MyCluster", ["a.example:50070", "b.example:50071"]),
        ("swebhdfs://MyCluster", []),
        ("viewfs://MyCluster", []),
        ("s3a://bucket", []),
        ("abfs://container@account.dfs.core.windows.net", []),
        ("ofs://om1:9862", []),
        ("o3fs://bucket.volume.om1", []),
    ],
)
def test_a_name_stands_for_the_addresses_that_hadoop_would_ask(address, expected):
    scheme, _, authority = address.partition("://")
    assert list(map(str, name_nodes(scheme, authority, PAIR))) == expected


@pytest.mark.parametrize(
    ("authority", "expected"),
    [("mycluster", "expected hdfs://MyCluster"), ("MyCluster:8020", "takes no port"), ("MyCluster", ""),
     ("mycluster:8020", ""), ("node1", ""), ("Other", ""), ("node1:8020", "")],
)  # fmt: skip
def test_names_that_nearly_are_one_are_told(authority, expected):
    assert expected in wrong_name("hdfs", authority, PAIR)
    assert bool(wrong_name("hdfs", authority, PAIR)) == bool(expected)
    assert not wrong_name("s3a", authority, PAIR)


def site(folder, name, text):
    (folder / name).write_text(f'<configuration xmlns:xi="http://www.w3.org/2001/XInclude">{text}</configuration>')


def prop(name, value, final=False):
    return f"<property><name> {name}</name><value>{value}\n</value>{'<final>true</final>' * final}</property>"


def test_the_configuration_is_read_as_hadoop_reads_it(tmp_path, monkeypatch):
    monkeypatch.setenv("SITE_NAME", "MyCluster")
    site(
        tmp_path,
        "core-site.xml",
        prop("fs.defaultFS", "hdfs://${name}") + prop("name", "${env.SITE_NAME}") + prop("kept", "first", final=True),
    )
    site(tmp_path, "more.xml", prop("included", "yes") + "<property name='short' value='form'/>")
    rest = prop("kept", "second") + prop("empty", "") + prop("unknown", "${nobody.knows}") + prop("round", "${round}")
    site(tmp_path, "hdfs-site.xml", '<xi:include href="more.xml"/>' + rest)
    read = hadoop_conf.read(tmp_path)
    assert read == {
        "fs.defaultFS": "hdfs://MyCluster", "name": "MyCluster", "kept": "first", "included": "yes", "short": "form",
        "unknown": "${nobody.knows}", "round": "${round}", "empty": "",
    }  # fmt: skip
    (tmp_path / "hdfs-site.xml").write_text("<configuration>")
    assert hadoop_conf.read(tmp_path)["fs.defaultFS"] == "hdfs://MyCluster"
    assert hadoop_conf.read(tmp_path / "none") == {}


@pytest.fixture
def hadoop(monkeypatch, tmp_path):
    """A pretended libhdfs: `hadoop.asked` are the addresses that were connected to."""

    class System:
        def __init__(self, address, port, user):
            made.asked.append(address)
            scheme = address.partition("://")[0]
            if scheme not in made.known:
                raise RuntimeError(255, "Unknown error 255")
            self.directory = (made.opens or address) + "user/ada"

        def get_working_directory(self):
            return self.directory

    made = SimpleNamespace(asked=[], known={"hdfs", "viewfs", "webhdfs", "har", "s3a"}, opens="")
    made.conf = lambda settings: site(tmp_path, "core-site.xml", "".join(prop(*item) for item in settings.items()))
    made.conf({})
    core = SimpleNamespace(core_hdfs_fs=System, init=lambda: None)
    pydoop = SimpleNamespace(hadoop_conf=lambda: str(tmp_path), hdfs=SimpleNamespace(core=core))
    monkeypatch.setattr(libhdfs, "_pydoop", lambda scheme="hdfs": pydoop)
    libhdfs._connect.cache_clear()
    libhdfs._settings.cache_clear()
    yield made
    libhdfs._connect.cache_clear()
    libhdfs._settings.cache_clear()


@pytest.fixture
def listening():
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


def silent():
    """An address at which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"127.0.0.1:{server.getsockname()[1]}"


def pair(*addresses):
    nodes = {f"dfs.namenode.rpc-address.MyCluster.nn{k}": address for k, address in enumerate(addresses)}
    of = {"dfs.ha.namenodes.MyCluster": ",".join(f"nn{k}" for k in range(len(addresses)))}
    return {"dfs.nameservices": "MyCluster", hadoop_conf.PROVIDER + "MyCluster": "x", **of, **nodes}


def test_a_name_reaches_hadoop_as_it_was_written(hadoop, listening):
    hadoop.conf(pair(silent(), listening))  # one that listens is enough
    assert libhdfs.resolve("hdfs://MyCluster/a b/c")[1] == "/a b/c"
    assert libhdfs.home("hdfs://MyCluster/a b/c") == "hdfs://MyCluster/user/ada"
    assert hadoop.asked == ["hdfs://MyCluster/"]


def test_a_name_whose_namenodes_are_all_silent_is_refused_with_all_of_them(hadoop):
    first, second = silent(), silent()
    hadoop.conf(pair(first, second))
    with pytest.raises(DeadlineError, match="hdfs://MyCluster: none of its NameNodes answers: ") as error:
        libhdfs.resolve("hdfs://MyCluster/a")
    assert first in str(error.value)
    assert second in str(error.value)
    assert hadoop.asked == []


def test_the_default_file_system_may_be_a_name(hadoop, listening):
    hadoop.conf({**pair(listening), "fs.defaultFS": "hdfs://MyCluster"})
    assert libhdfs.resolve("hdfs:///a")[1] == "/a"
    assert hadoop.asked == ["hdfs:///"]  # which Hadoop itself completes
    assert libhdfs.default() == "hdfs:///"


def test_the_default_file_system_may_be_none_of_hdfs(hadoop):
    hadoop.conf({"fs.defaultFS": "viewfs://cluster/"})
    assert libhdfs.default() == "viewfs://cluster/"
    with pytest.raises(Unavailable, match=r"fs.defaultFS .* is 'viewfs://cluster/'; .* viewfs://cluster/…"):
        libhdfs.resolve("hdfs:///a")
    hadoop.conf({})
    libhdfs._settings.cache_clear()
    for wrong in (libhdfs.default, lambda: libhdfs.resolve("hdfs:///a")):
        with pytest.raises(Unavailable, match=r"fs\.defaultFS .* is 'file:///'.*HADOOP_CONF_DIR"):
            wrong()


def test_a_name_in_other_letters_is_refused_with_the_right_one(hadoop):
    hadoop.conf(pair(silent()))
    with pytest.raises(Unavailable, match="hdfs://mycluster: expected hdfs://MyCluster"):
        libhdfs.resolve("hdfs://mycluster/a")
    assert hadoop.asked == []


@pytest.mark.parametrize(
    ("path", "address", "name"),
    [
        ("viewfs://cluster/data", "viewfs://cluster/", "/data"),
        ("viewfs:///data", "viewfs:///", "/data"),
        ("s3a://bucket/x/y", "s3a://bucket/", "/x/y"),
        ("s3a://bucket", "s3a://bucket/", "/"),
        ("har:///user/a/x.har/part-0", "har:///user/a/x.har", "/user/a/x.har/part-0"),
        ("har://hdfs-node1:8020/x.har/y.har/z", "har://hdfs-node1:8020/x.har", "/x.har/y.har/z"),
    ],
)
def test_every_scheme_is_asked_of_hadoop(hadoop, path, address, name):
    assert libhdfs.resolve(path)[1] == name
    assert hadoop.asked == [address]


def test_a_scheme_that_hadoop_does_not_open_is_named(hadoop):
    with pytest.raises(Unavailable, match=r"abfs://c@a: Hadoop opened no file system for abfs://.*hadoop classpath"):
        libhdfs.resolve("abfs://c@a/x")
    hadoop.opens = "file:///"
    with pytest.raises(Unavailable, match="s3a://bucket opened file://"):
        libhdfs.resolve("s3a://bucket/x")


def test_what_is_hadoops_and_what_is_local():
    for path in (
        "hdfs:///a",
        "hdfs://MyCluster/a",
        "viewfs://x/a",
        "s3a://b/c",
        "o3fs://b.v/k",
        "HDFS://x/a",
        "x+y-z.1://a",
    ):
        assert fs.is_remote(path), path
    for path in ("a", "/a", "file:/a", "file:///a", "file://localhost/a", "./a://b", "a/b://c", "1a://b", "x,y", ""):
        assert not fs.is_remote(path), path
    for path in ("hdfs:/a", "viewfs:/a/b"):  # as Hadoop itself prints them
        with pytest.raises(Unavailable, match=r"expected (hdfs|viewfs):///a"):
            fs.exists(path)
