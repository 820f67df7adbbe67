"""A cluster of a test module's own, and commands on it as an ordinary user."""

import os
import sys
from contextlib import contextmanager
from pathlib import Path

from hdl.cluster.daemons import Cluster
from tests.hadoop.secure import QUICK, finished

USER = "ada"


@contextmanager
def started(variable, folder, **options):
    """Give a cluster with an ordinary user: that of the folder which the variable names, or a new one."""
    mine = os.environ.get(variable)
    nodes = {"datanodes": 2, "nodemanagers": 2, "superuser": "hdfs", "seconds": 600}
    cluster = Cluster.load(Path(mine)) if mine else Cluster.start(folder, **nodes, **options)
    cluster.add_user(USER)
    yield cluster
    if not mine:
        cluster.stop(purge=True)


def python(cluster, words, check=True):
    """Run Python with those words, as the user, on the cluster."""
    environment = os.environ | QUICK | cluster.environment(USER)
    return finished([sys.executable, *words], os.getcwd(), environment, 600, check)
