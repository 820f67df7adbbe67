"""The pages for those who change hdl name files, modules and identifiers that are there, and the map's too."""

import importlib
import re
from pathlib import Path

import pytest

PAGES = ("docs/internals.md", "CONTRIBUTING.md")
# Names for which a reader puts in his own.
PLACEHOLDERS = {"FORMAT", "MODE", "NAME"}
SOURCES = (".py", ".pyx", ".c", ".h", ".cu", ".cuh", ".sh", ".toml")


@pytest.fixture(scope="module")
def identifiers(root):
    """Every word of the sources; a package's name as its module's."""
    files = [root / "build.sh", root / "pyproject.toml"]
    for folder in ("hdl", "csrc", "tests"):
        files += [path for path in (root / folder).rglob("*") if path.suffix in SOURCES and path != Path(__file__)]
    assert len(files) > 300
    texts = [path.read_text() for path in files]
    packages = re.findall(r"[\w-]+", (root / "pyproject.toml").read_text())
    return {word for text in texts for word in re.findall(r"\w+", text)} | {name.replace("-", "_") for name in packages}


def exists(quoted, root, identifiers):
    """Tells whether text in backticks names files and modules that are there, and words of the sources."""
    return all(is_there(name, root, identifiers) for name in quoted.split() if not name.startswith(".venv/"))


def is_there(name, root, identifiers):
    if re.fullmatch(r"[\w./]+/[\w./]+", name):
        folder, _, last = name.rpartition("/")
        path = folder if last.partition(".")[0] in PLACEHOLDERS else name
        return (root / path).exists() or (root / "hdl" / path).exists()
    if re.fullmatch(r"hdl(\.\w+)+", name):
        return resolves(name)
    words = re.findall(r"[A-Za-z_]\w*", name)
    return all(word in identifiers or word in PLACEHOLDERS for word in words)


def resolves(name):
    """Tells whether a dotted name is a module, or an attribute of one."""
    parts, attributes = name.split("."), []
    while parts:
        try:
            value = importlib.import_module(".".join(parts))
        except ModuleNotFoundError:
            attributes.insert(0, parts.pop())
            continue
        for attribute in attributes:
            if not hasattr(value, attribute):
                return False
            value = getattr(value, attribute)
        return True
    return False


@pytest.mark.parametrize("page", PAGES)
def test_every_name_in_backticks_is_there(root, identifiers, page):
    names = re.findall(r"`([^`\n]+)`", (root / page).read_text())
    assert len(names) > 20
    assert [name for name in names if not exists(name, root, identifiers)] == []


@pytest.mark.parametrize("name", ["hdl.wire.nothing", "hdl/nothing.py", "csrc/cpu/kernels/nothing.h", "no_such_word_1"])
def test_a_name_that_is_not_there_is_seen(root, identifiers, name):
    assert not exists(name, root, identifiers)


@pytest.mark.parametrize("name", ["hdl.wire.pack", "hdl.table.Table.read", "hdl/_cpu.pyx", "spec/parts.py"])
def test_a_name_that_is_there_is_seen(root, identifiers, name):
    assert exists(name, root, identifiers)


@pytest.mark.parametrize("page", PAGES)
def test_no_line_is_over_120(root, page):
    lines = (root / page).read_text().splitlines()
    assert [line for line in lines if len(line) > 120] == []


def test_the_map_names_files_that_are_there(root):
    code = re.findall(r'class="code"[^>]*>([^<]+)<', (root / "docs/map.svg").read_text())
    names = [name for text in code for name in text.split(", ")]
    assert len(names) > 8
    for name in names:
        places = [root / name, root / "hdl" / name, root / "hdl" / f"{name}.py"]
        assert any(place.exists() for place in places), name
