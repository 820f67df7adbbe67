"""scikit-learn's own test_mlp.py and test_rbm.py pass, but for what exceptions.py names with its reason."""

import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.peer import exceptions, scikit_learn

pytest.importorskip("hdl._cpu")
EXEMPT = {"mlp": exceptions.MLP, "rbm": exceptions.RBM}
LEAST = {"mlp": 52, "rbm": 20}  # that pass of 59 and 24, of scikit-learn 1.9; earlier versions have fewer


def judge(part, found):
    """Every test passes, or is skipped, or is named as one that cannot; none is named that passes."""
    base = {name: name.partition("[")[0] for name in found}
    wrong = {name: what for name, what in found.items() if what not in ("passed", "skipped")}
    assert {base[name] for name in wrong} <= set(EXEMPT[part]), wrong
    assert not [name for name, what in found.items() if what == "passed" and base[name] in EXEMPT[part]]
    assert {name for name in EXEMPT[part] if name in base.values()} == set(EXEMPT[part]), "an exempt test is no more"
    return sum(what == "passed" for what in found.values())


@pytest.mark.parametrize("part", ["mlp", "rbm"])
def test_of_the_installed_version(part, tmp_path, root):
    found = scikit_learn.outcomes(part, tmp_path, root)
    passed = judge(part, found)
    assert passed >= LEAST[part] - max(0, {"mlp": 59, "rbm": 24}[part] - len(found)), f"{passed} of {len(found)}"


@pytest.mark.full  # downloads a scikit-learn
@pytest.mark.timeout(1800)
def test_of_the_oldest_supported_version(tmp_path, root):
    line = next(line for line in (root / "pyproject.toml").read_text().splitlines() if line.startswith("sklearn ="))
    oldest = line.split('"scikit-learn>=')[1].split('"')[0]
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True, timeout=120)
    python = tmp_path / "venv" / "bin" / "python"
    got = subprocess.run(
        [python, "-m", "pip", "install", "-q", "--no-deps", f"scikit-learn=={oldest}"],
        capture_output=True,
        timeout=300,
    )
    if got.returncode:
        pytest.skip(f"no scikit-learn {oldest} to be had: {got.stderr.decode()[-200:]}")
    (library,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    (library / "rest.pth").write_text(sysconfig.get_path("purelib") + "\n")
    for part in ("mlp", "rbm"):
        folder = tmp_path / part
        folder.mkdir()
        found = scikit_learn.outcomes(part, folder, root, [str(python)])
        judge(part, found)
    checks = Path("tests/peer")
    command = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", str(checks / "test_in_use.py"),
               str(checks / "test_same_numbers.py"), str(checks / "test_drop_in.py")]  # fmt: skip
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout
