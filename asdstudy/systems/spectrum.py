"""What needs no training: the average spectrum of a clip stands for its embedding, and its level.

A corpus on which such detectors do well says nothing about a learned embedding.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
import torch

from asdlib.embedding import Embedded
from asdlib.encoder import LogMel
from asdlib.profiles import Profile
from asdlib.waves import WaveBank, normalise
from asdstudy.systems.task import Task, Trained

SEGMENTED, SAYS, HEARS_OTHERS = False, ("output",), False


def train(task: Task) -> Trained:
    """Nothing."""
    return Trained({}, pd.DataFrame(columns=["epoch", "loss", "validation_loss"]), 0, 0)


def embed(task: Task, weights: dict[str, torch.Tensor]) -> Embedded:
    """The mean log-mel of each clip; the output is the distance of its level from the usual one."""

    def arrays(rows: np.ndarray) -> tuple:
        spectra = mean_spectra(task.bank, rows, task.profile)
        return spectra[:, None], None, level_distances(task.bank, rows)[:, None]

    return task.embedded(arrays)


def embedder(weights: dict[str, torch.Tensor], profile: Profile, products: int) -> Callable:
    """The mean log-mel of the clips of a Part; without the output, which needs the train clips."""
    return lambda part: (mean_spectra(part.bank, part.rows, profile)[:, None],)


def mean_spectra(bank: WaveBank, rows: np.ndarray, profile: Profile) -> np.ndarray:
    """The log-mel of whole clips, averaged over time: ``(clips, mel bins)``."""
    logmel = LogMel(profile)
    with torch.inference_mode():
        mels = (logmel(_sound(bank, row)) for row in rows)
        return torch.stack([mel[0].mean(dim=1) for mel in mels]).numpy()


def level_distances(bank: WaveBank, rows: np.ndarray) -> np.ndarray:
    """Distance in dB of each clip's RMS level from the mean of its product ID's train clips."""
    everything = bank.clips.index
    powers = [_sound(bank, row).square().mean().item() for row in everything]
    levels = pd.Series(10 * np.log10(np.array(powers) + 1e-12), everything)
    train = bank.clips.split == "train"
    usual = bank.clips["product"].map(levels[train].groupby(bank.clips["product"][train]).mean())
    return (levels - usual).abs().to_numpy()[rows]


def _sound(bank: WaveBank, row: int) -> torch.Tensor:
    """A whole clip, normalised: ``(1, samples)``."""
    sound = bank.gather(np.array([row]), np.array([0]), int(bank.frames[row]))
    return normalise(sound, bank.mean, bank.std)
