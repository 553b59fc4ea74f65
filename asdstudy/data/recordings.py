"""From recordings to the clips of a machine type: held out by recording, cut, named, written."""

import io
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
from tqdm import tqdm

from asdlib.errors import InputError
from asdlib.profiles import SAMPLE_RATE
from asdstudy.data.corpora import LISTING
from asdstudy.data.inputs import name_of, to_int16
from asdstudy.paths import spelled


@dataclass(frozen=True)
class Recording:
    """Sound that the split must not tear apart; it may lie in several files."""

    product: str
    label: str  # normal or anomaly
    name: str
    files: tuple = ()


def write_recordings(
    folder: Path,
    recordings: Sequence[Recording],
    clips_of: Callable,
    settings,
    place: Path,
    progress,
) -> pd.DataFrame:
    """Write the clips of ``recordings`` below the ``folder`` of a machine type, and list them.

    Products, by name, become the product IDs 00, 01, ...; names are as in DCASE 2022. The test set
    has all anomalous recordings, and the ``test_share`` of each product's normal ones, drawn by the
    ``seed`` of the ``settings``. ``clips_of`` a recording yields sound, ``(samples,)``, attributes
    and origin of its clips. The list, one row per clip, is in ``recordings.csv`` too. Raises
    :class:`InputError`, naming ``place``, where a product has too few normal recordings.
    """
    products = sorted({recording.product for recording in recordings})
    held_out = _held_out(products, recordings, settings.test_share, settings.seed, place)
    numbers, rows = Counter(), []
    for recording in tqdm(recordings, unit="recording", mininterval=1, disable=not progress):
        tested = recording.label == "anomaly" or recording in held_out
        product, split = products.index(recording.product), "test" if tested else "train"
        kind = f"section_{product:02d}_source_{split}_{recording.label}"
        for sound, attributes, origin in clips_of(recording):
            path = folder / split / f"{kind}_{numbers[kind]:04d}_{attributes}.wav"
            numbers[kind] += 1
            path.parent.mkdir(parents=True, exist_ok=True)
            write_clip(path, sound)
            row = {"clip": f"{split}/{path.name}", "product": f"{product:02d}"}
            rows.append(row | {"recording": recording.name} | origin)
    listing = pd.DataFrame(rows)
    listing.to_csv(folder / LISTING, index=False)
    return listing


def _held_out(products, recordings, share: float, seed: int, place: Path) -> set[Recording]:
    """The normal recordings for testing: some of each product, but not all."""
    held_out = set()
    for number, product in enumerate(products if share else ()):
        normal = [r for r in recordings if (r.product, r.label) == (product, "normal")]
        if len(normal) < 2:
            raise InputError(
                f"{place / product}: {len(normal)} normal recordings; expected at least 2, "
                "one for training and one for testing, or --test-share 0"
            )
        normal.sort(key=lambda recording: recording.name)
        count = min(max(round(share * len(normal)), 1), len(normal) - 1)
        drawn = np.random.default_rng([seed, number]).permutation(len(normal))[:count]
        held_out |= {normal[row] for row in drawn}
    return held_out


def cuts(samples: int, seconds: float, trim_seconds: float = 0.0) -> list[tuple[int, int]]:
    """Start and end of the whole pieces of ``seconds`` in a recording, without its two ends."""
    length, trim = round(seconds * SAMPLE_RATE), round(trim_seconds * SAMPLE_RATE)
    starts = range(trim, samples - trim - length + 1, length)
    return [(start, start + length) for start in starts]


def write_clip(path: Path, sound: np.ndarray) -> None:
    """Write ``sound``, ``(samples,)``, as 16-bit WAV; what is beyond -1 and 1 is clipped."""
    content = io.BytesIO()  # libsndfile does not say that a disk is full
    soundfile.write(content, to_int16(sound), SAMPLE_RATE, subtype="PCM_16", format="WAV")
    path.write_bytes(content.getvalue())


def links_beside(corpus: Path, machine_folders: Sequence[Path]) -> dict[Path, Path]:
    """Links that put machine types of other corpora into ``corpus``: their targets, by place.

    Raises :class:`InputError` for a folder without ``train/`` or a name that is taken.
    """
    links = {}
    for folder in map(Path, machine_folders):
        link = spelled(Path(corpus) / name_of("machine type", folder.resolve().name))
        if not os.path.isdir(folder / "train"):
            raise InputError(f"{folder}: no train/ in it; expected the folder of a machine type")
        if link.exists() and link.resolve() == folder.resolve():
            continue
        if link.is_symlink() or link.exists() or link in links:
            raise InputError(f"{link}: is there already; expected a new machine type beside it")
        links[link] = folder.resolve()
    return links
