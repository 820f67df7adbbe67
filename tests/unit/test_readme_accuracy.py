"""What the README says its trainings come to: each command as it stands there, on the real data."""

import re
import shlex

import pytest

from hdl import cli

FOLDERS = {"mnist": "mnist", "optdigits.tra": "optdigits", "optdigits.tes": "optdigits"}


def trainings(readme):
    """(arguments, stated percent) of each training that states its test accuracy."""
    lines = re.findall(r"^    hdl (train .*?)#(.*)$", readme.replace("\\\n", " "), re.M)
    said = [(shlex.split(command), re.search(r"([\d.]+) %", comment)) for command, comment in lines]
    return [(arguments, float(found[1])) for arguments, found in said if found]


@pytest.mark.parametrize(
    ("data", "net", "goal"),
    [
        ("optdigits.tra", "64-128-10", 96.0),
        pytest.param("mnist", "784-100-32-10", 97.5, marks=pytest.mark.full),
        pytest.param("mnist", "784-512-512-10", 98.3, marks=[pytest.mark.full, pytest.mark.timeout(1200)]),
    ],
)
def test_a_training_comes_to_what_is_stated(data, net, goal, root, datasets, tmp_path, capsys):
    pytest.importorskip("hdl._cpu")
    found = [(a, stated) for a, stated in trainings((root / "README.md").read_text()) if a[1] == data and net in a]
    ((arguments, stated),) = found

    def real(word):
        name, mark, part = word.partition(":")
        if name not in FOLDERS:
            return word
        folder = datasets(FOLDERS[name])
        return f"{folder if name == FOLDERS[name] else folder / name}{mark}{part}"

    arguments = [real(word) for word in arguments]
    arguments[arguments.index("--out") + 1] = str(tmp_path / "table")
    assert cli.run([*arguments, "--quiet", "--no-report"]) == 0
    accuracy = float(re.search(r"test accuracy +([\d.]+) %", capsys.readouterr().out)[1])
    assert accuracy >= goal
    assert accuracy >= stated - 0.3  # other instruction sets round otherwise
