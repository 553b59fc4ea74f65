"""Scoring: fit h per product ID, aggregate, and choose h and p on the validation IDs (Eq. 4)."""

import warnings

import numpy as np
import pandas as pd

from asdlib import metrics
from asdlib.embedding import Embedded
from asdlib.errors import InputError
from asdlib.inliers import INLIERS, aggregate
from asdlib.profiles import Profile
from asdlib.waves import distinct_segments

ABOUT = ["file", "product", "domain", "role", "label", "attributes"]  # columns about a clip


def fit_inlier(inlier: str, size: int, fit: Embedded, profile: Profile, seed: int = 0):
    """h fitted on the clips of one product ID; None for an h that has nothing to fit."""
    make = INLIERS[inlier].make
    return make(size, profile, seed).fit(vectors_of(fit, profile)) if make else None


def scores_by(model, inlier: str, size: int, clips: Embedded, k: int) -> np.ndarray:
    """Anomaly scores of the segments of ``clips`` by what :func:`fit_inlier` returned for the k-th
    product ID: float64 ``(clips, S)``."""
    says = INLIERS[inlier].says
    said = says(clips, k).astype(np.float64) if says else 0.0
    if model is None:
        return said
    vectors = clips.embeddings.reshape(-1, clips.embeddings.shape[-1])
    distances = model.score(vectors).astype(np.float64).reshape(clips.embeddings.shape[:2])
    return (size * said + (100 - size) * distances) / 100 if says else distances


def segment_scores(
    inlier: str,
    size: int,
    fit: Embedded,
    test: Embedded,
    products,
    profile: Profile,
    seed: int = 0,
    alone: bool = False,
) -> np.ndarray:
    """Anomaly scores of every test segment by its own product ID's h: ``(clips, S)``.

    ``alone`` scores clip by clip, which is slower: the last bits of a matrix product may depend on
    its number of rows, so only then is a clip's score independent of the other clips.
    """
    scores = np.full(test.embeddings.shape[:2], np.nan)
    for k, product in enumerate(products):
        rows = test.of_product(product)
        if rows.any():
            model = fit_inlier(inlier, size, fit[fit.of_product(product)], profile, seed)
            for some in np.diag(rows)[rows] if alone else [rows]:
                scores[some] = scores_by(model, inlier, size, test[some], k)
    return scores


def vectors_of(embedded: Embedded, profile: Profile) -> np.ndarray:
    """The embeddings of distinct segments, ``(rows, D)``: h would take copies for neighbours.

    A clip that is the same sound as an earlier one, bit for bit, adds none.
    """
    frames, segments = embedded.clips.frames.to_numpy(), embedded.embeddings.shape[1]
    distinct, seen = distinct_segments(frames, segments, profile.segment_frames), {}
    for clip, vectors in enumerate(embedded.embeddings):
        distinct[clip] &= seen.setdefault(vectors.tobytes(), clip) == clip
    return embedded.embeddings[distinct]


def score_clips(
    fit: Embedded, test: Embedded, products, profile: Profile, seed: int = 0
) -> tuple[pd.DataFrame, dict]:
    """Score every test clip with every h; choose p for each h, and h, on the validation IDs.

    Returns ``scores`` (one row per clip: file, product, domain, role, label, attributes, ``score``
    by the chosen h and p, and a column such as "GMM 4" for each candidate h and p) and the choice:
    inlier, sizes by h, what chose them, and the harmonic mean on the validation IDs that each
    candidate reached.
    """
    own = [fit[fit.of_product(product)] for product in products]
    vectors = min(len(vectors_of(clips, profile)) for clips in own)
    clips = test.clips.reset_index(drop=True)
    chooses = clips["product"].isin(metrics.validation_products(products))
    clips["role"] = np.where(chooses, "validation", "test")
    clips["file"] = [path.name for path in clips.path]
    may_choose = clips[chooses & (clips.label != "unknown")]
    sizes, candidates, columns = {}, [], {}
    for inlier in profile.inliers:
        if inlier == "none" and profile.product_weight == 0:
            continue  # an untrained g_product has no probability to offer
        for size in INLIERS[inlier].candidates(vectors, profile):
            try:
                segments = segment_scores(inlier, size, fit, test, products, profile, seed)
            except ValueError as error:  # of scikit-learn, for an ill-conditioned covariance
                warnings.warn(f"{inlier} with p = {size} left out: {error}", stacklevel=2)
                continue
            scores = aggregate(segments, profile.aggregation, inlier)
            reached = _validation_mean(may_choose.assign(score=scores[may_choose.index]))
            candidates.append({"inlier": inlier, "size": size, "validation": reached})
            columns[f"{inlier} {size}"] = scores
        if own := [c for c in candidates if c["inlier"] == inlier]:
            sizes[inlier] = max(own, key=lambda c: c["validation"] or 0)["size"]
    chosen, reason = _choose(profile, sizes, candidates)
    final = segment_scores(chosen, sizes[chosen], fit, test, products, profile, seed, alone=True)
    score = columns[f"{chosen} {sizes[chosen]}"] = aggregate(final, profile.aggregation, chosen)
    scores = clips[ABOUT].assign(score=score, **columns)
    choice = {"inlier": chosen, "sizes": sizes, "chosen_by": reason, "candidates": candidates}
    return scores, choice


def _validation_mean(clips: pd.DataFrame) -> float | None:
    """Harmonic mean of AUC and pAUC over the validation IDs; None where there is nothing to see."""
    if clips.empty:
        return None
    mean = metrics.harmonic_mean(metrics.table(clips)[["AUC", "pAUC"]])
    return None if np.isnan(mean) else mean


def _choose(profile: Profile, sizes: dict, candidates: list[dict]) -> tuple[str, str]:
    """The chosen h, of those that could be fitted, and what chose it."""
    fitted = [name for name in profile.candidates if name in sizes]
    if not fitted:
        names = " or ".join(profile.candidates)
        raise InputError(
            f"{names}: no p of {profile.inlier_sizes} can be fitted to the embeddings; try a "
            "larger covariance_floor, a smaller p, or a smaller learning_rate"
        )
    if profile.inlier != "auto":
        return profile.inlier, "the profile"
    ranked = [c for c in candidates if c["inlier"] in fitted and c["validation"] is not None]
    if ranked:
        return max(ranked, key=lambda c: c["validation"])["inlier"], "validation IDs"
    return fitted[0], "default: no labelled validation IDs"
