"""The demonstration: what `./build.sh demo` shows."""

import re
import subprocess
import sys

import pytest

pytest.importorskip("sklearn", reason="the digits come with scikit-learn: hdl-hadoop[demo]")


def test_demo_trains_well_and_says_where_the_report_is(tmp_path):
    command = [sys.executable, "-m", "hdl.demo", str(tmp_path / "my demo")]
    first, second = (subprocess.run(command, capture_output=True, text=True, check=False) for _ in range(2))
    assert first.returncode == 0, first.stderr
    accuracy = re.search(r"accuracy\s+(\d+\.\d+) %", first.stdout)[1]
    assert float(accuracy) > 96.5
    assert "← predicted" in first.stdout
    assert "2 shards on 2 workers, adam with average" in first.stderr
    report = tmp_path / "my demo" / "model" / "report.html"
    assert report.as_uri() in first.stdout
    assert f"{accuracy} %" in report.read_text(encoding="utf-8")
    assert second.returncode == 0, second.stderr
    assert re.findall(r"sha256 .*", second.stdout) == re.findall(r"sha256 .*", first.stdout)
