"""Chooses the samples of a folder, or of the files that match a pattern: which files, of which format and part.

What is left out is told; two readings that are equally good are refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hdl import fs
from hdl.data.copies import numbered_parts, twins, unpacked
from hdl.data.formats import BINARY, IMAGES, TABLES, TEXT, TYPED, WORDS, Seen, listed, look, refuse_foreign, some
from hdl.data.layouts import placed
from hdl.data.layouts.hive import holds_partitions, walk
from hdl.data.layouts.keys import prune
from hdl.data.layouts.lying import Lying
from hdl.data.layouts.where import parse
from hdl.data.leftout import LeftOut, aside
from hdl.data.options import Options
from hdl.data.pairing import PAIR_Y
from hdl.data.parts import NAMES, Pairs, pairs, part_of_folder, split_parts
from hdl.data.survey import of_one_format, survey
from hdl.errors import DataError


@dataclass
class Chosen:
    """Holds what is read of what was named.

    Attributes
    ----------
    pairs : list of (str, str or None)
        Files of samples with their files of labels; of images the one folder that holds the classes' folders.
    format : str
    part : str or None
        Of an archive.
    left_out : list of str
    duplicates : list of str
        Files that hold the same bytes as others.
    tables : list of Seen
        The files that were looked at.
    lying : Lying or None
        Keys of folders, or what a table's log says.
    """

    pairs: Pairs
    format: str
    part: str | None = None
    left_out: list[str] = field(default_factory=list)
    duplicates: list[str] = field(default_factory=list)
    tables: list[Seen] = field(default_factory=list)
    lying: Lying | None = None


def of_file(path: str, labels: str | None, options: Options, labelled: bool) -> Chosen:
    """Chooses the one file that was named, with its labels' file; an image only where no labels are wanted."""
    if labels is None and (lying := placed.of_file(path, options)):
        return _logged(lying)
    if options.format:
        if not fs.size(path):
            raise DataError("the file is empty, expected samples", path)
        return Chosen([(path, labels)], options.format)
    seen = look(path, options.delimiter)
    if seen.format == "empty":
        raise DataError("the file is empty, expected samples", path)
    if seen.format == "image" and not labelled and not labels:
        return Chosen([(path, None)], "images")
    if seen.format in ("image", "zip", "binary", "structured"):
        raise refuse_foreign(seen)
    format = (
        seen.format if seen.format in BINARY or (seen.format in TEXT and not labels) else "pair" if labels else "csv"
    )
    if labels and labelled:
        other = look(labels, options.delimiter)
        if (other.format if other.format in BINARY else "pair") != format or other.format in ("image", "zip", "binary"):
            what = f"labels in {WORDS[other.format]}, and features in {WORDS[seen.format]} ({seen.name})"
            raise DataError(f"{what}; expected both of one format", labels)
    return Chosen([(path, labels)], format)


def of_pattern(path: str, options: Options, labelled: bool) -> Chosen:
    """Chooses files that match a pattern: all are meant, so one that repeats another is told and not refused."""
    left, names, folders = LeftOut(), list[str](), list[str]()
    for name in (name.rstrip("/") for name in fs.glob(path)):
        short = name.rsplit("/", 1)[-1]
        folder = fs.isdir(name)
        if reason := aside(short, folder):
            left.add(reason, short)
        else:
            (folders if folder else names).append(name)
    if not names and holds_partitions(name.rsplit("/", 1)[-1] for name in folders):
        found = [file for folder in folders for file in walk(folder, left, placed.refuse_inside)]
        return _partitioned(
            [(name, {**placed.keys_above(name, path), **keys}) for name, keys in found], path, options, left
        )
    left.add(WORDS["folder"], *(f"{name.rsplit('/', 1)[-1]}/" for name in folders))
    if names and (lying := placed.of_files(names, options)):
        return _logged(lying, left)
    if names and any(placed.keys_above(name, path) for name in names):
        return _partitioned([(name, placed.keys_above(name, path)) for name in names], path, options, left)
    if not names:
        what = f"no file matches{left}"
        raise DataError(what + ("; name the folder that holds the classes' folders" if folders else ""), path)
    if not labelled and options.format in (None, "images") and all(name.lower().endswith(IMAGES) for name in names):
        return Chosen([(name, None) for name in names], "images", None, left.lines())
    files, format = of_one_format(survey(names, options), path, options, left)
    files = unpacked(files, left)
    return _paired(files, format, path, left, refuse=False)


def of_folder(path: str, part: str | None, options: Options, labelled: bool) -> Chosen:
    """Chooses files of a folder, of a part of it, or the folder itself if it holds a folder of images a class.

    Parameters
    ----------
    part : {'train', 'test', 'val'} or None
        None: the training part, or all where there are no parts.
    labelled : bool
        False: no labels are wanted, so that images need no classes.
    """
    left, names, folders = LeftOut(), list[str](), list[str]()
    there = fs.list(path)
    if lying := placed.of_folder(path, there, options):
        if part in ("test", "val"):
            raise DataError(f"a table with a log has no {NAMES[part]} part; --where picks rows of it", path)
        return _logged(lying)
    for name in there:
        folder = fs.isdir(fs.join(path, name))
        if reason := aside(name, folder):
            left.add(reason, name)
        else:
            (folders if folder else names).append(name)
    if holds_partitions(folders) or (placed.own_keys(path) and not folders):
        if part in ("test", "val"):
            raise DataError(f"folders of partitions have no {NAMES[part]} part; --where picks rows of them", path)
        left = LeftOut()
        return _partitioned(
            [(name, {**placed.own_keys(path), **keys}) for name, keys in walk(path, left, placed.refuse_inside)],
            path,
            options,
            left,
        )
    if folders and all(map(part_of_folder, folders)):
        images = any(_holds_images(fs.join(path, name), 2) for name in folders)
        if not names or (images and options.format in (None, "images")):
            _leave_files(names, left)
            return _part_of_folders(path, folders, part, options, left, labelled)
        if not images:
            what = f"the folder holds parts ({some(folders)}) and files ({some(names)}); name the one that is meant"
            raise DataError(what, path)
    if options.format in (None, "images") and any(_holds_images(fs.join(path, name)) for name in folders):
        if part in ("test", "val"):
            raise DataError(f"the folder has no {NAMES[part]} part; it holds {some(folders)}", path)
        _leave_files(names, left)
        return Chosen([(path, None)], "images", None, left.lines())
    paths = [fs.join(path, name) for name in names]
    if not names and folders:
        paths = _nested(path, folders, left)
    else:
        left.add("a folder beside files of samples", *(f"{name}/" for name in folders))
    if not labelled and options.format in (None, "images") and any(name.lower().endswith(IMAGES) for name in names):
        others = survey([name for name in paths if not name.lower().endswith(IMAGES)], options)
        if options.format or not any(item.format in (*BINARY, *TEXT) for item in others):
            for item in others:
                left.add(f"{WORDS[item.format]} beside images", item.name)
            return Chosen([(path, None)], "images", None, left.lines())
        what = f"samples and images: {listed(others)}; --format says which are meant: images, csv, …"
        raise DataError(what, path)
    return _files_of_folder(paths, path, part, options, left, labelled)


def _nested(path: str, folders: list[str], left: LeftOut) -> list[str]:
    """List the files in folders within folders, none of which are images."""
    deeper = next((name for name in folders if _holds_images(fs.join(path, name), 2)), None)
    files = [] if deeper else walk(path, left, placed.refuse_inside)
    if not files:
        what = f"the folder holds folders ({some(folders)}) that hold no images; expected files of samples, or one "
        what += "folder of images for each class"
        hint = f"{deeper} holds folders of images: name it" if deeper else "name one of them, or their files by a glob"
        raise DataError(f"{what}; {hint}", path)
    return [name for name, _ in files]


def _logged(lying: Lying, left: LeftOut | None = None) -> Chosen:
    """Chooses the live files of a table with a log."""
    out = [] if left is None else left.lines()
    return Chosen([(path, None) for path in lying.paths], lying.format or "parquet", None, out, lying=lying)


def _partitioned(files: list[tuple[str, placed.Named]], path: str, options: Options, left: LeftOut) -> Chosen:
    """Chooses files in folders that are called by their keys."""
    if not files:
        raise DataError(f"folders of partitions without a file of samples{left}", path)
    lying = placed.partitions(files, path, options)
    meant = prune(lying.paths, lying, parse(options.where), options.where) if options.where else lying.paths
    seen, format = of_one_format(survey(meant, options), path, options, left)
    pairs: Pairs = [(item.path, None) for item in seen]
    if format not in (*TYPED, "csv", "json"):
        left.add(f"a key of folders, which {format} samples have no column for", *sorted(lying.types))
        return Chosen(pairs, format, None, left.lines(), tables=seen)
    aside = {*meant} - {item.path for item in seen}
    lying.paths = [name for name in lying.paths if name not in aside]
    return Chosen(pairs, format, None, left.lines(), tables=seen, lying=lying)


def _files_of_folder(
    names: list[str], path: str, part: str | None, options: Options, left: LeftOut, labelled: bool
) -> Chosen:
    files, format = of_one_format(survey(names, options), path, options, left)
    parts = split_parts(unpacked(files, left), path)
    if part in ("test", "val") and not parts[part]:
        if format != "npz":  # an archive may hold parts
            raise DataError(f"the folder has no {NAMES[part]} part; it holds {some([f.name for f in files])}", path)
        part_of_archive: str | None = part
        chosen = parts["train"]
    else:
        chosen, part_of_archive = parts[part or "train"], None
    if not chosen:
        raise DataError(f"the folder has no training part; it holds {some([item.name for item in files])}", path)
    others = [item for name, items in parts.items() for item in items if items is not chosen]
    for name, items in parts.items():
        if items is not chosen:
            left.add(f"the {NAMES[name]} part", *(item.name for item in items))
    out = _paired(chosen, format, path, left, refuse=True)
    if labelled:
        _refuse_lone(out, names, path)
    out.part = part_of_archive
    features, elsewhere = {x for x, _ in out.pairs}, {item.path for item in others}
    for first, repeat in twins([*(item for item in chosen if item.path in features), *others]) if others else ():
        if first.path in features and repeat.path in elsewhere:
            out.duplicates.append(f"{repeat.name}: the same bytes as {first.name}, of another part")
    return out


def _refuse_lone(chosen: Chosen, names: list[str], path: str) -> None:
    """Refuses arrays without labels beside a file of another format that is called labels."""
    if chosen.format != "npy" or chosen.pairs[0][1] is not None:
        return
    own = {item.name for item in chosen.tables}
    for name in (name.rsplit("/", 1)[-1] for name in names):
        if name not in own and PAIR_Y.search(name):
            what = f"{name} may hold the labels of {some(sorted(own), 3)}, but is no npy file; name the samples alone"
            raise DataError(what + ", or save the labels as npy", path)


def _leave_files(names: list[str], left: LeftOut) -> None:
    """Leaves out the files beside folders of images."""
    for name in names:
        table = name.lower().endswith(TABLES)
        image = name.lower().endswith(IMAGES)
        what = "a table" if table else "an image in no class's folder" if image else "a file"
        left.add(what if image else f"{what} beside folders of images", name)


def _part_of_folders(
    path: str, folders: list[str], part: str | None, options: Options, left: LeftOut, labelled: bool
) -> Chosen:
    """Chooses samples of a folder whose parts are folders: train/, val/, test/."""
    wanted = part or "train"
    chosen = [name for name in folders if part_of_folder(name) == wanted]
    if not chosen:
        raise DataError(f"the folder has no {NAMES[wanted]} part; it holds {some(folders)}", path)
    for name in folders:
        if name not in chosen:
            left.add(f"the {NAMES[part_of_folder(name) or 'train']} part", f"{name}/")
    if len(chosen) > 1:
        raise DataError(f"{some(chosen)} are both called the {NAMES[wanted]} part; name the one that is meant", path)
    out = of_folder(fs.join(path, chosen[0]), None, options, labelled)
    out.left_out = left.lines() + out.left_out
    return out


def _holds_images(folder: str, depth: int = 1) -> bool:
    """Tells if a folder holds images, or with `depth` 2 one of its folders."""
    names = [name for name in fs.list(folder) if name[0] not in "._"]
    if any(name.lower().endswith(IMAGES) for name in names):
        return True
    inside = (fs.join(folder, name) for name in names) if depth > 1 else iter(())
    return any(fs.isdir(name) and _holds_images(name, depth - 1) for name in inside)


def _paired(files: list[Seen], format: str, path: str, left: LeftOut, refuse: bool) -> Chosen:
    """Joins files of features with files of labels, if that is what their names say, and looks for repeated ones."""
    joined = pairs(files, format, path)
    if joined[0][1] is not None and format in TEXT:
        format = "pair"
    duplicates = []
    features = {x for x, _ in joined}
    for first, other in twins([item for item in files if item.path in features]):
        what = f"the same bytes as {first.name}"
        if refuse and not numbered_parts(first, other):
            raise DataError(
                f"{what}, so each sample would count twice; leave one out, or name both by a glob", other.path
            )
        duplicates.append(f"{other.name}: {what}")
    return Chosen(joined, format, None, left.lines(), duplicates, files)
