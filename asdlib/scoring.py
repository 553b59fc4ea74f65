"""Scoring: fit h per product ID, aggregate, and choose h and p on the validation IDs (Eq. 4)."""

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd

from asdlib import metrics
from asdlib.errors import InputError
from asdlib.inliers import GMM, SIZED, aggregate, make_inlier, product_probability, vectors_needed
from asdlib.profiles import PAPER_INLIERS, Profile

CENTROID_WEIGHTS = (0, 25, 50, 75, 100)  # %; of the probability in DDCSAD's score
METRICS = (
    *("product", "role", "AUC", "pAUC", "normal", "anomalous"),
    *("inlier", "size", "chosen"),
)


@dataclass(frozen=True)
class Embedded:
    """Segment embeddings ``(clips, S, 128)`` and product logits ``(clips, S, K)`` of some clips.

    ``clips`` are their rows of the corpus index.
    """

    clips: pd.DataFrame
    embeddings: np.ndarray
    logits: np.ndarray

    def none(self) -> "Embedded":
        """No clips, in the same shapes."""
        return Embedded(self.clips[:0], self.embeddings[:0], self.logits[:0])

    def of_product(self, product: str) -> np.ndarray:
        """Which clips are of that product ID: ``(clips,)`` of bool."""
        return (self.clips["product"] == product).to_numpy()


def validation_products(products) -> tuple[str, ...]:
    """The product IDs that may choose: the first half (0, 1, 2 of the paper's six); none of one."""
    products = sorted(products)
    return tuple(products[: len(products) // 2])


def segment_scores(
    inlier: str, size: int, fit: Embedded, test: Embedded, products, profile: Profile, seed: int = 0
) -> np.ndarray:
    """Anomaly scores of every test segment by its own product ID's h: ``(clips, S)``."""
    scores = np.full(test.embeddings.shape[:2], np.nan)
    for k, product in enumerate(products):
        tested = test.of_product(product)
        if not tested.any():
            continue
        own = test.logits[tested][..., k]
        if inlier in ("none", "output"):  # what the network itself says of the product ID
            scores[tested] = product_probability(own) if inlier == "none" else -own
            continue
        vectors = np.concatenate(fit.embeddings[fit.of_product(product)])
        model = make_inlier(inlier, size, profile, seed).fit(vectors)
        segments = test.embeddings[tested]
        told = model.score(segments.reshape(-1, segments.shape[-1])).reshape(segments.shape[:2])
        if inlier == "centroid":  # DDCSAD's weighted average; p is the probability's weight in %
            told = (size * product_probability(own) + (100 - size) * told) / 100
        scores[tested] = told
    return scores


def candidate_sizes(inlier: str, vectors: int, profile: Profile) -> tuple[int, ...]:
    """The p to try: the profile's one, or those that ``vectors`` of a product ID are enough for."""
    if inlier not in SIZED and inlier != "centroid":
        return (0,)
    if profile.inlier_size:
        return (profile.inlier_size,)
    if inlier == "centroid":
        return CENTROID_WEIGHTS
    # two vectors a component, and one neighbour more than counted, are the least that can be fitted
    return tuple(size for size in profile.inlier_sizes if 2 * size <= vectors)


def fewest_vectors(clips: pd.DataFrame, segments: int) -> int:
    """How many vectors the product ID with the fewest of ``clips`` has for h."""
    return int(clips["product"].value_counts().min() * segments)


def check_enough(clips: pd.DataFrame, segments: int, profile: Profile) -> None:
    """Raise :class:`InputError` where ``clips`` of ``segments`` vectors each are too few for an h.

    It needs no embedding, so that it can be asked before the hours of training.
    """
    vectors = fewest_vectors(clips, segments)
    product = clips["product"].value_counts().idxmin()
    remedy = "take a smaller p, more segments, or inlier_part='train'"
    where = f"{clips.path.iloc[0].parent.parent}: product ID {product}"
    for inlier in profile.inliers:
        sizes = candidate_sizes(inlier, vectors, profile)
        if not sizes:
            raise InputError(
                f"{where}: {vectors} embeddings are too few for any p of {profile.inlier_sizes}: "
                + remedy
            )
        needed = max(vectors_needed(inlier, size) for size in sizes)
        if vectors < needed:
            raise InputError(
                f"{where}: {vectors} embeddings are too few for {inlier}, which needs {needed}: "
                + remedy
            )


def score_clips(
    fit: Embedded, test: Embedded, products, profile: Profile, seed: int = 0
) -> tuple[pd.DataFrame, pd.DataFrame, dict]:
    """Score every test clip with every h; choose p for each h, and h, on the validation IDs.

    Returns ``scores`` (a row a clip: file, product, domain, role, label, attributes, ``score`` by
    the chosen h, and a column for each h), ``metrics`` (a row a product ID and h: role, p, AUC,
    pAUC, chosen; none without labels) and the choice: inlier, sizes by h, what chose them, and the
    harmonic mean on the validation IDs that each candidate reached.
    """
    check_enough(fit.clips, fit.embeddings.shape[1], profile)
    clips = test.clips
    vectors = fewest_vectors(fit.clips, fit.embeddings.shape[1])
    choosing = validation_products(products)
    may_choose = clips["product"].isin(choosing).to_numpy() & (clips.label != "unknown").to_numpy()
    role = np.where(clips["product"].isin(choosing), "validation", "test")
    frame = pd.DataFrame(
        {
            "file": [path.name for path in clips.path],
            "product": clips["product"],
            "domain": clips.domain,
            "role": role,
            "label": clips.label,
            "attributes": clips.attributes,
        }
    ).reset_index(drop=True)
    sizes, candidates, columns = {}, [], {}
    for inlier in profile.inliers:
        if inlier == "none" and profile.product_weight == 0:
            continue  # an untrained g_product has no probability to offer
        tried = {}
        for size in candidate_sizes(inlier, vectors, profile):
            _warn_if_overparametrised(inlier, size, vectors, fit.embeddings.shape[-1], profile)
            try:
                segments = segment_scores(inlier, size, fit, test, products, profile, seed)
            except InputError:
                raise
            except ValueError as error:  # scikit-learn's, of a covariance that is not one
                warnings.warn(f"{inlier} with p = {size} left out: {error}", stacklevel=2)
                continue
            tried[size] = aggregate(segments, profile.aggregation, inlier)
            reached = _validation_mean(frame, tried[size], may_choose)
            candidates.append({"inlier": inlier, "size": size, "validation": reached})
        if not tried:
            continue
        ranked = [c for c in candidates if c["inlier"] == inlier and c["validation"] is not None]
        best = max(ranked, key=lambda c: c["validation"]) if ranked else candidates[-len(tried)]
        sizes[inlier] = best["size"]
        columns[inlier] = tried[best["size"]]
    if not columns or profile.inlier not in ("auto", *columns):
        raise InputError(
            f"{profile.inlier}: no p of {profile.inlier_sizes} can be fitted to the embeddings; "
            "try a larger covariance_floor, a smaller p, or a smaller learning_rate"
        )
    chosen, reason = _choose(profile, sizes, candidates)
    scores = frame.assign(score=columns[chosen], **columns)
    rows = [
        metrics.table(scores, inlier, by=("product", "role")).assign(
            inlier=inlier, size=sizes[inlier], chosen=inlier == chosen
        )
        for inlier in columns
        if (scores.label != "unknown").any()
    ]
    table = pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=METRICS)
    choice = {"inlier": chosen, "sizes": sizes, "chosen_by": reason, "candidates": candidates}
    return scores, table, choice


def _validation_mean(frame: pd.DataFrame, scores: np.ndarray, may_choose: np.ndarray):
    """Harmonic mean of AUC and pAUC over the validation IDs; None where there is nothing to see."""
    if not may_choose.any():
        return None
    table = metrics.table(frame[may_choose].assign(score=scores[may_choose]))
    values = table[["AUC", "pAUC"]].dropna()
    return metrics.harmonic_mean(values) if len(values) else None


def _choose(profile: Profile, sizes: dict, candidates: list[dict]) -> tuple[str, str]:
    if profile.inlier != "auto":
        return profile.inlier, "the profile"
    ranked = [c for c in candidates if c["inlier"] in PAPER_INLIERS and c["validation"] is not None]
    if not ranked:
        default = next(name for name in profile.candidates if name in sizes)
        return default, "default: no labelled validation IDs"
    return max(ranked, key=lambda c: c["validation"])["inlier"], "validation IDs"


def _warn_if_overparametrised(inlier: str, size: int, vectors: int, width: int, profile: Profile):
    """scikit-learn fits p full covariances to a handful of vectors without a word; we say it."""
    if inlier != "GMM":
        return
    numbers = vectors * width
    parameters = GMM(size, profile.covariance).parameters(width)
    if parameters > numbers:
        warnings.warn(
            f"a GMM with p = {size} has {parameters} parameters, and {vectors} vectors of {width} "
            f"give {numbers} numbers: the covariance floor of {profile.covariance_floor:g} decides",
            stacklevel=3,
        )
