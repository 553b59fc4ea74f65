"""Whether Eq. 2 has collapsed in a training."""

import math
from itertools import permutations

import torch

from asdlib.batches import Split, validation_batch
from asdlib.encoder import Encoder, device_of
from asdlib.losses import machine_loss
from asdlib.profiles import Profile

COLLAPSED = 0.01  # of the other side's mean norm: a spread that makes a side one point


def collapses(encoder: Encoder, split: Split, profile: Profile, seed: int) -> list[str]:
    """One sentence for each way in which Eq. 2 has collapsed by the kept epoch.

    On the unmixed validation batch: the embeddings of the other machines, or of the target, are one
    point, or L_machine is no better than that of a constant answer.
    """
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
