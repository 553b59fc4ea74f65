"""One softmax over the product IDs: the earlier serial method, and the challenge's classifier.

Otherwise as :mod:`.serial`; without other machines, and without Mixup.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from asdlib.batches import Batch, Part, folder_of
from asdlib.embedding import Embedded
from asdlib.errors import InputError
from asdlib.profiles import Profile
from asdlib.training import with_machine_loss
from asdstudy.systems import serial
from asdstudy.systems.task import Task, Trained

SEGMENTED, SAYS, HEARS_OTHERS = serial.SEGMENTED, serial.SAYS, serial.HEARS_OTHERS
BY_PRODUCT = serial.BY_PRODUCT


def train(task: Task) -> Trained:
    """One encoder for the machine type."""
    if len(task.split.products) < 2:
        folder = folder_of(task.bank.clips)
        raise InputError(f"{folder}: one product ID only; a softmax over product IDs needs two")
    return serial.train(task, losses)


def embed(task: Task, weights: dict[str, Tensor]) -> Embedded:
    """As the serial method, by this :func:`embedder`."""
    return serial.embed(task, weights, embedder)


def embedder(weights: dict, profile: Profile, products, progress: bool = False) -> Callable:
    """As the serial method's, with the log-odds ``log(p / (1 - p))`` of each product ID as its
    logit: so a logit means the same in every system, its logistic function is the probability."""
    embed_part = serial.embedder(weights, profile, products, progress)

    def with_log_odds(part: Part) -> tuple:
        embeddings, logits = embed_part(part)
        clips = map(torch.from_numpy, logits)  # one by one, for the same bits in any company
        return embeddings, np.stack([log_odds(clip).numpy() for clip in clips])

    return with_log_odds


def losses(embedding, product_logits, machine_logit, batch: Batch, profile: Profile) -> dict:
    """As :func:`asdlib.training.losses`, with one entropy over the product IDs for Eq. 1's K."""
    product = softmax_product_loss(product_logits, batch.product)
    return with_machine_loss(product, machine_logit, batch, profile)


def softmax_product_loss(logits: Tensor, product: Tensor) -> Tensor:
    """One softmax cross-entropy over the K product IDs, in place of Eq. 1's K binary ones.

    Only target rows count: a row of all-zero labels adds nothing.
    """
    entropies = -(product * logits.log_softmax(dim=1)).sum(dim=1)
    return entropies.sum() / product.sum().clamp_min(torch.finfo(logits.dtype).tiny)


def log_odds(logits: Tensor) -> Tensor:
    """``log(p / (1 - p))`` of each class of a softmax: ``(N, K)`` to ``(N, K)``, K at least 2."""
    count = logits.shape[1]
    rest = logits[:, None].expand(-1, count, -1)[:, ~torch.eye(count, dtype=bool)]  # without itself
    return logits - rest.view(-1, count, count - 1).logsumexp(dim=2)
