"""Patches of pictures: where they are cut, how they are normalised, and what is refused."""

import numpy as np
import pytest

from hdl import cli, demo
from hdl.data import Bad, Options, open_source
from hdl.data.patches import CUTOFF, EPSILON, Patches
from hdl.errors import DataError, SpecError

image = pytest.importorskip("PIL.Image", reason="pictures need Pillow")


@pytest.fixture
def folder(tmp_path):
    """Two pictures whose pixels say where they are, one of them in a folder inside, and a text."""
    place = tmp_path / "pictures"
    (place / "more").mkdir(parents=True)
    down, right = np.mgrid[:40, :60]
    image.fromarray((3 * down + right).astype(np.uint8)).save(place / "a.png")
    image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 20, 3), np.uint8)).save(place / "more" / "b.png")
    (place / "notes.txt").write_text("no picture")
    (place / ".hidden.png").write_text("no picture")
    return place


def rows(source):
    return np.concatenate([block.x for block in source.read(source.splits(1)[0])])


def patches(folder, count=200, **changes):
    return Patches(str(folder), Options(**changes.pop("options", {})), changes.pop("size", (5, 4)), count, **changes)


def test_patches_are_windows_of_the_pictures(folder):
    grey = {name: np.asarray(image.open(folder / name).convert("L")).astype(int) for name in ("a.png", "more/b.png")}
    windows = {
        name: {window.tobytes() for window in np.lib.stride_tricks.sliding_window_view(pixels, (5, 4)).reshape(-1, 20)}
        for name, pixels in grey.items()
    }
    raw = patches(folder)._cut(Bad())
    assert raw.shape == (200, 20)
    assert raw.dtype == np.uint8
    seen = {name: sum(row.astype(int).tobytes() in found for row in raw) for name, found in windows.items()}
    assert sum(seen.values()) == 200
    assert min(seen.values()) > 70  # pictures have equal chances, whatever their sizes
    corner = raw[[row.astype(int).tobytes() in windows["a.png"] for row in raw], 0].astype(int)
    assert corner.min() < 20
    assert corner.max() > 140


def test_normalised_as_the_tutorial_says(folder):
    x = rows(patches(folder))
    raw = patches(folder)._cut(Bad()) / 255
    centred = raw - raw.mean(axis=1, keepdims=True)
    limit = 3 * centred.std()
    expected = np.clip(centred, -limit, limit) / limit * 0.4 + 0.5
    np.testing.assert_allclose(x, expected, atol=1e-4)
    assert x.dtype == np.float32
    assert x.min() >= 0.1
    assert x.max() <= 0.9
    assert (x == np.float32(0.9)).any()  # something was cut off


def test_whitened_patches_have_the_covariance_that_zca_leaves(folder):
    raw = patches(folder, 4000)._cut(Bad()) / 255
    x = rows(patches(folder, 4000, whiten="patches")).astype(np.float64)
    centred = raw - raw.mean(axis=1, keepdims=True)
    values, vectors = np.linalg.eigh(np.cov(centred.T, bias=True))
    np.testing.assert_allclose(x.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(np.cov(x.T, bias=True), vectors * (values / (values + EPSILON)) @ vectors.T, atol=1e-4)
    assert np.trace(x.T @ centred) > 0.5 * len(x)  # ZCA, of all whitenings, leaves a patch most like itself


def test_whitening_pictures_makes_their_spectrum_flat(tmp_path):
    rng = np.random.default_rng(1)
    down, right = np.fft.fftfreq(256)[:, None], np.fft.fftfreq(256)
    f = np.hypot(down, right)
    f[0, 0] = 1
    natural = np.fft.ifft2(np.fft.fft2(rng.normal(size=(256, 256))) / f).real  # amplitude 1/f, as photographs have
    natural = (natural - natural.min()) / np.ptp(natural) * 255
    image.fromarray(natural.astype(np.uint8)).save(tmp_path / "n.png")
    power = {}
    for whiten in "no", "pictures":
        x = rows(patches(tmp_path, 3000, size=(16, 16), whiten=whiten)).reshape(-1, 16, 16)
        spectrum = (np.abs(np.fft.fft2(x - 0.5)) ** 2).mean(axis=0)
        low, middle = spectrum[0, 2], spectrum[0, 5]  # 2/16 and 5/16 cycles a pixel, both below the cut-off
        assert CUTOFF > 5 / 16
        power[whiten] = low / middle
    assert power["no"] > 4
    assert 0.5 < power["pictures"] < 3
    assert x.min() >= np.float32(0.1)
    assert x.max() <= np.float32(0.9)


def test_the_seed_decides_and_the_count_does_not(folder):
    first = patches(folder, 50)._cut(Bad())
    assert np.array_equal(first, patches(folder, 400)._cut(Bad())[:50])
    assert not np.array_equal(first, patches(folder, 50, seed=2)._cut(Bad()))


def test_imported_by_the_command_line(folder, tmp_path, capfd):
    for name, more in (("one", []), ("two", ["--shards", "3"]), ("other", ["--seed", "9"])):
        arguments = ["import", str(folder), str(tmp_path / name), "--patches", "8x6", "--count", "300", *more]
        assert cli.run(arguments) == 0
    assert "300 samples of 48 features in 3 files" in capfd.readouterr().out
    one, two, other = (open_source(str(tmp_path / name)) for name in ("one", "two", "other"))
    assert one.image == (8, 6, 1)
    assert next(one.read(one.splits(1)[0])).y is None
    assert np.array_equal(rows(one), rows(two))
    assert not np.array_equal(rows(one), rows(other))


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--patches", "8"], "--patches: expected height and width, such as 8x8 (given '8')"),
        (["--patches", "0x8"], "expected height and width"),
        (["--patches", "8x8", "--count", "0"], "0 is not in the range"),
        (["--patches", "8x8", "--whiten", "--whiten-pictures"], "give one of them"),
        (["--count", "5", "--whiten"], "--count and --whiten: only with --patches HxW"),
    ],
)
def test_wrong_flags(flags, message, folder, tmp_path, capfd):
    assert cli.run(["import", str(folder), str(tmp_path / "out"), *flags]) == 2
    assert message in capfd.readouterr().err
    assert not (tmp_path / "out").exists()


def test_wrong_pictures(folder, tmp_path, capfd):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"no picture; expected files that end in \.png"):
        patches(tmp_path / "empty")
    with pytest.raises(DataError, match="no such file"):
        patches(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"b.png: a picture of 30x20, smaller than a patch of 25x25"):
        rows(patches(folder, size=(25, 25)))
    with pytest.raises(SpecError, match="given 0 of 8x8"):
        patches(folder, 0, size=(8, 8))
    whole = (folder / "a.png").read_bytes()
    (folder / "a.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"a.png: not an image, or a damaged one"):
        rows(patches(folder))
    image.fromarray(np.full((9, 9), 7, np.uint8)).save(tmp_path / "flat.png")
    with pytest.raises(DataError, match="every patch is of one grey"):
        rows(patches(tmp_path / "flat.png", size=(3, 3)))
    assert cli.run(["import", str(folder), str(tmp_path / "out"), "--patches", "8x8"]) == 3
    assert "a.png" in capfd.readouterr().err
    assert not (tmp_path / "out").exists()


def test_bad_pictures_that_may_be_left_out_are(folder, tmp_path, capfd):
    (folder / "c.png").write_bytes((folder / "a.png").read_bytes()[:50])
    source = patches(folder, options={"max_bad_records": 1})
    bad = Bad(1)
    raw = source._cut(bad)
    assert bad.count == 1
    assert "c.png" in bad.places[0]
    assert len(raw) == 200
    assert len(np.unique(raw, axis=0)) > 150
    command = ["import", str(folder), str(tmp_path / "out"), "--patches", "8x8", "--max-bad-records", "1"]
    assert cli.run(command) == 0
    assert "1 bad picture skipped" in capfd.readouterr().err


def test_the_demonstrations_photographs(tmp_path):
    pytest.importorskip("sklearn")
    found = demo.photos(str(tmp_path / "photos"))
    assert [path.name for path in found] == ["china.jpg", "flower.jpg"]
    x = rows(patches(tmp_path / "photos", 500, size=(8, 8)))
    assert x.shape == (500, 64)
    neighbours = np.corrcoef(x[:, 0], x[:, 1])[0, 1]
    assert neighbours > 0.5  # natural pictures: neighbours are alike


def test_one_picture_a_glob_and_folders_inside(folder):
    assert [name.rsplit("/", 1)[-1] for name in patches(folder).pictures] == ["a.png", "b.png"]
    assert patches(folder / "a.png").pictures == [str(folder / "a.png")]
    assert patches(f"{folder}/*.png").pictures == [str(folder / "a.png")]
    with pytest.raises(DataError, match="no picture"):
        patches(folder / "notes.txt")
