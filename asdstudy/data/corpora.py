"""The corpus index: a tree of clips in any DCASE Task 2 layout becomes one pandas frame.

What a machine type, the name of a clip and a table beside the clips may be is decided here and
nowhere else; what sound may be, in :func:`asdlib.waves.read_header` and below.
"""

import csv
import io
import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PureWindowsPath
from typing import NamedTuple

import pandas as pd

from asdlib.errors import InputError, name_of, one_of
from asdlib.profiles import SAMPLE_RATE

COLUMNS = [
    *("path", "machine_type", "product", "domain", "split", "label", "attributes", "event"),
    "frames",
]
LISTING = "recordings.csv"  # beside train and test: which recording each clip was cut from
EVENT = re.compile(r"(?:^|_)clip_([0-9]+)(?:_|$)")  # several microphones hear one clip
# the folders of a machine type and what lies in each; the domain is in the name from 2021 on
SPLITS = {
    "train": {"split": "train", "label": "normal"},
    "test": {"split": "test"},
    "source_test": {"split": "test", "domain": "source"},
    "target_test": {"split": "test", "domain": "target"},
}
MIMII = {  # folders below <machine type>/id_<II>
    "normal": {"split": "train", "label": "normal", "domain": "source"},
    "abnormal": {"split": "test", "label": "anomaly", "domain": "source"},
}
SUFFIXES = {".wav", ".flac"}
NAMES = (  # and the domain of a name that tells none
    (  # 2021 and later
        re.compile(
            r"section_(?P<product>[0-9]+)_(?P<domain>source|target)_(?P<split>train|test)"
            r"(?:_(?P<label>normal|anomaly))?_[0-9]+(?:_(?P<attributes>.*))?"
        ),
        "source",
    ),
    (  # the evaluation sets of 2022, and of 2023 and later, whose domains are mixed
        re.compile(r"section_(?P<product>[0-9]+)(?:_(?P<split>test))?_[0-9]+"),
        "unknown",
    ),
    (  # 2020, before there were domains
        re.compile(r"(?:(?P<label>normal|anomaly)_)?id_(?P<product>[0-9]+)_[0-9]+"),
        "source",
    ),
)
EXPECTED = (
    "section_<II>_<source|target>_<train|test>_<normal|anomaly>_<NNNN>[_<attributes>]"
    " or <normal|anomaly>_id_<II>_<NNNNNNNN>"
)
TRUTH = (  # column, folders of its tables beside the machine types, meaning of the words there
    (
        "label",
        ("ground_truth", "ground_truth_data"),
        {"0": "normal", "normal": "normal", "1": "anomaly", "anomaly": "anomaly"}
        | {"anomalous": "anomaly", "abnormal": "anomaly"},
    ),
    (
        "domain",
        ("ground_truth_domain",),
        {"0": "source", "source": "source", "1": "target", "target": "target"},
    ),
)
TRUTH_NAME = "ground_truth_{}_section_[0-9]+(_source|_target)?(_test)?[.]csv"


class Survey(NamedTuple):
    """What lies in a corpus: ``clips``, the rows of the index; ``faults``, why the rest cannot be
    used, by file or folder; the ``folders`` of the machine types; the ``tables`` that were read."""

    clips: pd.DataFrame
    faults: dict[Path, str]
    folders: dict[str, Path]
    tables: set[Path]


def index(data_dir, machine_types=None, domain: str | None = None) -> pd.DataFrame:
    """Every clip below ``<data_dir>/<machine type>/<train|test|source_test|target_test>/``.

    One row a clip, sorted by path: ``path``, ``machine_type``, ``product`` (the product ID, which
    DCASE calls section, as in the name: "00"), ``domain`` ("source", "target" or "unknown"),
    ``split``, ``label`` ("normal", "anomaly" or "unknown"), ``attributes``, ``event`` (clips of one
    product ID and event are of the same recording; "" where nothing says), ``frames`` (samples).
    Only headers are read. ``machine_types`` and ``domain`` keep a part; a clip of unknown domain
    is of every domain. What names leave out is taken from tables, see :func:`survey`.

    The trees of MIMII (Purohit et al., 2019), ``<machine type>/id_<II>/<normal|abnormal>/``, are
    read too, where they have been made mono.

    Raises :class:`InputError`, naming the file, for a tree, a clip or a table that cannot be used.
    """
    data_dir = Path(data_dir)
    clips, faults, folders, _ = survey(data_dir, machine_types)
    for why in faults.values():
        more = f" (the first of {len(faults)} faults: `asd describe` lists them)"
        raise InputError(why + more * (len(faults) > 1))
    if not folders:
        raise InputError(
            f"{data_dir}: no machine types; expected folders <machine type>/train/{_hint(data_dir)}"
        )
    if domain is not None:
        clips = clips[clips.domain.isin([domain, "unknown"])].reset_index(drop=True)
    if not len(clips):
        raise InputError(f"{data_dir}: no {domain or ''} clips (.wav, .flac) below {list(folders)}")
    return clips


def survey(data_dir, machine_types=None) -> Survey:
    """Look at all that lies in the folders of the machine types, and in the tables beside them.

    What the names of clips leave out is in tables. Rows of file name and 0 or 1, or the words, say
    what is an anomaly, in
    ``<data_dir>/ground_truth/ground_truth_<machine type>_section_<II>[_<domain>]_test.csv``, and
    what is of the target domain, in ``ground_truth_domain/``. Attributes come from
    ``<machine type>/attributes_*.csv``, events from ``<machine type>/recordings.csv`` or an
    attribute ``clip_<number>``. Of MIMII, which has no test set, the last normal clips of each
    product ID are put into one, as many as it has anomalous clips, but half of the normal ones at
    most.
    """
    data_dir = Path(data_dir)
    if not data_dir.is_dir():
        raise InputError(f"{data_dir}: no such folder; expected a corpus of <machine type>/train/")
    faults, places, tables = {}, [], set()
    folders = machine_folders(data_dir, faults)
    for machine_type in machine_types or ():
        one_of(f"machine type in {data_dir}", machine_type, list(folders))
    for machine_type in machine_types or folders:
        with _noting(faults, folders[machine_type]):
            places += [(machine_type, path) for path in clip_files(folders[machine_type])]
    with ThreadPoolExecutor() as pool:
        rows = [row for row in pool.map(partial(_row, faults), places) if row]
    clips = pd.DataFrame(rows, columns=COLUMNS).astype({"frames": int})
    for machine_type, part in clips.groupby("machine_type"):
        faults |= _twice(part)
        folder, others = folders[machine_type], {*folders} - {machine_type}
        beside = {"attributes": [], "event": [], "label": [], "domain": []}
        with _noting(faults, folder):
            for path in inside(folder):
                if re.fullmatch("attributes_.*[.]csv", path.name, re.IGNORECASE):
                    beside["attributes"].append((path, _attributes))
                elif path.name == LISTING:
                    beside["event"].append((path, _recordings))
        for column, names, meaning in TRUTH:
            read = partial(_truth, meaning=meaning)
            for path in _truth_tables(data_dir, names, machine_type, folders, faults):
                beside[column].append((path, read))
        for column, readers in beside.items():
            clips.loc[part.index, column] = _told(part, column, readers, others, faults)
            tables |= {path for path, _ in readers}
    clips = clips[~clips.path.isin(list(faults))].reset_index(drop=True)
    clips["attributes"] = clips.attributes.replace("noAttribute", "")
    numbered = clips.attributes.str.extract(EVENT, expand=False)
    clips["event"] = clips.event.where(clips.event != "", numbered.fillna(""))
    of_mimii = clips[clips.path.map(lambda path: path.parent.name).isin(list(MIMII))]
    for _, part in of_mimii.groupby(["machine_type", "product"]):
        normal = part.index[part.label == "normal"]
        held_out = min((part.label == "anomaly").sum(), len(normal) // 2)
        clips.loc[normal[len(normal) - held_out :], "split"] = "test"
    return Survey(clips, faults, folders, tables)


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
                if inner.name in folders:
                    raise InputError(
                        f"{inner}: {inner.name} is also in {folders[inner.name]}; "
                        "expected each machine type once: give a folder with one SNR"
                    )
                folders[inner.name] = inner
    return folders


def clip_files(folder: Path) -> list[Path]:
    """The clips of a machine type: what lies in its splits, or in those of MIMII."""
    places = [folder / split for split in SPLITS if os.path.isdir(folder / split)]
    if _is_mimii(folder):
        if places:
            raise InputError(f"{folder}: id_<II>/ beside {places[0].name}/; expected either layout")
        products = [path for path in inside(folder) if path.name.startswith("id_")]
        places = [path / name for path in products for name in sorted(MIMII)]
    places = filter(os.path.isdir, places)
    return [p for place in places for p in inside(place) if p.suffix.lower() in SUFFIXES]


def files_below(folder: Path, faults: dict | None = None) -> Iterator[Path]:
    """All visible files below, also below links to folders, but once round a ring of links."""
    for path in inside(folder):
        if not os.path.isdir(path):
            yield path
        elif path.resolve() not in (folder.resolve(), *folder.resolve().parents):
            with _noting(faults, path):
                yield from files_below(path, faults)


def inside(folder: Path) -> list[Path]:
    """What lies in a folder, sorted, without what is hidden."""
    try:
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
        name_of("machine type", machine_type)
        names = parse_name(path)
        about = {"path": path, "machine_type": machine_type, "event": ""}
        return about | names | {"frames": clip_frames(path)}


def parse_name(path: Path) -> dict:
    """What name and folder of a clip say: product, domain, split, label and attributes."""
    from asdlib.waves import check_name

    check_name(path)
    folder, of_mimii = path.parent.name, path.parent.name in MIMII
    place = MIMII[folder] if of_mimii else SPLITS[folder]
    if of_mimii:
        place = place | {"product": path.parent.parent.name.removeprefix("id_")}
    matches = ((name.fullmatch(path.stem), untold) for name, untold in NAMES)
    match, untold = next(((m, untold) for m, untold in matches if m), (None, "source"))
    if match is None and not of_mimii or not place.get("product", "00"):
        raise InputError(f"{path}: the name does not parse; expected {EXPECTED}")
    names = {n: v for n, v in match.groupdict().items() if v is not None} if match else {}
    for field, value in names.items():
        # the folders of MIMII are no split
        if value != place.get(field, value) and not (of_mimii and field in ("split", "domain")):
            where = path.parent.parent.name if field == "product" else folder
            raise InputError(f"{path}: the name says {value}, the folder {where}")
    return {"domain": untold, "label": "unknown", "attributes": ""} | names | place


def clip_frames(path: Path) -> int:
    """The length of a clip in samples, from its header, which is checked against what is there."""
    from asdlib.waves import read_header  # brings torch: not for who asks for a setting only

    info = read_header(path)
    remedy = "`asd adopt` converts recordings"
    if info.samplerate != SAMPLE_RATE:
        raise InputError(
            f"{path}: sample rate {info.samplerate} Hz; expected {SAMPLE_RATE} Hz ({remedy})"
        )
    if info.channels != 1:
        raise InputError(f"{path}: {info.channels} channels; expected one (mono) ({remedy})")
    return info.frames


def _twice(clips: pd.DataFrame) -> dict[Path, str]:
    """The clips of a machine type of which there is another with the same name, or whose product ID
    is written in another way."""
    faults, stems, spelled = {}, {}, {}
    for path, product in zip(clips.path, clips["product"], strict=True):
        other = stems.setdefault(path.with_suffix(""), path)
        if other != path:
            faults[path] = f"{path}: the same name as {other.name}; expected each clip once"
        usual, first = spelled.setdefault(product.lstrip("0"), (product, path))
        if usual != product:
            faults[path] = f"{path}: product ID {product}; expected {usual}, as in {first}"
    return faults


def _truth_tables(data_dir, names, machine_type: str, types, faults: dict) -> Iterator[Path]:
    """The tables of a machine type in the folders ``names``: of exactly one type each.

    A type of which there is no folder has none here; its tables are passed over.
    """
    for folder in (data_dir / name for name in names if os.path.isdir(data_dir / name)):
        with _noting(faults, folder):
            for path in (p for p in inside(folder) if p.suffix.lower() == ".csv"):
                if not re.fullmatch(TRUTH_NAME.format(".+"), path.name, re.IGNORECASE):
                    expected = "ground_truth_<machine type>_section_<II>[_<domain>]_test.csv"
                    faults[path] = f"{path}: the name does not parse; expected {expected}"
                elif re.fullmatch(TRUTH_NAME.format(re.escape(machine_type)), path.name):
                    yield path


def _told(
    clips: pd.DataFrame, column: str, tables: list, others: set[str], faults: dict
) -> list[str]:
    """The column of a machine type's clips with what tables, each with its reader, tell of it.

    A table is a fault where it contradicts the names or other rows, where it knows none of the
    clips, or only some of a product ID in one folder. ``others`` are the other machine types.
    """
    rows = dict(zip(clips.path, clips[column], strict=True))
    untold = {path for path, value in rows.items() if value in ("", "unknown")}
    part_of = dict(
        zip(
            clips.path,
            zip(clips["product"], clips.path.map(lambda path: path.parent), strict=True),
            strict=True,
        )
    )
    by_stem, told, told_by = {}, {}, {}
    for path in rows:
        by_stem.setdefault(path.stem, []).append(path)
    for table, read in tables:
        number, matches = 0, []
        with _noting(faults, table):
            for number, name, value in read(table):
                matches = matches or _meant(name, by_stem, others)
                for path in _meant(name, by_stem, others):
                    usual = told.get(path, value if path in untold else rows[path])
                    if usual != value and (column != "attributes" or path in told):
                        raise InputError(
                            f"{table}: row {number}: {name} is {value!r}; expected {usual!r}, as "
                            "its name, its folder or another row says"
                        )
                    told[path], told_by[part_of[path]] = value, table
            if number and not matches:
                raise InputError(
                    f"{table}: none of its clips is there; expected names as {clips.path.iloc[0]}"
                )
    for path in sorted(untold - {*told}):
        if table := told_by.get(part_of[path]):
            why = f"{table}: no row for {path.name}; expected all test or train clips of a product"
            faults.setdefault(table, why)
    return [told[path] if path in untold & {*told} else rows[path] for path in rows]


def _meant(name: str, by_stem: dict[str, list[Path]], others: set[str]) -> list[Path]:
    """The clips that a table means by ``name``, with or without a path before or a suffix."""
    *above, last = PureWindowsPath(name).parts or ("",)  # knows / and \ and drives
    if PureWindowsPath(last).suffix.lower() in SUFFIXES:
        last = PureWindowsPath(last).stem
    clips = by_stem.get(last, [])
    if above and above[-1] in SPLITS:
        of_other = len(above) > 1 and above[-2] in others
        clips = [path for path in clips if path.parent.name == above[-1] and not of_other]
    return clips


def _cells(table: Path) -> Iterator[tuple[int, list[str]]]:
    """The rows of a table that are not empty, numbered from 1, without blanks around the cells.

    Between the cells there are commas, semicolons or tabs, whichever spreadsheets leave.
    """
    expected = "expected a table of file names"
    try:
        content = table.read_bytes()
        utf16 = content[:2] in (b"\xff\xfe", b"\xfe\xff")
        text = content.decode("utf-16" if utf16 else "utf-8-sig")
        first = next((line for line in text.splitlines() if line.strip()), "")
        delimiter = next((sign for sign in "\t;," if sign in first), ",")
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{table}: {error}; {expected}, saved as CSV in UTF-8") from None
    rows = [(number, row) for number, row in rows if any(row)]
    if not rows:
        raise InputError(f"{table}: empty; {expected}")
    yield from rows


def _columns(table: Path, needed: tuple[str, ...], expected: str) -> Iterator[tuple[int, dict]]:
    """The rows of a table with a header, by column; columns without a name are left out."""
    (_, header), *rows = _cells(table)
    if not {*needed} <= {*header}:
        raise InputError(f"{table}: columns {header}; expected {expected}")
    for number, row in rows:
        if len(row) > len(header):
            raise InputError(f"{table}: row {number}: {len(row)} cells; expected {len(header)}")
        cells = dict(zip(header, row + [""] * (len(header) - len(row)), strict=True))
        cells.pop("", None)
        yield number, cells


def _attributes(table: Path) -> Iterator[tuple[int, str, str]]:
    """``file_name,d1p,d1v,...``: row, file name, and attributes joined as in the names of clips."""
    for number, row in _columns(table, ("file_name",), "file_name,d1p,d1v,..."):
        name = row.pop("file_name")
        yield number, name, "_".join(filter(None, row.values()))


def _recordings(table: Path) -> Iterator[tuple[int, str, str]]:
    """``clip,...,recording,...``: row, file name of the clip, and recording."""
    for number, row in _columns(table, ("clip", "recording"), "clip and recording among them"):
        yield number, row["clip"], row["recording"]


def _truth(table: Path, meaning: dict[str, str]) -> Iterator[tuple[int, str, str]]:
    """``file name,0 or 1``, with or without a header: row, file name, and the meaning."""
    rows, told = list(_cells(table)), False
    for place, (number, row) in enumerate(rows):
        row = row[: 1 + max(column for column, cell in enumerate(row) if cell)]
        value = row[-1].lower().removesuffix(".0")
        if len(row) == 2 and row[0] and value in meaning:
            told = True
            yield number, row[0], meaning[value]
        elif place or len(row) != 2 or re.search("[0-9]", row[0]):  # no header either
            raise InputError(
                f"{table}: row {number}: {','.join(row)!r}; expected a file name and one of "
                f"{', '.join(meaning)}"
            )
    if not told:
        raise InputError(f"{table}: no rows below the header; expected a file name and 0 or 1")


def _is_mimii(folder: Path) -> bool:
    return any(p.name.startswith("id_") and os.path.isdir(p / "normal") for p in inside(folder))


def _hint(data_dir: Path) -> str:
    """Where one level up or down there are machine types."""
    if (data_dir / "train").is_dir() or _is_mimii(data_dir):
        return f"; this looks like a machine type: give {data_dir.parent}"
    lower = [f for f in inside(data_dir) if f.is_dir() and machine_folders(f)]
    return "; there are some in " + ", ".join(map(str, lower)) if lower else ""
