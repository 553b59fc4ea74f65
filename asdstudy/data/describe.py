"""What lies in a folder: counts of the clips that can be used, and every file that cannot."""

import os
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from asdlib import corpora
from asdlib.errors import InputError
from asdlib.profiles import SAMPLE_RATE

BESIDE = (  # files that are no clips and are known to lie in a corpus
    "attributes_*.csv", "ground_truth_*.csv", "corpus.json", "source.json", "recordings.csv",
    "README*", "readme*", "LICENSE*",
)  # fmt: skip
SUPPLEMENTAL = "supplemental"  # folder of DCASE 2025: clean machines or noise alone, not for us
SECTION = re.compile(r"section_(\d+)_")
KEYS = ["machine_type", "product", "domain", "split", "label"]


@dataclass(frozen=True)
class Description:
    """``clips``: the rows that :func:`asdlib.corpora.index` would give, and supplemental ones.

    ``unplaced``: why, for every other file.
    """

    clips: pd.DataFrame
    unplaced: dict[Path, str]

    def counts(self) -> pd.DataFrame:
        """A row for each machine type, product ID, domain, split and label: clips and seconds."""
        seconds = self.clips.frames / SAMPLE_RATE
        groups = self.clips.assign(seconds=seconds).groupby(KEYS, sort=True)
        return groups.agg(clips=("path", "size"), seconds=("seconds", "sum")).reset_index()

    def __str__(self) -> str:
        lines = ["no clips"]
        if len(self.clips):
            lines = [self.counts().to_string(index=False, float_format="{:.1f}".format), ""]
            lines += [f"{len(self.clips)} clips"]
        lines += [f"{len(self.unplaced)} files that could not be placed"]
        return "\n".join(lines + [f"  {path}: {why}" for path, why in self.unplaced.items()])


def describe(data_dir) -> Description:
    """Look at every file below ``data_dir`` (only hidden ones are passed over); reads headers."""
    data_dir = Path(data_dir)
    if not data_dir.is_dir():
        raise InputError(f"{data_dir}: no such folder; expected a corpus")
    rows, unplaced = [], {}
    for machine_type, folder in corpora.machine_folders(data_dir).items():
        for path in corpora.clip_files(folder):
            try:
                rows.append({"path": path, "machine_type": machine_type} | corpora.parse_name(path))
            except InputError as error:
                unplaced[path] = _why(error, path)
        more = (p for p in folder.glob(f"{SUPPLEMENTAL}/*") if p.suffix.lower() in corpora.SUFFIXES)
        rows += [_supplemental(path, machine_type) for path in more]
    clips = pd.DataFrame(rows, columns=corpora.COLUMNS[:-2])
    with ThreadPoolExecutor() as pool:
        frames = list(pool.map(_frames, clips.path))
    bad = {
        path: found for path, found in zip(clips.path, frames, strict=True) if type(found) is str
    }
    clips = clips.assign(frames=frames)[~clips.path.isin(list(bad))].reset_index(drop=True)
    clips = corpora.completed(clips, data_dir).astype({"frames": int})
    known = {*clips.path, *bad, *unplaced}
    others = {path: _place(path) for path in _files(data_dir) if path not in known}
    return Description(clips, dict(sorted({**unplaced, **bad, **others}.items())))


def _files(data_dir: Path):
    """All visible files that are not known to lie beside clips."""
    for folder, inside, names in os.walk(data_dir, followlinks=True):
        inside[:] = (name for name in inside if not name.startswith("."))
        for path in (Path(folder) / name for name in names if not name.startswith(".")):
            if not any(path.match(known) for known in BESIDE):
                yield path


def _frames(path: Path) -> int | str:
    try:
        return corpora.clip_frames(path)
    except InputError as error:
        return _why(error, path)


def _place(path: Path) -> str:
    if path.suffix.lower() not in corpora.SUFFIXES:
        return "no clip; expected .wav or .flac"
    return f"not in a folder <machine type>/<{'|'.join(corpora.SPLITS)}>/"


def _supplemental(path: Path, machine_type: str) -> dict:
    section = SECTION.match(path.name)
    return {
        "path": path,
        "machine_type": machine_type,
        "product": section[1] if section else "-",
        "domain": "-",
        "split": SUPPLEMENTAL,
        "label": "-",
        "attributes": "",
    }


def _why(error: InputError, path: Path) -> str:
    return str(error).removeprefix(f"{path}: ")
