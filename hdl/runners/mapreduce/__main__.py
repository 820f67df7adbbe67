"""Runs one task of a MapReduce job: ``python -m hdl.runners.mapreduce``, which the job's program calls."""

from hdl.runners.mapreduce.tasks import run

if __name__ == "__main__":
    run()
