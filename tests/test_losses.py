"""Eq. 1-3 and Mixup against numbers worked out by hand, in float64."""

import math

import pytest
import torch

from asdlib.losses import (
    combined_loss,
    machine_loss,
    mixup,
    mixup_probability,
    product_loss,
)
from asdstudy.systems.ddcsad import centroid_loss
from asdstudy.systems.softmax import softmax_product_loss

F64 = torch.float64
LOG3 = math.log(3)  # a logit of log 3 is a probability of 3/4


def entropy(probability: float, label: float) -> float:
    return -(label * math.log(probability) + (1 - label) * math.log(1 - probability))


def test_product_loss_by_hand():
    # Two target rows of K = 2 and a negative; probabilities 3/4 and 1/4, labels (1, 0) and (0, 1).
    logits = torch.tensor([[LOG3, -LOG3], [LOG3, 0.0], [5.0, -7.0]], dtype=F64)
    product = torch.tensor([[1, 0], [0, 1], [0, 0]], dtype=F64)
    machine = torch.tensor([1, 1, 0], dtype=F64)
    terms = -math.log(3 / 4) - math.log(3 / 4) - math.log(1 / 4) - math.log(1 / 2)
    assert product_loss(logits, product, machine).item() == pytest.approx(terms / 4, rel=1e-12)


def test_product_loss_is_the_mean_over_target_rows():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(6, 3, dtype=F64, generator=generator)
    product = torch.eye(3, dtype=F64)[[0, 1, 2, 0, 1, 2]]
    machine = torch.tensor([1, 0, 1, 0, 0, 1], dtype=F64)
    target = machine == 1
    mean = torch.nn.functional.binary_cross_entropy_with_logits(logits[target], product[target])
    torch.testing.assert_close(product_loss(logits, product, machine), mean, rtol=1e-12, atol=0)


def test_product_loss_ignores_negatives():
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(4, 3, dtype=F64, generator=generator)
    product = torch.zeros(4, 3, dtype=F64)
    product[[0, 1], [2, 0]] = 1
    machine = torch.tensor([1, 1, 0, 0], dtype=F64)
    before = product_loss(logits, product, machine)
    logits[2:] = 100 * torch.randn(2, 3, dtype=F64, generator=generator)
    assert product_loss(logits, product, machine) == before
    logits.requires_grad_()
    product_loss(logits, product, machine).backward()
    assert (logits.grad[2:] == 0).all() and (logits.grad[:2] != 0).all()


def test_product_loss_without_targets_is_zero():
    assert product_loss(torch.ones(2, 3), torch.zeros(2, 3), torch.zeros(2)) == 0


@pytest.mark.parametrize(
    "rows, expected",
    [
        # a row half target (K = 1, label 1/2, p = 3/4), a pure target (label 1, p = 3/4), and a
        # pure negative (label 0, p = 1/2)
        ("weighted", (0.5 * entropy(0.75, 0.5) + entropy(0.75, 1)) / 1.5),
        ("included", (entropy(0.75, 0.5) + entropy(0.75, 1)) / 2),
        ("all", (entropy(0.75, 0.5) + entropy(0.75, 1) + entropy(0.5, 0)) / 3),
    ],
)
def test_product_rows_after_mixup(rows, expected):
    logits = torch.tensor([[LOG3], [LOG3], [0.0]], dtype=F64)
    product = torch.tensor([[0.5], [1], [0]], dtype=F64)
    machine = torch.tensor([0.5, 1, 0], dtype=F64)
    loss = product_loss(logits, product, machine, rows).item()
    assert loss == pytest.approx(expected, rel=1e-12)


def test_machine_loss_by_hand():
    logit = torch.tensor([LOG3, -LOG3, LOG3], dtype=F64)
    machine = torch.tensor([1, 0, 0.5], dtype=F64)
    expected = (2 * -math.log(3 / 4) + entropy(0.75, 0.5)) / 3
    assert machine_loss(logit, machine).item() == pytest.approx(expected, rel=1e-12)


def test_combined_loss():
    parts = torch.tensor(0.5), torch.tensor(0.25)
    assert combined_loss(*parts, machine_weight=1.0, product_weight=10.0) == 3.0
    assert combined_loss(*parts, machine_weight=0.0, product_weight=10.0) == 2.5


def test_mixup_by_hand():
    waves = torch.tensor([[4.0, 0.0], [0.0, 8.0]], dtype=F64)
    product = torch.tensor([[1.0, 0.0], [0.0, 0.0]], dtype=F64)  # a target and a negative
    machine = torch.tensor([1.0, 0.0], dtype=F64)
    share, partner = torch.tensor([0.75, 0.5], dtype=F64), torch.tensor([1, 0])
    mixed, soft_product, soft_machine = mixup(waves, product, machine, share, partner)
    assert mixed.tolist() == [[3.0, 2.0], [2.0, 4.0]]
    assert soft_product.tolist() == [[0.75, 0.0], [0.5, 0.0]]
    assert soft_machine.tolist() == [0.75, 0.5]


def test_mixup_schedules():
    at = [0.0, 0.25, 0.5, 1.0]
    assert [mixup_probability("rising", t) for t in at] == [0, 0.5, 1, 1]
    assert [mixup_probability("always", t) for t in at] == [1, 1, 1, 1]
    falling = [mixup_probability("falling", t) for t in at]
    assert falling == pytest.approx([1, math.cos(math.pi / 8), math.sqrt(0.5), 0], abs=1e-12)


def test_softmax_over_product_ids_by_hand():
    logits = torch.tensor([[0.0, math.log(3.0)], [math.log(4.0), 0.0], [9.0, 9.0]], dtype=F64)
    product = torch.tensor([[0.0, 1.0], [0.0, 1.0], [0.0, 0.0]], dtype=F64)  # the last: a negative
    expected = -(math.log(3 / 4) + math.log(1 / 5)) / 2
    assert softmax_product_loss(logits, product).item() == pytest.approx(expected, rel=1e-12)
    assert softmax_product_loss(logits, torch.zeros_like(product)) == 0


def test_centroid_loss_by_hand():
    """Positives 0 and 2, negatives 5 and 9: variances 1 and 4, centroids 6 apart."""
    embedding = torch.tensor([[0.0], [2.0], [5.0], [9.0]], dtype=F64)
    machine = torch.tensor([1.0, 1.0, 0.0, 0.0], dtype=F64)
    assert centroid_loss(embedding, machine).item() == pytest.approx(5 / (5 + 36), rel=1e-12)
    # scaled or moved as a whole it is the same
    assert centroid_loss(3 * embedding + 1, machine).item() == pytest.approx(5 / 41, rel=1e-9)


def test_centroid_loss_at_its_ends_and_with_mixed_rows():
    machine = torch.tensor([1.0, 1.0, 0.0, 0.0], dtype=F64)
    points = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]], dtype=F64)
    assert centroid_loss(points, machine) == 0
    crossed = torch.tensor([[1.0], [-1.0], [1.0], [-1.0]], dtype=F64)
    assert centroid_loss(crossed, machine) == 1
    # a row that is half of each counts half in both: c are 0.5 / 1.5 and 2.5 / 1.5
    embedding = torch.tensor([[0.0], [1.0], [2.0]], dtype=F64)
    centroids = 0.5 / 1.5, 2.5 / 1.5
    within = sum((1.0 * (end - c) ** 2 + 0.5 * (1 - c) ** 2) / 1.5
                 for end, c in zip((0, 2), centroids, strict=True))  # fmt: skip
    expected = within / (within + (centroids[1] - centroids[0]) ** 2)
    mixed = centroid_loss(embedding, torch.tensor([1.0, 0.5, 0.0], dtype=F64)).item()
    assert mixed == pytest.approx(expected, rel=1e-9)
