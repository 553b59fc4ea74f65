"""Scoring: fit h per product ID, aggregate, and choose h and p on the validation IDs (Eq. 4)."""

import warnings

import numpy as np
import pandas as pd

from asdlib import metrics
from asdlib.batches import folder_of
from asdlib.embedding import Embedded
from asdlib.errors import InputError
from asdlib.inliers import INLIERS, aggregate
from asdlib.profiles import Profile
from asdlib.waves import distinct_segments

ABOUT = ["file", "product", "domain", "role", "label", "attributes"]  # columns about a clip
METRICS = ["product", "role", "AUC", "pAUC", "normal", "anomalous"]
METRICS += ["inlier", "size", "best", "chosen"]


def validation_products(products) -> tuple[str, ...]:
    """The product IDs that choose h and p: the first half, rounded down (0, 1, 2 of six)."""
    products = sorted(products)
    return tuple(products[: len(products) // 2])


def fit_inlier(inlier: str, size: int, fit: Embedded, profile: Profile, seed: int = 0):
    """h fitted on the clips of one product ID; None of an h that has nothing to fit."""
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
    its number of rows, so only then does a clip have the same score in any company.
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

    A clip that is the same sound as one before it, to the bit, has none.
    """
    distinct, seen = _distinct(embedded.clips, embedded.embeddings.shape[1], profile), {}
    for clip, vectors in enumerate(embedded.embeddings):
        distinct[clip] &= seen.setdefault(vectors.tobytes(), clip) == clip
    return embedded.embeddings[distinct]


def _distinct(clips: pd.DataFrame, segments: int, profile: Profile) -> np.ndarray:
    """Which of the ``segments`` of ``clips`` are no copies: bool ``(clips, S)``."""
    return distinct_segments(clips.frames.to_numpy(), segments, profile.segment_frames)


def check_enough(clips: pd.DataFrame, segments: int, profile: Profile) -> int:
    """The vectors of the product ID with the fewest, up to ``segments`` from each of its ``clips``.

    Raises :class:`InputError` where they are too few for an h. It needs no embeddings, so that it
    can be called before the hours of training.
    """
    distinct = _distinct(clips, segments, profile).sum(axis=1)
    return _enough(pd.Series(distinct).groupby(clips["product"].to_numpy()).sum(), clips, profile)


def _enough(counts: pd.Series, clips: pd.DataFrame, profile: Profile) -> int:
    """The least of the ``counts`` of vectors by product ID, if every h has enough."""
    vectors = int(counts.min())
    for inlier in profile.inliers:
        kind = INLIERS[inlier]
        sizes = kind.candidates(vectors, profile)
        needed = max(map(kind.needs, sizes), default=2 * min(profile.inlier_sizes))
        if vectors < needed:
            raise InputError(
                f"{folder_of(clips)}: product ID {counts.idxmin()}: {vectors} "
                f"embeddings are too few for {inlier}, which needs {needed}: take a smaller p, "
                "more segments, or inlier_part='train'"
            )
    return vectors


def score_clips(
    fit: Embedded, test: Embedded, products, profile: Profile, seed: int = 0
) -> tuple[pd.DataFrame, dict]:
    """Score every test clip with every h; choose p for each h, and h, on the validation IDs.

    Returns ``scores`` (one row per clip: file, product, domain, role, label, attributes, ``score``
    by the chosen h and p, and a column such as "GMM 4" for each candidate h and p) and the choice:
    inlier, sizes by h, what chose them, and the harmonic mean on the validation IDs that each
    candidate reached.
    """
    own = {product: fit[fit.of_product(product)] for product in products}
    counts = pd.Series({product: len(vectors_of(of, profile)) for product, of in own.items()})
    vectors = _enough(counts, fit.clips, profile)
    clips = test.clips.reset_index(drop=True)
    chooses = clips["product"].isin(validation_products(products))
    clips["role"] = np.where(chooses, "validation", "test")
    clips["file"] = [path.name for path in clips.path]
    may_choose = clips[chooses & (clips.label != "unknown")]
    sizes, candidates, columns = {}, [], {}
    for inlier in profile.inliers:
        if inlier == "none" and profile.product_weight == 0:
            continue  # an untrained g_product has no probability to offer
        best = None
        for size in INLIERS[inlier].candidates(vectors, profile):
            if inlier == "GMM":
                _warn_if_overparametrised(size, vectors, fit.embeddings.shape[-1], profile)
            try:
                segments = segment_scores(inlier, size, fit, test, products, profile, seed)
            except ValueError as error:  # of scikit-learn, for an ill-conditioned covariance
                warnings.warn(f"{inlier} with p = {size} left out: {error}", stacklevel=2)
                continue
            scores = aggregate(segments, profile.aggregation, inlier)
            reached = _validation_mean(may_choose.assign(score=scores[may_choose.index]))
            candidates.append({"inlier": inlier, "size": size, "validation": reached})
            columns[_column(inlier, size)] = scores
            if best is None or (reached or 0) > best:
                best, sizes[inlier] = reached or 0, size
    choice = profile.candidates if profile.inlier == "auto" else (profile.inlier,)
    if not set(choice) & set(sizes):
        raise InputError(
            f"{' or '.join(choice)}: no p of {profile.inlier_sizes} can be fitted to the "
            "embeddings; try a larger covariance_floor, a smaller p, or a smaller learning_rate"
        )
    chosen, reason = _choose(profile, sizes, candidates)
    final = segment_scores(chosen, sizes[chosen], fit, test, products, profile, seed, alone=True)
    columns[_column(chosen, sizes[chosen])] = aggregate(final, profile.aggregation, chosen)
    scores = clips[ABOUT].assign(score=columns[_column(chosen, sizes[chosen])], **columns)
    choice = {"inlier": chosen, "sizes": sizes, "chosen_by": reason, "candidates": candidates}
    return scores, choice


def metrics_by_product(scores: pd.DataFrame, choice: dict) -> pd.DataFrame:
    """AUC and pAUC of what :func:`score_clips` returned, one row per product ID and candidate.

    Columns: product, role, AUC, pAUC, numbers of normal and anomalous clips, inlier (h), size (p),
    ``best`` (whether it is the chosen p of its h), and ``chosen`` (whether that h is the chosen
    one). No rows where no clip is labelled.
    """
    if not (scores.label != "unknown").any():
        return pd.DataFrame(columns=METRICS)
    rows = []
    for candidate in choice["candidates"]:
        inlier, size = candidate["inlier"], candidate["size"]
        areas = metrics.table(scores, _column(inlier, size), by=("product", "role"))
        best = choice["sizes"][inlier] == size
        chosen = best and inlier == choice["inlier"]
        rows.append(areas.assign(inlier=inlier, size=size, best=best, chosen=chosen))
    return pd.concat(rows, ignore_index=True)


def _column(inlier: str, size: int) -> str:
    """The column of the scores by a candidate h and p."""
    return f"{inlier} {size}"


def _validation_mean(clips: pd.DataFrame) -> float | None:
    """Harmonic mean of AUC and pAUC over the validation IDs; None where there is nothing to see."""
    if clips.empty:
        return None
    mean = metrics.harmonic_mean(metrics.table(clips)[["AUC", "pAUC"]])
    return None if np.isnan(mean) else mean


def _choose(profile: Profile, sizes: dict, candidates: list[dict]) -> tuple[str, str]:
    if profile.inlier != "auto":
        return profile.inlier, "the profile"
    rivals = [c for c in candidates if c["inlier"] in profile.candidates]
    if ranked := [c for c in rivals if c["validation"] is not None]:
        return max(ranked, key=lambda c: c["validation"])["inlier"], "validation IDs"
    default = next(name for name in profile.candidates if name in sizes)
    return default, "default: no labelled validation IDs"


def _warn_if_overparametrised(size: int, vectors: int, width: int, profile: Profile) -> None:
    """Say what scikit-learn does not: that p covariances are fitted to a handful of vectors."""
    covariance = width * (width + 1) // 2 if profile.covariance == "full" else width
    parameters = size * (width + covariance + 1) - 1  # with means and weights, which sum to 1
    numbers = vectors * width
    if parameters > numbers:
        warnings.warn(
            f"a GMM with p = {size} has {parameters} parameters, and {vectors} vectors of {width} "
            f"give {numbers} numbers: the covariance floor of {profile.covariance_floor:g} decides",
            stacklevel=3,
        )
