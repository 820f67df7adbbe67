"""Seconds and memory of a process that opens and reads a file of HDFS: `python -m tests.bench.hdfs hdfs:///folder`.

hdfs-native against libhdfs, in processes of their own that take turns: each connects and reads the file for the first
time, then reads it and writes it over and over. Seconds are medians of the processes, memory the largest resident.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys

CLIENTS = ("native", "libhdfs")
TIMES = 5  # of reading and writing in one process
ONE = """
import json, resource, sys, time
began = time.perf_counter()
from hdl import fs
path, times = sys.argv[1], int(sys.argv[2])

def spent(step):
    began = time.perf_counter()
    step()
    return time.perf_counter() - began

def read():
    with fs.open(path) as file:
        return file.read()

def write():
    fs.publish(path + ".new", content)
    fs.remove(path + ".new")

content = read()
first = time.perf_counter() - began
seconds = {"first": first, "read": min(spent(read) for _ in range(times))}
seconds["write"] = min(spent(write) for _ in range(times))
print(json.dumps({**seconds, "mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", help="a folder on HDFS that may be written to")
    parser.add_argument("--bytes", type=int, default=10_000_000)
    parser.add_argument("--processes", type=int, default=5)
    arguments = parser.parse_args()
    from hdl import fs

    path = fs.join(arguments.folder, "bench")
    fs.publish(path, os.urandom(arguments.bytes))
    rows = {client: [] for client in CLIENTS}
    try:
        for _ in range(arguments.processes):
            for client in CLIENTS:
                command = [sys.executable, "-c", ONE, path, str(TIMES)]
                done = subprocess.run(
                    command,
                    env=os.environ | {"HDL_HDFS": client},
                    capture_output=True,
                    text=True,
                    timeout=600,
                    check=True,
                )
                rows[client].append(json.loads(done.stdout))
    finally:
        fs.remove(path)
    print(f"{arguments.bytes / 1e6:.0f} MB; load {os.getloadavg()[0]:.1f}")
    print("client     first read, s   read, s   write, s   memory, MB")
    for client, found in rows.items():
        first, read, write = (statistics.median(row[name] for row in found) for name in ("first", "read", "write"))
        print(f"{client:10} {first:13.2f} {read:9.3f} {write:10.3f} {max(row['mb'] for row in found):12.0f}")


if __name__ == "__main__":
    main()
