"""What tests of tokens run as a user of the cluster with Kerberos, in processes of their own: see `test_tokens`.

Each function is a command; it prints JSON, one object a line.
"""

import json
import sys
from itertools import pairwise
from pathlib import Path


def say(**fields):
    print(json.dumps(fields), flush=True)


def train(config, principal="", keytab=""):
    """Train on YARN as a task config says; with a keytab, logged in by it."""
    from hdl import driver, kerberos
    from hdl.runners.base import Log
    from hdl.runners.yarn import YarnRunner
    from hdl.table import Table
    from hdl.yarn.settings import from_task_config

    if keytab:
        kerberos.login(kerberos.Login(principal, keytab))
    job, settings = from_task_config(json.loads(config))
    runner = YarnRunner(**settings.model_dump(), on_submitted=lambda application: say(application=application))
    outcome = driver.train(job, runner, lambda event: say(said=event.text) if isinstance(event, Log) else None)
    table = Table(outcome.table)
    header = table.header(outcome.version)
    times = [row["time"] for row in table.read().rows]
    say(signature=header["signature"], version=outcome.version,
        pause=max(b - a for a, b in pairwise(times)))  # fmt: skip


def take(folder, *roots):
    """Take fresh tokens of file systems into files of a folder: the first ones, and others; then cancel as told."""
    from hdl.yarn.resource_manager import java, tokens

    java.start()
    conf = java.configuration()
    for name in ("first", "second"):
        content, lifetime = tokens.take_fresh(conf, roots)
        path = Path(folder, name)
        path.touch(0o600)
        path.write_bytes(content)
        services = sorted(str(token.getService()) for token in tokens.decode(content).getAllTokens())
        say(services=services, lives=lifetime.until - lifetime.taken)
    for line in sys.stdin:
        for token in tokens.decode(Path(folder, line.strip()).read_bytes()).getAllTokens():
            token.cancel(conf)
        say(cancelled=line.strip())


def use(folder, path):
    """Use tokens as a worker does, asking for a file now and after each line read; `take` takes the second ones."""
    from hdl import fs, libhdfs
    from hdl.yarn.resource_manager import tokens

    libhdfs.before_java.append(tokens.start_java)
    say(read=fs.size(path))
    for line in sys.stdin:
        if line.strip() == "take":
            tokens.take(Path(folder, "second").read_bytes())
        try:
            say(read=fs.size(path))
        except OSError as error:
            say(error=str(error))


if __name__ == "__main__":
    {"train": train, "take": take, "use": use}[sys.argv[1]](*sys.argv[2:])
