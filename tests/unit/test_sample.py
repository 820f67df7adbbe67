"""Drawing from RBMs and deep belief networks: distribution, seeds, files."""

import io

import numpy as np
import pytest

from hdl import cli, data, models, versions
from hdl import table as tables
from hdl.data import Options
from hdl.errors import SpecError
from hdl.models import stack
from hdl.models.generate import generate
from hdl.spec import Spec

pytest.importorskip("hdl._cpu")
RNG = np.random.default_rng(2)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def machine(visible, hidden, **fields):
    spec = Spec(model="rbm", net=(visible, hidden), loss="squared", **fields)
    return spec, RNG.normal(0, 1, visible * hidden + visible + hidden).astype(np.float32)


def test_samples_have_the_machines_own_means():
    spec, w = machine(5, 3)
    states = ((np.arange(32)[:, None] >> np.arange(5)) & 1).astype(np.float64)
    weights, hidden, visible = w[:15].reshape(5, 3), w[15:18], w[18:]
    p = np.exp(states @ visible + np.logaddexp(0, states @ weights + hidden).sum(axis=1))
    p /= p.sum()
    drawn = generate([(spec, w)], 4000, 100, 1)
    np.testing.assert_allclose(drawn.mean(axis=0), p @ states, atol=0.03)


def test_a_network_of_two_layers_passes_the_upper_ones_samples_down():
    lower, upper = machine(6, 4, layer=1), machine(4, 3, layer=2)
    found = generate([lower, upper], 20, 50, 7)
    from hdl.models import rbm

    above = rbm.sample(*upper, 20, 50, 7)
    expected = sigmoid(above @ lower[1][:24].reshape(6, 4).T + lower[1][28:])
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_seed_decides_and_more_samples_only_add():
    learned = [machine(6, 4)]
    first = generate(learned, 5, 20, 1)
    assert np.array_equal(first, generate(learned, 9, 20, 1)[:5])
    assert not np.array_equal(first, generate(learned, 5, 20, 2))


def test_an_autoencoder_has_nothing_to_draw_from():
    spec = Spec(model="autoencoder", net="6-4-6", loss="squared")
    with pytest.raises(SpecError, match="no distribution to draw from"):
        generate([(spec, models.initial(spec))], 1, 1, 1)


@pytest.fixture
def dbn(tmp_path):
    """A deep belief network's tables as the driver leaves them, on data that is scaled."""
    x = RNG.uniform(0, 50, (30, 25)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    whole = Spec(model="dbn", net="25-6-4", loss="squared", batch=10, finetune="none")
    first, second, top = stack.stages(whole)
    source = data.open_source(str(tmp_path / "x.npy"), {"labelled": False})
    schema = data.fit(data.summarise(source, source.splits(1)[0]), whole.with_(net=None))
    below = [(first, machine(25, 6)[1]), (second, machine(6, 4)[1])]
    for spec, w in [*below, (top, stack.start(top, below))]:
        table = tables.Table(stack.folder(str(tmp_path / "dbn"), spec))
        if spec.layer == 2:
            table.publish_common({"layers": [first.model_dump(mode="json")]}, {"w0": below[0][1]})
        about = {"stack": whole.model_dump(mode="json")}
        splits = source.splits(1)
        table.publish(versions.zero("", Options(labelled=False), spec, schema, splits, "", "cpu", w, **about))
    return tmp_path, below, schema


def test_the_command_line_draws_through_all_layers(dbn, capfd):
    folder, below, schema = dbn
    out = folder / "s.npy"
    command = ["sample", str(folder / "dbn"), "--out", str(out), "--count", "3", "--steps", "10", "--seed", "5"]
    assert cli.run(command) == 0
    assert "3 samples" in capfd.readouterr().err
    expected = (generate(below, 3, 10, 5) - schema.shift) / schema.scale
    np.testing.assert_allclose(np.load(out), expected, rtol=1e-5)
    assert np.load(out).dtype == np.float32
    assert expected.max() > 5  # in the data's own scale
    assert cli.run(command) == 2
    assert "exists already" in capfd.readouterr().err
    assert cli.run([*command, "--overwrite"]) == 0


def test_a_layer_draws_what_the_data_would_be(dbn):
    folder, below, schema = dbn
    for name, learned in (("layer1", below[:1]), ("layer2", below)):
        out = folder / f"{name}.npy"
        table = str(folder / "dbn" / name)
        assert cli.run(["sample", table, "--out", str(out), "--count", "2", "--steps", "3"]) == 0
        expected = (generate(learned, 2, 3, 1) - schema.shift) / schema.scale
        np.testing.assert_allclose(np.load(out), expected, rtol=1e-5)


def test_a_picture_of_samples(dbn):
    image = pytest.importorskip("PIL.Image")
    pytest.importorskip("matplotlib")
    folder, *_ = dbn
    out = folder / "s.png"
    assert cli.run(["sample", str(folder / "dbn"), "--out", str(out), "--count", "9", "--steps", "3"]) == 0
    pixels = np.asarray(image.open(io.BytesIO(out.read_bytes())).convert("L"))
    assert pixels.shape[0] == pixels.shape[1] > 500
    assert len(np.unique(pixels)) > 20


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--out", "x.jpg"], "expected a name that ends in .png, .npy"),
        (["--out", "x.npy", "--count", "0"], "0 is not in the range"),
        (["--out", "x.npy", "--steps", "0"], "0 is not in the range"),
        ([], "Missing option '--out'"),
    ],
)
def test_wrong_calls(dbn, flags, message, capfd, monkeypatch):
    monkeypatch.chdir(dbn[0])
    assert cli.run(["sample", "dbn", *flags]) == 2
    assert message in capfd.readouterr().err


def test_a_network_of_labels_draws_nothing(tmp_path, capfd):
    (tmp_path / "d.csv").write_text("a,b,label\n" + "1,2,0\n3,4,1\n" * 5)
    arguments = ["train", str(tmp_path / "d.csv"), "--out", str(tmp_path / "t"), "--epochs", "1", "--no-report"]
    assert cli.run(arguments) == 0
    assert cli.run(["sample", str(tmp_path / "t"), "--out", str(tmp_path / "x.npy")]) == 2
    assert "has nothing to draw from" in capfd.readouterr().err
