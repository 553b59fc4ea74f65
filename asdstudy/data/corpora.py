"""The corpus index: a tree of clips in any DCASE Task 2 layout becomes one pandas frame.

What the clips, names and tables may be is decided in :mod:`asdstudy.data.inputs`.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PureWindowsPath
from typing import NamedTuple

import pandas as pd

from asdlib.errors import InputError, one_of
from asdstudy.data import inputs
from asdstudy.data.inputs import CLIPS, MIMII, SOUND, SPLITS, SUPPLEMENTAL, name_of
from asdstudy.paths import composed

COLUMNS = [
    *("path", "machine_type", "product", "domain", "split", "label", "attributes", "event"),
    "frames",
]
LISTING = "recordings.csv"  # beside train and test: which recording each clip was cut from
EVENT = re.compile(r"(?:^|_)clip_([0-9]+)(?:_|$)")  # several microphones hear one clip
TABLES = {  # beside the splits of a machine type: column of the index and reader, by name
    re.compile(r"attributes?.*\.csv"): ("attributes", inputs.read_attributes),
    re.compile(re.escape(LISTING)): ("event", inputs.read_recordings),
}
TRUTH = {  # the same for the tables in these folders beside the machine types
    "ground_truth": ("label", partial(inputs.read_truth, words=inputs.LABELS)),
    "ground_truth_data": ("label", partial(inputs.read_truth, words=inputs.LABELS)),
    "ground_truth_domain": ("domain", partial(inputs.read_truth, words=inputs.DOMAINS)),
}
TRUTH_NAME = re.compile(r"ground_truth_(.+)_section_[0-9]+(_source|_target)?(_test)?\.csv", re.I)
LIKE_A_TABLE = re.compile(r"ground_truth_.+_section_.*|attributes?[_.].*|recordings\.csv", re.I)
PLACES = "<machine type>/<train|test|source_test|target_test>/"
BESIDE = ("corpus.json", "source.json", "README*", "readme*", "LICENSE*")  # known to lie there


class Survey(NamedTuple):
    """What lies in a corpus.

    ``clips``: the rows of the index, and supplemental ones; ``faults``: why a file or folder cannot
    be used; ``unused``: why one is passed over; ``folders`` of the machine types, by name; the
    ``tables`` that were read.
    """

    clips: pd.DataFrame
    faults: dict[Path, str]
    unused: dict[Path, str]
    folders: dict[str, Path]
    tables: set[Path]


def index(data_dir, machine_types=None, domain: str | None = None) -> pd.DataFrame:
    """Every clip below ``<data_dir>/<machine type>/<train|test|source_test|target_test>/``.

    One row per clip, sorted by path: ``path``, ``machine_type``, ``product`` (the product ID, which
    DCASE calls section, as in the name: "00"), ``domain`` ("source", "target" or "unknown"),
    ``split``, ``label`` ("normal", "anomaly" or "unknown"), ``attributes``, ``event`` (clips of one
    product ID and event are of the same recording; "" where nothing says), ``frames`` (samples).
    Only headers are read. ``machine_types`` and ``domain`` keep a part; a clip of unknown domain
    is of every domain. Tables give what names leave out, see :func:`survey`.

    The trees of MIMII (Purohit et al., 2019), ``<machine type>/id_<II>/<normal|abnormal>/``, are
    read too, where they have been made mono.

    Raises :class:`InputError`, naming the file, for a tree, a clip or a table that cannot be used.
    """
    data_dir = Path(data_dir)
    clips, faults, _, folders, _ = survey(data_dir, machine_types)
    for why in faults.values():
        more = f" (the first of {len(faults)} faults: `asd describe` lists them)"
        raise InputError(why + more * (len(faults) > 1))
    if not folders:
        raise InputError(
            f"{data_dir}: no machine types; expected folders <machine type>/train/{_hint(data_dir)}"
        )
    clips = clips[clips.split != SUPPLEMENTAL]
    if domain is not None:
        clips = clips[clips.domain.isin([domain, "unknown"])]
    if not len(clips):
        raise InputError(f"{data_dir}: no {domain or ''} clips (.wav, .flac) below {list(folders)}")
    return clips.reset_index(drop=True)


def survey(data_dir, machine_types=None) -> Survey:
    """Look at all that lies in a corpus: every visible file is a clip, a table, used or a fault.

    Tables give what the names of clips leave out. Rows of file name and 0 or 1, or the words, say
    what is an anomaly, in
    ``<data_dir>/ground_truth/ground_truth_<machine type>_section_<II>[_<domain>]_test.csv``, and
    what is of the target domain, in ``ground_truth_domain/``. Attributes come from
    ``<machine type>/attributes_*.csv``, events from ``<machine type>/recordings.csv`` or an
    attribute ``clip_<number>``. Of MIMII, which has no test set, the last normal clips of each
    product ID are put into one, as many as it has anomalous clips, but half of the normal ones at
    most.
    """
    data_dir, faults, unused, places = Path(data_dir), {}, {}, []
    if not os.path.isdir(data_dir):
        raise InputError(f"{data_dir}: no such folder; expected a corpus of <machine type>/train/")
    folders = machine_folders(data_dir, faults)
    names = [composed(name) for name in machine_types or folders]
    for machine_type in names:
        one_of(f"machine type in {data_dir}", machine_type, list(folders))
    chosen = {name: folders[name] for name in names}
    for machine_type, folder in chosen.items():
        with _noting(faults, folder):
            places += [(machine_type, path) for path in clip_files(folder, faults)]
    rows = [row for row in map(partial(_row, faults), places) if row]  # threads only get in the way
    clips = pd.DataFrame(rows, columns=COLUMNS).astype({"frames": int})
    passed = {path for _, path in places}
    others = [folder for name, folder in folders.items() if name not in chosen]
    tables = []
    for path in files_below(data_dir, faults):
        if path in passed or any(folder in path.parents for folder in others):
            continue
        with _noting(faults, path):
            if table := _table(path, data_dir, folders):
                tables.append((path, *table))
            elif why := _why_unused(path, folders):
                unused[path] = str(InputError(f"{path}: {why}"))
    for machine_type, part in clips.groupby("machine_type"):
        faults |= _twice(part)
        for column in ("attributes", "event", "label", "domain"):
            own = [(path, read) for path, *of, read in tables if of == [machine_type, column]]
            values = _values(part, column, own, {*folders} - {machine_type}, faults)
            clips.loc[part.index, column] = values
    for path in [path for path, machine_type, *_ in tables if machine_type not in folders]:
        unused[path] = str(InputError(f"{path}: a table of no machine type here"))
    for machine_type in {*chosen} - {name for name, _ in places}:
        folder = chosen[machine_type]
        if not any(folder in (path, *path.parents) for path in faults):
            faults[folder] = str(InputError(f"{folder}: no clips (.wav, .flac) in it"))
    clips = clips[~clips.path.isin(list(faults))].reset_index(drop=True)
    clips["attributes"] = clips.attributes.replace("noAttribute", "")
    numbered = clips.attributes.str.extract(EVENT, expand=False)
    clips["event"] = clips.event.where(clips.event != "", numbered.fillna(""))
    of_mimii = clips[clips.path.map(lambda path: path.parent.name).isin(list(MIMII))]
    for _, part in of_mimii.groupby(["machine_type", "product"]):
        normal = part.index[part.label == "normal"]
        held_out = min((part.label == "anomaly").sum(), len(normal) // 2)
        clips.loc[normal[len(normal) - held_out :], "split"] = "test"
    return Survey(clips, faults, unused, folders, {path for path, *_ in tables})


def machine_folders(data_dir, faults: dict | None = None) -> dict[str, Path]:
    """The folders of the machine types, by name; those of MIMII may lie in ``-6_dB_fan/fan``.

    What is wrong is noted in ``faults``, or raised.
    """
    folders = {}
    for folder in filter(os.path.isdir, inside(Path(data_dir))):
        with _noting(faults, folder):
            inner_folders = [folder]
            if not any(os.path.isdir(folder / s) for s in SPLITS) and not _is_mimii(folder):
                inner_folders = [f for f in inside(folder) if os.path.isdir(f) and _is_mimii(f)]
            for inner in inner_folders:
                inner_name = composed(inner.name)
                for name, other in folders.items():
                    if name == inner_name or other.resolve() == inner.resolve():
                        raise InputError(
                            f"{inner}: {name} is also in {other}; expected each machine type "
                            "once: give a folder with one SNR"
                        )
                folders[inner_name] = inner
    return folders


def clip_files(folder: Path, faults: dict) -> Iterator[Path]:
    """The clips of a machine type: what lies in its splits, or in those of MIMII."""
    places = [folder / split for split in SPLITS if os.path.isdir(folder / split)]
    if _is_mimii(folder):
        if places:
            raise InputError(f"{folder}: id_<II>/ beside {places[0].name}/; expected either layout")
        products = [path for path in inside(folder) if path.name.startswith("id_")]
        places = [path / name for path in products for name in sorted(MIMII)]
    for place in filter(os.path.isdir, places):
        with _noting(faults, place):
            yield from (path for path in inside(place) if path.suffix.lower() in CLIPS)


def files_below(folder: Path, faults: dict | None = None) -> Iterator[Path]:
    """All visible files below, also below links to folders, but once round a ring of links."""
    for path in inside(folder):
        if not os.path.isdir(path) or LIKE_A_TABLE.fullmatch(path.name):
            yield path
        elif path.resolve() not in (folder.resolve(), *folder.resolve().parents):
            with _noting(faults, path):
                yield from files_below(path, faults)


def inside(folder: Path) -> list[Path]:
    """What lies in a folder, sorted, without what is hidden."""
    try:
        os.stat(f"{folder}/.")  # names may be listed of what may not be opened
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise InputError(
            f"{folder}: cannot be read ({error.strerror}); expected a folder"
        ) from None


@contextmanager
def _noting(faults: dict | None, path: Path):
    """An :class:`InputError` inside becomes the fault of ``path``, where faults are collected."""
    try:
        yield
    except InputError as error:
        if faults is None:
            raise
        faults.setdefault(path, str(error))


def _row(faults: dict, place: tuple[str, Path]) -> dict | None:
    """A row of the index for a clip of a machine type, or a fault."""
    machine_type, path = place
    with _noting(faults, path):
        name_of(f"{path}: machine type", machine_type)
        frames = inputs.clip_frames(path)  # first: it says whether the name is legible
        about = {"path": path, "machine_type": machine_type, "event": "", "frames": frames}
        return about | inputs.parse_name(path)


def _twice(clips: pd.DataFrame) -> dict[Path, str]:
    """The clips of a machine type that are there twice, by name or by a link, or whose product ID
    is written in another way."""
    faults, stems, files, spelled = {}, {}, {}, {}
    for path, product in zip(clips.path, clips["product"], strict=True):
        if (other := files.setdefault(inputs.file_of(path), path)) != path:
            faults[path] = f"{path}: the same file as {other}; expected each clip once"
        if (other := stems.setdefault(composed(str(path.with_suffix(""))), path)) != path:
            faults[path] = f"{path}: the same name as {other.name}; expected each clip once"
        usual, first = spelled.setdefault(product.lstrip("0"), (product, path))
        if usual != product:
            faults[path] = f"{path}: product ID {product}; expected {usual}, as in {first}"
    return faults


def _table(path: Path, data_dir: Path, folders: dict[str, Path]) -> tuple | None:
    """Machine type, column of the index and reader of a table; None for another file."""
    if path.parent in folders.values():
        readers = [of for name, of in TABLES.items() if name.fullmatch(path.name.lower())]
        return (composed(path.parent.name), *readers[0]) if readers else None
    folder, match = path.parent, TRUTH_NAME.fullmatch(path.name)
    if folder.parent != data_dir or folder.name not in TRUTH or path.suffix.lower() != ".csv":
        return None
    if match is None:
        expected = "ground_truth_<machine type>_section_<II>[_<domain>]_test.csv"
        raise InputError(f"{path}: the name does not parse; expected {expected}")
    of = composed(match[1])
    alike = [name for name in folders if name.casefold() == of.casefold()]  # case may be lost
    if of not in folders and len(alike) > 1:
        raise InputError(f"{path}: of {' or '.join(alike)}; expected the name of one of them")
    return of if of in folders or not alike else alike[0], *TRUTH[folder.name]


def _why_unused(path: Path, folders: dict[str, Path]) -> str:
    """Why the index passes over a file; nothing for what is known to lie in a corpus.

    Raises :class:`InputError` for what would be missed: sound, a table, a folder of clips.
    """
    if not os.path.exists(path):
        raise InputError(f"{path}: a link to nothing; expected a file or folder")
    if path.name in SPLITS:
        raise InputError(f"{path}: no folder; expected one of clips")
    if LIKE_A_TABLE.fullmatch(path.name):
        raise InputError(
            f"{path}: a table that is not read; expected <machine type>/attributes_<II>.csv or "
            "ground_truth/ground_truth_<machine type>_section_<II>[_<domain>]_test.csv"
        )
    why = "no clip; expected .wav or .flac"
    if path.suffix.lower() in CLIPS:
        why = f"not in a folder {PLACES}; expected no other sound in a corpus"
    is_clip_name, _ = inputs.said_in(path.name.partition(".")[0])  # it is not there by chance
    if folders and (path.suffix.lower() in SOUND or is_clip_name):
        raise InputError(f"{path}: {why}")
    return "" if any(path.match(pattern) for pattern in BESIDE) else why


def _values(clips: pd.DataFrame, column: str, tables: list, others: set, faults: dict) -> list[str]:
    """A column of a machine type's clips, where names leave it open as its tables say.

    A table, each with its reader, is a fault where it contradicts the names or other rows, where it
    names none of the clips, or only some of a product ID in one folder. ``others`` are the other
    machine types.
    """
    rows = dict(zip(clips.path, clips[column], strict=True))
    part_of = {
        path: (of, path.parent) for path, of in zip(clips.path, clips["product"], strict=True)
    }
    open_ = {path for path, value in rows.items() if value in ("", "unknown")}
    by_stem, filled, table_of = {}, {}, {}
    for path in rows:
        by_stem.setdefault(composed(path.stem), []).append(path)
    for table, read in tables:
        number, matches = 0, []
        with _noting(faults, table):
            for number, name, value in read(table):
                paths = _meant(name, by_stem, others)
                matches = matches or paths
                for path in paths:
                    usual = filled.get(path, value if path in open_ else rows[path])
                    if usual != value and (column != "attributes" or path in filled):
                        raise InputError(
                            f"{table}: row {number}: {name} is {value!r}; expected {usual!r}, as "
                            "its name, its folder or another row says"
                        )
                    filled[path], table_of[part_of[path]] = value, table
            if number and not matches:
                raise InputError(
                    f"{table}: none of its clips is there; expected names as {clips.path.iloc[0]}"
                )
    for path in sorted(open_ - {*filled}):
        if table := table_of.get(part_of[path]):
            why = f"{table}: no row for {path.name}; expected all test or train clips of a product"
            faults.setdefault(table, why)
    return [filled[path] if path in open_ & {*filled} else rows[path] for path in rows]


def _meant(name: str, by_stem: dict[str, list[Path]], others: set[str]) -> list[Path]:
    """The clips that a table means by ``name``, with or without a path before or a suffix."""
    *above, last = PureWindowsPath(composed(name)).parts or ("",)  # knows / and \ and drives
    if PureWindowsPath(last).suffix.lower() in CLIPS:
        last = PureWindowsPath(last).stem
    clips = by_stem.get(last, [])
    if above and above[-1] in SPLITS:
        of_other = len(above) > 1 and above[-2] in others
        clips = [path for path in clips if path.parent.name == above[-1] and not of_other]
    return clips


def _is_mimii(folder: Path) -> bool:
    return any(p.name.startswith("id_") and os.path.isdir(p / "normal") for p in inside(folder))


def _hint(data_dir: Path) -> str:
    """Where one level up or down there are machine types."""
    if (data_dir / "train").is_dir() or _is_mimii(data_dir):
        return f"; this looks like a machine type: give {data_dir.parent}"
    lower = [f for f in inside(data_dir) if f.is_dir() and machine_folders(f)]
    return "; there are some in " + ", ".join(map(str, lower)) if lower else ""
