"""Areas of several classes at once are those of each class alone, to the last digit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hdl.metrics import areas as module
from hdl.metrics.areas import areas
from hdl.metrics.ranks import Ranks
from hdl.metrics.scan import scan


def ranks_of(n, classes, seed, ties=1000, weighted=False, in_memory=1 << 22, empty=()):
    """Ranks of each class, whose samples may be none, or all."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(classes):
        ranks = Ranks(in_memory)
        score = (rng.integers(0, ties, n) / ties - 0.3).astype(np.float32)
        positive = np.full(n, False) if number in empty else rng.random(n) < rng.random()
        ranks.add(score, positive, rng.random(n).astype(np.float32) if weighted else None)
        made.append(ranks)
    return made


def alone(ranks):
    """The areas of each class, by the pass that has all measures."""
    return [found and (found.auc, found.pr_auc) for found in map(scan, ranks)]


def same(ranks):
    assert [found and (found.auc, found.pr_auc) for found in areas(ranks)] == alone(ranks)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 60), st.integers(1, 6), st.integers(0, 9999), st.sampled_from([2, 7, 1000]))
def test_of_any_samples(n, classes, seed, ties):
    same(ranks_of(n, classes, seed, ties))


def test_of_classes_that_lack_samples():
    same(ranks_of(50, 5, 1, empty=(0, 3)))
    assert areas([Ranks(), Ranks()]) == [None, None]


def test_of_several_groups_of_classes(monkeypatch):
    monkeypatch.setattr(module, "TOGETHER", 100)
    same(ranks_of(40, 7, 2))


@pytest.mark.parametrize("more", [{"weighted": True}, {"in_memory": 64}], ids=["weighted", "in files"])
def test_of_what_is_passed_over_class_by_class(more):
    same(ranks_of(300, 4, 3, **more))


def test_classes_of_samples_without_weights_are_passed_over_together(monkeypatch):
    monkeypatch.setattr(module, "scan", None)
    assert all(areas(ranks_of(500, 10, 4)))
