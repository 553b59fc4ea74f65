"""Trivial detectors: what a method must beat before it means anything.

Neither is trained: the level of a clip, and the distance of its average spectrum from the product
ID's train clips. A corpus on which they do well says nothing about a learned embedding.
"""

import numpy as np
import pandas as pd
import torch

from asdlib import metrics
from asdlib.encoder import LogMel
from asdlib.inliers import Mahalanobis
from asdlib.profiles import Profile
from asdlib.waves import WaveBank, normalise


def trivial_scores(bank: WaveBank, profile: Profile) -> pd.DataFrame:
    """Scores of all test clips of a machine type, a column a detector.

    ``RMS level``: how far the clip's level in dB lies from the mean of its product ID's train
    clips. ``mean log-mel``: squared Mahalanobis distance of the time-averaged log-mel, covariance
    shrunk after Ledoit and Wolf, from the product ID's train clips.
    """
    everything = np.arange(len(bank.clips))
    spectra = mean_spectra(bank, everything, profile)
    powers = [np.square(sound.numpy()).mean() for sound in _sounds(bank, everything)]
    levels = 10 * np.log10(np.array(powers) + 1e-12)
    parts = []
    for product, clips in bank.clips.groupby("product"):
        train = clips.index[clips.split == "train"].to_numpy()
        test = clips.index[clips.split == "test"].to_numpy()
        if len(test):
            spectrum = Mahalanobis().fit(spectra[train]).score(spectra[test])
            level = np.abs(levels[test] - levels[train].mean())
            scores = {"RMS level": level, "mean log-mel": spectrum}
            parts.append(pd.DataFrame({"product": product, "label": clips.label[test], **scores}))
    return pd.concat(parts, ignore_index=True)


def mean_spectra(bank: WaveBank, rows: np.ndarray, profile: Profile) -> np.ndarray:
    """The log-mel of whole clips, averaged over time: ``(clips, mel bins)``."""
    logmel = LogMel(profile)
    with torch.inference_mode():
        mels = (logmel(sound[None])[0] for sound in _sounds(bank, rows))
        return torch.stack([mel.mean(dim=1) for mel in mels]).numpy()


def _sounds(bank: WaveBank, rows: np.ndarray):
    for first, frames in zip(bank.offsets[rows], bank.frames[rows], strict=True):
        yield normalise(np.array(bank.samples[first : first + frames]), bank.mean, bank.std)


def trivial_table(banks: dict[str, WaveBank], profile: Profile) -> pd.DataFrame:
    """Harmonic mean of AUC and pAUC (%) over all product IDs: a row a machine type and detector.

    Machine types without test clips are left out. The detectors have no seed, hence no spread.
    """
    rows = []
    for machine_type, bank in banks.items():
        if (bank.clips.split == "test").any():
            scores = trivial_scores(bank, profile)
            for detector in ("RMS level", "mean log-mel"):
                value = metrics.harmonic_mean(metrics.table(scores, detector)[["AUC", "pAUC"]])
                rows.append(
                    {
                        "machine_type": machine_type,
                        "detector": detector,
                        "value": round(100 * value, 3),
                        "fingerprint": bank.fingerprint[:16],
                    }
                )
    return pd.DataFrame(rows)


def in_words(trivial: pd.DataFrame, values: pd.Series) -> str:
    """The best trivial detector beside the values of a method over its seeds, in words."""
    best, mean, spread = trivial.value.max(), values.mean(), values.std()
    numbers = (
        f"The best of them reaches {best:.1f} %, the method {mean:.1f} % on average over "
        f"{len(values)} seeds. "
    )
    if best < mean - spread:
        return numbers + "What the method learns is worth something here."
    return numbers + (
        "**A detector that learns nothing does as well here**: the average spectrum gives these "
        "faults away. This corpus cannot show what the method is worth beyond that; it can "
        "compare the method's own variants."
    )
