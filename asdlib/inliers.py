"""Inlier modelling: h and A of Eq. 4, fitted per product ID on the embeddings of normal sound.

Every inlier model has the same interface: ``fit(embeddings)`` and ``score(embeddings)``,
``(rows, 128)`` to ``(rows,)``, higher = more anomalous.
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
        self.mixture = GaussianMixture(
            size, covariance_type=covariance, reg_covar=floor, random_state=seed
        )

    def fit(self, embeddings: np.ndarray) -> "GMM":
        # float64: full covariances of float32 embeddings stop being positive definite
        embeddings = embeddings.astype(np.float64)
        with warnings.catch_warnings():  # the best of 100 iterations is what the paper's tools use
            warnings.simplefilter("ignore", ConvergenceWarning)
            self.mixture.fit(embeddings)
        return self

    def score(self, embeddings: np.ndarray) -> np.ndarray:
        return -self.mixture.score_samples(embeddings.astype(np.float64))


class _Fitted:
    """What the models below share: ``model`` of scikit-learn's."""

    def fit(self, embeddings: np.ndarray):
        self.model.fit(embeddings)
        return self


class LOF(_Fitted):
    """Local outlier factor among ``size`` neighbours, 1 for an inlier (section IV-A)."""

    def __init__(self, size: int):
        self.model = LocalOutlierFactor(n_neighbors=size, novelty=True)

    def score(self, embeddings: np.ndarray) -> np.ndarray:
        return -self.model.score_samples(embeddings)


class KNN(_Fitted):
    """Mean distance to the ``size`` nearest embeddings of normal sound: a cheap reference."""

    def __init__(self, size: int):
        self.model = NearestNeighbors(n_neighbors=size)

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

    ``logits``, of any shape, are those of that product ID. The paper averages the probability; one
    minus it is higher for the more anomalous.
    """
    return 1 / (1 + np.exp(np.clip(logits, -80, 80)))


def upper_half(scores: np.ndarray) -> np.ndarray:
    """The S // 2 highest of S segment scores, those above the median: ``(clips, S // 2)``.

    A single segment is its own upper half.
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
    """One kind of inlier model h, and how it is made, scored and aggregated.

    ``make(p, profile, seed)`` returns an unfitted model, and ``says(embedded, k)`` the system's own
    scores for clips of the k-th product ID, ``(clips, S)``. An h has one of the two, or both: then
    p is the weight of the system's scores, in %. ``sizes`` are the values of p to try; None stands
    for those of the profile, components or neighbours. ``least`` is the number of embeddings that
    the model needs, in addition to these; ``aggregation`` is the paper's A.
    """

    make: Callable | None = None
    says: Callable | None = None
    sizes: tuple[int, ...] | None = (0,)
    least: int = 0
    aggregation: str = "mean"

    def needs(self, p: int) -> int:
        """The least number of embeddings that the model can be fitted to."""
        return self.least + (p if self.sizes is None else 0)

    def candidates(self, vectors: int, profile) -> tuple[int, ...]:
        """The values of p to try for a product ID with so many ``vectors``."""
        if self.sizes is not None:
            return self.sizes
        if profile.inlier_size:
            return (profile.inlier_size,)
        # two vectors a component, or one neighbour more than counted, are the least to fit
        return tuple(p for p in profile.inlier_sizes if 2 * p <= vectors)


def _gmm(p: int, profile, seed: int) -> GMM:
    return GMM(p, profile.covariance, profile.covariance_floor, seed)


def _output(embedded, k: int) -> np.ndarray:
    """The system's anomaly score, or minus the logit, whose mean the author's code takes."""
    return -embedded.logits[..., k] if embedded.output is None else embedded.output


# Every h by its name. One that only a rival has is added beside that rival, as `centroid` is.
INLIERS = {
    "GMM": Kind(_gmm, sizes=None, aggregation="upper-half"),
    "LOF": Kind(lambda p, *_: LOF(p), sizes=None, least=1),
    "kNN": Kind(lambda p, *_: KNN(p), sizes=None),
    "Mahalanobis": Kind(lambda *_: Mahalanobis(), least=2),
    "none": Kind(says=lambda embedded, k: product_probability(embedded.logits[..., k])),
    "output": Kind(says=_output),
}
