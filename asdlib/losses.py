"""Outlier exposure: the two binary cross-entropies (Eqs. 1 to 3) and Mixup (section III).

Throughout: N rows of a batch, K product IDs, ``machine`` is t, ``(N,)``, 1 for the target machine
type and 0 for the others; ``product`` is y, ``(N, K)``, one-hot for target rows, all zero for the
others. After Mixup both are soft.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits


def product_loss(logits: Tensor, product: Tensor, machine: Tensor, rows: str = "weighted"):
    """L_product, Eq. 1: K binary cross-entropies, weighted by t and divided by ``K * sum(t)``.

    ``logits`` is ``g_product(f(x))``, ``(N, K)``. ``rows`` says how a mixed row counts:
    ``weighted`` by t as Eq. 1 writes it, ``included`` fully as soon as it has target sound, or
    ``all`` rows, those of other machines with all-zero labels. (A profile's ``all-when-mixed`` is
    ``all`` in a mixed batch and ``included`` in any other.) Zero without any target row.
    """
    weight = machine
    if rows != "weighted":
        weight = (machine > 0).to(logits.dtype) if rows == "included" else torch.ones_like(machine)
    entropies = binary_cross_entropy_with_logits(logits, product, reduction="none")  # (N, K)
    total = weight.sum() * logits.shape[1]
    return (weight[:, None] * entropies).sum() / total.clamp_min(torch.finfo(logits.dtype).tiny)


def machine_loss(logit: Tensor, machine: Tensor) -> Tensor:
    """L_machine, Eq. 2: target or not? ``logit`` is ``g_affine(||f(x)||)``, ``(N,)``."""
    return binary_cross_entropy_with_logits(logit, machine)


def combined_loss(machine_part, product_part, machine_weight: float, product_weight: float):
    """Eq. 3: ``L_machine + lambda L_product``; with ``machine_weight`` 0, "only product IDs"."""
    return machine_weight * machine_part + product_weight * product_part


def mixup_probability(schedule: str, progress: float) -> float:
    """The probability that a batch is mixed, when ``progress`` (0 to 1) of the training is done.

    ``rising``: from 0 to 1 by the middle, then 1; ``falling``: ``cos(pi / 2 * progress)``;
    ``always``: 1. The paper only says "in mini-batches".
    """
    return {
        "rising": min(1.0, 2 * progress),
        "falling": math.cos(math.pi / 2 * progress),
        "always": 1.0,
    }[schedule]


def mixup(waves: Tensor, product: Tensor, machine: Tensor, share: Tensor, partner: Tensor):
    """Mix each row i with row ``partner[i]``: ``share[i]`` of the one, the rest of the other.

    ``share`` ~ Beta(alpha, alpha), ``(N,)``; ``partner`` a permutation, ``(N,)``. Waves ``(N, n)``
    and both labels are mixed alike, so that a half-target row has t = 0.5.
    """

    def mix(rows: Tensor) -> Tensor:
        weight = share.view(-1, *[1] * (rows.dim() - 1))
        return rows.index_select(0, partner).lerp_(rows, weight)

    return mix(waves), mix(product), mix(machine)
