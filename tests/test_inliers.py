"""Inlier models and aggregation against hand-worked numbers; direction of scores."""

import numpy as np
import pytest

from asdlib.embedding import Embedded
from asdlib.inliers import (
    GMM,
    INLIERS,
    KNN,
    Mahalanobis,
    aggregate,
    product_probability,
)
from asdlib.profiles import Profile


def test_gmm_of_one_component_is_a_gaussian():
    # Mean 0 and variance 1 in one dimension: -log N(x) = x^2 / 2 + log(2 pi) / 2.
    model = GMM(1, floor=0.0).fit(np.array([[-1.0], [1.0]]))
    expected = np.array([0.0, 1.0, 9.0]) / 2 + np.log(2 * np.pi) / 2
    np.testing.assert_allclose(model.score(np.array([[0.0], [1.0], [3.0]])), expected, rtol=1e-12)


def test_knn_by_hand():
    model = KNN(2).fit(np.array([[0.0], [1.0], [5.0]]))
    assert model.score(np.array([[2.0]])).tolist() == [1.5]


def test_mahalanobis_knows_the_spread():
    rng = np.random.default_rng(0)
    model = Mahalanobis().fit(rng.normal(0, [1, 10], (5000, 2)))
    along, across = model.score(np.array([[0.0, 10.0], [10.0, 0.0]]))
    assert across > 20 * along


WITHOUT_H = ("none", "output")
FITTED = [name for name, kind in INLIERS.items() if not kind.says]


@pytest.mark.parametrize("name", FITTED)
def test_farther_is_more_anomalous(name):
    rng = np.random.default_rng(1)
    model = INLIERS[name].make(2, Profile(), 0).fit(rng.normal(size=(200, 4)).astype(np.float32))
    scores = model.score(np.array([[0.0] * 4, [3.0] * 4, [9.0] * 4], np.float32))
    assert scores[0] < scores[1] < scores[2]


def test_without_h():
    # logit log 3: probability 3/4, score 1/4
    assert product_probability(np.array([np.log(3), 0.0])).tolist() == pytest.approx([0.25, 0.5])


def test_without_h_by_the_logit():
    """The mean logit, as in the author's code, may order clips differently from the probability.

    Logits log 3 and 0 have a mean of log(3) / 2 and a mean probability of 5/8, and twice log 2 have
    log 2 and 2/3; log 27 and -log 3 have log 3, the most, and 17/28, the least.
    """
    logits = np.log([[3, 1], [2, 2], [27, 1 / 3]])[..., None]
    clips = Embedded(None, np.zeros((3, 2, 1)), logits)
    means = {name: aggregate(INLIERS[name].says(clips, 0), "paper", name) for name in WITHOUT_H}
    assert means["output"].tolist() == pytest.approx([-np.log(3) / 2, -np.log(2), -np.log(3)])
    assert means["none"].tolist() == pytest.approx([3 / 8, 1 / 3, 11 / 28])


SEGMENTS = np.array([[4.0, 1.0, 3.0, 2.0], [0.0, 0.0, 0.0, 8.0]])


@pytest.mark.parametrize(
    "aggregation, inlier, expected",
    [
        ("mean", "GMM", [2.5, 2.0]),
        ("max", "GMM", [4.0, 8.0]),
        ("upper-half", "LOF", [3.5, 4.0]),
        ("lower-half", "GMM", [1.5, 0.0]),
        ("paper", "GMM", [3.5, 4.0]),  # the mean above the median
        ("paper", "LOF", [2.5, 2.0]),  # the mean of all
    ],
)
def test_aggregation_by_hand(aggregation, inlier, expected):
    assert aggregate(SEGMENTS, aggregation, inlier).tolist() == expected


def test_upper_half_is_what_lies_above_the_median():
    odd = np.array([[5.0, 1.0, 2.0]])  # the median is 2: 5 alone lies above it
    assert aggregate(odd, "upper-half", "GMM").tolist() == [5.0]
    assert aggregate(odd[:, :1], "upper-half", "GMM").tolist() == [5.0]
