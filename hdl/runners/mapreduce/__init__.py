"""MapReduce through pydoop: `train_shard` as the mapper, the tree's joining as combiner and reducer, bytes throughout.

The package is also the program of a job that is submitted by hand::

    pydoop submit --do-not-use-java-record-reader --do-not-use-java-record-writer --num-reducers 1 \\
        -D hdl.table=hdfs:///model hdl.runners.mapreduce INPUT OUTPUT

makes one round: OUTPUT is a weight table with the versions 0 and n + 1. See docs/hadoop.md.
"""

from hdl.errors import Unavailable

try:
    from pydoop.mapreduce import api, pipes  # noqa: F401 - whether it is there
except ImportError as error:
    raise Unavailable(f"the mapreduce runner needs pydoop ({error}); `./build.sh hadoop` builds it") from None

from hdl.runners.mapreduce.prediction import predict
from hdl.runners.mapreduce.runner import MapReduceRunner
from hdl.runners.mapreduce.tasks import run

__all__ = ["MapReduceRunner", "predict", "run"]


def __main__() -> None:  # the name that `pydoop submit` calls
    """Run one task."""
    run()
