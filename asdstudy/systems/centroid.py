"""The h of DDCSAD (section II), which joins the method's own in ``INLIERS``."""

import numpy as np

from asdlib.inliers import INLIERS, Kind

WEIGHTS = (0, 25, 50, 75, 100)  # of the probability in the score, in %; the distance has the rest


class Centroid:
    """Distance to the mean of the fitted embeddings, in units of their own mean distance.

    The distance of DDCSAD's score (section II). The unit makes it comparable with a probability;
    the paper does not say how the two are combined.
    """

    def fit(self, embeddings: np.ndarray) -> "Centroid":
        self.centre = embeddings.mean(axis=0)
        self.unit = max(self._distances(embeddings).mean(), 1e-12)
        return self

    def score(self, embeddings: np.ndarray) -> np.ndarray:
        return self._distances(embeddings) / self.unit

    def _distances(self, embeddings: np.ndarray) -> np.ndarray:
        return np.linalg.norm(embeddings - self.centre, axis=1)


INLIERS["centroid"] = Kind(lambda *_: Centroid(), INLIERS["none"].says, WEIGHTS, least=2)
