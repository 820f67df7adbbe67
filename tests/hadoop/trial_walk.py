"""Reads all that this user may read on HDFS below some folders, and says what is where: ``python -m … FOLDER...``.

Standard input is JSON: ``secrets`` by name, in hexadecimal, and ``but``, paths that are passed over. Standard output is
JSON: the paths that could be ``read``, and ``found``, pairs of path and name of a secret.
"""

import json
import sys

from hdl import fs
from tests.hadoop.scan import Secrets


def files(path):
    """The files below a folder that this user may list."""
    try:
        names = fs.list(path)
    except OSError:
        return
    for name in names:
        below = f"{path.rstrip('/')}/{name}"
        try:
            isdir = fs.isdir(below)
        except OSError:
            continue
        yield from files(below) if isdir else [below]


def main(folders):
    given = json.load(sys.stdin)
    scan = Secrets({name: bytes.fromhex(value) for name, value in given["secrets"].items()})
    read, found = [], []
    for folder in folders:
        for path in files(folder):
            if path in given["but"]:
                continue
            try:
                with fs.open(path) as file:
                    content = file.read() if scan.names else file.read(1)
            except OSError:
                continue
            read.append(path)
            found += scan.among([(path, content)])
    json.dump({"read": read, "found": found}, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1:])
