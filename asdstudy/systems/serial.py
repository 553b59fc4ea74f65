"""The serial method: one encoder for the machine type, then h on its embedding (section III).

The proposed method and its ablations.
"""

import warnings

import numpy as np
import torch

from asdlib.embedding import Embedded, embed_segments
from asdlib.encoder import Encoder
from asdlib.profiles import Profile
from asdlib.training import losses
from asdlib.training import train as train_encoder
from asdstudy.systems.collapse import collapses
from asdstudy.systems.task import Task, Trained, device, size

SEGMENTED, SAYS, HEARS_OTHERS = True, ("none", "output", "centroid"), False
OTHERS_SHOWN = 200  # clips of other machine types that are embedded too, for the maps of Fig. 3


def train(task: Task, losses=losses) -> Trained:
    """Outlier exposure (section IV-A)."""
    split, profile, seed = task.split, task.profile, task.seed
    encoder, history = train_encoder(
        split, profile, seed, None, task.progress, task.checkpoint("encoder"), losses
    )
    for sentence in collapses(encoder, split, profile, seed):
        warnings.warn(sentence, stacklevel=2)
    return Trained(encoder.state_dict(), history, 1, size(encoder))


def embed(task: Task, weights: dict[str, torch.Tensor]) -> Embedded:
    """All train and test clips of the target, and some train clips of other machine types."""
    encoder = load_encoder(weights, task.profile, len(task.split.products))
    several = [embed_rows(encoder, task, rows) for rows in (task.train_rows, task.test_rows)]
    rng = np.random.default_rng(task.seed)
    for bank in task.others:
        rows = np.flatnonzero(bank.clips.split == "train")
        count = min(len(rows), -(-OTHERS_SHOWN // len(task.others)))
        rows = np.sort(rng.choice(rows, count, replace=False))
        arrays = embed_segments(encoder, task.part(rows, bank), task.profile, task.progress)
        several.append(Embedded(bank.clips.iloc[rows].assign(part="others"), *arrays))
    return Embedded.joined(several)


def embed_rows(encoder: Encoder, task: Task, rows: np.ndarray) -> Embedded:
    """Clips of the target."""
    arrays = embed_segments(encoder, task.part(rows), task.profile, task.progress)
    return Embedded(task.clips(rows), *arrays)


def load_encoder(
    weights: dict[str, torch.Tensor], profile: Profile, products: int, on: str | None = None
) -> Encoder:
    """The encoder of these weights for K ``products``, in evaluation mode."""
    encoder = Encoder(profile.from_scratch, products).to(on or device())
    encoder.load_state_dict(weights)
    return encoder.eval()
