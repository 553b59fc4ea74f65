"""Thresholds: the score above which a clip counts as anomalous, from normal clips alone.

The paper's AUC and pAUC need none; the challenge asks for decisions (0 or 1) beside the scores.
"""

import math
import warnings

import numpy as np
import pandas as pd
from scipy.stats import gamma
from sklearn.model_selection import GroupKFold

from asdlib.embedding import Embedded
from asdlib.inliers import INLIERS, aggregate
from asdlib.profiles import Profile
from asdlib.scoring import segment_scores, vectors_of

QUANTILE = 0.9  # of the gamma distribution, in the official baselines of DCASE Task 2
FOLDS = 5


def gamma_threshold(scores: np.ndarray, quantile: float = QUANTILE) -> float:
    """The ``quantile`` of a gamma distribution fitted to the scores of normal clips, ``(clips,)``.

    As the official baselines do: maximum likelihood, with a location that is fitted too. A gamma
    distribution leans to the right; for scores that lean to the left it is too high.
    """
    if np.ptp(scores) == 0:
        return float(scores[0])
    return float(gamma.ppf(quantile, *gamma.fit(scores)))


def empirical_threshold(scores: np.ndarray, false_alarms: float) -> float:
    """The score that a new normal clip exceeds with a probability of at most ``false_alarms``.

    It is the ceil((n + 1)(1 - false_alarms))-th smallest of n scores ``(clips,)``: split conformal
    prediction, which supposes nothing but that the new clip is of the same kind. n clips cannot
    vouch for less than 1 / (n + 1); the threshold is then their largest score.
    """
    rank = math.ceil((len(scores) + 1) * (1 - false_alarms) - 1e-9)  # 0.9 * 10 is above 9
    return float(np.sort(scores)[np.clip(rank, 1, len(scores)) - 1])


def unheard_scores(
    embedded: Embedded, inlier: str, size: int, products, profile: Profile, seed: int = 0
) -> tuple[dict[str, np.ndarray], str]:
    """Scores of each product ID's normal train clips, ``(clips,)`` sorted, and a word on how.

    h is fitted on other clips than it scores: a clip that it was fitted on seems too normal. So h
    of the validation part scores the train part. Where h is fitted on all train clips, each fifth
    of them is scored by an h fitted on the rest; the clips of an event stay together. There is no
    score where too few clips would be left to fit on. The network was trained on most of these
    clips.
    """
    clips, scores = embedded.of_parts("train", "validation"), {}
    for product in products:
        own = clips[clips.of_product(product)]
        if INLIERS[inlier].make is None:
            pairs, how = [(own, own)], "all train clips; no h is fitted"
        elif profile.inlier_part == "validation":
            pairs = [(own.of_parts("validation"), own.of_parts("train"))]
            how = "the train part, by an h fitted on the validation part"
        else:
            pairs = _folds(own)
            how = (
                f"all train clips, by an h fitted on {FOLDS - 1} of {FOLDS} parts without the clip"
            )
        parts = [_scores(*pair, inlier, size, product, products, profile, seed) for pair in pairs]
        joined = np.concatenate([*parts, []])
        scores[product] = np.sort(joined[np.isfinite(joined)])
    return scores, f"{how}; the network was trained on most of them"


def calibrated(
    embedded: Embedded, inlier: str, size: int, products, profile: Profile, seed: int = 0
) -> dict:
    """All that a run keeps of its thresholds, as plain values.

    By product ID the ``gamma`` and the ``empirical`` threshold, both for ``false_alarms``, and the
    sorted ``scores`` behind them, from which others can be made; ``calibrated_on`` says whose
    scores those are. None for a product ID that has no scores.
    """
    unheard, how = unheard_scores(embedded, inlier, size, products, profile, seed)
    rate = round(1 - QUANTILE, 6)
    return {
        "false_alarms": rate,
        "calibrated_on": how,
        "products": {
            product: {
                "gamma": gamma_threshold(scores) if len(scores) else None,
                "empirical": empirical_threshold(scores, rate) if len(scores) else None,
                "scores": scores.tolist(),
            }
            for product, scores in unheard.items()
        },
    }


def _folds(clips: Embedded):
    """Pairs of clips of one product ID to fit on, and clips of other events to score."""
    about = clips.clips
    alone = pd.Series([f"clip {row}" for row in range(len(about))], about.index)
    events = about.event.where(about.event != "", alone)
    if events.nunique() > 1:
        folds = GroupKFold(min(FOLDS, events.nunique()))
        for _, rest in folds.split(about, groups=events):
            held_out = np.isin(np.arange(len(about)), rest)
            yield clips[~held_out], clips[held_out]


def _scores(fit, rest, inlier, size, product, products, profile, seed) -> np.ndarray:
    """Scores of the clips ``rest`` of a product ID; NaN where h cannot be fitted on ``fit``."""
    if INLIERS[inlier].make and len(vectors_of(fit, profile)) < INLIERS[inlier].needs(size):
        return np.full(len(rest.clips), np.nan)
    try:
        segments = segment_scores(inlier, size, fit, rest, products, profile, seed)
    except ValueError as error:  # of scikit-learn, for an ill-conditioned covariance
        warnings.warn(f"no threshold by a part of the clips of {product}: {error}", stacklevel=2)
        return np.full(len(rest.clips), np.nan)
    return aggregate(segments, profile.aggregation, inlier)
