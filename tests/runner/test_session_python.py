"""`hdl.Session` in Python and in a notebook."""

import os
from pathlib import Path

import pytest

import hdl
from hdl import driver
from hdl.errors import DataError, Interrupted, SpecError
from hdl.session import api, places
from hdl.table import Table
from tests.runner.test_session import TRAIN, done, home, signature  # noqa: F401

PLAIN = {"recipe": "plain", "net": "0-5-0", "seed": 3, "no_report": True, "quiet": True}


@pytest.fixture(scope="module")
def session(home):  # noqa: F811
    with hdl.Session("local", workers=2) as own:
        yield own
    assert own.name not in places.names()


def test_it_trains_what_the_command_line_does(session, csv, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    data = csv()
    models = [session.train(data, **PLAIN, epochs=3) for _ in range(2)]
    assert [Path(model.path).name for model in models] == ["samples-model-1", "samples-model-2"]
    assert "sha256" in capfd.readouterr().out
    done("train", data, "--out", tmp_path / "here", *TRAIN, "--epochs", "3", "--workers", "2", "--quiet")
    assert {signature(model.path) for model in models} == {signature(tmp_path / "here")}
    assert data in session._repr_html_()


def test_an_error_is_raised_as_it_was_there(session, tmp_path):
    with pytest.raises(DataError, match="no such file"):
        session.train(str(tmp_path / "none.csv"), out=str(tmp_path / "model"))
    with pytest.raises(SpecError, match="a session's name"):
        hdl.Session(name="no name")


def test_ctrl_c_leaves_the_session(session, csv, tmp_path, monkeypatch):
    real, table = places.receive, str(tmp_path / "model")

    def receive(channel, files=0):  # the key is pressed once there is a version
        monkeypatch.setattr(places, "receive", real)
        while driver.begun(table) is None:
            pass
        raise KeyboardInterrupt

    monkeypatch.setattr(places, "receive", receive)
    with pytest.raises(Interrupted, match="--resume --session"):
        session.train(csv(), out=table, **PLAIN, epochs=1_000_000)
    last = Table(table).latest()
    model = session.train(csv(), out=str(tmp_path / "next"), **PLAIN, epochs=2)
    assert model.version.number == 2
    assert last is not None


def test_another_process_may_use_it_by_its_name(session, csv, tmp_path):
    with hdl.Session.attach(session.name) as other:
        other.train(csv(), out=str(tmp_path / "model"), **PLAIN, epochs=1)
    assert not session.state["running"]  # it is still there


def test_what_others_wrote_is_no_html(session):
    assert "<script>" not in api._table({"<script>": "<script>"})


def test_the_notebook_runs(home, root, monkeypatch):  # noqa: F811
    nbclient = pytest.importorskip("nbclient", reason="no nbclient: pip install nbclient ipykernel")
    pytest.importorskip("ipykernel", reason="no ipykernel: pip install nbclient ipykernel")
    import nbformat

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")]))
    notebook = nbformat.read(root / "docs/session.ipynb", 4)
    nbclient.NotebookClient(notebook, timeout=200, kernel_name="python3").execute()
    shown = [out for cell in notebook.cells if cell.cell_type == "code" for out in cell.outputs]
    displays = [out for out in shown if out.output_type == "display_data"]
    assert len(displays) == 2  # one a training
    assert all("sha256" in out["data"]["text/html"] for out in displays)
    assert float(shown[-1]["data"]["text/plain"]) > 0.9
