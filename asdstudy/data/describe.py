"""What lies in a folder: counts of the clips that can be used, and every file that cannot."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from asdlib.profiles import SAMPLE_RATE
from asdstudy.data import corpora
from asdstudy.words import counted

KEYS = ["machine_type", "product", "domain", "split", "label"]


@dataclass(frozen=True)
class Description:
    """``clips``: the rows that :func:`~.corpora.index` would give, and supplemental ones.

    ``unplaced``: of every other file, and of a folder that cannot be read, what is wrong with it.
    """

    clips: pd.DataFrame
    unplaced: dict[Path, str]

    def counts(self) -> pd.DataFrame:
        """Clips and seconds by machine type, product ID, domain, split and label."""
        groups = self.clips.assign(seconds=self.clips.frames / SAMPLE_RATE).groupby(KEYS)
        return groups.agg(clips=("path", "size"), seconds=("seconds", "sum")).reset_index()

    def __str__(self) -> str:
        lines = ["no clips"]
        if len(self.clips):
            table = self.counts().to_string(index=False, float_format="{:.1f}".format)
            lines = [table, "", counted(len(self.clips), "clip")]
        lines += [counted(len(self.unplaced), "file") + " that could not be placed"]
        return "\n".join(lines + [f"  {why}" for why in self.unplaced.values()])


def describe(data_dir) -> Description:
    """Look at every file below ``data_dir`` (only hidden ones are passed over); reads headers."""
    clips, faults, unused, *_ = corpora.survey(data_dir)
    return Description(clips, dict(sorted((faults | unused).items())))
