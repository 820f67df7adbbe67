"""Run a worker in its container: `python -m hdl.yarn.worker STAGING`.

The argument is the application's folder, where a second master's address appears; keys and the first one's address come
in the container's credentials, and YARN's NM_HOST says where to listen.
"""

from __future__ import annotations

import faulthandler
import os
import shlex
import signal
import sys
import threading

from hdl import quick, timeline


def main() -> None:
    """Run a worker, and end the process."""
    quick.begin()  # before all else is imported
    from hdl import fs, libhdfs
    from hdl.yarn.comm import tokens
    from hdl.yarn.comm.credentials import WorkerCredentials
    from hdl.yarn.process import run_and_exit
    from hdl.yarn.settings import CONTROL
    from hdl.yarn.worker.worker import Worker

    timeline.reached("worker", "imported")
    faulthandler.enable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    staging, entries = sys.argv[1], tokens.read()
    if tokens.has_storage_tokens():  # fresh ones will follow: JPype's Java takes them, one that libhdfs starts does not
        from hdl.yarn.resource_manager.tokens import start_java

        libhdfs.before_java.append(lambda: start_java(shlex.split(os.environ.get("LIBHDFS_OPTS", ""))))
    credentials, master = WorkerCredentials.from_dict(entries), entries[CONTROL].decode()
    # The way to HDFS takes half a second to open: meanwhile the worker says hello.
    threading.Thread(target=lambda: fs.exists(staging), daemon=True).start()
    worker = Worker(credentials, master, staging, os.environ["NM_HOST"])
    run_and_exit("worker", worker.run, worker.link.close)


if __name__ == "__main__":
    main()
