"""What docs/unsupervised.md says works: its trainings are valid, its commands exist, its Python learns."""

import re
import shlex

import pytest

from hdl import cli


@pytest.fixture(scope="module")
def page(root):
    return (root / "docs" / "unsupervised.md").read_text()


def commands(page):
    joined = page.replace("\\\n", " ")
    return [shlex.split(line, comments=True)[1:] for line in re.findall(r"^    (hdl .*)$", joined, re.M)]


def test_every_training_is_a_valid_spec(page, capsys):
    found = [arguments for arguments in commands(page) if arguments[0] == "train"]
    models = []
    for arguments in found:
        assert cli.run([*arguments, "--dry-run"]) == 0, arguments
        models.append(re.search(r'"model": "(\w+)"', capsys.readouterr().out)[1])
    assert set(models) == {"autoencoder", "mlp", "stacked", "rbm", "dbn"}


def test_every_flag_exists(page, capsys):
    for name, *arguments in commands(page):
        assert cli.run([name, "--help"]) == 0
        known = capsys.readouterr().out
        for flag in arguments:
            assert not flag.startswith("--") or f"{flag} " in known or f"{flag}/" in known, (name, flag)


def test_its_python_learns_the_digits(page, capsys):
    pytest.importorskip("sklearn")
    pytest.importorskip("hdl._cpu")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.S)
    exec(compile(code, "unsupervised.md", "exec"), {})
    assert float(capsys.readouterr().out) > 0.95
