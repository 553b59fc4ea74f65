"""The serial method: one encoder for the machine type, then h on its embedding (section III).

The proposed method and its ablations.
"""

import math
import warnings
from collections.abc import Callable
from itertools import permutations

import numpy as np
import torch

from asdlib.batches import Split, validation_batch
from asdlib.embedding import Embedded, embed_segments
from asdlib.encoder import Encoder, device_of
from asdlib.losses import machine_loss
from asdlib.profiles import Profile
from asdlib.training import losses
from asdlib.training import train as train_encoder
from asdstudy.systems.task import Task, Trained, device, size

SEGMENTED, SAYS, HEARS_OTHERS = True, ("none", "output", "centroid"), False
BY_PRODUCT = False
COLLAPSED = 0.01  # of the other side's mean norm: a spread that makes a side one point
OTHERS_SHOWN = 200  # clips of other machine types that are embedded too, for the maps of Fig. 3


def train(task: Task, losses=losses) -> Trained:
    """Outlier exposure (section IV-A)."""
    setting = task.split, task.profile, task.seed
    encoder, history = train_encoder(
        *setting, None, task.progress, task.checkpoint("encoder"), losses, task.start
    )
    for sentence in collapses(encoder, *setting):
        warnings.warn(sentence, stacklevel=2)
    return Trained(encoder.state_dict(), history, 1, size(encoder))


def embedder(weights: dict, profile: Profile, products, progress: bool = False) -> Callable:
    """What makes clips the arrays of an Embedded, by these weights."""
    encoder = load_encoder(weights, profile, len(products))
    return lambda part: embed_segments(encoder, part, profile, progress)


def embed(task: Task, weights: dict[str, torch.Tensor], embedder=embedder) -> Embedded:
    """All train and test clips of the target, and some train clips of other machine types."""
    embed_part = embedder(weights, task.profile, task.split.products, task.progress)
    several = [task.embedded(embed_part)]
    rng = np.random.default_rng(task.seed)
    for bank in task.others:
        rows = np.flatnonzero(bank.clips.split == "train")
        count = min(len(rows), -(-OTHERS_SHOWN // len(task.others)))
        rows = np.sort(rng.choice(rows, count, replace=False))
        clips = bank.clips.iloc[rows].assign(part="others")
        several.append(Embedded(clips, *embed_part(task.part(rows, bank))))
    return Embedded.joined(several)


def load_encoder(
    weights: dict[str, torch.Tensor], profile: Profile, products: int, on: str | None = None
) -> Encoder:
    """The encoder of these weights for K ``products``, in evaluation mode."""
    encoder = Encoder(profile.from_scratch, products).to(on or device())
    encoder.load_state_dict(weights)
    return encoder.eval()


def collapses(encoder: Encoder, split: Split, profile: Profile, seed: int) -> list[str]:
    """One sentence for each way in which Eq. 2 has collapsed by the kept epoch.

    On the unmixed validation batch: the embeddings of the other machines, or of the target, are one
    point, or L_machine is no better than that of a constant answer.
    """
    if not split.others_train and len(split.products) == 1:
        return ["nothing to learn: one product ID, and no other machines in the batches"]
    if not (profile.machine_weight and split.others_train):
        return []
    batch = validation_batch(split, profile, seed, device_of(encoder))
    with torch.inference_mode():
        embedding = torch.cat([encoder(waves) for waves in batch.waves.split(128)])
        loss = machine_loss(encoder.heads(embedding)[1], batch.machine).item()
    sides = {"the target": embedding[batch.machine == 1]}
    sides["the other machines"] = embedding[batch.machine == 0]
    sentences = []
    for name, opposite in permutations(sides):
        spread = (sides[name] - sides[name].mean(dim=0)).square().sum(dim=1).mean().sqrt().item()
        norm = sides[opposite].norm(dim=1).mean().item()
        if spread < COLLAPSED * norm:
            sentences.append(
                f"collapse: the embeddings of {name} are one point (spread {spread:.2g}, mean norm "
                f"of {opposite} {norm:.2g})"
            )
    share = batch.machine.mean().item()
    constant = -share * math.log(share) - (1 - share) * math.log(1 - share)
    if not loss < constant:
        sentences.append(
            f"collapse: L_machine of the validation part, {loss:.3g}, is no better than that of a "
            f"constant answer, {constant:.3g}"
        )
    return sentences
