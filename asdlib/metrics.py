"""Metrics: AUC, pAUC and their harmonic means, and the challenge's submission form."""

from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import hmean
from sklearn.metrics import roc_auc_score

from asdlib.errors import InputError

MAX_FPR = 0.1  # p of the pAUC, section IV-A


def auc_pauc(anomalous: np.ndarray, scores: np.ndarray) -> tuple[float, float]:
    """AUC and pAUC (p = 0.1, McClish-standardised: chance is 0.5), both 0 to 1.

    ``anomalous`` ``(clips,)`` of 0 and 1; ``scores`` ``(clips,)``, higher = more anomalous. NaN
    where only one of the two labels is there.
    """
    if len(np.unique(anomalous)) < 2:
        return float("nan"), float("nan")
    return (
        float(roc_auc_score(anomalous, scores)),
        float(roc_auc_score(anomalous, scores, max_fpr=MAX_FPR)),
    )


def harmonic_mean(values) -> float:
    """Harmonic mean, 0 to 1, of ``values`` ``(product IDs, 2)``: AUC and pAUC, as in Table II.

    A product ID with a NaN, as one with a single label has, is left out; NaN where none is left.
    """
    areas = np.asarray(values, float).reshape(-1, 2)
    areas = areas[~np.isnan(areas).any(axis=1)]
    return float(hmean(areas, axis=None)) if len(areas) else float("nan")


def table(scores: pd.DataFrame, score: str = "score", by=("product",)) -> pd.DataFrame:
    """AUC and pAUC by product ID, or by the columns in ``by``, from a frame with a row a clip."""
    known = scores[scores.label.isin(["normal", "anomaly"])]
    if known.empty:
        raise InputError("no labelled test clips: AUC needs normal and anomalous ones")
    rows = [
        dict(zip(by, keys, strict=True))
        | dict(zip(("AUC", "pAUC"), auc_pauc(part.label == "anomaly", part[score]), strict=True))
        | {"normal": int((part.label == "normal").sum())}
        | {"anomalous": int((part.label == "anomaly").sum())}
        for keys, part in known.groupby(list(by), sort=True)
    ]
    return pd.DataFrame(rows)


def with_means(metrics: pd.DataFrame) -> pd.DataFrame:
    """The table with two more rows, as the challenge prints them: arithmetic and harmonic mean."""
    values = metrics[["AUC", "pAUC"]]
    means = {"arithmetic mean": values.mean(), "harmonic mean": values.apply(hmean)}
    rows = [{metrics.columns[0]: name, **mean.to_dict()} for name, mean in means.items()]
    return pd.concat([metrics, pd.DataFrame(rows)], ignore_index=True)


def read_submission(path: Path) -> pd.DataFrame:
    """A score file of the challenge: rows ``file name,score``; labels from the names, if there."""
    scores = pd.read_csv(path, header=None, names=["file", "score"])
    label = scores.file.str.extract(r"_(normal|anomaly)_", expand=False)
    return scores.assign(label=label.fillna("unknown"))


def write_submission(scores: pd.DataFrame, machine_type: str, folder) -> list[Path]:
    """``anomaly_score_<machine type>_section_<II>_<domain>_test.csv``, a file a product ID.

    Without the domain where it is unknown, as the challenges from 2022 on want it.
    ``scores`` has a row a test clip: file, product, domain, score. Returns what was written.
    """
    Path(folder).mkdir(parents=True, exist_ok=True)
    written = []
    for (product, domain), part in scores.groupby(["product", "domain"]):
        told = "" if domain == "unknown" else f"{domain}_"
        name = f"anomaly_score_{machine_type}_section_{product}_{told}test.csv"
        part[["file", "score"]].to_csv(Path(folder) / name, header=False, index=False)
        written.append(Path(folder) / name)
    return written
