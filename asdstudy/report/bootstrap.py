"""How sure is a difference? A paired bootstrap over product IDs, between systems of a study."""

import numpy as np
import pandas as pd

from asdstudy.report.paper import ALL
from asdstudy.report.studies import in_paper_order, of_system, systems_in


def paired_bootstrap(
    ours: np.ndarray, others: np.ndarray, groups: np.ndarray, draws: int = 10_000, seed: int = 0
) -> tuple[float, float, float]:
    """Difference of two harmonic means in %, and its 95 % interval.

    ``ours`` and ``others`` ``(product IDs, 2)`` hold AUC and pAUC of the same product IDs, 0 to 1.
    The product IDs are drawn anew, with replacement and within ``groups`` ``(product IDs,)`` (the
    machine types), and the same ones for both: what makes an ID easy or hard cancels out. Of n IDs
    n - 1 are drawn, so that the variance is that of a mean of n (n of n would give (n - 1) / n of
    it). A machine type of a single ID has nothing to draw from, and makes the interval NaN.
    """
    groups, rng = np.asarray(groups), np.random.default_rng(seed)
    # the harmonic mean of AUC and pAUC of some IDs is one over the mean of these
    inverse = [(1 / np.clip(values, 1e-9, None)).mean(axis=1) for values in (ours, others)]
    difference = float(100 / inverse[0].mean() - 100 / inverse[1].mean())
    names, counts = np.unique(groups, return_counts=True)
    if counts.min() < 2:
        return difference, float("nan"), float("nan")
    sampled = np.zeros((2, draws))
    for name, count in zip(names, counts, strict=True):
        drawn = rng.choice(np.flatnonzero(groups == name), (draws, count - 1))
        sampled += [part[drawn].mean(axis=1) * count / len(groups) for part in inverse]
    low, high = np.percentile(100 / sampled[0] - 100 / sampled[1], [2.5, 97.5])
    return difference, float(low), float(high)


def differences(table: pd.DataFrame, against: str, role="test", draws=10_000) -> pd.DataFrame:
    """What each other system loses to ``against``, by machine type and over all, with intervals.

    AUC and pAUC are averaged over the seeds first, those that both have, so that product IDs are
    what is resampled: the spread over seeds is not in the interval.
    """
    keys = ["machine_type", "product"]

    def areas(system: str) -> pd.DataFrame:
        rows = of_system(table, system, role).set_index([*keys, "seed"])
        return rows[["AUC", "pAUC"]].dropna()

    rows = []
    for system in systems_in(table):
        if system == against:
            continue
        both = areas(against).join(areas(system).add_suffix(" of the other"), how="inner")
        both = both.groupby(keys).mean()
        reference, other = both.iloc[:, :2], both.iloc[:, 2:]
        shared = both.index
        types = shared.get_level_values("machine_type")
        for name in [*sorted(types.unique(), key=in_paper_order), ALL]:
            part = shared if name == ALL else shared[types == name]
            groups = part.get_level_values("machine_type").to_numpy()
            difference, low, high = paired_bootstrap(
                reference.loc[part].to_numpy(), other.loc[part].to_numpy(), groups, draws
            )
            rows.append((against, system, name, difference, low, high, len(part)))
    columns = ["system", "minus", "machine_type", "difference", "low", "high", "product IDs"]
    return pd.DataFrame(rows, columns=columns)
