"""Fine-tuning on a real cluster, of a network that only the client can read: the same bytes by all four runners."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from hdl import driver, fs
from hdl.ops import tuning
from hdl.runners.base import Job
from hdl.runners.local import LocalRunner
from hdl.spec import parse
from hdl.starting import network, read
from hdl.table import Table
from tests.hadoop.runners import QUIET, put_csv, signatures
from tests.hadoop.test_runners import ALL

pytestmark = pytest.mark.full  # tests/runner/test_tuned.py has it without daemons
HOME = "hdfs:///tests/tuned"


def put_three_classes(folder, n=60, parts=2):
    """Files as `put_csv` writes them, with a class that the first network does not know."""
    rng = np.random.default_rng(1)
    lines = [",".join([*(f"{v:.3f}" for v in rng.normal(size=3) + i % 3), "012"[i % 3]]) for i in range(n)]
    fs.mkdir(folder)
    for number in range(parts):
        text = "\n".join(lines[number::parts]) + "\n"
        fs.publish(f"{folder}/part-{number:05d}.csv", (("a,b,c,class\n" if not number else "") + text).encode())
    return folder


def test_four_runners_give_the_same_bytes(cluster, archive, tmp_path):
    old = str(tmp_path / "old")
    fields = {"net": "0-5-4-0", "epochs": 3, "batch": 8, "shards": 2, "seed": 3}
    try:
        driver.train(Job(put_csv(f"{HOME}/old", parts=2), old, parse(fields)), LocalRunner(1, 1))
        data, pulled = put_three_classes(f"{HOME}/new"), {"freeze": "1", "lr": "head=5", "l2_sp": 0.1}
        spec = parse({**network(read(old)), "epochs": 2, "batch": 8, "shards": 2, "seed": 5,
                      "tuning": {**pulled, "add_classes": True}})  # fmt: skip

        def one(name):
            more = {"workers": 2} if name == "yarn" else {}
            runner = LocalRunner(1) if name == "local" else ALL[name](archive=archive, settings=QUIET, **more)
            driver.train(Job(data, f"{HOME}/{name}", spec, init_from=old), runner)
            return name, signatures(f"{HOME}/{name}")

        with ThreadPoolExecutor(4) as pool:
            found = dict(pool.map(one, ("local", *ALL)))
        expected = found.pop("local")
        assert len(set(expected.values())) > 1
        for name, given in found.items():
            assert given.items() <= expected.items() or given == expected, name
            assert max(given) == max(expected)
        table = Table(f"{HOME}/{max(found)}")
        spec, w = parse(table.read(0).spec), [table.read(number).weights.w for number in (0, max(expected))]
        still = tuning.frozen(spec)
        assert spec.net == (3, 5, 4, 3)
        np.testing.assert_array_equal(w[0][still].view(np.uint32), w[1][still].view(np.uint32))
        np.testing.assert_array_equal(w[0][: 4 * 5], read(old).w[: 4 * 5])
        assert (w[0] != w[1])[~still].any()
    finally:
        fs.remove(HOME)
