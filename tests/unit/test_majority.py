"""The warning that an accuracy is the share of the largest class."""

import numpy as np
import pytest

from hdl import majority


def confusion(right, missed, false):
    """Counts of 25,000 samples with `right + missed` positives."""
    negatives = 25_000 - right - missed
    return np.array([[negatives - false, false], [missed, right]])


def told(matrix, classes=("no", "yes"), **more):
    return majority.told(np.trace(matrix) / matrix.sum(), matrix, classes, **more)


def test_rare_positives_that_are_missed_are_told():
    assert told(confusion(51, 449, 1)) == (
        "the accuracy of 98.20 % is about what answering 'no' always would give (98.00 %); of 500 'yes' 51 were found"
    )
    assert told(confusion(0, 500, 0)) == (
        "the accuracy of 98.00 % is what answering 'no' always would give; of 500 'yes' none was found"
    )
    assert told(confusion(1, 499, 900)) == (
        "the accuracy of 94.40 % is below what answering 'no' always would give (98.00 %); of 500 'yes' 1 was found"
    )


@pytest.mark.parametrize(("right", "missed", "false"), [(300, 200, 10), (500, 0, 0), (150, 350, 0)])
def test_an_accuracy_that_says_something_is_not_warned_of(right, missed, false):
    assert told(confusion(right, missed, false)) is None


def test_a_net_that_is_weak_on_balanced_classes_is_no_majority():
    assert told(np.array([[290, 210], [200, 300]])) is None  # 59 % of 50 %
    assert "always would give" in told(np.array([[251, 249], [249, 251]]))


def test_of_many_classes_the_others_are_counted_together():
    matrix = np.array([[900, 0, 0], [45, 5, 0], [50, 0, 0]])
    assert told(matrix, ("a", "b", "c")) == (
        "the accuracy of 90.50 % is about what answering 'a' always would give (90.00 %); "
        "of 100 of the other classes 5 were found"
    )


def test_without_a_matrix_the_share_alone_is_told():
    said = majority.told(0.301, None, list(range(300)), 0.3)
    assert said == "the accuracy of 30.10 % is about what answering the most frequent class always would give (30.00 %)"
    assert majority.told(0.301, None, list(range(300))) is None


@pytest.mark.parametrize("classes", [None, (), ("one",)])
def test_there_is_nothing_to_say_without_classes(classes):
    assert majority.told(0.5, None, classes, 0.5) is None
    assert majority.told(None, None, ("a", "b"), 0.5) is None


def test_data_of_one_class_is_no_majority():
    assert told(np.array([[10, 0], [0, 0]])) is None


def test_weights_decide_the_share_where_samples_have_some():
    matrix = confusion(51, 449, 1)
    assert majority.told(0.6, matrix, ("no", "yes"), 0.5) is None


def test_where_two_classes_are_as_frequent_nothing_is_said_of_what_was_found():
    assert told(np.array([[0, 20], [0, 20]])) == "the accuracy of 50.00 % is what answering 'no' always would give"
