"""What lies in a folder: counts of the clips that can be used, and every file that cannot."""

import os
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from asdlib.errors import InputError
from asdlib.profiles import SAMPLE_RATE
from asdstudy.data import corpora

BESIDE = (  # files that are no clips and are known to lie in a corpus
    "attributes_*.csv", "ground_truth_*.csv", "corpus.json", "source.json", corpora.LISTING,
    "README*", "readme*", "LICENSE*",
)  # fmt: skip
SUPPLEMENTAL = "supplemental"  # folder of DCASE 2025: clean machines or noise alone, not for us
SECTION = re.compile(r"section_(\d+)_")
KEYS = ["machine_type", "product", "domain", "split", "label"]


@dataclass(frozen=True)
class Description:
    """``clips``: the rows that :func:`~.corpora.index` would give, and supplemental ones.

    ``unplaced``: why, for every other file.
    """

    clips: pd.DataFrame
    unplaced: dict[Path, str]

    def counts(self) -> pd.DataFrame:
        """A row for each machine type, product ID, domain, split and label: clips and seconds."""
        groups = self.clips.assign(seconds=self.clips.frames / SAMPLE_RATE).groupby(KEYS)
        return groups.agg(clips=("path", "size"), seconds=("seconds", "sum")).reset_index()

    def __str__(self) -> str:
        lines = ["no clips"]
        if len(self.clips):
            table = self.counts().to_string(index=False, float_format="{:.1f}".format)
            lines = [table, "", f"{len(self.clips)} clips"]
        lines += [f"{len(self.unplaced)} files that could not be placed"]
        return "\n".join(lines + [f"  {path}: {why}" for path, why in self.unplaced.items()])


def describe(data_dir) -> Description:
    """Look at every file below ``data_dir`` (only hidden ones are passed over); reads headers."""
    data_dir = Path(data_dir)
    if not data_dir.is_dir():
        raise InputError(f"{data_dir}: no such folder; expected a corpus")
    places = [  # where there may be clips
        (machine_type, path)
        for machine_type, folder in corpora.machine_folders(data_dir).items()
        for path in [*corpora.clip_files(folder), *sorted(folder.glob(f"{SUPPLEMENTAL}/*"))]
        if path.suffix.lower() in corpora.SUFFIXES
    ]
    with ThreadPoolExecutor() as pool:
        rows = list(pool.map(_row, *zip(*places, strict=True))) if places else []
    unplaced = {row["path"]: row["why"] for row in rows if "why" in row}
    for path in _files(data_dir) - {row["path"] for row in rows}:
        clip = path.suffix.lower() in corpora.SUFFIXES
        place = f"not in a folder <machine type>/<{'|'.join(corpora.SPLITS)}>/"
        unplaced[path] = place if clip else "no clip; expected .wav or .flac"
    rows = [row for row in rows if "why" not in row]
    clips = corpora.completed(pd.DataFrame(rows, columns=corpora.COLUMNS), data_dir)
    return Description(clips, dict(sorted(unplaced.items())))


def _row(machine_type: str, path: Path) -> dict:
    """A row of the index for a clip, or ``why`` it cannot have one."""
    try:
        if path.parent.name == SUPPLEMENTAL:
            section = SECTION.match(path.name)
            names = dict.fromkeys(["domain", "label"], "-") | {"split": SUPPLEMENTAL}
            names |= {"product": section[1] if section else "-", "attributes": ""}
        else:
            names = corpora.parse_name(path)
        frames = corpora.clip_frames(path)
        return {"path": path, "machine_type": machine_type, "frames": frames} | names
    except InputError as error:
        return {"path": path, "why": str(error).removeprefix(f"{path}: ")}


def _files(data_dir: Path) -> set[Path]:
    """All visible files that are not known to lie beside clips."""
    files = set()
    for folder, inside, names in os.walk(data_dir, followlinks=True):
        inside[:] = (name for name in inside if not name.startswith("."))
        files |= {Path(folder) / name for name in names if not name.startswith(".")}
    return {path for path in files if not any(path.match(pattern) for pattern in BESIDE)}
