"""From recordings to the clips of a machine type: held out by recording, cut, named, written."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from asdlib.corpora import LISTING
from asdlib.errors import InputError
from asdlib.profiles import SAMPLE_RATE
from asdlib.waves import FULL_SCALE


def hold_out(normal: dict[str, list], share: float, seed: int, place: Path) -> set:
    """Which normal recordings are for testing: a ``share`` of each product's, by product.

    Some of them, but not all. Raises :class:`InputError`, naming the ``place``, for a single one.
    """
    held_out = set()
    for number, (product, recordings) in enumerate(sorted(normal.items())):
        if share and len(recordings) < 2:
            raise InputError(
                f"{place / product}: {len(recordings)} normal recordings; expected at least 2, "
                "one for training and one for testing, or --test-share 0"
            )
        count = min(max(round(share * len(recordings)), 1), len(recordings) - 1) if share else 0
        drawn = np.random.default_rng([seed, number]).permutation(len(recordings))[:count]
        held_out |= {sorted(recordings)[row] for row in drawn}
    return held_out


def cuts(samples: int, seconds: float, trim_seconds: float = 0.0) -> list[tuple[int, int]]:
    """Start and end of the whole pieces of ``seconds`` in a recording, without its two ends."""
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
