"""Score stored runs in more ways than their own: other models of the same embeddings.

Nothing is trained. A method is an inlier model and what it uses of an embedding; each is combined
with every p and every aggregation.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from sklearn.metrics import pairwise_distances
from sklearn.neighbors import NearestNeighbors

from asdlib.inliers import AGGREGATIONS, INLIERS, Kind
from asdlib.metrics import auc_pauc, validation_products
from asdlib.profiles import Profile
from asdlib.waves import distinct_segments
from asdstudy.runs.enough import check_clips
from asdstudy.runs.provenance import stamp
from asdstudy.runs.run import Run


class LocalDensity:
    """Distance to the nearest reference, for which one counts less where references are sparse.

    The distance to each embedding of normal sound is divided by that one's own mean distance to its
    ``size`` nearest; the least counts (Wilkinghoff et al., 2025).
    """

    def __init__(self, size: int):
        self.size = size

    def fit(self, embeddings: np.ndarray) -> "LocalDensity":
        self.references = embeddings
        nearest = NearestNeighbors(n_neighbors=self.size).fit(embeddings)
        self.spacings = nearest.kneighbors()[0].mean(axis=1).clip(1e-12)  # of each, without itself
        return self

    def score(self, embeddings: np.ndarray) -> np.ndarray:
        return (pairwise_distances(embeddings, self.references) / self.spacings).min(axis=1)


def whole(embeddings: np.ndarray) -> np.ndarray:
    """The embeddings as they are, ``(..., D)``."""
    return embeddings


def direction(embeddings: np.ndarray) -> np.ndarray:
    """Unit vectors, ``(..., D)``."""
    return embeddings / norm(embeddings).clip(1e-12)


def norm(embeddings: np.ndarray) -> np.ndarray:
    """The lengths alone, ``(..., 1)``."""
    return np.linalg.norm(embeddings, axis=-1, keepdims=True)


KINDS = INLIERS | {"local density": Kind(lambda p, *_: LocalDensity(p), sizes=None, least=1)}
# Each method: a kind of model, and what it uses. Mahalanobis is the Gaussian after Ledoit and Wolf.
METHODS: dict[str, tuple[str, Callable[[np.ndarray], np.ndarray]]] = {
    **{name: (name, whole) for name in ("GMM", "LOF", "kNN", "Mahalanobis", "local density")},
    "cosine kNN": ("kNN", direction),
    "cosine local density": ("local density", direction),
    "GMM of the direction": ("GMM", direction),
    "LOF of the direction": ("LOF", direction),
    "GMM of the norm": ("GMM", norm),
    "LOF of the norm": ("LOF", norm),
}


def segment_scores(
    method: str, p: int, fit: np.ndarray, test: np.ndarray, profile: Profile, seed: int
) -> np.ndarray:
    """Scores ``(clips, S)`` of ``test`` ``(clips, S, D)`` by a method fitted to ``fit`` ``(N, D)``.

    Raises scikit-learn's ValueError for an ill-conditioned covariance.
    """
    name, view = METHODS[method]
    test = view(test)
    model = KINDS[name].make(p, profile, seed).fit(view(fit))
    return model.score(test.reshape(-1, test.shape[-1])).reshape(test.shape[:2])


def rescored(run: Run) -> pd.DataFrame:
    """AUC and pAUC of a run, one row per product ID, method (inlier), p (size) and aggregation.

    Beside ``METHODS`` there are the scores that need no model: ``none``, the product probability;
    ``output``, minus the product logit; and ``norm``, how far the norm is on the side of the other
    machines'. Test clips without a label are left out, and so is a p that cannot be fitted for
    every product ID.
    """
    fit, test, others = (run.embedded[name] for name in ("fit", "test", "others"))
    test = test[test.clips.label.isin(["normal", "anomaly"]).to_numpy()]
    profile, seed, products = run.profile, run.params["seed"], run.params["products"]
    count = fit.embeddings.shape[1]
    vectors = check_clips(fit.clips, count, profile)
    side = np.sign(norm(others.embeddings).mean() - norm(fit.embeddings).mean())
    rows = []
    for k, product in enumerate(products):
        own, clips = fit[fit.of_product(product)], test[test.of_product(product)]
        frames = own.clips.frames.to_numpy()
        usual = own.embeddings[distinct_segments(frames, count, profile.segment_frames)]
        scores = {(name, 0): INLIERS[name].says(clips, k) for name in ("none", "output")}
        scores["norm", 0] = side * norm(clips.embeddings)[..., 0]
        for method, (name, _) in METHODS.items():
            for p in KINDS[name].candidates(vectors, profile):
                with suppress(ValueError):
                    scores[method, p] = segment_scores(
                        method, p, usual, clips.embeddings, profile, seed
                    )
        about = {name: run.params[name] for name in ("corpus", "machine_type", "variant", "seed")}
        about["product"] = product
        about["role"] = "validation" if product in validation_products(products) else "test"
        anomalous = (clips.clips.label == "anomaly").to_numpy()
        for (method, p), segments in scores.items():
            for aggregation, aggregate in AGGREGATIONS.items():
                auc, pauc = auc_pauc(anomalous, aggregate(segments))
                way = {"inlier": method, "size": p, "aggregation": aggregation}
                rows.append(about | way | {"AUC": auc, "pAUC": pauc})
    table = pd.DataFrame(rows)
    counts = table.groupby(["inlier", "size"])["product"].transform("nunique")
    return table[counts == len(products)]


def table(runs: Sequence[Run], workers: int | None = None) -> pd.DataFrame:
    """:func:`rescored` of some runs, ``workers`` (all cores) at a time."""
    folders = [run.folder for run in runs]
    parts = Parallel(workers or -1, inner_max_num_threads=1)(map(delayed(_of_folder), folders))
    return pd.concat(parts, ignore_index=True)


def _of_folder(folder: Path) -> pd.DataFrame:
    run = Run(folder)
    return rescored(run).assign(**stamp(run.params))
