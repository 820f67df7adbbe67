"""Arrays in an npz archive, by their usual names or in their order."""

import numpy as np
import pytest

from hdl import data
from hdl.errors import DataError
from tests.unit.folders import DIGITS, PIXELS, count


def npz(path, **arrays):
    np.savez(path, **arrays)
    return str(path)


@pytest.mark.parametrize("name", ["x", "X", "x_train", "train_images", "data", "inputs"])
@pytest.mark.parametrize("label", ["y", "Y", "y_train", "train_labels", "targets"])
def test_usual_names_in_an_archive(tmp_path, name, label):
    path = npz(tmp_path / "a.npz", **{name: PIXELS, label: DIGITS, "ids": np.arange(12), "x_test": PIXELS[:5]})
    source = data.open_source(path)
    (block,) = source.read(source.splits(1)[0])
    np.testing.assert_array_equal(block.x, PIXELS.reshape(12, 6))
    assert block.y.tolist() == DIGITS.tolist()
    assert source.reading["label_by"] == f"array {label}"
    assert source.left_out == ["ids: neither features nor labels", "x_test: the test part of the archive"]


def test_archives_of_medmnist(tmp_path):
    sizes = {"train": 12, "val": 5, "test": 3}
    arrays = {f"{part}_images": PIXELS[:n] for part, n in sizes.items()}
    arrays |= {f"{part}_labels": DIGITS[:n, None] for part, n in sizes.items()}
    path = npz(tmp_path / "pathmnist.npz", **arrays)
    assert [count(f"{path}{part}") for part in ("", ":train", ":val", ":test")] == [12, 12, 5, 3]
    source = data.open_source(f"{path}:val")
    assert [block.y.tolist() for block in source.read(source.splits(1)[0])] == [DIGITS[:5].tolist()]


def test_arrays_without_names(tmp_path):
    np.savez(tmp_path / "a.npz", PIXELS, DIGITS)
    source = data.open_source(str(tmp_path / "a.npz"))
    assert [block.y.tolist() for block in source.read(source.splits(1)[0])] == [DIGITS.tolist()]
    np.savez(tmp_path / "b.npz", np.c_[PIXELS.reshape(12, 6), DIGITS])
    source = data.open_source(str(tmp_path / "b.npz"))
    assert [block.y.tolist() for block in source.read(source.splits(1)[0])] == [DIGITS.tolist()]
    np.savez(tmp_path / "c.npz", PIXELS, DIGITS, PIXELS, DIGITS)
    with pytest.raises(DataError, match=r"the archive holds arr_0.npy, arr_1.npy, arr_2.npy, arr_3.npy; expected x"):
        data.open_source(str(tmp_path / "c.npz"))
    np.savez(tmp_path / "d.npz", DIGITS, PIXELS)
    with pytest.raises(DataError, match=r"arr_0 holds one number a sample and arr_1 several"):
        data.open_source(str(tmp_path / "d.npz"))


def test_archives_with_two_readings_are_refused(tmp_path):
    for arrays in ({"x": PIXELS, "images": PIXELS}, {"x": PIXELS, "x_train": PIXELS}):
        with pytest.raises(DataError, match=r"x and (images|x_train) may each be features"):
            data.open_source(npz(tmp_path / "a.npz", **arrays, y=DIGITS))
    path = npz(tmp_path / "b.npz", data=PIXELS, label=DIGITS, target=DIGITS[::-1])
    with pytest.raises(DataError, match=r"label and target may each be labels \(--label says which\)"):
        data.open_source(path)
    source = data.open_source(path, {"label": "target"})
    assert [block.y.tolist() for block in source.read(source.splits(1)[0])] == [DIGITS[::-1].tolist()]
    path = npz(tmp_path / "c.npz", data=PIXELS, fine_labels=DIGITS)
    assert data.open_source(path, {"label": "fine_labels"}).reading["label_by"] == "array fine_labels"
    with pytest.raises(DataError, match=r"the archive holds a.npy, b.npy; expected x, x_train"):
        data.open_source(npz(tmp_path / "d.npz", a=PIXELS, b=DIGITS))
    assert count(npz(tmp_path / "e.npz", embeddings=PIXELS, y=DIGITS)) == 12
