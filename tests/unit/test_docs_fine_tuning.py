"""What docs/fine-tuning.md says works: its code and commands run one after the other, and its figures are about right."""

import re
import shlex

import numpy as np
import pytest

from hdl import cli
from hdl.spec import parse
from hdl.table import Table

pytest.importorskip("hdl._cpu")
pytest.importorskip("sklearn")


def test_its_commands_run_as_they_are_written(root, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    page = (root / "docs" / "fine-tuning.md").read_text()
    first, second = re.findall(r"```python\n(.*?)```", page, re.S)
    exec(first, {})
    reached = {}
    for line in re.findall(r"^    (hdl train .*)$", page, re.M):
        arguments = shlex.split(line)[1:]
        assert cli.run([*arguments, "--no-report", "-q"]) == 0, line
        if found := re.search(r"^test accuracy +([\d.]+) %", capfd.readouterr().out, re.M):
            reached[arguments[3]] = float(found[1])
    exec(second, {})
    spec = parse(Table("by-python").read(0).spec)
    assert (spec.net, spec.tuning.freeze) == ((64, 64, 32, 10), ("1",))
    added, frozen, head, alone = (reached[name] for name in ("added", "frozen", "head", "alone"))
    assert min(added, frozen, head) > alone + 2
    size = 65 * 64
    old, new = Table("eight").read().weights.w, Table("frozen").read().weights.w
    np.testing.assert_array_equal(old[:size].view(np.uint32), new[:size].view(np.uint32))


def test_it_names_every_field_and_flag(root):
    from hdl.cli.flag_list import FLAGS

    page = (root / "docs" / "fine-tuning.md").read_text()
    for flag in FLAGS:
        if flag.field.startswith("tuning."):
            assert flag.name in page
            assert flag.field.partition(".")[2] in page
