"""Metrics: AUC, pAUC and their harmonic means (section IV-A)."""

import numpy as np
import pandas as pd
from scipy.stats import hmean
from sklearn.metrics import roc_auc_score

from asdlib.errors import InputError

MAX_FPR = 0.1  # p of the pAUC, section IV-A
BY_DOMAIN = {"source": "AUC source", "target": "AUC target"}


def auc_pauc(anomalous: np.ndarray, scores: np.ndarray) -> tuple[float, float]:
    """AUC and pAUC (p = 0.1, McClish-standardised: chance is 0.5), both 0 to 1.

    ``anomalous`` ``(clips,)`` of 0 and 1; ``scores`` ``(clips,)``, higher = more anomalous. NaN
    where one of the two labels is missing.
    """
    # scikit-learn takes twice as long to look at a Series
    anomalous, scores = np.asarray(anomalous), np.asarray(scores)
    if len(np.unique(anomalous)) < 2:
        return float("nan"), float("nan")
    auc, pauc = (roc_auc_score(anomalous, scores, max_fpr=most) for most in (None, MAX_FPR))
    return float(auc), float(pauc)


def harmonic_mean(values) -> float:
    """Harmonic mean of ``values``, AUC and pAUC ``(product IDs, 2)``, as in Table II.

    Rows with a NaN, of product IDs with a single label, are left out; NaN where none is left.
    """
    areas = np.asarray(values, float)
    areas = areas[~np.isnan(areas.reshape(len(areas), -1 if areas.size else 0)).any(axis=1)]
    return float(hmean(areas, axis=None)) if areas.size else float("nan")


def table(scores: pd.DataFrame, score: str = "score", by=("product",)) -> pd.DataFrame:
    """AUC and pAUC by product ID, or by the columns in ``by``, of ``scores``, one row per clip.

    Where both domains are tested, the columns "AUC source" and "AUC target" are over the normal
    clips of the domain and all anomalous ones, as in the official evaluators from 2022 on.
    """
    labelled, rows = scores[scores.label.isin(["normal", "anomaly"])], []
    if labelled.empty:
        raise InputError("no labelled test clips: AUC needs normal and anomalous ones")
    domains = BY_DOMAIN if {*BY_DOMAIN} <= {*scores.get("domain", ())} else {}
    for keys, clips in labelled.groupby(list(by)):
        anomalous = clips.label == "anomaly"
        areas = dict(zip(["AUC", "pAUC"], auc_pauc(anomalous, clips[score]), strict=True))
        for domain, column in domains.items():
            some = anomalous | (clips.domain == domain)
            areas[column] = auc_pauc(anomalous[some], clips[score][some])[0]
        counts = {"normal": (~anomalous).sum(), "anomalous": anomalous.sum()}
        rows.append(dict(zip(by, keys, strict=True)) | areas | counts)
    return pd.DataFrame(rows)


def validation_products(products) -> tuple[str, ...]:
    """The product IDs that choose h and p: the first half, rounded down (0, 1, 2 of six)."""
    products = sorted(products)
    return tuple(products[: len(products) // 2])
