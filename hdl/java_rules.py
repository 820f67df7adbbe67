"""The table of Java's exceptions that a user of Hadoop can meet, and the sentence for each.

The first row that fits an exception is its. Texts are those of Hadoop 3.3 and 3.4 and of OpenJDK's Kerberos.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import NamedTuple

from hdl import kerberos
from hdl.errors import DeadlineError, HdlError, LoginError, SpecError, Unavailable


class Rule(NamedTuple):
    """A row of the table.

    Attributes
    ----------
    pattern : str
        Regular expression on the lines ``class: message`` of an exception and its causes.
    kind : type of HdlError
        What hdl raises for it.
    sentence : str or function of the match
        With the pattern's groups by their names.
    """

    pattern: str
    kind: type[HdlError]
    sentence: str | Callable[[re.Match[str]], str]


def _rights(match: re.Match[str]) -> str:
    """Word HDFS's refusal of a right on a path."""
    user, access, path, owner, group, mode = match.group("user", "access", "path", "owner", "group", "mode")
    verbs = {"READ": "read", "WRITE": "write to", "EXECUTE": "enter"}
    wanted = " and ".join(verbs.get(one, one.lower()) for one in access.split("_"))
    return (
        f"{user} may not {wanted} {path}, which is {owner}'s (group {group}, {mode}): choose a path of your own, or "
        f"have {owner} or an administrator give you the right"
    )


def _resources(match: re.Match[str]) -> str:
    """Word that a container is larger than YARN gives any."""
    return (
        f"YARN gives no container more than {match['most']}, and {match['asked']} was asked for: ask for less "
        "(--worker-memory, --worker-vcores, --worker-gpus, --master-memory), or have "
        "yarn.scheduler.maximum-allocation-… raised"
    )


def _short(principal: str) -> str:
    """Return a principal's first part, which is mostly the user's name."""
    return re.split("[/@]", principal)[0]


def _realm() -> str:
    """Name the realm of the user's ticket, in brackets, where there is one."""
    ticket = kerberos.ticket() if "CONTAINER_ID" not in os.environ else None
    return f" ({ticket.realm})" if ticket else ""


LOGIN = [
    Rule(r"Clock skew too great|Request is a replay \(34\)", LoginError, kerberos.SKEW),
    Rule(r"Server not found in Kerberos database|No service creds|Fail to create credential. \(63\)", LoginError,
         lambda match: f"the KDC of your ticket's realm{_realm()} gives no ticket for this service: log in as a "
                       "principal of the cluster's realm (`kinit NAME@REALM`), or see that [domain_realm] of krb5.conf "
                       "and the …kerberos.principal properties of HADOOP_CONF_DIR name the cluster's"),
    Rule(r"Server has invalid Kerberos principal: (?P<is>[^\s,]+), "
         r"(?:doesn't match the pattern|expecting): (?P<expected>[^\s\],;]+)", LoginError,
         "the server is {is}, where this configuration expects {expected}: HADOOP_CONF_DIR must be this cluster's"),
    Rule(r"Failed to specify server's Kerberos principal name", LoginError,
         "HADOOP_CONF_DIR does not say which principal the server has (dfs.namenode.kerberos.principal, "
         "yarn.resourcemanager.principal): take the cluster's own configuration"),
    Rule(r"No rules applied to (?P<name>\S+?)[\s.;)]*$", LoginError,
         "no rule of hadoop.security.auth_to_local makes a user of {name}: log in as a principal of the cluster's "
         "realm (`kinit NAME@REALM`)"),
    Rule(r"(?:Cannot get kdc|Cannot find KDC|Cannot locate KDC|Unable to locate KDC)"
         r"(?: for realm \"?(?P<realm>[^\s\")]+))?", LoginError,
         lambda match: f"{kerberos.configuration()} names no KDC of realm {match['realm'] or '?'}"),
    Rule(r"(?:GSSException|KrbException|LoginException)[^\n]*"
         r"(?:Connection refused|[Tt]imed out|Cannot contact any KDC)",
         DeadlineError, lambda match: f"no KDC answers; {kerberos.configuration()} says where they are"),
    Rule(r"Client not found in Kerberos database(?: \(6\))?", LoginError, "the KDC knows no such principal"),
    Rule(r"Pre-authentication information was invalid|Checksum failed|Integrity check on decrypted field failed",
         LoginError, "the KDC or the server refuses the key: the keytab or the password is not the current one"),
    Rule(r"KDC has no support for encryption type|Encryption type [^\n]* is not supported|"
         r"Cannot find key of appropriate type", LoginError,
         "client, KDC and server have no kind of encryption in common: see *_enctypes in krb5.conf"),
    Rule(r"Message stream modified \(41\)", LoginError,
         "the KDC writes your realm's name differently: log in by the name as it does, mostly in capitals"),
    Rule(r"Can't get Kerberos realm|Cannot locate default realm", LoginError,
         lambda match: f"Java finds no realm in {kerberos.configuration()}: set KRB5_CONFIG to the cluster's file"),
    Rule(r"SIMPLE authentication is not enabled", LoginError,
         "this cluster demands Kerberos and HADOOP_CONF_DIR does not know: hadoop.security.authentication must be "
         "kerberos in core-site.xml; take the cluster's own configuration"),
    Rule(r"Server asks us to fall back to SIMPLE auth", LoginError,
         "HADOOP_CONF_DIR demands Kerberos and this cluster has none: take the cluster's own configuration"),
    Rule(r"No common protection layer between client and server", LoginError,
         "client and cluster agree on no protection: hadoop.rpc.protection and dfs.data.transfer.protection in "
         "HADOOP_CONF_DIR must be the cluster's (authentication, integrity or privacy)"),
    Rule(r"Delegation Token can be issued only with kerberos", LoginError,
         "who has a token alone gets no other: log in by a ticket (`kinit`)"),
    Rule(r"invalid null input: name", LoginError,
         "this machine has no name for your user id: set HADOOP_USER_NAME, or log in to Kerberos"),
    Rule(r"token \([^\n]*can't be found in cache|token [^\n]*is expired|\bInvalidToken\b|token [^\n]*has expired",
         LoginError, "the token for it has ended, and nobody renewed it in time: log in (`kinit`) and go on with "
                     "`hdl train … --resume`; --principal and --keytab keep a training's tokens fresh"),
    # What Java says, and GSSAPI below hdfs-native.
    Rule(r"Client cannot authenticate via:|Failed to find any Kerberos tgt|No valid credentials provided|"
         r"No Kerberos credentials available|No credentials were supplied|Ticket expired|"
         r"Unable to obtain password from user|GSS initiate failed",
         LoginError, lambda match: kerberos.why_refused()),
]  # fmt: skip
RIGHTS = [
    Rule(r"User: (?P<real>\S+) is not allowed to impersonate (?P<user>[^\s;]+)", LoginError,
         lambda match: f"{match['real']} may not act for {match['user']}: hadoop.proxyuser.{_short(match['real'])}"
                       ".users (or .groups) and .hosts in the cluster's core-site.xml allow it; or leave "
                       "--proxy-user and HADOOP_PROXY_USER out"),
    Rule(r"(?:User|user):? ?(?P<user>\S+) does not have permission to submit (?P<app>\S+) to queue (?P<queue>[^\s;]+)",
         SpecError, "{user} may not submit to YARN's queue {queue}: --queue names another (`mapred queue -showacls` "
                    "lists yours)"),
    Rule(r"to (?:unknown|non-leaf) queue:? (?P<queue>[^\s;]+)", SpecError,
         "YARN has no queue {queue} that takes applications: --queue names another (`mapred queue -list`)"),
    Rule(r"Queue (?P<queue>\S+) is (?P<state>STOPPED|DRAINING)", SpecError,
         "YARN's queue {queue} takes no applications now ({state}): --queue names another"),
    Rule(r"Queue (?P<queue>\S+) already has (?P<count>\d+) applications", HdlError,
         "YARN's queue {queue} is full ({count} applications): wait, or --queue names another"),
    Rule(r"(?P<user>\S+) cannot perform operation (?P<what>\w+) on (?P<app>application_\d+_\d+)", HdlError,
         "{user} may not do this ({what}) to {app}: it is another user's, who gives the right by --view-acl and "
         "--modify-acl"),
    Rule(r"ownership on the staging directory (?P<path>\S+) is not as expected. It is owned by (?P<owner>\S+?)\.? The",
         HdlError, "the staging folder {path} is {owner}'s and must be yours: have an administrator give it to you"),
    Rule(r"Permission denied: user=(?P<user>[^,]+), access=(?P<access>\w+), "
         r"inode=\"(?P<path>[^\"]*)\":(?P<owner>[^:]*):(?P<group>[^:]*):(?P<mode>\S+)", HdlError, _rights),
    Rule(r"Permission denied by sticky bit: user=(?P<user>[^,]+), path=\"(?P<path>[^\"]*)\":(?P<owner>[^:]*):",
         HdlError, "{user} may not remove or rename {path}, which is {owner}'s: its folder is shared and lets owners "
                   "alone do so"),
    Rule(r"Permission denied. user=(?P<user>\S+) is not the owner of inode=(?P<path>\S+)", HdlError,
         "{user} may not change the rights of {path}: it is not theirs"),
    Rule(r"User:?\s*(?P<user>\S+) not allowed to do '(?P<what>\w+)' on '(?P<key>[^']+)'", HdlError,
         "the key server does not let {user} use the key {key} ({what}) of this encryption zone: have its "
         "administrator allow it"),
    Rule(r"Superuser privilege is required", HdlError, "only HDFS's superuser may do this"),
    Rule(r"AccessControlException: (?P<said>[^\n]+)", HdlError, "Hadoop refuses it: {said}"),
]  # fmt: skip
STORAGE = [
    Rule(r"SafeModeException|Name node is in safe mode", HdlError,
         "the NameNode is in safe mode and changes nothing: it leaves it when enough blocks are reported "
         "(`hdfs dfsadmin -safemode get`)"),
    Rule(r"NameSpace quota[^\n]*?(?:directory |of )?(?P<path>/\S*)? is exceeded: quota=(?P<quota>\d+)", HdlError,
         "the quota of {path}, {quota} names, is exceeded: remove files there, or have it raised "
         "(`hadoop fs -count -q -v {path}`)"),
    Rule(r"DiskSpace quota of (?P<path>\S+) is exceeded: quota = \d+ B(?: = (?P<quota>[^\n]+?))? but "
         r"diskspace consumed = \d+ B(?: = (?P<used>[\d.,]+ \w+))?", HdlError,
         lambda match: f"the space quota of {match['path']}{', ' + match['quota'] if match['quota'] else ''}, is "
                       "exceeded (each copy of a block counts): remove files there, or have it raised "
                       f"(`hadoop fs -count -q -v {match['path']}`)"),
    Rule(r"QuotaExceededException", HdlError,
         "a quota on a folder above is exceeded: remove files there, or have it raised (`hadoop fs -count -q -v …`)"),
    Rule(r"Operation category \w+ is not supported in state standby|StandbyException", Unavailable,
         "this NameNode is on standby: name the cluster's service, as hdfs://NAME, not one host of it "
         "(dfs.nameservices in hdfs-site.xml)"),
    Rule(r"could only be (?:written|replicated) to 0 [^\n]*?There are (?P<alive>\d+) datanode\(s\) running and "
         r"(?P<out>\S+) node", HdlError,
         "HDFS has nowhere to write: {alive} DataNodes run and {out} of them did not answer; they may be full "
         "(`hdfs dfsadmin -report`)"),
    Rule(r"BlockMissingException: Could not obtain block: \S+ file=(?P<path>\S+)", HdlError,
         "no DataNode that answers has a block of {path} (`hdfs fsck {path} -files -blocks -locations`)"),
    Rule(r"No FileSystem for scheme:? \"?(?P<scheme>[\w+.-]+)", Unavailable,
         "Hadoop here has no file system for {scheme}://: expected hdfs://, or one whose jar is on `hadoop classpath` "
         "(HADOOP_OPTIONAL_TOOLS) and whose settings are in core-site.xml"),
    Rule(r"Class (?P<name>org\.apache\.hadoop\.fs\.\S+) not found", Unavailable,
         "`hadoop classpath` has no {name}: add its jar, as by HADOOP_OPTIONAL_TOOLS in hadoop-env.sh"),
    Rule(r"ParentNotDirectoryException: (?P<path>\S+)", HdlError, "{path} is a file where a folder is expected"),
    Rule(r"can't be moved (?:from|into|to) an encryption zone", HdlError,
         "files do not move across the border of an encryption zone: choose folders of one zone"),
    Rule(r"AlreadyBeingCreatedException|LeaseExpiredException", HdlError,
         "another process writes to this file, or removed it meanwhile"),
    Rule(r"FileNotFoundException: (?:File does not exist: |File )?(?P<path>[^\s]+)", HdlError, "{path}: no such file"),
]  # fmt: skip
REACH = [
    Rule(r"InvalidResourceRequestException[^\n]*Requested resource=(?P<asked><[^>]*>), "
         r"maximum allowed allocation=(?P<most><[^>]*>)", SpecError, _resources),
    Rule(r"UnknownHostException: (?P<host>[^\s;,]+)|destination host is: \"(?P<other>[^\"]+?):?\d*\"[^\n]*UnknownHost",
         DeadlineError, lambda match: f"no host and no service of HADOOP_CONF_DIR is called "
                                      f"{(match['host'] or match['other']).rstrip(':')!r}"),
    Rule(r" to (?P<host>\S+:\d+) failed on connection exception|(?:Connection refused|ConnectException)[^\n]*?"
         r"remote=(?P<other>\S+?)[\],]", DeadlineError,
         lambda match: f"nothing listens at {match['host'] or match['other']}: is the daemon up, and HADOOP_CONF_DIR "
                       "the cluster's?"),
    Rule(r"ConnectException|NoRouteToHostException", DeadlineError,
         "a daemon of Hadoop does not answer: is it up, and HADOOP_CONF_DIR the cluster's?"),
    Rule(r"millis timeout while waiting for [^\n]*remote=(?P<host>[^\s\]]+)", DeadlineError,
         "{host} does not answer: a firewall, or a host that is down?"),
    Rule(r"SocketTimeoutException|ConnectTimeoutException", DeadlineError,
         "a daemon of Hadoop does not answer in time"),
    Rule(r"RPC response exceeds maximum data length|Unknown protocol: |Server IPC version \d+ cannot communicate",
         Unavailable, "something else listens at that port: expected the daemon's RPC port, mostly 8020 of a NameNode "
                      "and 8032 of a ResourceManager"),
    Rule(r"OutOfMemoryError", HdlError, "Java has too little memory: LIBHDFS_OPTS=-Xmx1g gives it more"),
]  # fmt: skip
RULES = [*LOGIN, *RIGHTS, *STORAGE, *REACH]
