"""Trivial detectors beside a method: what it must beat before it means anything."""

import numpy as np
import pandas as pd

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
