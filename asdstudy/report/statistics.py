"""Means, intervals and differences of results, and what they say in words.

``table`` comes from :mod:`asdstudy.report.results`, ``rows`` from its ``systems``.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from asdlib import metrics
from asdlib.errors import InputError, one_of
from asdlib.profiles import PAPER_INLIERS
from asdstudy.report.paper import ALL, in_paper_order
from asdstudy.runs.evaluation import NUMBERS
from asdstudy.words import counted

UNTRAINED = ("spectrum", "spectrum, kNN", "level")  # systems that are the same for every seed
AREAS = ["AUC", "pAUC"]
# Means over product IDs in %, in two steps: what is averaged, of AUC and pAUC on the last axis; and
# the mean, of that average. The harmonic mean is one over the mean of the inverses.
MEASURES = {
    "harmonic mean": (
        lambda areas: (1 / np.clip(areas, 1e-9, None)).mean(axis=-1), lambda average: 100 / average,
    ),
    "mean AUC": (lambda areas: areas[..., 0], lambda average: 100 * average),
}  # fmt: skip


def values(
    table: pd.DataFrame, by: Sequence[str], role: str | None = None, measure: str = "harmonic mean"
) -> pd.DataFrame:
    """The harmonic mean of AUC and pAUC in % of each group: the columns ``by``, and value.

    It is over the product IDs of a ``role``, "validation" or "test", or over all of them. Another
    ``measure`` is the "mean AUC".
    """
    one_of("measure", measure, MEASURES)
    rows = table if role is None else table[table.role == role]
    mean = metrics.harmonic_mean if measure == "harmonic mean" else lambda part: part.AUC.mean()
    areas = rows.groupby(list(by), sort=False)[AREAS]
    return pd.DataFrame([(*k, 100 * mean(part)) for k, part in areas], columns=[*by, "value"])


def by_type(
    rows: pd.DataFrame, role: str | None = "test", measure: str = "harmonic mean"
) -> pd.DataFrame:
    """:func:`values` of each system and seed by machine type, then over all.

    "All" is over all machine types and product IDs, as in the last column of Tables II and III;
    it is NaN if a system and seed lack one of the machine types.
    """
    both = pd.concat([rows, rows.assign(machine_type=ALL)])
    table = values(both, ["system", "machine_type", "seed"], role, measure)
    is_all = table.machine_type == ALL
    types = (table.value.notna() & ~is_all).groupby([table.system, table.seed]).transform("sum")
    return table.assign(value=table.value.where(~is_all | (types == rows.machine_type.nunique())))


def over_seeds(table: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Mean, SD and number n of the values in each group of a table of :func:`values`."""
    groups = table.groupby(list(by), sort=False).value
    return groups.agg(mean="mean", sd="std", n="count").reset_index()


def paired_bootstrap(
    ours: np.ndarray,
    others: np.ndarray,
    groups: np.ndarray,
    draws: int = 10_000,
    seed: int = 0,
    measure: str = "harmonic mean",
) -> tuple[float, float, float]:
    """Difference of two means over product IDs in %, and its 95 % interval.

    ``ours`` and ``others`` ``(seeds, product IDs, 2)`` hold AUC and pAUC of the same seeds and
    product IDs, 0 to 1; ``groups`` ``(product IDs,)`` their machine types; ``measure`` a key of
    ``MEASURES``. AUC and pAUC are averaged over seeds, then come the means over product IDs.

    A draw takes, in each machine type independently of the others, seeds with replacement, and
    product IDs with replacement; every drawn ID is paired with every drawn seed, since one encoder
    scores all product IDs of its machine type. Both systems get the same seeds and IDs: what makes
    an ID easy or a split lucky for both cancels out. A machine type keeps its share of the mean.
    A draw takes n - 1 of n, so that the variance is that of a mean of n (n of n would give
    (n - 1) / n of it). What seed and ID do only together is counted up to three times (Owen, 2007,
    "The pigeonhole bootstrap"): the interval is rather too long than too short. A machine type
    with a single product ID, or a single seed, makes the interval NaN.

    Without the first axis, ``(product IDs, 2)``, only product IDs are drawn.
    """
    one_of("measure", measure, MEASURES)
    averaged, mean = MEASURES[measure]
    groups, rng = np.asarray(groups), np.random.default_rng(seed)
    systems = [np.asarray(areas, float) for areas in (ours, others)]
    draws_seeds = systems[0].ndim == 3
    over_seeds = [areas.mean(axis=0) if draws_seeds else areas for areas in systems]
    means = [float(mean(averaged(areas).mean())) for areas in over_seeds]
    names, counts = np.unique(groups, return_counts=True)
    seeds = len(systems[0])
    if counts.min() < 2 or (draws_seeds and seeds < 2):
        return means[0] - means[1], float("nan"), float("nan")
    sampled = np.zeros((2, draws))
    for name, count in zip(names, counts, strict=True):
        products = rng.integers(count, size=(draws, count - 1))
        parts = [areas[..., groups == name, :] for areas in systems]
        if draws_seeds:  # how often each seed was drawn
            times = rng.multinomial(seeds - 1, np.full(seeds, 1 / seeds), draws) / (seeds - 1)
            parts = [np.tensordot(times, areas, 1) for areas in parts]
        else:
            parts = [areas[None] for areas in parts]
        of_draws = [np.take_along_axis(averaged(areas), products, axis=1) for areas in parts]
        sampled += [part.mean(axis=1) * count / len(groups) for part in of_draws]
    low, high = np.percentile(mean(sampled[0]) - mean(sampled[1]), [2.5, 97.5])
    found = np.array([means[0] - means[1], low, high]).round(9) + 0.0  # a 0 may be off by rounding
    return tuple(found.tolist())


def differences(
    rows: pd.DataFrame,
    against: str,
    by: Sequence[str] = (),
    measure: str = "harmonic mean",
    draws: int = 10_000,
) -> pd.DataFrame:
    """How far ``against`` leads each other system on the test IDs, by machine type and over all.

    One :func:`paired_bootstrap` for each group of the columns ``by``, such as the settings of a
    sweep, other system and machine type, over the seeds and product IDs that both systems have.
    Systems that are the same for every seed have only their product IDs drawn. Columns: ``by``,
    system, minus, machine_type, difference, low, high, seeds, product IDs and :func:`verdict`.
    """
    keys, lines = ["machine_type", "product", "seed"], []
    tested = rows[rows.role == "test"].dropna(subset=AREAS).set_index(keys)
    for group, part in tested.groupby(list(by), sort=False) if by else [((), tested)]:
        areas = {name: of_name[AREAS] for name, of_name in part.groupby("system", sort=False)}
        for name in {*UNTRAINED} & {*areas}:
            areas[name] = areas[name].groupby(keys[:2]).mean()
        ours = areas.pop(against, None)
        for system, others in areas.items() if ours is not None else ():
            both = ours.join(others.add_suffix(" of the other"), how="inner")
            types = sorted(both.index.unique("machine_type"), key=in_paper_order)
            for name in [*types, ALL] if types else ():
                table = both if name == ALL else both.loc[[name]]
                if trained := "seed" in table.index.names:
                    table = table.unstack("seed").dropna(axis=1)  # seeds that all IDs have
                array = table.to_numpy().reshape(len(table), 4, -1).transpose(2, 0, 1)
                if not array.size:
                    continue
                pair = np.split(array if trained else array[0], 2, axis=-1)
                of_types = table.index.get_level_values(0)
                lead, low, high = paired_bootstrap(*pair, of_types, draws, measure=measure)
                line = (against, system, name, lead, low, high, len(array) * trained, len(table))
                lines.append((*group, *line, verdict(low, high)))
    columns = "system minus machine_type difference low high seeds".split()
    return pd.DataFrame(lines, columns=[*by, *columns, "product IDs", "verdict"])


def levels(rows: pd.DataFrame, by: Sequence[str], column: str = "AUC") -> pd.DataFrame:
    """The mean of a ``column`` in % of each group of ``by`` on the test IDs, with its interval.

    The column holds shares, 0 to 1. The lines are those of :func:`differences` from a system whose
    shares are all 0.
    """
    rows = rows.assign(AUC=rows[column])
    nothing = rows.assign(system="nothing", **dict.fromkeys(AREAS, 0.0))
    both = pd.concat([rows.assign(system="all"), nothing])
    lines = differences(both, "all", by, "mean AUC")
    return lines[lines.machine_type == ALL].rename(columns={"difference": "mean"})


def trials(table: pd.DataFrame, reference: str = "reference") -> pd.DataFrame:
    """What each setting of a trial reached on the validation IDs, best first.

    ``table`` has a column ``setting``. The value is the mean AUC in % by the chosen h; its lead
    over the ``reference`` is a mean over pairs of the same machine type and seed, with the standard
    error of that mean. A setting is ``adopted`` if its lead is more than two standard errors.
    """
    chosen = table[table.chosen & (table.role == "validation")]
    keys = ["setting", "corpus", "machine_type", "seed"]
    pairs = values(chosen, keys, measure="mean AUC").pivot(
        index=keys[1:], columns="setting", values="value"
    )
    leads = pairs.sub(pairs[reference], axis=0)
    settings = pd.DataFrame({"mean AUC": pairs.mean(), "lead": leads.mean(), "SE": leads.sem()})
    settings["pairs"], settings["adopted"] = leads.count(), settings.lead > 2 * settings.SE
    return settings.sort_values("mean AUC", ascending=False).reset_index()


def verdict(low: float, high: float) -> str:
    """What an interval says of the part that the reference has and the other system lacks."""
    return "helps" if low > 0 else "hurts" if high < 0 else "cannot tell"


def in_words(differences: pd.DataFrame) -> str:
    """What :func:`differences` over all machine types say: a line of Markdown for each system.

    A part helps or hurts; a whole system is better or worse than another one.
    """
    lines = []
    over_all = differences[differences.machine_type == ALL]
    for row in over_all.rename(columns={"product IDs": "n"}).itertuples():
        bounds = f"95 % interval {row.low:+.1f} to {row.high:+.1f}"
        bounds = "no interval" if pd.isna(row.low) else bounds
        counts = counted(row.n, "product ID")
        if row.seeds:  # two that are not trained have none
            counts = f"{counted(row.seeds, 'seed')}, {counts}"
        better = {"helps": "better", "hurts": "worse"}
        lines.append(
            f"- **{row.system} minus {row.minus}**: {row.difference:+.1f} points "
            f"({bounds}, {counts}); *{better.get(row.verdict, row.verdict)}*."
        )
    return "\n".join(lines)


def choose_in_folds(table: pd.DataFrame, among: Sequence[str] = PAPER_INLIERS) -> pd.DataFrame:
    """Choose h and p again, in two folds over product IDs, so that every ID is a test ID.

    ``table`` has one row per run, product ID, h and, as ``Run.candidates`` has, candidate p. In
    each run the first half of the product IDs, sorted, chooses for the second half and the second
    for the first, both by the rule of :func:`asdlib.scoring.score_clips`: for each h the p, then
    the h ``among`` those named, with the highest harmonic mean of AUC and pAUC; if several are
    equal, the first. An h that is not ``among`` them stays (every h does with ``()``). Returns one
    row per run, product ID and h, all with the role "test". Raises :class:`InputError` for a run
    with a single product ID.
    """
    own = {"product", "role", "inlier", "size", "best", "chosen", "normal", "anomalous"}
    own |= {*NUMBERS}
    run = [name for name in table if name not in own] or np.zeros(len(table))
    parts = []
    for _, rows in table.groupby(run, sort=False, dropna=False):
        fixed = rows.inlier[rows.chosen].iloc[0]
        first = rows["product"].isin(metrics.validation_products(rows["product"].unique()))
        if not first.any():
            raise InputError(
                f"product ID {rows['product'].iloc[0]} only; expected two or more to choose h and "
                "p in two folds"
            )
        for chooses in (~first, first):
            reached = values(rows[chooses], ["inlier", "size"]).fillna({"value": 0})
            best = reached.loc[reached.groupby("inlier", sort=False).value.idxmax()]
            may = best[best.inlier.isin(among)]
            chosen = may.inlier[may.value.idxmax()] if fixed in among else fixed
            of_others = rows[~chooses].merge(best[["inlier", "size"]])
            parts.append(of_others.assign(role="test", chosen=of_others.inlier == chosen))
    return pd.concat(parts, ignore_index=True).drop(columns="best", errors="ignore")
