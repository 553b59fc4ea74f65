"""Inlier modelling: h and A of Eq. 4, fitted per product ID on the embeddings of normal sound.

Every inlier model has one face: ``fit(embeddings)`` and ``score(embeddings)``, ``(rows, 128)`` to
``(rows,)``, higher = more anomalous.
"""

import warnings

import numpy as np
from sklearn.covariance import LedoitWolf
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors

from asdlib.errors import InputError, one_of


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
        embeddings = _enough(embeddings, "GMM", self.size).astype(np.float64)
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
        self.model.fit(_enough(embeddings, "LOF", self.size))
        return self

    def score(self, embeddings: np.ndarray) -> np.ndarray:
        return -self.model.score_samples(embeddings)


class KNN:
    """Mean distance to the ``size`` nearest embeddings of normal sound: a cheap reference."""

    def __init__(self, size: int):
        self.size = size
        self.model = NearestNeighbors(n_neighbors=size)

    def fit(self, embeddings: np.ndarray) -> "KNN":
        self.model.fit(_enough(embeddings, "kNN", self.size))
        return self

    def score(self, embeddings: np.ndarray) -> np.ndarray:
        return self.model.kneighbors(embeddings)[0].mean(axis=1)


class Mahalanobis:
    """Squared Mahalanobis distance, covariance shrunk after Ledoit and Wolf: a cheap reference."""

    def fit(self, embeddings: np.ndarray) -> "Mahalanobis":
        self.model = LedoitWolf().fit(_enough(embeddings, "Mahalanobis").astype(np.float64))
        return self

    def score(self, embeddings: np.ndarray) -> np.ndarray:
        return self.model.mahalanobis(embeddings.astype(np.float64))


class Centroid:
    """Distance to the mean of the fitted embeddings, in units of their own mean distance.

    The distance of DDCSAD's score (section II). The unit makes it comparable with a probability;
    the paper does not say how the two are brought together.
    """

    def fit(self, embeddings: np.ndarray) -> "Centroid":
        self.centre = _enough(embeddings, "centroid").mean(axis=0)
        self.unit = max(self._distances(embeddings).mean(), 1e-12)
        return self

    def score(self, embeddings: np.ndarray) -> np.ndarray:
        return self._distances(embeddings) / self.unit

    def _distances(self, embeddings: np.ndarray) -> np.ndarray:
        return np.linalg.norm(embeddings - self.centre, axis=1)


SIZED = ("GMM", "LOF", "kNN")  # the inlier models that p is chosen for
UNSIZED = {"Mahalanobis": Mahalanobis, "centroid": Centroid}
INLIERS = (*SIZED, "Mahalanobis", "none")  # of a serial system


def make_inlier(name: str, size: int, profile, seed: int = 0):
    """The inlier model of that name with p = ``size`` (ignored by those that have none)."""
    one_of("inlier model", name, [*SIZED, *UNSIZED])
    if name == "GMM":
        return GMM(size, profile.covariance, profile.covariance_floor, seed)
    return {"LOF": LOF, "kNN": KNN}[name](size) if name in SIZED else UNSIZED[name]()


def vectors_needed(name: str, size: int = 0) -> int:
    """The least number of vectors that the h of that name and p = ``size`` can be fitted to."""
    return {"GMM": size, "LOF": size + 1, "kNN": size, "Mahalanobis": 2, "centroid": 2}.get(name, 0)


def _enough(embeddings: np.ndarray, name: str, size: int = 0) -> np.ndarray:
    if len(embeddings) < (needed := vectors_needed(name, size)):
        raise InputError(
            f"{len(embeddings)} embeddings are too few for {name}, which needs {needed}"
        )
    return embeddings


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
        aggregation = "upper-half" if inlier == "GMM" else "mean"
    one_of("aggregation", aggregation, AGGREGATIONS)
    return AGGREGATIONS[aggregation](scores)
