"""Inlier modelling: h and A of Eq. 4, fitted per product ID on the embeddings of normal sound.

Every inlier model has one face: ``fit(embeddings)`` and ``score(embeddings)``, ``(rows, 128)`` to
``(rows,)``, higher = more anomalous.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn.covariance import LedoitWolf
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors

from asdlib.errors import one_of


class GMM:
    """Negative log-likelihood under a Gaussian mixture of ``size`` components (section IV-A)."""

    def __init__(self, size: int, covariance: str = "full", floor: float = 1e-6, seed: int = 0):
        self.size = size
        self.mixture = GaussianMixture(
            size, covariance_type=covariance, reg_covar=floor, random_state=seed
        )

    def parameters(self, width: int) -> int:
        """Free parameters of the mixture over vectors of ``width`` numbers."""
        full = self.mixture.covariance_type == "full"
        return self.size * (width + (width * (width + 1) // 2 if full else width) + 1) - 1

    def fit(self, embeddings: np.ndarray) -> "GMM":
        # float64: full covariances of float32 embeddings stop being positive definite
        embeddings = embeddings.astype(np.float64)
        with warnings.catch_warnings():  # the best of 100 iterations is what the paper's tools use
            warnings.simplefilter("ignore", ConvergenceWarning)
            self.mixture.fit(embeddings)
        return self

    def score(self, embeddings: np.ndarray) -> np.ndarray:
        return -self.mixture.score_samples(embeddings.astype(np.float64))


class LOF:
    """Local outlier factor among ``size`` neighbours, 1 for an inlier (section IV-A)."""

    def __init__(self, size: int):
        self.size = size
        self.model = LocalOutlierFactor(n_neighbors=size, novelty=True)

    def fit(self, embeddings: np.ndarray) -> "LOF":
        self.model.fit(embeddings)
        return self

    def score(self, embeddings: np.ndarray) -> np.ndarray:
        return -self.model.score_samples(embeddings)


class KNN:
    """Mean distance to the ``size`` nearest embeddings of normal sound: a cheap reference."""

    def __init__(self, size: int):
        self.size = size
        self.model = NearestNeighbors(n_neighbors=size)

    def fit(self, embeddings: np.ndarray) -> "KNN":
        self.model.fit(embeddings)
        return self

    def score(self, embeddings: np.ndarray) -> np.ndarray:
        return self.model.kneighbors(embeddings)[0].mean(axis=1)


class Mahalanobis:
    """Squared Mahalanobis distance, covariance shrunk after Ledoit and Wolf: a cheap reference."""

    def fit(self, embeddings: np.ndarray) -> "Mahalanobis":
        self.model = LedoitWolf().fit(embeddings.astype(np.float64))
        return self

    def score(self, embeddings: np.ndarray) -> np.ndarray:
        return self.model.mahalanobis(embeddings.astype(np.float64))


def product_probability(logits: np.ndarray) -> np.ndarray:
    """Without h: 1 minus the probability of the clip's own product ID (section IV-B).

    ``logits`` are those of the own product ID, any shape; the paper averages the probability, and
    one minus it makes higher more anomalous.
    """
    return 1 / (1 + np.exp(np.clip(logits, -80, 80)))


def upper_half(scores: np.ndarray) -> np.ndarray:
    """The S // 2 highest of S segment scores, those above the median: ``(clips, S // 2)``.

    Of a single segment there is no half: it stands for itself.
    """
    return np.sort(scores, axis=1)[:, -max(scores.shape[1] // 2, 1) :]


AGGREGATIONS = {
    "mean": lambda scores: scores.mean(axis=1),
    "max": lambda scores: scores.max(axis=1),
    "upper-half": lambda scores: upper_half(scores).mean(axis=1),
    # the most normal half, which is what the author's code averages
    "lower-half": lambda scores: -upper_half(-scores).mean(axis=1),
}


def aggregate(scores: np.ndarray, aggregation: str, inlier: str) -> np.ndarray:
    """A of Eq. 4: segment scores ``(clips, S)`` to clip scores ``(clips,)``.

    ``paper``: the mean above the median for the GMM, the mean of all for every other h.
    """
    if aggregation == "paper":
        aggregation = INLIERS[inlier].aggregation
    one_of("aggregation", aggregation, AGGREGATIONS)
    return AGGREGATIONS[aggregation](scores)


@dataclass(frozen=True)
class Kind:
    """All that is known of an h.

    ``make(p, profile, seed)`` gives an unfitted model, and ``says(embedded, k)`` what the system
    itself says of clips of the k-th product ID, ``(clips, S)``; an h has one of them, or both: then
    p is the weight of what it says, in %. ``sizes`` are the p to try, None those of the profile;
    ``needs(p)`` is the least number of vectors to fit it to; ``aggregation`` the paper's A.
    """

    make: Callable | None = None
    says: Callable | None = None
    sizes: tuple[int, ...] | None = (0,)
    needs: Callable[[int], int] = lambda p: 0
    aggregation: str = "mean"

    def candidates(self, vectors: int, profile) -> tuple[int, ...]:
        """The p to try: the profile's one, or those that ``vectors`` of a product ID allow."""
        if self.sizes is not None:
            return self.sizes
        if profile.inlier_size:
            return (profile.inlier_size,)
        # two vectors a component, or one neighbour more than counted, are the least to fit
        return tuple(p for p in profile.inlier_sizes if 2 * p <= vectors)


def _gmm(p: int, profile, seed: int) -> GMM:
    return GMM(p, profile.covariance, profile.covariance_floor, seed)


def _probability(embedded, k: int) -> np.ndarray:
    return product_probability(embedded.logits[..., k])


def _output(embedded, k: int) -> np.ndarray:
    # a network's logit, whose mean the author's code takes where the paper takes the probability's
    return -embedded.logits[..., k] if embedded.output is None else embedded.output


# Every h by its name. That of another system joins them where the system is defined.
INLIERS = {
    "GMM": Kind(_gmm, sizes=None, needs=lambda p: p, aggregation="upper-half"),
    "LOF": Kind(lambda p, *_: LOF(p), sizes=None, needs=lambda p: p + 1),
    "kNN": Kind(lambda p, *_: KNN(p), sizes=None, needs=lambda p: p),
    "Mahalanobis": Kind(lambda *_: Mahalanobis(), needs=lambda p: 2),
    "none": Kind(says=_probability),
    "output": Kind(says=_output),  # the system's own anomaly score, or minus the logit
}
