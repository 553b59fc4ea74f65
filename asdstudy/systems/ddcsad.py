"""DDCSAD (section II): one encoder a product ID, that ID against its siblings and other machines.

A clip is embedded by the encoder of its own product ID.
"""

from dataclasses import replace

import numpy as np
import pandas as pd
import torch

from asdlib.batches import Part, Split
from asdlib.embedding import Embedded
from asdlib.errors import InputError
from asdlib.training import train as train_encoder
from asdstudy.systems.serial import embed_rows, load_encoder
from asdstudy.systems.task import Task, Trained, below, size

SEGMENTED, SAYS, HEARS_OTHERS = True, ("none", "output", "centroid"), True


def train(task: Task) -> Trained:
    """A network a product ID; the names of its weights begin with the ID."""
    if task.profile.product_entropy == "softmax":
        raise InputError(
            "product_entropy is softmax; a network of one product ID has one logit: expected binary"
        )
    weights, histories, parameters = {}, [], 0
    for k, product in enumerate(task.split.products):
        encoder, history = train_encoder(
            one_against_rest(task.split, k), task.profile, task.seed, progress=task.progress,
            checkpoint=task.checkpoint(product),
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
