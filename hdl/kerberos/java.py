"""Tells Java where krb5.conf is: it does not look at KRB5_CONFIG, as MIT's programs do."""

from __future__ import annotations

import os

FLAG = "-Djava.security.krb5.conf="


def java_flags() -> list[str]:
    """Make the flags of a Java virtual machine: the file that KRB5_CONFIG names, none where it is not set."""
    file = os.environ.get("KRB5_CONFIG", "").partition(":")[0]  # Java reads one file, MIT a list
    return [f"{FLAG}{file}"] if file else []


def java_environment() -> dict[str, str]:
    """Make the environment of Hadoop's own commands: this process's, with those flags, unless the user gave them."""
    given = " ".join(os.environ.get(name, "") for name in ("HADOOP_OPTS", "HADOOP_CLIENT_OPTS"))
    flags = [] if FLAG in given else java_flags()
    options = " ".join([*flags, os.environ.get("HADOOP_CLIENT_OPTS", "")]).strip()
    return {**os.environ, **({"HADOOP_CLIENT_OPTS": options} if flags else {})}
