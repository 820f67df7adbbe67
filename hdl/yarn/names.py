"""Names that are needed before `hdl.yarn.settings` is, which takes longer to import."""

MASTER_ADDRESS = "master-{:04d}.json"  # in an application's folder on HDFS: where the master of an attempt listens
GPU = "yarn.io/gpu"  # YARN's name of the resource
CONTROL = "hdl.control"  # among a worker's credentials: the address of the master that launched it
