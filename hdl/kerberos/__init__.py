"""Logs in to Kerberos by a keytab, and reads the ticket that there is.

Without a keytab hdl uses the ticket that `kinit` has left, as all of Hadoop's commands do. With one it gets a ticket
of its own, in a folder that nobody else can enter, and names that to all that it starts by KRB5CCNAME: Java, Hadoop's
own commands and hdfs-native. MIT's `kinit` and `klist` do the work.
"""

from hdl.kerberos.cache import Ticket, clock, configuration, read, ticket, unread_by_java, why_refused
from hdl.kerberos.java import java_environment, java_flags
from hdl.kerberos.keytab import SKEW, TOOLS, Login, end, given, login

__all__ = [
    "SKEW",
    "TOOLS",
    "Login",
    "Ticket",
    "clock",
    "configuration",
    "end",
    "given",
    "java_environment",
    "java_flags",
    "login",
    "read",
    "ticket",
    "unread_by_java",
    "why_refused",
]
