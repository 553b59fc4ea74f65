"""DDCSAD (section II): one encoder a product ID, that ID against its siblings and other machines.

A clip is embedded by the encoder of its own product ID.
"""

from dataclasses import replace

import numpy as np
import pandas as pd
import torch

from asdlib.batches import Batch, Part, Split
from asdlib.embedding import Embedded
from asdlib.errors import InputError
from asdlib.profiles import Profile
from asdlib.training import losses as two_entropies
from asdlib.training import train as train_encoder
from asdstudy.systems.serial import embed_rows, load_encoder
from asdstudy.systems.task import Task, Trained, below, size

SEGMENTED, SAYS, HEARS_OTHERS = True, ("none", "output", "centroid"), True


def train(task: Task) -> Trained:
    """A network a product ID; the names of its weights begin with the ID."""
    weights, histories, parameters = {}, [], 0
    for k, product in enumerate(task.split.products):
        encoder, history = train_encoder(
            one_against_rest(task.split, k), task.profile, task.seed, None, task.progress,
            task.checkpoint(product), losses,
        )  # fmt: skip
        weights |= {f"{product}.{name}": value for name, value in encoder.state_dict().items()}
        histories.append(history.assign(product=product))
        parameters += size(encoder)
    return Trained(weights, pd.concat(histories), len(histories), parameters)


def embed(task: Task, weights: dict[str, torch.Tensor]) -> Embedded:
    """The train and test clips of the target; of the logits only that of the own ID is a number."""
    names, several = task.bank.clips["product"].to_numpy(), []
    for rows in (task.train_rows, task.test_rows):
        for k, product in enumerate(task.split.products):
            encoder = load_encoder(below(f"{product}.", weights), task.profile, 1)
            if len(clips := rows[names[rows] == product]):
                part = embed_rows(encoder, task, clips)
                shape = (*part.logits.shape[:2], len(task.split.products))
                logits = np.full(shape, np.nan, np.float32)
                logits[..., k] = part.logits[..., 0]
                several.append(replace(part, logits=logits))
    return Embedded.joined(several)


def losses(embedding, product_logits, machine_logit, batch: Batch, profile: Profile) -> dict:
    """Those of Eq. 1 to 3, and DDCSAD's metric learning beside them."""
    parts = two_entropies(embedding, product_logits, machine_logit, batch, profile)
    centroid = centroid_loss(embedding, batch.machine)
    return parts | {"loss": parts["loss"] + centroid, "centroid_loss": centroid}


def centroid_loss(embedding: torch.Tensor, machine: torch.Tensor) -> torch.Tensor:
    """DDCSAD's metric learning (section II): the share of the variance that is within classes.

    ``embedding`` ``(N, D)``; ``machine`` ``(N,)`` is 1 for positives and 0 for negatives, and
    weighs what Mixup made of both. With c the centroid of a class in the batch, W the sum over both
    classes of the mean squared distance to their own c, and B the squared distance between the two
    c, the loss is W / (W + B): 0 when each class is one point, 1 when their centroids coincide.
    The paper says "minimize within-class variance and maximize between-class variance", no more.
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
        mine = part.products == k
        positives = replace(part, rows=part.rows[mine], products=np.zeros(mine.sum(), int))
        siblings = replace(part, rows=part.rows[~mine], products=np.full((~mine).sum(), -1))
        return positives, siblings

    (train_positives, train_rest), (positives, rest) = halves(split.train), halves(split.validation)
    others, held_out = [*split.others_train], [*split.others_validation]
    if len(train_rest):
        others, held_out = [train_rest, *others], [rest, *held_out]
    if not others:
        folder = split.train.bank.clips.path.iloc[0].parent.parent
        raise InputError(f"{folder}: one product ID and no other machine: no negatives")
    return Split((split.products[k],), train_positives, positives, tuple(others), tuple(held_out))
