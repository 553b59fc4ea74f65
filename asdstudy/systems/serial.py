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
from asdlib.waves import WaveBank
from asdstudy.systems.collapse import collapses
from asdstudy.systems.task import Task, Trained, device, size

SEGMENTED, SAYS, HEARS_OTHERS = True, ("none", "output", "centroid"), False
OTHERS_SHOWN = 200  # clips of other machine types that are embedded too, for the maps of Fig. 3


def train(task: Task, losses=losses) -> Trained:
    """Outlier exposure (section IV-A)."""
    setting = task.split, task.profile, task.seed
    encoder, history = train_encoder(
        *setting, None, task.progress, task.checkpoint("encoder"), losses
    )
    for sentence in collapses(encoder, *setting):
        warnings.warn(sentence, stacklevel=2)
    return Trained(encoder.state_dict(), history, 1, size(encoder))


def embed(task: Task, weights: dict[str, torch.Tensor]) -> Embedded:
    """All train and test clips of the target, and some train clips of other machine types."""
    encoder = load_encoder(weights, task.profile, len(task.split.products))

    def arrays(rows: np.ndarray, bank: WaveBank | None = None) -> tuple:
        return embed_segments(encoder, task.part(rows, bank), task.profile, task.progress)

    several = [task.embedded(arrays)]
    rng = np.random.default_rng(task.seed)
    for bank in task.others:
        rows = np.flatnonzero(bank.clips.split == "train")
        count = min(len(rows), -(-OTHERS_SHOWN // len(task.others)))
        rows = np.sort(rng.choice(rows, count, replace=False))
        clips = bank.clips.iloc[rows].assign(part="others")
        several.append(Embedded(clips, *arrays(rows, bank)))
    return Embedded.joined(several)


def load_encoder(
    weights: dict[str, torch.Tensor], profile: Profile, products: int, on: str | None = None
) -> Encoder:
    """The encoder of these weights for K ``products``, in evaluation mode."""
    encoder = Encoder(profile.from_scratch, products).to(on or device())
    encoder.load_state_dict(weights)
    return encoder.eval()
