"""README and docs/hadoop.md word for word: their commands, in their order, by an ordinary user on both clusters."""

import gzip
import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

# A section, how many of its blocks are run, and what they leave in the user's home.
SECTIONS = {
    "the first training": ("README.md", "On Hadoop", 1, ["mnist", "model"]),
    "README": ("README.md", "On Hadoop", 2, ["mnist", "model", "digits", "by-hand", "out"]),
    "training": ("docs/hadoop.md", "Training on Hadoop", 1, ["mnist", "digits", "digits-model", "answers.parquet"]),
    "by hand": ("docs/hadoop.md", "A round by hand", 3, ["model0", "model1", "by-hand", "head", "out"]),
}
NOT_RUN = ("./build.sh",)  # it has made what the tests run with


@pytest.fixture(scope="module")
def folder(tmp_path_factory, datasets):
    """Where the commands are typed: some of MNIST's images, and digits, made up, as numbered CSV files."""
    path, source = tmp_path_factory.mktemp("typed"), datasets("mnist")
    (path / "mnist").mkdir()
    for name in sorted(file.name for file in source.glob("*-ubyte.gz")):
        content = gzip.decompress((source / name).read_bytes())
        sizes = struct.unpack(f">{content[3]}I", content[4 : 4 + 4 * content[3]])
        rows = content[4 + 4 * len(sizes) :][: 400 * int(np.prod(sizes[1:]))]
        head = content[:4] + struct.pack(f">{len(sizes)}I", 400, *sizes[1:])
        (path / "mnist" / name).write_bytes(gzip.compress(head + rows))
    rng = np.random.default_rng(0)
    (path / "digits").mkdir()
    for part in range(4):
        rows = [",".join(map(str, [*rng.integers(0, 17, 64), i % 10])) for i in range(40)]
        (path / "digits" / f"part-{part:05d}.csv").write_text("\n".join(rows) + "\n")
    return path


def blocks(text, section):
    """The commands of a section's blocks, as a shell takes them."""
    body = re.split(r"^## ", text, flags=re.M)
    (body,) = [part for part in body if part.startswith(f"{section}\n")]
    found = re.findall(r"(?:^ {4}.*\n)+", body, re.M)
    return [
        "".join(line[4:] for line in found.splitlines(True) if not line.strip().startswith(NOT_RUN)) for found in found
    ]


def type_in(root, folder, environment, name):
    """Type a section's commands into a shell, which ends with the first that fails."""
    page, section, number, left = SECTIONS[name]
    typed = "".join(blocks((root / page).read_text(), section)[:number])
    assert "hdl env home" in typed
    path = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    environment = {**environment, "PATH": path, "PYTHONPATH": f"{root}"}

    def shell(text, check=True):
        return subprocess.run(["bash", "-euo", "pipefail", "-c", text], cwd=folder, env=environment, check=check,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=800)  # fmt: skip

    before = "hadoop fs -put -f digits $(hdl env home)/digits\n" if name == "by hand" else ""
    try:
        done = shell(before + typed, check=False)
        assert done.returncode == 0, f"{typed}\n{done.stdout[-6000:]}"
        assert set(left) <= set(shell("hadoop fs -ls -C $(hdl env home) | xargs -n 1 basename").stdout.split())
    finally:
        everything = {name for *_, left in SECTIONS.values() for name in left}
        shell(
            f"cd /; hadoop fs -rm -r -f -skipTrash {' '.join(f'/user/ada/{name}' for name in everything)}", check=False
        )
    return done.stdout


@pytest.mark.full  # test_yarn_apps.py imports and trains by such commands; tests/unit has the documents' flags
def test_the_first_training_works_as_it_is_written(cluster, root, folder):
    assert re.search(r"sha256 +[0-9a-f]{64}", type_in(root, folder, dict(os.environ), "the first training"))


@pytest.mark.full
@pytest.mark.parametrize("name", list(SECTIONS)[1:])
@pytest.mark.parametrize("kind", ["cluster", "secure"])
def test_every_command_works_as_it_is_written(request, root, folder, kind, name):
    there = request.getfixturevalue(kind)
    environment = there.environment() if kind == "secure" else dict(os.environ)
    type_in(root, folder, environment, name)
