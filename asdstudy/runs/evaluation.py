"""Evaluation: how good scores and decisions are, by product ID and candidate h and p."""

import numpy as np
import pandas as pd
from sklearn.metrics import precision_recall_fscore_support

from asdlib import metrics

DETECTION = ["precision", "recall", "F1"]
NUMBERS = ["AUC", *metrics.BY_DOMAIN.values(), "pAUC", "threshold", *DETECTION]  # in metrics.csv
BY_CANDIDATE = ["product", "role", "AUC", "pAUC", "normal", "anomalous"]
BY_CANDIDATE += ["inlier", "size", "best", "chosen"]


def metrics_by_product(scores: pd.DataFrame, choice: dict) -> pd.DataFrame:
    """AUC and pAUC, one row per product ID and candidate, of what :func:`.score_clips` returned.

    Columns: product, role, AUC, pAUC, numbers of normal and anomalous clips, inlier (h), size (p),
    ``best`` (whether it is the chosen p of its h), and ``chosen`` (whether that h is the chosen
    one). No rows where no clip is labelled.
    """
    if not (scores.label != "unknown").any():
        return pd.DataFrame(columns=BY_CANDIDATE)
    rows = []
    for candidate in choice["candidates"]:
        inlier, size = candidate["inlier"], candidate["size"]
        areas = metrics.table(scores, f"{inlier} {size}", by=("product", "role"))
        best = choice["sizes"][inlier] == size
        chosen = best and inlier == choice["inlier"]
        rows.append(areas.assign(inlier=inlier, size=size, best=best, chosen=chosen))
    return pd.concat(rows, ignore_index=True)


def detection(scores: pd.DataFrame, thresholds: dict[str, float | None]) -> pd.DataFrame:
    """Precision, recall and F1 of the decisions ``score > threshold``, by product ID.

    ``scores`` has one row per clip: product, label, score; unlabelled clips do not count. A ratio
    that is 0 / 0 is 0, as in the official evaluators; NaN where there is no threshold.
    """
    labelled, rows = scores[scores.label != "unknown"], []
    for product, clips in labelled.groupby("product"):
        threshold, values = thresholds.get(product), [np.nan] * 3
        if threshold is not None:
            values = precision_recall_fscore_support(
                clips.label == "anomaly", clips.score > threshold,
                average="binary", zero_division=0,
            )[:3]  # fmt: skip
        row = {"product": product, "threshold": threshold}
        rows.append(row | dict(zip(DETECTION, values, strict=True)))
    return pd.DataFrame(rows, columns=["product", "threshold", *DETECTION])
