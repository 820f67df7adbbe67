"""Lines of features and lines of targets in files of their own: which files belong together, by names and by globs."""

import gzip

import numpy as np
import pytest

from hdl import data
from hdl.errors import DataError

ROWS = np.arange(12.0).reshape(6, 2) / 8


def lines(rows):
    return "".join(" ".join(map(repr, np.atleast_1d(row).tolist())) + " \n" for row in rows)


def fill(folder, **files):
    """Write files of numbers; `__` in a name stands for a dot."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in files.items():
        (folder / name.replace("__", ".")).write_text(rows if isinstance(rows, str) else lines(rows))
    return folder


def pairs(path, **options):
    """The files' names, as they belong together."""
    source = data.open_source(str(path), options or None)
    assert source.format == "pair"
    return [(x.rsplit("/", 1)[-1], source.others[x].rsplit("/", 1)[-1]) for x in source.paths]


def samples(path):
    source = data.open_source(str(path))
    blocks = [block for part in source.splits(2) for block in source.read(part)]
    return np.concatenate([block.x for block in blocks]).tolist(), np.concatenate([b.y for b in blocks]).tolist()


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ("mnist_data_{}.X", "mnist_data_{}.Y"),  # as Harp's tutorial calls them
        ("data_{}.txt", "labels_{}.txt"),
        ("x_images_{}.txt", "y_labels_{}.txt"),
        ("input_data_{}.txt", "input_labels_{}.txt"),
        ("digitInput{}.txt", "digitOutput{}.txt"),
    ],
)
def test_names_in_a_folder_say_which_belong_together(tmp_path, x, y):
    for number in "12":
        (tmp_path / x.format(number)).write_text(lines(ROWS * int(number)))
        (tmp_path / y.format(number)).write_text(lines(ROWS[:, 0]))
    assert pairs(tmp_path) == [(x.format(number), y.format(number)) for number in "12"]
    assert samples(tmp_path) == (np.concatenate([ROWS, ROWS * 2]).tolist(), ROWS[:, 0].tolist() * 2)


def test_the_word_data_alone_makes_no_labels_of_tables(tmp_path):
    fill(tmp_path, data_1__csv="1,2,a\n3,4,b\n", data_2__csv="5,6,b\n7,8,a\n")
    assert data.open_source(str(tmp_path)).format == "csv"


def test_a_file_with_two_partners_is_refused(tmp_path):
    fill(tmp_path, x_1__txt=ROWS, data_1__txt=ROWS + 1, y_1__txt=ROWS[:, 0], labels_1__txt=ROWS[:, 1])
    with pytest.raises(
        DataError, match=r"features \(data_1.txt, x_1.txt\), labels .*: nothing says which belong toget"
    ):
        data.open_source(str(tmp_path))


@pytest.mark.parametrize("reverse", [False, True])
def test_globs_pair_by_what_their_wildcards_stand_for(tmp_path, reverse):
    names = ["a", "b"]
    for place, name in enumerate(names):
        fill(tmp_path / "x", **{f"part-{name}": ROWS + place})
        fill(tmp_path / "y", **{f"target.{name}": ROWS[:, 0] + place})
    path = f"{tmp_path}/x/part-*,{tmp_path}/y/target.*"
    assert pairs(path) == [("part-a", "target.a"), ("part-b", "target.b")]
    assert samples(path) == (np.concatenate([ROWS, ROWS + 1]).tolist(), [*ROWS[:, 0], *(ROWS[:, 0] + 1)])


def test_globs_pair_by_names_that_differ_in_x_and_y(tmp_path):
    fill(tmp_path, data_1__X=ROWS, data_2__X=ROWS, data_1__Y=ROWS[:, 0], data_2__Y=ROWS[:, 0], other=ROWS)
    wanted = [("data_1.X", "data_1.Y"), ("data_2.X", "data_2.Y")]
    assert pairs(f"{tmp_path}/*.X,{tmp_path}/*.Y") == wanted
    assert pairs(f"{tmp_path}/data*X,{tmp_path}/data_[0-9].Y") == wanted
    assert pairs(f"{tmp_path}/data_1.[X],{tmp_path}/data_1.Y") == wanted[:1]
    assert pairs(f"{tmp_path}/oth*,{tmp_path}/data_1.Y") == [("other", "data_1.Y")]  # one of each: the user says it


@pytest.mark.parametrize(
    ("files", "path", "said"),
    [
        (
            "ax bx 1y 2y",
            "*x,*y",
            r"2 files of features \(ax, bx\), 2 files of labels \(1y, 2y\): nothing says which bel",
        ),
        ("ax bx ay", "*x,*y", r"2 files of features \(ax, bx\), 1 file of labels \(ay\); expected as many of each"),
        ("ax ay", "*x,*z", r"\*z: no file matches"),
        ("ax ay", "z*,ay", r"z\*: no file matches"),
        ("ax ay", "a*,a*", r"ax: both .*a\* and .*a\* match it"),
        ("ax bx ay _SUCCESS", "*x,_S*", r"_S\*: no file matches \(left out: _SUCCESS: a mark of an engine\)"),
        # wildcards say 1 and 1, words say 1 and 2
        ("x_1_2 x_2_1 y_2_1 y_1_2", "x_?_*,y_*_?", None),
        ("x_1_2 x_2_3 2_y_1 3_y_2", "x_*_*,*_y_*", r"nothing says which belong together"),
    ],
)
def test_globs_that_do_not_pair_up_in_one_way_are_refused(tmp_path, files, path, said):
    fill(tmp_path, **dict.fromkeys(files.split(), ROWS))
    x, _, y = path.partition(",")
    where = f"{tmp_path}/{x},{tmp_path}/{y}"
    if said is None:
        assert pairs(where) == [("x_1_2", "y_1_2"), ("x_2_1", "y_2_1")]
        return
    with pytest.raises(DataError, match=said):
        data.open_source(where)


def test_wildcards_and_words_that_disagree_are_refused(tmp_path):
    """`*` stands for 1 and 2 in x_*1.txt's names, and so in those of y, whose words say the opposite."""
    fill(tmp_path / "a", **{"x-1": ROWS, "x-2": ROWS})
    fill(tmp_path / "b", **{"y-1": ROWS[:, 0], "y-2": ROWS[:, 0]})
    assert pairs(f"{tmp_path}/a/x-*,{tmp_path}/b/y-*") == [("x-1", "y-1"), ("x-2", "y-2")]
    fill(tmp_path / "c", **{"x_y_1": ROWS, "x_y_2": ROWS})
    fill(tmp_path / "d", **{"2_x_y_1": ROWS[:, 0], "1_x_y_2": ROWS[:, 0]})
    with pytest.raises(DataError, match="nothing says which belong together"):
        data.open_source(f"{tmp_path}/c/x_y_*,{tmp_path}/d/*_x_y_[12]")


def test_a_comma_in_a_name_is_read_in_the_one_way_that_there_is(tmp_path):
    fill(tmp_path, **{"x,1": ROWS, "y,1": ROWS[:, 0]})
    assert pairs(f"{tmp_path}/x,1,{tmp_path}/y,1") == [("x,1", "y,1")]
    fill(tmp_path / "tables", **{"a,1.csv": "1,2,a\n3,4,b\n", "a,2.csv": "1,2,b\n3,5,a\n"})
    assert data.open_source(f"{tmp_path}/tables/a,*.csv").format == "csv"
    fill(tmp_path / "two", x=ROWS, y=ROWS[:, 0])
    fill(tmp_path / "two" / "x,.", y=ROWS)  # the whole is a glob, too
    both = f"{tmp_path}/two/x,{tmp_path}/two/[y]"
    (tmp_path / f"two/x,{tmp_path}/two").mkdir(parents=True)
    (tmp_path / f"two/x,{tmp_path}/two/y").write_text(lines(ROWS))
    with pytest.raises(DataError, match=r"or one glob: nothing says which is meant"):
        data.open_source(both)


def test_empty_files_of_globs(tmp_path):
    fill(tmp_path, x_1=ROWS, y_1=ROWS[:, 0], x_2="", y_2="")
    source = data.open_source(f"{tmp_path}/x_*,{tmp_path}/y_*")
    assert (source.lengths(), source.left_out) == ([6], ["x_2, y_2: empty"])
    (tmp_path / "y_2").write_text("1\n")
    with pytest.raises(DataError, match=r"x_2: the file of features is empty, and .*/y_2, which belongs to it, is not"):
        data.open_source(f"{tmp_path}/x_*,{tmp_path}/y_*")


def test_globs_of_arrays(tmp_path):
    for number in "12":
        for name, array in ((f"x_{number}", ROWS), (f"y_{number}", np.arange(6) % 2)):
            with open(tmp_path / name, "wb") as file:
                np.save(file, array)
    source = data.open_source(f"{tmp_path}/x_*,{tmp_path}/y_*")
    assert (source.format, sum(source.lengths())) == ("npy", 12)
    assert source.reading["duplicates"] == ["x_2: the same bytes as x_1"]
    (tmp_path / "y_2").write_text("1\n2\n")
    with pytest.raises(DataError, match=r"y_2: .*x_1 is read as npy; expected all of one format"):
        data.open_source(f"{tmp_path}/x_*,{tmp_path}/y_*")


def test_packed_files_of_globs(tmp_path):
    for number in "12":
        (tmp_path / f"x_{number}.gz").write_bytes(gzip.compress(lines(ROWS).encode()))
        (tmp_path / f"y_{number}.gz").write_bytes(gzip.compress(lines(ROWS[:, 0]).encode()))
    assert samples(f"{tmp_path}/x_*,{tmp_path}/y_*") == (ROWS.tolist() * 2, ROWS[:, 0].tolist() * 2)
