"""Trivial detectors beside a method: what it must beat before it means anything."""

import numpy as np
import pandas as pd

from asdlib import metrics
from asdlib.inliers import Mahalanobis
from asdlib.profiles import Profile
from asdlib.waves import WaveBank
from asdstudy.systems.spectrum import level_distances, mean_spectra


def trivial_scores(bank: WaveBank, profile: Profile) -> pd.DataFrame:
    """Scores of all test clips of a machine type, a column a detector.

    ``RMS level``: how far the clip's level in dB lies from the mean of its product ID's train
    clips. ``mean log-mel``: squared Mahalanobis distance of the time-averaged log-mel, covariance
    shrunk after Ledoit and Wolf, from the product ID's train clips.
    """
    everything = np.arange(len(bank.clips))
    spectra = mean_spectra(bank, everything, profile)
    levels = level_distances(bank, everything)
    parts = []
    for product, clips in bank.clips.groupby("product"):
        train = clips.index[clips.split == "train"].to_numpy()
        test = clips.index[clips.split == "test"].to_numpy()
        if len(test):
            spectrum = Mahalanobis().fit(spectra[train]).score(spectra[test])
            scores = {"RMS level": levels[test], "mean log-mel": spectrum}
            parts.append(pd.DataFrame({"product": product, "label": clips.label[test], **scores}))
    return pd.concat(parts, ignore_index=True)


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
