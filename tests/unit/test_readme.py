"""What the README says works: its commands, its Python, its files."""

import re
import shlex

import pytest

from hdl import cli

TRAINING = 13  # commands `hdl train` that the README shows


@pytest.fixture(scope="module")
def readme(root):
    return (root / "README.md").read_text()


def commands(readme):
    """Each `hdl …` of the README as a list of arguments."""
    joined = readme.replace("\\\n", " ").replace("$H/", "hdfs:///user/ada/")
    return [shlex.split(line, comments=True)[1:] for line in re.findall(r"^    (hdl .*)$", joined, re.M)]


def test_every_training_is_a_valid_spec(readme, capsys):
    found = [arguments for arguments in commands(readme) if arguments[0] == "train"]
    assert len(found) == TRAINING
    for arguments in found:
        if "--session" in arguments:  # its process would carry out the same without
            place = arguments.index("--session")
            del arguments[place : place + 2]
        assert cli.run([*arguments, "--dry-run"]) == 0, arguments
        assert '"net"' in capsys.readouterr().out


def test_every_command_exists(readme, capsys):
    names = {arguments[0] for arguments in commands(readme)}
    assert {"train", "evaluate", "predict", "inspect", "report", "export", "import"} <= names
    for name in names:
        assert cli.run([name, "--help"]) == 0
    capsys.readouterr()


def pages(root):
    """Every page of the project, by its path below `root`."""
    paths = [*root.glob("*.md"), *root.glob("docs/**/*.md"), *root.glob("tests/**/*.md")]
    return {str(path.relative_to(root)): path.read_text() for path in paths}


def anchors(page):
    """The names that the headings of a page have in a link, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_link_leads_somewhere(root):
    texts, links, broken = pages(root), 0, []
    assert {"README.md", "CONTRIBUTING.md", "docs/internals.md"} <= set(texts)
    for name, text in texts.items():
        for link in re.findall(r"\]\(([^)\s]+)\)", text):
            path, _, anchor = link.partition("#")
            if "://" in link:
                continue
            links += 1
            target = (root / name).parent / path if path else root / name
            if not target.exists() or (anchor and anchor not in anchors(target.read_text())):
                broken.append(f"{name}: {link}")
    assert links > 80
    assert not broken


def test_its_python_learns_the_digits(readme, capsys):
    pytest.importorskip("sklearn")
    pytest.importorskip("hdl._cpu")
    (code,) = re.findall(r"```python\n(.*?)```", readme, re.S)
    exec(compile(code, "README.md", "exec"), {})
    assert float(capsys.readouterr().out) > 0.95
