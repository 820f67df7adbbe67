"""Names by which a worker finds its master: it needs nothing else of `hdl.yarn.settings`, and starts sooner without."""

MASTER_ADDRESS = "master-{:04d}.json"  # in an application's folder on HDFS: where the master of an attempt listens
CONTROL = "hdl.control"  # among a worker's credentials: the address of the master that launched it
