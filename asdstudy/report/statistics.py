"""What the tables and figures of the book show of the results: means, intervals, differences.

``table`` is one of :mod:`asdstudy.report.results`, and ``rows`` are those of its ``systems``.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import t as student

from asdlib import metrics
from asdstudy.report.paper import ALL, in_paper_order


def values(table: pd.DataFrame, by: Sequence[str], role: str | None = None) -> pd.DataFrame:
    """The harmonic mean of AUC and pAUC in %, a row a group: the columns ``by``, and value.

    Over the product IDs of a ``role``, "validation" or "test", or over all of them.
    """
    rows = table if role is None else table[table.role == role]
    areas = rows.groupby(list(by), sort=False)[["AUC", "pAUC"]]
    means = [(*key, 100 * metrics.harmonic_mean(part)) for key, part in areas]
    return pd.DataFrame(means, columns=[*by, "value"])


def by_type(rows: pd.DataFrame, role: str | None = "test") -> pd.DataFrame:
    """:func:`values` of each system and seed by machine type, then over all.

    "All" is over all machine types and product IDs, as the last column of Tables II and III; a
    system and seed that lack a machine type of the table have no such mean.
    """
    of_type = values(rows, ["system", "machine_type", "seed"], role)
    complete = of_type.dropna().groupby(["system", "seed"]).size() == rows.machine_type.nunique()
    over_all = values(rows, ["system", "seed"], role).set_index(["system", "seed"]).value
    over_all = over_all.where(complete.reindex(over_all.index, fill_value=False))
    return pd.concat([of_type, over_all.reset_index().assign(machine_type=ALL)], ignore_index=True)


def by_role(rows: pd.DataFrame) -> pd.DataFrame:
    """:func:`values` of each system, machine type and seed, on test IDs and on all (column IDs)."""
    keys = ["system", "machine_type", "seed"]
    roles = {"test IDs": "test", "all IDs": None}
    return pd.concat([values(rows, keys, roles[name]).assign(IDs=name) for name in roles])


def interval(sample: pd.Series) -> tuple[float, float]:
    """The 95 % interval of the mean of independent numbers, Student's t; NaN of a single one."""
    half = student.ppf(0.975, sample.count() - 1) * sample.sem()
    return sample.mean() - half, sample.mean() + half


def over_seeds(table: pd.DataFrame, by: Sequence[str], column: str = "value") -> pd.DataFrame:
    """By groups: mean, SD, n, and the :func:`interval` from low to high, of a column."""
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

    ``table`` is one of :func:`values`; rows are paired where all other columns are the same (sound,
    seed, ...). The columns of ``table``, and lead in points.
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


def differences(
    rows: pd.DataFrame, against: str, role: str = "test", draws: int = 10_000
) -> pd.DataFrame:
    """What each other system loses to ``against``, with bootstrapped intervals.

    By machine type and over all. AUC and pAUC are averaged over the seeds first, those that both
    have, so that product IDs are what is resampled: the spread over seeds is not in the interval.
    """
    keys = ["machine_type", "product"]
    areas = {
        name: part.set_index([*keys, "seed"])[["AUC", "pAUC"]].dropna()
        for name, part in rows[rows.role == role].groupby("system", sort=False)
    }
    lines = []
    for system in areas:
        if system == against or against not in areas:
            continue
        both = areas[against].join(areas[system].add_suffix(" of the other"), how="inner")
        both = both.groupby(keys).mean()
        if both.empty:
            continue
        types = both.index.get_level_values("machine_type")
        for name in [*sorted(types.unique(), key=in_paper_order), ALL]:
            part = both if name == ALL else both[types == name]
            ours, others = part.to_numpy()[:, :2], part.to_numpy()[:, 2:]
            groups = part.index.get_level_values("machine_type").to_numpy()
            estimate = paired_bootstrap(ours, others, groups, draws)
            lines.append((against, system, name, *estimate, len(part)))
    columns = ["system", "minus", "machine_type", "difference", "low", "high", "product IDs"]
    return pd.DataFrame(lines, columns=columns)


def costs(rows: pd.DataFrame) -> pd.DataFrame:
    """By system: networks and parameters for a machine type, and CPU seconds, mean and spread.

    Of whole runs, from decoded clips on: training, embedding, fitting, scoring. CPU time, not the
    clock's, because runs go side by side; where a run has none in the table, it is left out.
    """
    groups = rows.drop_duplicates(["system", "machine_type", "seed"]).groupby("system", sort=False)
    table = (
        groups[["models", "parameters"]]
        .max()
        .join(groups.cpu_seconds.agg(["mean", "std", "count"]))
    )
    names = ["networks", "parameters of the networks, without h", "CPU seconds", "SD over runs"]
    return table.set_axis([*names, "runs with a CPU time"], axis=1).rename_axis(index=None)


def verdict(differences: pd.DataFrame) -> str:
    """What :func:`differences` say over all machine types, a line of Markdown a system."""
    lines = []
    over_all = differences[differences.machine_type == ALL]
    for row in over_all.rename(columns={"product IDs": "n"}).itertuples():
        says = "the interval contains 0: no clear difference"
        if row.low > 0 or row.high < 0:
            says = f"{row.system if row.low > 0 else row.minus} is better"
        bounds = f"95 % interval {row.low:+.1f} to {row.high:+.1f}"
        if pd.isna(row.low):
            bounds, says = "no interval", "too few product IDs to draw from"
        lines.append(
            f"- **{row.system} minus {row.minus}**: {row.difference:+.1f} points "
            f"({bounds}, {row.n} product IDs); {says}."
        )
    return "\n".join(lines)


def tally(summary: pd.DataFrame, of: str) -> str:
    """On which side of zero the intervals of :func:`over_seeds` lie, a line for each ``of``."""
    lines = []
    for name, part in summary.groupby(of, sort=False):
        above, below = int((part.low > 0).sum()), int((part.high < 0).sum())
        lines.append(
            f"- {of} **{name}**: of {len(part)} intervals {above} lie above zero, {below} below, "
            f"{len(part) - above - below} across it; mean difference {part['mean'].mean():+.1f} "
            "points."
        )
    return "\n".join(lines)


def against_trivial(best: float, ours: pd.Series) -> str:
    """The best detector that learns nothing beside a method's values over its seeds, in words."""
    numbers = (
        f"The best of them reaches {best:.1f} %, the method {ours.mean():.1f} % on average over "
        f"{len(ours)} seeds. "
    )
    if best < ours.mean() - ours.std():
        return numbers + "What the method learns is worth something here."
    return numbers + (
        "**A detector that learns nothing does as well here**: the average spectrum gives these "
        "faults away. This corpus cannot show what the method is worth beyond that; it can "
        "compare the method's own variants."
    )
