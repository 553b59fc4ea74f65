"""The corpus index: a tree of clips in any DCASE Task 2 layout becomes one pandas frame."""

import re
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pandas as pd
import soundfile

from asdlib.errors import InputError, one_of
from asdlib.profiles import SAMPLE_RATE

COLUMNS = [
    *("path", "machine_type", "product", "domain", "split", "label", "attributes", "event"),
    "frames",
]
LISTING = "recordings.csv"  # beside train and test: which recording each clip was cut from
EVENT = re.compile(r"(?:^|_)clip_(\d+)(?:_|$)")  # an attribute: several microphones hear one clip
# the folders of a machine type; the domain is in the name from 2021 on
SPLITS = {"train": "train", "test": "test", "source_test": "test", "target_test": "test"}
MIMII = {"normal": "normal", "abnormal": "anomaly"}  # folders below <machine type>/id_<II>
SUFFIXES = {".wav", ".flac"}
NAMES = (  # and the domain of a name that tells none
    (  # 2021 and later
        re.compile(
            r"section_(?P<product>\d+)_(?P<domain>source|target)_(?P<split>train|test)"
            r"(?:_(?P<label>normal|anomaly))?_(?P<number>\d+)(?:_(?P<attributes>.*))?"
        ),
        "source",
    ),
    (  # the evaluation sets of 2022, and of 2023 and later, whose domains are mixed
        re.compile(r"section_(?P<product>\d+)(?:_(?P<split>test))?_(?P<number>\d+)"),
        "unknown",
    ),
    (  # 2020, before there were domains
        re.compile(r"(?:(?P<label>normal|anomaly)_)?id_(?P<product>\d+)_(?P<number>\d+)"),
        "source",
    ),
)
EXPECTED = (
    "section_<II>_<source|target>_<train|test>_<normal|anomaly>_<NNNN>[_<attributes>]"
    " or <normal|anomaly>_id_<II>_<NNNNNNNN>"
)
TRUTH = (  # column, folder of its tables beside the machine types, meaning of the numbers there
    ("label", "ground_truth", {0: "normal", 1: "anomaly"}),
    ("domain", "ground_truth_domain", {0: "source", 1: "target"}),
)


def index(data_dir, machine_types=None, domain: str | None = None) -> pd.DataFrame:
    """Every clip below ``<data_dir>/<machine type>/<train|test|source_test|target_test>/``.

    One row a clip, sorted by path: ``path``, ``machine_type``, ``product`` (the product ID, which
    DCASE calls section, as in the name: "00"), ``domain`` ("source", "target" or "unknown"),
    ``split``, ``label`` ("normal", "anomaly" or "unknown"), ``attributes``, ``event`` (clips of one
    product ID and event are of the same recording; "" where nothing says), ``frames`` (samples).
    Only headers are read. ``machine_types`` and ``domain`` keep a part; a clip of unknown domain
    is of every domain. What names leave out is taken from tables, see :func:`completed`.

    The trees of MIMII (Purohit et al., 2019), ``<machine type>/id_<II>/<normal|abnormal>/``, are
    read too, where they have been made mono.

    Raises :class:`InputError`, naming the file, for a tree or a clip that cannot be used.
    """
    data_dir = Path(data_dir)
    if not data_dir.is_dir():
        raise InputError(f"{data_dir}: no such folder; expected a corpus of <machine type>/train/")
    folders = machine_folders(data_dir)
    if not folders:
        raise InputError(
            f"{data_dir}: no machine types; expected folders <machine type>/train/{_hint(data_dir)}"
        )
    for machine_type in machine_types or ():
        one_of(f"machine type in {data_dir}", machine_type, list(folders))
    rows = [
        {"path": path, "machine_type": machine_type, **parse_name(path)}
        for machine_type in (machine_types or folders)
        for path in clip_files(folders[machine_type])
    ]
    clips = completed(pd.DataFrame(rows, columns=COLUMNS[:-2]), data_dir)
    if domain is not None:
        clips = clips[clips.domain.isin([domain, "unknown"])].reset_index(drop=True)
    if not len(clips):
        raise InputError(f"{data_dir}: no {domain or ''} clips (.wav, .flac) below {list(folders)}")
    with ThreadPoolExecutor() as pool:
        return clips.assign(frames=list(pool.map(clip_frames, clips.path)))


def machine_folders(data_dir) -> dict[str, Path]:
    """The folders of the machine types, by name; those of MIMII may lie in ``-6_dB_fan/fan``."""
    found = {}
    for folder in sorted(f for f in Path(data_dir).glob("[!.]*") if f.is_dir()):
        if (folder / "train").is_dir() or _is_mimii(folder):
            found[folder.name] = folder
            continue
        for inner in (f for f in sorted(folder.glob("[!.]*")) if _is_mimii(f)):
            if inner.name in found:
                raise InputError(
                    f"{inner}: {inner.name} is also in {found[inner.name]}; "
                    "expected each machine type once: give a folder with one SNR"
                )
            found[inner.name] = inner
    return found


def clip_files(folder: Path) -> list[Path]:
    """The clips of a machine type: what lies in its splits, or in those of MIMII."""
    inside = [folder / split for split in SPLITS]
    if _is_mimii(folder):
        inside = sorted(path for name in MIMII for path in folder.glob(f"id_*/{name}"))
    return [
        path
        for split in inside
        for path in sorted(split.glob("[!.]*"))
        if path.suffix.lower() in SUFFIXES
    ]


def parse_name(path: Path) -> dict:
    """What the name of a clip says: product, domain, split, label and attributes."""
    folder = path.parent.name
    if folder in MIMII:
        return {
            "product": path.parent.parent.name.removeprefix("id_"),
            "domain": "source",
            "split": "train" if folder == "normal" else "test",
            "label": MIMII[folder],
            "attributes": "",
        }
    matches = ((name.fullmatch(path.stem), untold) for name, untold in NAMES)
    match, untold = next(((m, untold) for m, untold in matches if m), (None, None))
    if match is None:
        raise InputError(f"{path}: the name does not parse; expected {EXPECTED}")
    found = match.groupdict()
    split = SPLITS[folder]
    named = folder.removesuffix("_test") if "_" in folder else None  # a domain
    domain = found.get("domain") or named or untold
    if found.get("split") not in (None, split):
        raise InputError(f"{path}: the name says {found['split']}, the folder {folder}")
    if named not in (None, domain):
        raise InputError(f"{path}: the name says {domain}, the folder {folder}")
    attributes = found.get("attributes") or ""
    return {
        "product": found["product"],
        "domain": domain,
        "split": split,
        "label": found.get("label") or ("normal" if split == "train" else "unknown"),
        "attributes": "" if attributes == "noAttribute" else attributes,
    }


def completed(clips: pd.DataFrame, data_dir: Path) -> pd.DataFrame:
    """The rows of :func:`parse_name` with what the names leave out.

    Attributes come from ``<machine type>/attributes_*.csv``; labels of an evaluation set from
    ``<data_dir>/ground_truth/ground_truth_<machine type>_*.csv``, domains from
    ``ground_truth_domain/`` in the same form: rows of file name and 0 or 1, 1 for an anomaly or
    for the target. Of MIMII, which has no test set, the last normal clips of each product ID are
    put into one, as many as it has anomalous clips, but half of the normal ones at most. Events
    come from ``<machine type>/recordings.csv``, or from an attribute ``clip_<number>``.
    """
    clips = clips.assign(event="")
    folders = clips.path.map(lambda path: path.parent.name)
    of_mimii = clips[folders.isin(list(MIMII))]
    for _, part in of_mimii.groupby(["machine_type", "product"]):
        normal = part.index[part.label == "normal"]
        held_out = min((part.label == "anomaly").sum(), len(normal) // 2)
        clips.loc[normal[len(normal) - held_out :], "split"] = "test"
    names = clips.path.map(lambda path: path.name)
    for machine_type, part in clips.groupby("machine_type"):
        bare = part.index[part.attributes == ""]
        tables = sorted(part.path.iloc[0].parent.parent.glob("attributes_*.csv"))
        clips.loc[bare, "attributes"] = _look_up(names[bare], tables, _attributes, "")
        for column, folder, meaning in TRUTH:
            unknown = part.index[part[column] == "unknown"]
            tables = _tables_of(machine_type, data_dir / folder, clips.machine_type.unique())
            read = partial(_truth, meaning=meaning)
            clips.loc[unknown, column] = _look_up(names[unknown], tables, read, "unknown")
        listing = part.path.iloc[0].parent.parent / LISTING
        listings = [listing] if listing.exists() else []
        clips.loc[part.index, "event"] = _look_up(names[part.index], listings, _recordings, "")
    numbered = clips.attributes.str.extract(EVENT, expand=False)
    clips["event"] = clips.event.where(clips.event != "", numbered.fillna(""))
    return clips


def _look_up(names: pd.Series, tables: list[Path], read, untold: str) -> list[str]:
    """What tables, each read to a dict, tell of file names; they are read only where needed."""
    known = {}
    for table in tables if len(names) else ():
        try:
            known |= read(table)
        except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
            raise InputError(f"{table}: {error}; expected a table of file names") from error
    return [known.get(name, untold) for name in names]


def _attributes(table: Path) -> dict[str, str]:
    """``file_name,d1p,d1v,...``: the attributes by file name, joined as in the names of clips."""
    rows = pd.read_csv(table, dtype=str, keep_default_na=False)
    if "file_name" not in rows:
        raise InputError(f"{table}: columns {list(rows)}; expected file_name,d1p,d1v,...")
    names = [Path(name).name for name in rows.pop("file_name")]
    joined = ["_".join(filter(None, row)) for row in rows.itertuples(index=False)]
    return {n: j for n, j in zip(names, joined, strict=True) if j != "noAttribute"}


def _recordings(table: Path) -> dict[str, str]:
    """``clip,...,recording,...``: the recording by file name of the clip."""
    rows = pd.read_csv(table, dtype=str, keep_default_na=False)
    if not {"clip", "recording"} <= set(rows):
        raise InputError(f"{table}: columns {list(rows)}; expected clip and recording among them")
    return {Path(clip).name: name for clip, name in zip(rows["clip"], rows.recording, strict=True)}


def _truth(table: Path, meaning: dict[int, str]) -> dict[str, str]:
    """``file name,0 or 1``, without a header: the meaning of the number by file name."""
    rows = pd.read_csv(table, header=None, names=["name", "value"])
    return {name: meaning.get(value, "unknown") for name, value in rows.to_numpy()}


def _tables_of(machine_type: str, folder: Path, machine_types) -> list[Path]:
    """The tables ``ground_truth_<machine type>_*.csv`` of a machine type; a name may begin another.

    ``fan_west``'s tables are not ``fan``'s: a table is of the longest name that it begins with.
    """
    tables = []
    for path in sorted(folder.glob("ground_truth_*.csv")):
        owners = [n for n in machine_types if path.name.startswith(f"ground_truth_{n}_")]
        if max(owners, key=len, default=None) == machine_type:
            tables.append(path)
    return tables


def _is_mimii(folder: Path) -> bool:
    return any(path.is_dir() for path in folder.glob("id_*/normal"))


def _hint(data_dir: Path) -> str:
    """Where one level up or down there are machine types."""
    if (data_dir / "train").is_dir() or _is_mimii(data_dir):
        return f"; this looks like a machine type: give {data_dir.parent}"
    inside = [f for f in sorted(data_dir.glob("[!.]*")) if f.is_dir() and machine_folders(f)]
    return "; there are some in " + ", ".join(map(str, inside)) if inside else ""


def clip_frames(path: Path) -> int:
    """The length of a clip in samples, from its header, which is checked against what is there."""
    info = read_header(path)
    remedy = "`asd adopt` converts recordings"
    if info.samplerate != SAMPLE_RATE:
        raise InputError(
            f"{path}: sample rate {info.samplerate} Hz; expected {SAMPLE_RATE} Hz ({remedy})"
        )
    if info.channels != 1:
        raise InputError(f"{path}: {info.channels} channels; expected one (mono) ({remedy})")
    return info.frames


def read_header(path: Path):
    """soundfile's account of a recording; :class:`InputError` where it is empty or cut off."""
    try:
        info = soundfile.info(str(path), verbose=True)
    except soundfile.LibsndfileError as error:
        size = path.stat().st_size
        what = "an empty file" if size == 0 else f"not audio that can be read ({error})"
        raise InputError(f"{path}: {what}; expected a .wav or .flac clip") from error
    # libsndfile reads a truncated file as a shorter one and only notes what the header promised
    short = re.search(r"^\s*data\s*:\s*(\d+) \(should be (\d+)\)", info.extra_info, re.MULTILINE)
    if short and int(short[1]) > int(short[2]):
        raise InputError(f"{path}: truncated; {short[2]} of {short[1]} bytes of sound are there")
    if info.frames == 0:
        raise InputError(f"{path}: no sound in it; expected a clip of at least one sample")
    return info
