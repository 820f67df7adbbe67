"""Flags of `hdl train --runner yarn` about failures and containers, and what becomes of them."""

import click
import pytest

from hdl.cli.yarn_flags import Duration, Variable
from hdl.errors import SpecError
from hdl.yarn.resource_manager import launch
from hdl.yarn.settings import Settings


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("1.5m", 90), ("10 min", 600), ("1h", 3600), ("2D", 172800)]
)
def test_times_are_read(text, seconds):
    assert Duration().convert(text, None, None) == seconds


@pytest.mark.parametrize("text", ["", "h", "-1", "1w", "0", "1h30m", "nan", "1e3"])
def test_what_is_no_time_is_refused(text):
    with pytest.raises(click.BadParameter, match="expected a time like 90s, 10m, 1h or 2d"):
        Duration().convert(text, None, None)


def test_never_is_a_time_where_that_means_something():
    assert Duration(zero=True).convert("0", None, None) == 0.0


@pytest.mark.parametrize(("text", "pair"), [("A=1", ("A", "1")), ("A=", ("A", "")), ("A=b=c", ("A", "b=c"))])
def test_a_variable_is_a_name_and_a_value(text, pair):
    assert Variable().convert(text, None, None) == pair


def test_a_variable_without_a_value_is_refused():
    with pytest.raises(click.BadParameter, match="expected NAME=VALUE"):
        Variable().convert("A", None, None)


@pytest.mark.parametrize("name", ["1A", "A-B", "", "Ä", "PYTHONPATH", "CONTAINER_ID", "NM_HOST", "HADOOP_USER_NAME"])
def test_names_that_are_none_or_that_hdl_sets_are_refused(name):
    with pytest.raises(SpecError, match=r"^--container-env: .*(a variable's name|is set by YARN or hdl itself)"):
        Settings.make(environment={name: "x"})


def test_variables_of_the_runtime_and_those_given_reach_containers(monkeypatch):
    monkeypatch.setenv("YARN_CONTAINER_RUNTIME_TYPE", "docker")
    monkeypatch.setenv("YARN_CONTAINER_RUNTIME_DOCKER_IMAGE", "library/python:$3")
    monkeypatch.setenv("YARN_SECRET", "x")
    settings = Settings.make(environment=[("OMP_NUM_THREADS", "2"), ("YARN_CONTAINER_RUNTIME_TYPE", "runc")])
    assert launch.passed_on(settings) == {
        "YARN_CONTAINER_RUNTIME_TYPE": "runc",  # the flag wins
        "YARN_CONTAINER_RUNTIME_DOCKER_IMAGE": "library/python:\\$3",  # a shell reads it
        "OMP_NUM_THREADS": "2",
    }


def test_a_value_that_yarn_would_replace_is_refused():
    with pytest.raises(SpecError, match="YARN gives a meaning"):
        launch.passed_on(Settings.make(environment={"A": "{{PWD}}"}))
