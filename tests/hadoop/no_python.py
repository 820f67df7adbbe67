"""Hides every Python of this machine from a process: what a node without one is tried with, where there is no other.

A mount namespace of the process's own has empty folders over the interpreter's, the environment's and the checkout's,
and nothing to execute in place of each python* on the PATH. The packed environment is all that it can run.
"""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
SCRIPT = """#!/bin/bash
# Runs the packed environment's Python, of the folder that a container is started in, where there is no other.
if [ -z "$HDL_TEST_HIDDEN" ]; then
  export HDL_TEST_HIDDEN=1
  exec {unshare} {mode} "$0" "$@"
fi
set -e
here=$PWD
for folder in {folders}; do mount -t tmpfs none "$folder"; done
for file in {files}; do mount --bind /dev/null "$file"; done
for name in python python3 {version}; do
  if [ -x "$(command -v "$name")" ]; then echo "a Python is left: $name" >&2; exit 99; fi
done
cd "$here"
[ ! -e {executable} ]
{then}exec "${{HDL_TEST_ENV:-$here/hdl-env}}/bin/python" "$@"
"""


def possible():
    """Tell whether this process may make mount namespaces."""
    return bool(shutil.which("unshare")) and subprocess.run([*_unshare(), "true"], capture_output=True).returncode == 0


def script(path, then=""):
    """Write the script that stands for a node's Python; `then` is run before Python is."""
    version = "python{}.{}".format(*sys.version_info)
    folders = {sys.base_prefix, sys.prefix, str(CHECKOUT)} - {"/usr"}
    folders = {folder for folder in folders if not any(str(above) in folders for above in Path(folder).parents)}
    places = {*os.environ["PATH"].split(":"), "/usr/bin", "/usr/local/bin"}
    files = {str(file.resolve()) for place in places for file in Path(place).glob("python*") if file.is_file()}
    files = sorted(file for file in files if not any(file.startswith(f"{folder}/") for folder in folders))
    unshare, *mode = _unshare()
    path.write_text(
        SCRIPT.format(
            unshare=unshare,
            mode=shlex.join(mode),
            folders=shlex.join(sorted(folders)),
            files=shlex.join(files),
            version=version,
            executable=shlex.quote(sys.executable),
            then=then,
        )
    )
    path.chmod(0o755)
    return path


def _unshare():
    return [str(shutil.which("unshare")), "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
