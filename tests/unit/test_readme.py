"""What the README says works: its commands, its Python, its files."""

import re
import shlex

import pytest

from hdl import cli

TRAINING = 8  # commands `hdl train` that the README shows


@pytest.fixture(scope="module")
def readme(root):
    return (root / "README.md").read_text()


def commands(readme):
    """Each `hdl …` of the README as a list of arguments."""
    joined = readme.replace("\\\n", " ")
    return [shlex.split(line, comments=True)[1:] for line in re.findall(r"^    (hdl .*)$", joined, re.M)]


def test_every_training_is_a_valid_spec(readme, capsys):
    found = [arguments for arguments in commands(readme) if arguments[0] == "train"]
    assert len(found) == TRAINING
    for arguments in found:
        assert cli.run([*arguments, "--dry-run"]) == 0, arguments
        assert '"net"' in capsys.readouterr().out


def test_every_command_exists(readme, capsys):
    names = {arguments[0] for arguments in commands(readme)}
    assert {"train", "evaluate", "predict", "inspect", "report", "export", "import"} <= names
    for name in names:
        assert cli.run([name, "--help"]) == 0
    capsys.readouterr()


def test_every_file_it_points_to_is_there(readme, root):
    links = re.findall(r"\]\(([^)#]+)\)", readme)
    assert "docs/benchmarks.md" in links
    assert not [link for link in links if "://" not in link and not (root / link).exists()]


def test_its_python_learns_the_digits(readme, capsys):
    pytest.importorskip("sklearn")
    pytest.importorskip("hdl._cpu")
    (code,) = re.findall(r"```python\n(.*?)```", readme, re.S)
    exec(compile(code, "README.md", "exec"), {})
    assert float(capsys.readouterr().out) > 0.95
