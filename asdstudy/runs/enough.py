"""Whether each product ID has enough vectors for every h."""

import warnings

import pandas as pd

from asdlib.batches import folder_of
from asdlib.embedding import Embedded
from asdlib.errors import InputError
from asdlib.inliers import INLIERS
from asdlib.profiles import Profile
from asdlib.scoring import vectors_of
from asdlib.waves import distinct_segments


def check_clips(clips: pd.DataFrame, segments: int, profile: Profile) -> int:
    """The vectors of the product ID with the fewest, up to ``segments`` from each of its ``clips``.

    Raises :class:`InputError` where they are too few for an h, before the hours of training.
    """
    frames = clips.frames.to_numpy()
    distinct = distinct_segments(frames, segments, profile.segment_frames).sum(axis=1)
    counts = clips.assign(distinct=distinct).groupby("product").distinct.sum()
    return _fewest(counts, clips, profile)


def check_fit(fit: Embedded, products, profile: Profile) -> None:
    """The same of the vectors that h is fitted on, of which copies do not count.

    Says in a warning what scikit-learn does not: that p covariances are fitted to a handful.
    """
    own = {product: fit[fit.of_product(product)] for product in products}
    counts = pd.Series({product: len(vectors_of(clips, profile)) for product, clips in own.items()})
    vectors, width = _fewest(counts, fit.clips, profile), fit.embeddings.shape[-1]
    covariance = width * (width + 1) // 2 if profile.covariance == "full" else width
    for p in INLIERS["GMM"].candidates(vectors, profile) if "GMM" in profile.inliers else ():
        parameters = p * (width + covariance + 1) - 1  # with means and weights, which sum to 1
        if parameters > (numbers := vectors * width):
            warnings.warn(
                f"the candidate GMM with p = {p} has {parameters:,} parameters, but {vectors} "
                f"vectors of {width} dimensions hold only {numbers:,} numbers: its fit depends "
                f"mostly on the covariance floor of {profile.covariance_floor:g}",
                stacklevel=2,
            )


def _fewest(counts: pd.Series, clips: pd.DataFrame, profile: Profile) -> int:
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
