"""Means, intervals and differences of results, and what they say in words.

``table`` comes from :mod:`asdstudy.report.results`, ``rows`` from its ``systems``.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import t as student

from asdlib import metrics
from asdstudy.report.paper import ALL, in_paper_order


def values(table: pd.DataFrame, by: Sequence[str], role: str | None = None) -> pd.DataFrame:
    """The harmonic mean of AUC and pAUC in % of each group: the columns ``by``, and value.

    It is over the product IDs of a ``role``, "validation" or "test", or over all of them.
    """
    rows = table if role is None else table[table.role == role]
    areas = rows.groupby(list(by), sort=False)[["AUC", "pAUC"]]
    means = [(*key, 100 * metrics.harmonic_mean(part)) for key, part in areas]
    return pd.DataFrame(means, columns=[*by, "value"])


def by_type(rows: pd.DataFrame, role: str | None = "test") -> pd.DataFrame:
    """:func:`values` of each system and seed by machine type, then over all.

    "All" is over all machine types and product IDs, as in the last column of Tables II and III;
    it is NaN if a system and seed lack one of the machine types.
    """
    of_type = values(rows, ["system", "machine_type", "seed"], role)
    complete = of_type.dropna().groupby(["system", "seed"]).size() == rows.machine_type.nunique()
    over_all = values(rows, ["system", "seed"], role).set_index(["system", "seed"]).value
    over_all = over_all.where(complete.reindex(over_all.index, fill_value=False))
    return pd.concat([of_type, over_all.reset_index().assign(machine_type=ALL)], ignore_index=True)


def by_role(rows: pd.DataFrame) -> pd.DataFrame:
    """:func:`by_type` on the test IDs and on all product IDs (column IDs)."""
    roles = {"test IDs": "test", "all IDs": None}
    parts = [by_type(rows, role).assign(IDs=name) for name, role in roles.items()]
    return pd.concat(parts, ignore_index=True)


def interval(sample: pd.Series) -> tuple[float, float]:
    """The 95 % interval of a mean of independent numbers by Student's t; NaN for a single one."""
    half = student.ppf(0.975, sample.count() - 1) * sample.sem()
    return sample.mean() - half, sample.mean() + half


def over_seeds(table: pd.DataFrame, by: Sequence[str], column: str = "value") -> pd.DataFrame:
    """Mean, SD and n of a column in each group, and its :func:`interval` from low to high."""
    return (
        table.groupby(list(by), sort=False)[column]
        .agg(
            mean="mean", sd="std", n="count",
            low=lambda sample: interval(sample)[0], high=lambda sample: interval(sample)[1],
        )
        .reset_index()
    )  # fmt: skip


def leads(table: pd.DataFrame, **reference) -> pd.DataFrame:
    """How far a ``reference``, such as ``variant="proposed"``, leads each other row of a table.

    ``table`` comes from :func:`values`. A pair has all other columns (sound, seed, ...) in common.
    Returns the columns of ``table``, and lead in points.
    """
    keys = [name for name in table if name not in (*reference, "value")]
    is_reference = (table[list(reference)] == pd.Series(reference)).all(axis=1)
    others = table[~is_reference].set_index(keys)
    lead = table[is_reference].set_index(keys).value.reindex(others.index) - others.value
    return others.assign(lead=lead).dropna(subset="lead").reset_index()


def paired_bootstrap(
    ours: np.ndarray, others: np.ndarray, groups: np.ndarray, draws: int = 10_000, seed: int = 0
) -> tuple[float, float, float]:
    """Difference of two harmonic means in %, and its 95 % interval.

    ``ours`` and ``others`` ``(product IDs, 2)`` hold AUC and pAUC of the same product IDs, 0 to 1.
    Each draw takes product IDs with replacement within ``groups`` ``(product IDs,)`` (the machine
    types), the same ones for both: what makes an ID easy or hard cancels out. It takes n - 1 of n
    IDs, so that the variance is that of a mean of n (n of n would give (n - 1) / n of it). A
    machine type with a single ID makes the interval NaN.
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


def differences(rows: pd.DataFrame, against: str, draws: int = 10_000) -> pd.DataFrame:
    """How far ``against`` leads each other system on the test IDs, by machine type and over all.

    It averages AUC and pAUC over the seeds that both systems have, then resamples product IDs: the
    intervals leave out the spread over seeds.
    """
    keys = ["machine_type", "product"]
    areas = {
        name: part.set_index([*keys, "seed"])[["AUC", "pAUC"]].dropna()
        for name, part in rows[rows.role == "test"].groupby("system", sort=False)
    }
    ours, lines = areas.pop(against, None), []
    for system, others in areas.items() if ours is not None else ():
        both = ours.join(others.add_suffix(" of the other"), how="inner").groupby(keys).mean()
        types = both.index.get_level_values("machine_type")
        for name in [*sorted(types.unique(), key=in_paper_order), ALL] if len(both) else ():
            is_in = (types == name) | (name == ALL)
            part = both[is_in].to_numpy()
            estimate = paired_bootstrap(part[:, :2], part[:, 2:], types[is_in], draws)
            lines.append((against, system, name, *estimate, len(part)))
    columns = ["system", "minus", "machine_type", "difference", "low", "high", "product IDs"]
    return pd.DataFrame(lines, columns=columns)


def verdict(differences: pd.DataFrame) -> str:
    """What :func:`differences` over all machine types say: a line of Markdown for each system."""
    lines = []
    over_all = differences[differences.machine_type == ALL]
    for row in over_all.rename(columns={"product IDs": "n"}).itertuples():
        bounds = f"95 % interval {row.low:+.1f} to {row.high:+.1f}"
        if pd.isna(row.low):
            bounds, finding = "no interval", "too few product IDs to draw from"
        elif row.low <= 0 <= row.high:
            finding = "no clear difference"
        else:
            finding = f"{row.system if row.low > 0 else row.minus} is better"
        lines.append(
            f"- **{row.system} minus {row.minus}**: {row.difference:+.1f} points "
            f"({bounds}, {row.n} product IDs); {finding}."
        )
    return "\n".join(lines)


def tally(summary: pd.DataFrame, of: str) -> str:
    """On which side of zero the intervals of :func:`over_seeds` lie: a line for each ``of``."""
    lines = []
    for name, part in summary.groupby(of, sort=False):
        above, below = (part.low > 0).sum(), (part.high < 0).sum()
        lines.append(
            f"- **{name}**: {part['mean'].mean():+.1f} points on average; the interval is above "
            f"zero in {above} of {len(part)} cases, and below it in {below}."
        )
    return "\n".join(lines)
