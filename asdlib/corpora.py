"""The corpus index: a tree of clips in any DCASE Task 2 layout becomes one pandas frame."""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
import soundfile

from asdlib import paths
from asdlib.errors import InputError, one_of
from asdlib.profiles import SAMPLE_RATE

COLUMNS = ["path", "machine_type", "product", "domain", "split", "label", "attributes", "frames"]
# folder of a machine type: (split, domain); the domain is in the name from 2021 on
SPLITS = {"train": "train", "test": "test", "source_test": "test", "target_test": "test"}
SUFFIXES = {".wav", ".flac"}
NAMES = (  # 2021 and later, then 2020; the evaluation sets leave the label out
    re.compile(
        r"section_(?P<product>\d+)_(?P<domain>source|target)_(?P<split>train|test)"
        r"(?:_(?P<label>normal|anomaly))?_(?P<number>\d+)(?:_(?P<attributes>.*))?"
    ),
    re.compile(r"(?:(?P<label>normal|anomaly)_)?id_(?P<product>\d+)_(?P<number>\d+)"),
)
EXPECTED = (
    "section_<II>_<source|target>_<train|test>_<normal|anomaly>_<NNNN>[_<attributes>]"
    " or <normal|anomaly>_id_<II>_<NNNNNNNN>"
)


def index(data_dir, machine_types=None, domain: str | None = None) -> pd.DataFrame:
    """Every clip below ``<data_dir>/<machine type>/<train|test|source_test|target_test>/``.

    One row a clip, sorted by path: ``path``, ``machine_type``, ``product`` (the product ID, which
    DCASE calls section, as in the name: "00"), ``domain``, ``split``, ``label`` ("normal",
    "anomaly" or "unknown"), ``attributes``, ``frames`` (samples). Only headers are read.
    ``machine_types`` and ``domain`` keep a part. Labels that the names of an evaluation set leave
    out are taken from ``<data_dir>/ground_truth/ground_truth_<machine type>_*.csv``.

    Raises :class:`InputError`, naming the file, for a tree or a clip that cannot be used.
    """
    data_dir = Path(data_dir)
    if not data_dir.is_dir():
        raise InputError(f"{data_dir}: no such folder; expected a corpus of <machine type>/train/")
    present = sorted(f.name for f in data_dir.iterdir() if (f / "train").is_dir())
    if not present:
        raise InputError(f"{data_dir}: no machine types; expected folders <machine type>/train/")
    for machine_type in machine_types or ():
        one_of(f"machine type in {data_dir}", machine_type, present)
    rows = [
        {"path": path, "machine_type": machine_type, **parse_name(path)}
        for machine_type in (machine_types or present)
        for folder in SPLITS
        for path in sorted((data_dir / machine_type / folder).glob("*"))
        if path.suffix.lower() in SUFFIXES
    ]
    if domain is not None:
        rows = [row for row in rows if row["domain"] == domain]
    if not rows:
        raise InputError(f"{data_dir}: no {domain or ''} clips (.wav, .flac) below {present}")
    with ThreadPoolExecutor() as pool:
        frames = list(pool.map(clip_frames, [row["path"] for row in rows]))
    clips = pd.DataFrame(rows).assign(frames=frames)
    return _with_ground_truth(clips, data_dir)[COLUMNS]


def parse_name(path: Path) -> dict:
    """What the name of a clip says: product, domain, split, label and attributes."""
    folder = path.parent.name
    match = next((m for m in (name.fullmatch(path.stem) for name in NAMES) if m), None)
    if match is None:
        raise InputError(f"{path}: the name does not parse; expected {EXPECTED}")
    found = match.groupdict()
    split = SPLITS[folder]
    domain = found.get("domain") or "source"
    if found.get("split") not in (None, split):
        raise InputError(f"{path}: the name says {found['split']}, the folder {folder}")
    if "_" in folder and not folder.startswith(domain):
        raise InputError(f"{path}: the name says {domain}, the folder {folder}")
    return {
        "product": found["product"],
        "domain": domain,
        "split": split,
        "label": found["label"] or ("normal" if split == "train" else "unknown"),
        "attributes": found.get("attributes") or "",
    }


def clip_frames(path: Path) -> int:
    """The length of a clip in samples, from its header, which is checked against what is there."""
    try:
        info = soundfile.info(str(path), verbose=True)
    except soundfile.LibsndfileError as error:
        size = path.stat().st_size
        what = "an empty file" if size == 0 else f"not audio that can be read ({error})"
        raise InputError(f"{path}: {what}; expected a .wav or .flac clip") from error
    if info.samplerate != SAMPLE_RATE:
        raise InputError(f"{path}: sample rate {info.samplerate} Hz; expected {SAMPLE_RATE} Hz")
    if info.channels != 1:
        raise InputError(f"{path}: {info.channels} channels; expected one (mono)")
    # libsndfile reads a truncated file as a shorter one and only notes what the header promised
    short = re.search(r"^\s*data\s*:\s*(\d+) \(should be (\d+)\)", info.extra_info, re.MULTILINE)
    if short and int(short[1]) > int(short[2]):
        raise InputError(f"{path}: truncated; {short[2]} of {short[1]} bytes of sound are there")
    if info.frames == 0:
        raise InputError(f"{path}: no sound in it; expected a clip of at least one sample")
    return info.frames


def _with_ground_truth(clips: pd.DataFrame, data_dir: Path) -> pd.DataFrame:
    """Labels of unlabelled clips from ``ground_truth/``: rows ``file name,0|1``, 1 an anomaly."""
    for machine_type in clips.loc[clips.label == "unknown", "machine_type"].unique():
        pattern = f"ground_truth_{machine_type}_*.csv"
        tables = sorted((data_dir / "ground_truth").glob(pattern))
        if not tables:
            continue
        truth = pd.concat(pd.read_csv(t, header=None, names=["name", "label"]) for t in tables)
        known = truth.set_index("name").label.map({0: "normal", 1: "anomaly"})
        unknown = (clips.machine_type == machine_type) & (clips.label == "unknown")
        names = clips.loc[unknown, "path"].map(lambda path: path.name)
        clips.loc[unknown, "label"] = names.map(known).fillna("unknown")
    return clips


def locate(corpus: str, data_dir=None) -> Path:
    """The folder of a corpus; the simulated one is made at its default place if it is missing."""
    folder = Path(data_dir) if data_dir else paths.data_dir(corpus)
    if corpus == "simulated" and not data_dir:
        from asdlib.simulate import make_corpus

        make_corpus(folder)
    return folder


def summary(clips: pd.DataFrame) -> pd.DataFrame:
    """Clips by machine type and product ID: counts by split and label, and the lengths heard."""
    kind = clips.split.where(clips.split == "train", clips.split + ", " + clips.label)
    seconds = clips.frames / SAMPLE_RATE
    keys = ["machine_type", "product"]
    table = clips.assign(kind=kind).pivot_table(
        index=keys, columns="kind", values="path", aggfunc="count", fill_value=0, observed=True
    )
    length = seconds.groupby([clips[key] for key in keys]).agg(["min", "max"])
    shown = [
        f"{low:.1f}" if low == high else f"{low:.1f}-{high:.1f}" for low, high in length.to_numpy()
    ]
    return table.assign(**{"clip (s)": shown}).rename_axis(columns=None)


def is_corpus(folder, machine_type: str) -> bool:
    """Whether a corpus with that machine type lies there."""
    return (Path(folder) / machine_type / "train").is_dir()
