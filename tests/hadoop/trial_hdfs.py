"""The promises of `test_hdfs`, in a process of their own: on another cluster, as whoever the environment says we are.

Run by other tests: `pytest --noconftest tests/hadoop/trial_hdfs.py`, with the folder that is used in HDL_TRIAL_FOLDER.
"""

import os
import re

import pytest

from hdl import fs, hdfs_choice
from tests.hadoop.test_hdfs import (  # noqa: F401  they are collected
    test_a_failing_writer_leaves_nothing,
    test_a_folder_is_published_whole,
    test_a_taken_name_is_never_replaced,
    test_below_a_file_is_nothing,
    test_folders_patterns_and_removal,
    test_lines_of_a_file,
    test_of_many_who_publish_one_name_one_wins,
    test_what_is_not_there,
    test_what_is_published_is_read_back,
)


@pytest.fixture
def folder(request):
    path = f"{os.environ['HDL_TRIAL_FOLDER']}/{re.sub(r'[^a-z0-9_]+', '-', request.node.name)}"
    fs.mkdir(path)
    yield path
    fs.remove(path)


def test_it_is_this_client_that_is_tried(folder):
    assert hdfs_choice.shown(folder)[0].startswith("hdfs-native")
