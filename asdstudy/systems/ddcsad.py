"""DDCSAD (section II): one encoder per product ID, against its siblings and other machines.

A clip is embedded by the encoder of its own product ID.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
import torch

from asdlib.batches import Batch, Part, Split, folder_of
from asdlib.embedding import Embedded, embed_segments
from asdlib.errors import InputError
from asdlib.profiles import Profile
from asdlib.training import losses as two_entropies
from asdlib.training import train as train_encoder
from asdstudy.systems.serial import load_encoder
from asdstudy.systems.task import Task, Trained, below, size

SEGMENTED, SAYS, HEARS_OTHERS = True, ("none", "output", "centroid"), True
BY_PRODUCT = True


def train(task: Task) -> Trained:
    """One network per product ID; the names of its weights begin with the ID."""
    weights, histories, parameters = {}, [], 0
    for k, product in enumerate(task.split.products):
        encoder, history = train_encoder(
            one_against_rest(task.split, k), task.profile, task.seed, None, task.progress,
            task.checkpoint(product), losses, task.start,
        )  # fmt: skip
        weights |= {f"{product}.{name}": value for name, value in encoder.state_dict().items()}
        histories.append(history.assign(product=product))
        parameters += size(encoder)
    return Trained(weights, pd.concat(histories), len(histories), parameters)


def embed(task: Task, weights: dict[str, torch.Tensor]) -> Embedded:
    """The train and test clips of the target."""
    return task.embedded(embedder(weights, task.profile, task.split.products, task.progress))


def embedder(weights: dict, profile: Profile, products, progress: bool = False) -> Callable:
    """As that of the serial method; the logits are NaN but for the clip's own product ID."""
    encoders = [load_encoder(below(f"{product}.", weights), profile, 1) for product in products]

    def embed_part(part: Part) -> tuple:
        shape = len(part), profile.segments
        embeddings = np.empty((*shape, profile.embedding_size), np.float32)
        logits = np.full((*shape, len(products)), np.nan, np.float32)
        for k, encoder in enumerate(encoders):
            own = part.products == k
            if own.any():
                embeddings[own], logit = embed_segments(encoder, part[own], profile, progress)
                logits[own, :, k] = logit[..., 0]
        return embeddings, logits

    return embed_part


def losses(embedding, product_logits, machine_logit, batch: Batch, profile: Profile) -> dict:
    """Those of Eq. 1 to 3, and DDCSAD's metric learning beside them."""
    parts = two_entropies(embedding, product_logits, machine_logit, batch, profile)
    centroid = centroid_loss(embedding, batch.machine)
    return parts | {"loss": parts["loss"] + centroid, "centroid_loss": centroid}


def centroid_loss(embedding: torch.Tensor, machine: torch.Tensor) -> torch.Tensor:
    """DDCSAD's metric learning (section II): the share of the variance that is within classes.

    ``embedding`` is ``(N, D)``; ``machine`` ``(N,)`` is 1 for positives, 0 for negatives, and
    between for rows that Mixup made of both. W is the sum over both classes of the mean squared
    distance to the centroid, B the squared distance between the two centroids; the loss W / (W + B)
    is 0 when each class is one point, 1 when the centroids coincide. The paper only says "minimize
    within-class variance and maximize between-class variance".
    """
    weights = torch.stack([machine, 1 - machine])  # (2, N)
    weights = weights / weights.sum(dim=1, keepdim=True).clamp_min(1e-6)
    centroids = weights @ embedding  # (2, D)
    distances = (embedding[None] - centroids[:, None]).square().sum(dim=2)  # (2, N)
    within = (weights * distances).sum()
    between = (centroids[0] - centroids[1]).square().sum()
    return within / (within + between).clamp_min(torch.finfo(embedding.dtype).tiny)


def one_against_rest(split: Split, k: int) -> Split:
    """The split of the k-th network: positives of product ID k, the rest among the negatives.

    Train and validation clips stay what they are in ``split``, so no event is in both.
    """

    def halves(part: Part) -> tuple[Part, Part]:
        own = part.products == k
        part = replace(part, products=np.where(own, 0, -1))
        return part[own], part[~own]

    (train, siblings), (validation, held_out) = halves(split.train), halves(split.validation)
    others, others_held_out = split.others_train, split.others_validation
    if len(siblings):
        others, others_held_out = (siblings, *others), (held_out, *others_held_out)
    if not others:
        folder = folder_of(train.bank.clips)
        raise InputError(f"{folder}: one product ID and no other machine: no negatives")
    return Split((split.products[k],), train, validation, others, others_held_out)
