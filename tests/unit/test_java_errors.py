"""Java's exceptions become one sentence each; those of the first table were said by Hadoop 3.4.2 with Kerberos."""

import re

import pytest

from hdl import java_errors, kerberos
from hdl.errors import DeadlineError, HdlError, LoginError, SpecError, Unavailable

HOSTS = "DestHost:destPort localhost:16008 , LocalHost:localPort vm/127.0.0.1:0. Failed on local exception: "
ACCESS = "org.apache.hadoop.security.AccessControlException"
SASL = "javax.security.sasl.SaslException"
RULE = "org.apache.hadoop.security.authentication.util.KerberosName$NoMatchingRule: No rules applied to ada@W.TEST"


def initiate(level):
    """What GSSAPI's client says, with the causes that follow."""
    gss = f"GSSException: No valid credentials provided (Mechanism level: {level})"
    sasl = f"{SASL}: GSS initiate failed [Caused by {gss}]"
    return [f"{SASL}: {HOSTS}{sasl} [Caused by {sasl}]", sasl, gss]


# Exceptions, from the outermost inwards; what hdl raises; a part of the sentence.
RECORDED = {
    "no ticket": (
        [f"java.io.IOException: {HOSTS}java.io.IOException: {ACCESS}: Client cannot authenticate via:[TOKEN, KERBEROS]",
         f"java.io.IOException: {ACCESS}: Client cannot authenticate via:[TOKEN, KERBEROS]",
         f"{ACCESS}: Client cannot authenticate via:[TOKEN, KERBEROS]"],
        LoginError, "THE TICKET"),
    "clock": ([*initiate("Clock skew too great (37) - PROCESS_TGS"), "KrbException: Clock skew too great (37)"],
              LoginError, "this machine's clock differs from the cluster's by more than Kerberos allows"),
    "realm without a rule": (
        ["org.apache.hadoop.security.KerberosAuthException: failure to login: using ticket cache file: /tmp/x "
         "javax.security.auth.login.LoginException: java.lang.IllegalArgumentException: Illegal principal name "
         f"ada@W.TEST: {RULE}", f"java.lang.IllegalArgumentException: Illegal principal name ada@W.TEST: {RULE}", RULE],
        LoginError, "no rule of hadoop.security.auth_to_local makes a user of ada@W.TEST: log in as a principal"),
    "another realm": (initiate("Fail to create credential. (63) - No service creds"), LoginError,
                      "gives no ticket for this service: log in as a principal of the cluster's realm"),
    "no KDC": ([*initiate("Connection refused"), "java.net.ConnectException: Connection refused"], DeadlineError,
               "no KDC answers; "),
    "simple client": (
        [f"{ACCESS}: SIMPLE authentication is not enabled.  Available:[TOKEN, KERBEROS]",
         f"org.apache.hadoop.ipc.RemoteException({ACCESS}): SIMPLE authentication is not enabled.  Available:[TOKEN]"],
        LoginError, "this cluster demands Kerberos and HADOOP_CONF_DIR does not know"),
    "protection": ([f"{SASL}: {HOSTS}{SASL}: No common protection layer between client and server"], LoginError,
                   "client and cluster agree on no protection: hadoop.rpc.protection"),
    "principal of a server": (
        [f"java.io.IOException: {HOSTS}{SASL}: Bad Kerberos server principal configuration [Caused by java.lang."
         "IllegalArgumentException: Server has invalid Kerberos principal: yarn/localhost@HDL.TEST, expecting: "
         "rm/elsewhere@HDL.TEST]"],
        LoginError, "the server is yarn/localhost@HDL.TEST, where this configuration expects rm/elsewhere@HDL.TEST: H"),
    "no principal of a server": (
        ["java.lang.IllegalArgumentException: Failed to specify server's Kerberos principal name"], LoginError,
        "HADOOP_CONF_DIR does not say which principal the server has"),
    "impersonation": (
        ["org.apache.hadoop.ipc.RemoteException(org.apache.hadoop.security.authorize.AuthorizationException): User: "
         "ada@HDL.TEST is not allowed to impersonate bob"],
        LoginError, "ada@HDL.TEST may not act for bob: hadoop.proxyuser.ada.users (or .groups) and .hosts"),
    "rights": (
        [f'{ACCESS}: Permission denied: user=ada, access=EXECUTE, inode="/user/bob":bob:supergroup:drwx------'],
        HdlError, "ada may not enter /user/bob, which is bob's (group supergroup, drwx------)"),
    "full queue": (
        [f"{ACCESS}: Queue root.private already has 0 applications, cannot accept submission of application: "
         "application_1_1"], HdlError, "YARN's queue root.private is full (0 applications)"),
}  # fmt: skip
# As Hadoop's and OpenJDK's sources have them.
WRITTEN = {
    "sticky bit": (
        [f'{ACCESS}: Permission denied by sticky bit: user=ada, path="/tmp/x":bob:hdfs:-rw-r--r--, parent="/tmp":hdfs:'
         "hdfs:drwxrwxrwt"], HdlError, "ada may not remove or rename /tmp/x, which is bob's"),
    "queue": (
        ["org.apache.hadoop.yarn.exceptions.YarnException: org.apache.hadoop.security.AccessControlException: User ada "
         "does not have permission to submit application_1_0001 to queue root.private"], SpecError,
        "ada may not submit to YARN's queue root.private: --queue names another"),
    "unknown queue": (
        ["org.apache.hadoop.yarn.exceptions.YarnException: Failed to submit application_1_1 to YARN : Application "
         "application_1_1 submitted by user ada to unknown queue: nosuch"], SpecError, "YARN has no queue nosuch"),
    "another's application": (
        ["org.apache.hadoop.yarn.exceptions.YarnException: User bob cannot perform operation MODIFY_APP on "
         "application_1_0001"], HdlError, "bob may not do this (MODIFY_APP) to application_1_0001"),
    "resources": (
        ["org.apache.hadoop.yarn.exceptions.InvalidResourceRequestException: Invalid resource request! Cannot allocate "
         "containers as requested resource is greater than maximum allowed allocation. Requested resource type="
         "[memory-mb], Requested resource=<memory:99999, vCores:1>, maximum allowed allocation=<memory:3072, vCores:4>,"
         " please note that maximum allowed allocation is calculated by scheduler"], SpecError,
        "YARN gives no container more than <memory:3072, vCores:4>, and <memory:99999, vCores:1> was asked for"),
    "staging": (
        ["java.io.IOException: The ownership on the staging directory /tmp/hadoop-yarn/staging/ada/.staging is not as "
         "expected. It is owned by root. The directory must be owned by the submitter ada or ada@R"], HdlError,
        "the staging folder /tmp/hadoop-yarn/staging/ada/.staging is root's and must be yours"),
    "safe mode": (
        ["org.apache.hadoop.hdfs.server.namenode.SafeModeException: Cannot create file/x. Name node is in safe mode."],
        HdlError, "the NameNode is in safe mode and changes nothing"),
    "names": (
        ["org.apache.hadoop.hdfs.protocol.NSQuotaExceededException: The NameSpace quota (directories and files) of "
         "directory /q is exceeded: quota=3 file count=4"], HdlError, "the quota of /q, 3 names, is exceeded"),
    "space": (
        ["org.apache.hadoop.hdfs.protocol.DSQuotaExceededException: The DiskSpace quota of /q is exceeded: quota = 1024"
         " B = 1 KB but diskspace consumed = 134217728 B = 128 MB"], HdlError,
        "the space quota of /q, 1 KB, is exceeded"),
    "standby": (
        ["org.apache.hadoop.ipc.StandbyException: Operation category READ is not supported in state standby. Visit "
         "https://s.apache.org/sbnn-error"], Unavailable, "this NameNode is on standby: name the cluster's service"),
    "full disks": (
        ["java.io.IOException: File /x could only be written to 0 of the 1 minReplication nodes. There are 2 "
         "datanode(s) running and 2 node(s) are excluded in this operation."], HdlError,
        "HDFS has nowhere to write: 2 DataNodes run and 2 of them did not answer"),
    "no node": (
        ["java.io.IOException: File /x could only be written to 0 of the 1 minReplication nodes. There are 1 "
         "datanode(s) running and no node(s) are excluded in this operation."], HdlError, "1 DataNodes run and no of"),
    "missing block": (
        ["org.apache.hadoop.hdfs.BlockMissingException: Could not obtain block: BP-1-127.0.0.1-1:blk_1_1 file=/x/y"],
        HdlError, "no DataNode that answers has a block of /x/y"),
    "scheme": (['org.apache.hadoop.fs.UnsupportedFileSystemException: No FileSystem for scheme "s3a"'], Unavailable,
               "Hadoop here has no file system for s3a://"),
    "class": (
        ["java.lang.RuntimeException: java.lang.ClassNotFoundException: Class org.apache.hadoop.fs.s3a.S3AFileSystem "
         "not found"], Unavailable, "`hadoop classpath` has no org.apache.hadoop.fs.s3a.S3AFileSystem"),
    "token": (
        ["org.apache.hadoop.security.token.SecretManager$InvalidToken: token (HDFS_DELEGATION_TOKEN token 5 for ada) "
         "can't be found in cache"], LoginError, "the token for it has ended, and nobody renewed it in time"),
    "host": (["java.lang.IllegalArgumentException: java.net.UnknownHostException: mycluster",
              "java.net.UnknownHostException: mycluster"], DeadlineError,
             "no host and no service of HADOOP_CONF_DIR is called 'mycluster'"),
    "refused": (
        ["java.net.ConnectException: Call From vm/127.0.0.1 to localhost:9 failed on connection exception: java.net."
         "ConnectException: Connection refused; For more details see:  http://wiki.apache.org/hadoop/ConnectionRefused",
         "java.net.ConnectException: Connection refused"], DeadlineError, "nothing listens at localhost:9"),
    "silent": (
        ["org.apache.hadoop.net.ConnectTimeoutException: Call From a to b:8020 failed on socket timeout exception: "
         "org.apache.hadoop.net.ConnectTimeoutException: 20000 millis timeout while waiting for channel to be ready "
         "for connect. ch : java.nio.channels.SocketChannel[connection-pending remote=/10.0.0.1:8020]"], DeadlineError,
        "/10.0.0.1:8020 does not answer"),
    "not Kerberos": (
        ["java.io.IOException: Server asks us to fall back to SIMPLE auth, but this client is configured to only allow "
         "secure connections."], LoginError, "HADOOP_CONF_DIR demands Kerberos and this cluster has none"),
    "no such user id": (
        ["javax.security.auth.login.LoginException: java.lang.NullPointerException: invalid null input: name"],
        LoginError, "this machine has no name for your user id"),
    "zone": (["org.apache.hadoop.security.authorize.AuthorizationException: User:ada not allowed to do 'DECRYPT_EEK' on"
              " 'secret'"], HdlError, "the key server does not let ada use the key secret (DECRYPT_EEK)"),
    "other port": (["org.apache.hadoop.ipc.RpcException: RPC response exceeds maximum data length"], Unavailable,
                   "something else listens at that port"),
    "memory": (["java.lang.OutOfMemoryError: Java heap space"], HdlError, "Java has too little memory"),
}  # fmt: skip
ALL = RECORDED | WRITTEN


@pytest.fixture(autouse=True)
def ticket(monkeypatch):
    monkeypatch.setattr(kerberos, "why_refused", lambda: "THE TICKET")
    monkeypatch.setattr(kerberos, "ticket", lambda: None)


def trace(lines):
    """A stack trace of exceptions, as Java prints it."""
    stack = (
        "\tat org.apache.hadoop.ipc.Client.call(Client.java:1)\n\tat java.base/java.lang.Thread.run(Thread.java:1)\n"
    )
    return f"{lines[0]}\n{stack}" + "".join(f"Caused by: {line}\n{stack}\t... 9 more\n" for line in lines[1:])


def pairs(lines):
    return [tuple(line.split(": ", 1)) for line in lines]


@pytest.mark.parametrize("name", ALL)
def test_a_stack_trace_becomes_one_sentence(name):
    lines, kind, part = ALL[name]
    error = java_errors.error("hdfs:///x", trace(lines))
    assert type(error) is kind
    assert str(error).startswith("hdfs:///x: ")
    assert part in str(error)
    assert not re.search(r"\n|\tat |[a-z]Exception\b|\{", str(error))
    assert "Client.java" in error.__notes__[0]  # what --traceback shows


@pytest.mark.parametrize("name", ALL)
def test_an_exception_with_its_causes_becomes_the_same_sentence(name):
    lines, kind, part = ALL[name]
    (first, message), *causes = pairs(lines)
    assert part in java_errors.sentence(first, message, causes)
    assert java_errors.kind(first, message, causes) is kind


@pytest.mark.parametrize("name", ALL)
def test_what_a_client_prints_among_its_logs_becomes_the_same_sentence(name):
    lines, _, part = ALL[name]
    log = "2026-11-29 12:39:50,100 INFO mapreduce.JobSubmitter: Cleaning up the staging area\n"
    thrown = f'{log}Exception in thread "main" {trace(lines)}{log}Streaming Command Failed!\n'
    assert part in java_errors.explain(thrown)
    logged = f"{log}2026-11-29 12:39:52 ERROR streaming.StreamJob: Error Launching job : {lines[0]}\n{log}"
    assert part in java_errors.explain(logged)


def test_of_what_is_not_in_the_table_the_cause_comes_first():
    text = trace(["org.example.StrangeException: first\nsecond", "org.example.OtherException: third"])
    assert java_errors.explain(text) == "OtherException: third (StrangeException: first)"
    assert java_errors.sentence("org.example.StrangeException", "first", []) is None
    assert java_errors.kind("org.example.StrangeException", None) is None
    assert java_errors.explain("2026-11-29 INFO all is well\n") is None
    assert java_errors.explain("") is None
    assert java_errors.brief("java.lang.NullPointerException", None) == "NullPointerException"


def test_a_cause_that_says_nothing_is_passed_over_and_one_that_was_told_is_not_told_twice():
    alone = trace(["org.example.StrangeException: first", "org.example.SilentException"])
    assert java_errors.explain(alone) == "StrangeException: first"
    twice = trace(["org.example.OuterException: java.io.IOException: no", "java.io.IOException: no"])
    assert java_errors.explain(twice) == "IOException: no"
    assert java_errors.explain(trace(["org.example.SilentException", "org.example.Other"])) == "SilentException"


def test_the_class_that_was_thrown_on_the_server_is_told():
    text = "org.apache.hadoop.ipc.RemoteException(java.io.FileNotFoundException): File does not exist: /x\n\tat a.b(c)"
    assert java_errors.parse(text) == [("java.io.FileNotFoundException", "File does not exist: /x")]
    assert java_errors.explain(text) == "/x: no such file"


def test_of_two_exceptions_the_last_one_counts():
    ticket, safe = (trace(ALL[name][0]) for name in ("no ticket", "safe mode"))
    assert java_errors.explain(f"{safe}\n{ticket}") == "THE TICKET"
    assert "safe mode" in java_errors.explain(f"{ticket}\n{safe}")


def test_every_rule_is_seen_by_a_text_and_says_what_helps():
    seen = {java_errors._match(pairs(lines))[0][:20] for lines, _, _ in ALL.values()}
    assert len(seen) >= 35
    for rule in java_errors.RULES:
        re.compile(rule.pattern)
        assert issubclass(rule.kind, HdlError)
