"""What lies in a folder: counts of the clips that can be used, and every file that cannot."""

import re
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from asdlib.errors import InputError
from asdlib.profiles import SAMPLE_RATE
from asdstudy.data import corpora

# files that are no clips and are known to lie in a corpus
BESIDE = ("corpus.json", "source.json", "README*", "readme*", "LICENSE*")
SUPPLEMENTAL = "supplemental"  # folder of DCASE 2025: clean machines or noise alone, not for us
SECTION = re.compile(r"section_(\d+)_")
KEYS = ["machine_type", "product", "domain", "split", "label"]


@dataclass(frozen=True)
class Description:
    """``clips``: the rows that :func:`~.corpora.index` would give, and supplemental ones.

    ``unplaced``: of every other file, and of a folder that cannot be read, what is wrong with it.
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
        return "\n".join(lines + [f"  {why}" for why in self.unplaced.values()])


def describe(data_dir) -> Description:
    """Look at every file below ``data_dir`` (only hidden ones are passed over); reads headers."""
    data_dir = Path(data_dir)
    clips, faults, folders, tables = corpora.survey(data_dir)
    more = [
        row
        for machine_type, folder in folders.items()
        for path in sorted((folder / SUPPLEMENTAL).glob("[!.]*"))
        if path.suffix.lower() in corpora.SUFFIXES and (row := _row(machine_type, path, faults))
    ]
    clips = pd.concat([clips, pd.DataFrame(more, columns=clips.columns)]) if more else clips
    placed = {*clips.path, *tables, *faults}
    for path in {*corpora.files_below(data_dir, faults)} - placed:
        if not any(path.match(pattern) for pattern in BESIDE):
            faults[path] = str(InputError(f"{path}: {_unused(path)}"))
    return Description(clips.reset_index(drop=True), dict(sorted(faults.items())))


def _row(machine_type: str, path: Path, faults: dict) -> dict | None:
    """A row for a supplemental clip, whose name may say its section, or a fault."""
    section = SECTION.match(path.name)
    names = {"path": path, "machine_type": machine_type, "product": section[1] if section else "-"}
    names |= {"domain": "-", "split": SUPPLEMENTAL, "label": "-", "attributes": "", "event": ""}
    try:
        return names | {"frames": corpora.clip_frames(path)}
    except InputError as error:
        faults[path] = str(error)


def _unused(path: Path) -> str:
    """Why the index passes over a file."""
    if path.suffix.lower() in corpora.SUFFIXES:
        return f"not in a folder <machine type>/<{'|'.join(corpora.SPLITS)}>/"
    if path.name.startswith("ground_truth_"):
        return "a table of no machine type here, or not in the folder ground_truth"
    return "no clip; expected .wav or .flac"
