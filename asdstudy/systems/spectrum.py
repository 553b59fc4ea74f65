"""What needs no training: the average spectrum of a clip, as its embedding, and its level.

A corpus on which such detectors do well says nothing about a learned embedding.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
import torch

from asdlib.batches import Part, normalise
from asdlib.embedding import Embedded
from asdlib.encoder import LogMel
from asdlib.profiles import Profile
from asdstudy.systems.task import Task, Trained

SEGMENTED, SAYS, HEARS_OTHERS, BY_PRODUCT = False, ("output",), False, True


def train(task: Task) -> Trained:
    """No network; the mean level of each product ID's train clips."""
    names = task.bank.clips["product"].iloc[task.train_rows].to_numpy()
    usual = pd.Series(levels(task.part(task.train_rows))).groupby(names).mean()
    history = pd.DataFrame(columns=["epoch", "loss", "validation_loss"])
    return Trained({"levels": torch.tensor(usual.to_numpy())}, history, 0, 0)


def embed(task: Task, weights: dict[str, torch.Tensor]) -> Embedded:
    """The mean log-mel of each clip; the output is the distance of its level from the usual one."""
    return task.embedded(embedder(weights, task.profile, task.split.products))


def embedder(weights: dict, profile: Profile, products) -> Callable:
    """What makes clips the arrays of an Embedded."""
    usual = weights["levels"].numpy()

    def embed_part(part: Part) -> tuple:
        distances = np.abs(levels(part) - usual[part.products])
        return mean_spectra(part, profile)[:, None], None, distances[:, None]

    return embed_part


def mean_spectra(part: Part, profile: Profile) -> np.ndarray:
    """The log-mel of whole clips, averaged over time: ``(clips, mel bins)``."""
    logmel = LogMel(profile)
    with torch.inference_mode():
        mels = (logmel(_sound(part, row)) for row in part.rows)
        return torch.stack([mel[0].mean(dim=1) for mel in mels]).numpy()


def levels(part: Part) -> np.ndarray:
    """The RMS level of each clip in dB, ``(clips,)``."""
    powers = (_sound(part, row).square().mean().item() for row in part.rows)
    return np.array([10 * np.log10(power + 1e-12) for power in powers])  # alike in any company


def _sound(part: Part, row: int) -> torch.Tensor:
    """A whole clip, normalised: ``(1, samples)``."""
    wave = part.bank.gather(np.array([row]), np.array([0]), int(part.bank.frames[row]))
    return normalise(wave, part.mean, part.std).cpu()
