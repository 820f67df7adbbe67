"""Pictures of features, reconstructions, samples and average activations, as files and in the report."""

import base64
import io
import re

import numpy as np
import pytest

from hdl import cli, models, report, versions
from hdl import table as tables
from hdl.data import Options, fit, open_source, summarise
from hdl.models import stack
from hdl.predict import Model
from hdl.report import feature_pictures, gather, pictures
from hdl.spec import Spec

image = pytest.importorskip("PIL.Image", reason="pictures need Pillow")
pytest.importorskip("matplotlib", reason="hdl-hadoop[plot] is not installed")
pytest.importorskip("hdl._cpu")
RNG = np.random.default_rng(3)


def decoded(png):
    return np.asarray(image.open(io.BytesIO(png)).convert("RGB"))


def test_a_feature_is_the_input_that_its_unit_answers_most_to():
    w = RNG.normal(size=(12, 5))
    tiles = pictures.features(w, (3, 4))
    assert tiles.shape == (5, 3, 4)
    for unit, tile in enumerate(tiles):
        x = (tile - 0.5).ravel()
        assert np.dot(x, w[:, unit]) / np.linalg.norm(x) == pytest.approx(np.linalg.norm(w[:, unit]))  # the most it can
        assert np.abs(tile - 0.5).max() == pytest.approx(0.5)


def test_of_many_units_the_strongest_in_order_and_none_that_divides_by_zero():
    w = np.zeros((4, 400))
    w[0, 100:] = np.arange(300) + 1
    w[1, 399] = -1e9
    tiles = pictures.features(w, (2, 2))
    assert len(tiles) == pictures.TILES
    assert np.isfinite(tiles).all()
    assert tiles[-1][0, 1] == 0  # unit 399 is the last
    assert np.isfinite(pictures.features(np.zeros((4, 3)), (2, 2))).all()


def test_colours_stay_colours():
    tiles = pictures.features(RNG.normal(size=(12, 2)), (2, 2, 3))
    assert tiles.shape == (2, 2, 2, 3)
    assert pictures.shaped(np.zeros((3, 6)), (2, 3, 1)).shape == (3, 2, 3)


def test_a_grid_holds_each_tile_in_its_place():
    tiles = np.linspace(0, 1, 6)[:, None, None] * np.ones((1, 2, 2))
    pixels = pictures.grid(tiles, 3)
    height, width, _ = pixels.shape
    for number, shade in enumerate(np.linspace(0, 255, 6)):
        row, column = divmod(number, 3)
        middle = pixels[int((row + 0.5) * height / 2), int((column + 0.5) * width / 3)]
        assert np.abs(middle.astype(int) - shade).max() <= 1
    assert (pixels[0] == 255).all()
    assert (pixels[:, 0] == 255).all()
    assert pictures.grid(np.zeros((1, 1, 1))).shape[2] == 3
    np.testing.assert_array_equal(decoded(pictures.png(pixels)), pixels)


def test_reconstructions_lie_below_their_originals():
    above, below = np.zeros((5, 2, 2)), np.full((5, 2, 2), 0.5)
    pixels = pictures.beside(above, below, columns=2)  # two pairs of rows; the fifth has no neighbour
    middle = pixels[:, pixels.shape[1] // 4, 0].astype(int)
    dark, grey = np.flatnonzero(middle == 0), np.flatnonzero(middle == 128)
    assert len(dark) == len(grey)
    assert dark[0] < grey[0] < dark[-1] < grey[-1]


def test_values_share_a_scale():
    x = np.array([[0.0, 2.0], [4.0, 9.0]])
    np.testing.assert_allclose(pictures.values(x, (1, 2), 0, 4), [[[0, 0.5]], [[1, 1]]])
    assert np.isfinite(pictures.values(np.ones((2, 2)), (1, 2))).all()


@pytest.fixture
def data(tmp_path):
    x = RNG.uniform(0, 1, (40, 25)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    return str(tmp_path / "x.npy"), x


def publish(folder, path, spec, w, **about):
    source = open_source(path, {"labelled": False})
    schema = fit(summarise(source, source.splits(1)[0]), spec.with_(net=None))
    options = Options(labelled=False)
    version = versions.zero(path, options, spec, schema, source.splits(1), "", "cpu", w, **about)
    tables.Table(str(folder)).publish(version)
    return str(folder)


def autoencoder(tmp_path, path, **changes):
    fields = {"net": "25-9-25", "loss": "squared", "batch": 10, "autoencoder": {"rho": 0.2, "beta": 3.0}}
    spec = Spec(model="autoencoder", **{**fields, **changes})
    return publish(tmp_path / "model", path, spec, models.initial(spec))


def test_an_autoencoders_report_has_its_pictures_beside_the_table(tmp_path, data):
    path, x = data
    place = autoencoder(tmp_path, path)
    gather.write(place)
    names = {found.name for found in (tmp_path / "model").glob("*.png")}
    assert names == {"features.png", "reconstructions.png", "activations.png"}
    page = (tmp_path / "model" / "report.html").read_text(encoding="utf-8")
    inside = [base64.b64decode(found) for found in re.findall(r'src="data:image/png;base64,([^"]+)"', page)]
    files = [(tmp_path / "model" / name).read_bytes() for name in ("features.png", "reconstructions.png")]
    assert all(file in inside for file in files)
    model = Model(place)
    w1 = model.w[: 25 * 9].reshape(25, 9)
    expected = pictures.grid(pictures.features(w1, (5, 5)))
    np.testing.assert_array_equal(decoded(files[0]), expected)
    codes = 1 / (1 + np.exp(-(x @ w1 + model.w[225:234])))
    assert f"on average {codes.mean():.4g}" in page
    out = tmp_path / "other.html"
    (tmp_path / "model" / "features.png").unlink()
    gather.write(place, str(out))  # elsewhere: the page alone
    assert out.exists()
    assert not (tmp_path / "model" / "features.png").exists()


def test_reconstructions_are_in_the_datas_own_scale(tmp_path):
    x = RNG.uniform(100, 200, (32, 25)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    model = Model(autoencoder(tmp_path, str(tmp_path / "x.npy")))
    assert model.schema.scale is not None
    scaled = x * model.schema.scale + model.schema.shift
    assert scaled.min() >= -1e-6
    assert scaled.max() <= 1 + 1e-6
    np.testing.assert_allclose(feature_pictures.unscaled(model, scaled), x, rtol=1e-5)


def test_without_the_data_or_an_image_the_other_pictures_remain(tmp_path, data):
    path, _ = data
    model = Model(autoencoder(tmp_path, path))
    assert [seen.name for seen in feature_pictures.of(model, None)] == ["activations"]
    (tmp_path / "x.npy").unlink()
    assert [seen.name for seen in feature_pictures.of(model, (5, 5))] == ["features"]


def test_a_stack_shows_every_layer_and_a_plain_network_none(tmp_path, data):
    path, _ = data
    whole = Spec(model="stacked", net="25-9-4", loss="squared", batch=10, finetune="none")
    first, second, top = stack.stages(whole)
    below = [(first, models.initial(first))]
    about = {"stack": whole.model_dump(mode="json")}
    publish(tmp_path / "model" / "layer1", path, first, below[0][1], **about)
    layer2 = tables.Table(str(tmp_path / "model" / "layer2"))
    layer2.publish_common({"layers": [first.model_dump(mode="json")]}, {"w0": below[0][1]})
    below.append((second, models.initial(second)))
    publish(tmp_path / "model" / "layer2", path, second, below[1][1], **about)
    place = publish(tmp_path / "model", path, top, stack.start(top, below), **about)
    found = feature_pictures.of(Model(place), (5, 5))
    assert [seen.name for seen in found] == ["features", "features2", "reconstructions", "activations"]
    w1, w2 = (w[: a * b].reshape(a, b) for (_, w), (a, b) in zip(below, ((25, 9), (9, 4)), strict=True))
    expected = pictures.grid(pictures.features(w1 @ w2, (5, 5)))
    assert np.abs(decoded(found[1].png).astype(int) - expected).max() <= 1
    layer = feature_pictures.of(Model(layer2.path), (5, 5))
    assert layer[1].png == found[1].png
    assert cli.run(["report", place]) == 0
    assert "Features of layer 2" in (tmp_path / "model" / "report.html").read_text(encoding="utf-8")
    plain = Spec(net="25-4-25", loss="squared", batch=10, finetune="none")
    assert feature_pictures.of(Model(publish(tmp_path / "plain", path, plain, models.initial(plain))), (5, 5)) == []


def test_a_title_of_a_picture_is_escaped():
    facts = report.Facts("t", 1, "0" * 64, Spec(net="4-2-4").model_dump(mode="json"), None, [], [])
    facts.pictures = [feature_pictures.Picture("x", "<u>", "<i> & more", b"png")]
    page = report.render(facts)
    assert "&lt;u&gt;" in page
    assert "&lt;i&gt; &amp; more" in page
    assert "<u>" not in page
