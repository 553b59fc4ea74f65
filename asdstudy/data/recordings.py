"""From recordings to the clips of a machine type: held out by recording, cut, named, written."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from asdlib.errors import InputError
from asdlib.profiles import SAMPLE_RATE
from asdlib.waves import FULL_SCALE

LISTING = "recordings.csv"  # beside train and test: where each clip comes from


def hold_out(recordings: Sequence[str], share: float, rng: np.random.Generator) -> set[str]:
    """The ``share`` of the recordings that is for testing: some, but not all, of two or more."""
    if not 0 <= share < 1:
        raise InputError(f"the share of test recordings is {share}; expected 0 up to less than 1")
    if share == 0 or len(recordings) < 2:
        return set()
    count = min(max(round(share * len(recordings)), 1), len(recordings) - 1)
    return set(rng.permutation(sorted(recordings))[:count].tolist())


def cuts(samples: int, seconds: float, trim_seconds: float = 0.0) -> list[tuple[int, int]]:
    """Start and end of the whole pieces of ``seconds`` in a recording, without its two ends."""
    if not (seconds > 0 and trim_seconds >= 0):
        raise InputError(
            f"cuts of {seconds:g} s without {trim_seconds:g} s; expected more than 0, and 0 or more"
        )
    length, trim = round(seconds * SAMPLE_RATE), round(trim_seconds * SAMPLE_RATE)
    starts = range(trim, samples - trim - length + 1, length)
    return [(start, start + length) for start in starts]


def write_clip(path: Path, sound: np.ndarray) -> None:
    """Write ``sound``, ``(samples,)``, as 16-bit WAV; what is beyond -1 and 1 is clipped."""
    rounded = np.clip(np.round(sound * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)
    soundfile.write(path, rounded, SAMPLE_RATE, subtype="PCM_16", format="WAV")


class ClipWriter:
    """Writes clips below the ``folder`` of a machine type, numbered and named as in DCASE 2022."""

    def __init__(self, folder: Path):
        self.folder, self.numbers, self.rows = Path(folder), Counter(), []

    def write(
        self, sound: np.ndarray, product: int, split: str, label: str, attributes: str, **origin
    ) -> None:
        """One clip, ``(samples,)`` within -1 and 1, as 16-bit PCM; ``origin`` is noted with it."""
        kind = f"section_{product:02d}_source_{split}_{label}"
        name = f"{kind}_{self.numbers[kind]:04d}_{attributes}.wav"
        self.numbers[kind] += 1
        path = self.folder / split / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_clip(path, sound)
        self.rows.append({"clip": f"{split}/{name}", "product": f"{product:02d}", **origin})

    def write_listing(self) -> None:
        """The origin of every clip that was written, in ``recordings.csv``."""
        pd.DataFrame(self.rows).to_csv(self.folder / LISTING, index=False)


def links_beside(corpus: Path, machine_folders: Sequence[Path]) -> dict[Path, Path]:
    """Links that put machine types of other corpora into one: what they are to lead to, by place.

    Raises :class:`InputError` for a folder without ``train/`` or a name that is taken.
    """
    links = {}
    for folder in map(Path, machine_folders):
        link = Path(corpus) / folder.resolve().name
        if not (folder / "train").is_dir():
            raise InputError(f"{folder}: no train/ in it; expected the folder of a machine type")
        if link.exists() and link.resolve() == folder.resolve():
            continue
        if link.is_symlink() or link.exists() or link in links:
            raise InputError(f"{link}: is there already; expected a new machine type beside it")
        links[link] = folder.resolve()
    return links


def link(links: dict[Path, Path]) -> None:
    """Make the links of :func:`links_beside`."""
    for place, folder in links.items():
        place.symlink_to(folder, target_is_directory=True)
