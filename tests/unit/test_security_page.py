"""What docs/security.md claims is shown by tests that are there, or is marked as not tried."""

import re

import pytest

PAGE = "docs/security.md"


@pytest.fixture(scope="module")
def page(root):
    return (root / PAGE).read_text()


def test_every_test_that_it_names_is_there(root, page):
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", page)
    assert len(named) > 20
    for file, test in named:
        assert (root / file).exists(), file
        assert not test or f"def {test}(" in (root / file).read_text(), f"{file}::{test}"


def test_every_claim_of_its_tables_names_a_test_or_says_that_none_was_tried(page):
    tables = [block.splitlines() for block in re.split(r"\n\n+", page) if block.startswith("|")]
    shown = [rows for rows in tables if "shown by" in rows[0]]
    assert len(shown) == 5
    for row in (row for rows in shown for row in rows[2:]):
        last = row.rstrip("| ").rpartition("|")[2]
        assert "`tests/" in last or "*not tried*" in last or "no test" in last, row


def test_readme_and_hadoops_page_lead_to_it(root):
    assert "docs/security.md" in (root / "README.md").read_text()
    assert "(security.md)" in (root / "docs/hadoop.md").read_text()
    assert "(security.md)" in (root / "docs/yarn.md").read_text()
