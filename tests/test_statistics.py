"""Means, intervals and differences, by hand; what they say in words."""

import re

import numpy as np
import pandas as pd
import pytest
from scipy.stats import hmean

from asdlib import InputError, metrics
from asdstudy.report import results, statistics, tables
from asdstudy.report.paper import ALL
from asdstudy.runs.evaluation import metrics_by_product


def areas(rows: list[tuple]) -> pd.DataFrame:
    """Rows of one system and seed: machine type, product ID, AUC and pAUC alike."""
    table = pd.DataFrame(rows, columns=["machine_type", "product", "AUC"])
    return table.assign(pAUC=table.AUC, system="proposed", seed=0, role="test")


def test_harmonic_means_by_hand(table):
    rows = results.systems(table, ["proposed"])
    means = statistics.by_type(rows).set_index(["seed", "machine_type"]).value
    tested = rows[(rows.role == "test") & (rows.seed == 0)]
    fan = tested[tested.machine_type == "fan"]
    assert means[0, "fan"] == pytest.approx(100 * hmean(fan[["AUC", "pAUC"]].to_numpy().ravel()))
    assert means[0, ALL] == pytest.approx(100 * hmean(tested[["AUC", "pAUC"]].to_numpy().ravel()))


def test_the_mean_over_all_is_over_product_ids_and_not_over_machine_types():
    """Six IDs at 0.9 and two at 0.45: 1 / mean(6/0.9, 2/0.45) = 0.72; over two means it is 0.6."""
    rows = areas(
        [("fan", f"{k}", 0.9) for k in range(6)] + [("pump", f"{k}", 0.45) for k in (0, 1)]
    )
    assert tables.by_system(rows).loc["proposed", ALL] == pytest.approx(72)


def test_a_product_id_of_one_label_is_left_out_everywhere():
    rows = areas([("fan", "0", 0.8), ("fan", "1", np.nan), ("pump", "0", 0.5)])
    means = tables.by_system(rows).loc["proposed"]
    assert means["fan"] == pytest.approx(80) and means["pump"] == pytest.approx(50)
    assert means[ALL] == pytest.approx(100 * hmean([0.8, 0.5]))
    plain = tables.by_system(rows, measure="mean AUC").loc["proposed"]
    assert plain["fan"] == pytest.approx(80) and plain["All"] == pytest.approx(65)
    none = areas([("fan", "0", np.nan), ("pump", "0", 0.5)])
    assert tables.by_system(none).loc["proposed", ["fan", ALL]].isna().all()


def test_a_seed_that_lacks_a_machine_type_has_no_mean_over_all():
    """Its mean over the others would differ by what is missing, and not by the seed."""
    full = areas([("fan", "0", 0.9), ("pump", "0", 0.5)])
    both = pd.concat([full, full[full.machine_type == "fan"].assign(seed=1)])
    summary = statistics.over_seeds(statistics.by_type(both), ["machine_type"])
    over_all = summary.set_index("machine_type").loc[ALL]
    assert over_all.n == 1 and over_all["mean"] == pytest.approx(100 * hmean([0.9, 0.5]))


def test_a_system_that_lacks_a_machine_type_has_no_mean_over_all(table):
    part = table[(table.variant != "no-mixup") | (table.machine_type == "fan")]
    ours, full = (tables.by_system(results.systems(rows)) for rows in (part, table))
    assert ours.loc["no-mixup", [ALL, "slider"]].isna().all()
    assert ours.loc["no-mixup", "fan"] == full.loc["no-mixup", "fan"]
    assert ours.loc["proposed"].notna().all()


def test_mean_and_spread_over_seeds_by_hand():
    seeds = pd.DataFrame({"variant": "a", "value": [1.0, 2.0, 3.0, np.nan]})
    summary = statistics.over_seeds(seeds, ["variant"]).loc[0]
    assert (summary["mean"], summary.sd, summary.n) == (2, 1, 3)


def test_bootstrap_of_equal_systems_is_zero_and_of_shifted_ones_excludes_zero():
    rng = np.random.default_rng(0)
    areas = rng.uniform(0.6, 0.9, (12, 2))
    groups = np.repeat(["fan", "slider"], 6)
    assert statistics.paired_bootstrap(areas, areas, groups, 200) == (0, 0, 0)
    nearly = areas + 0.1 + 0.2 - 0.3  # as it should be, but for rounding
    assert statistics.paired_bootstrap(nearly, areas, groups, 200) == (0, 0, 0)
    difference, low, high = statistics.paired_bootstrap(areas, areas - 0.1, groups, 500)
    assert 0 < low <= difference <= high
    assert difference == pytest.approx(100 * (hmean(areas.ravel()) - hmean(areas.ravel() - 0.1)))
    reverse = statistics.paired_bootstrap(areas - 0.1, areas, groups, 500)
    assert reverse[0] == pytest.approx(-difference)


def test_bootstrap_of_a_single_product_id_has_no_interval():
    difference, low, high = statistics.paired_bootstrap(
        np.full((1, 2), 0.8), np.full((1, 2), 0.7), np.array(["fan"]), 10
    )
    assert difference == pytest.approx(10) and np.isnan(low) and np.isnan(high)


def test_pairing_is_tighter_than_the_product_ids_are_apart():
    areas = np.linspace(0.5, 0.95, 20).repeat(2).reshape(20, 2)
    groups = np.zeros(20, int)
    _, low, high = statistics.paired_bootstrap(areas, areas - 0.02, groups, 1000)
    assert high - low < 2  # points, while the IDs lie 45 points apart


def test_the_bootstrap_of_few_product_ids_is_as_wide_as_their_mean_is_uncertain():
    """Against the standard error of a mean of n = 3, of many draws of such threes."""
    rng = np.random.default_rng(0)
    widths, true = [], []
    for _ in range(200):
        inverse = 2 + 0.02 * rng.normal(size=(21, 1)).repeat(2, axis=1)
        groups = np.repeat(np.arange(7), 3)
        difference, low, high = statistics.paired_bootstrap(
            1 / inverse, np.full((21, 2), 0.5), groups, 300
        )
        widths.append(high - low)
        true.append(difference)
    assert np.mean(widths) == pytest.approx(2 * 1.96 * np.std(true), rel=0.15)


def leads_of(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Areas ``(seeds, product IDs, 2)`` of two systems that lie so many points of AUC apart."""
    others = np.full((*points.shape, 2), 0.5)
    return others + points[..., None] / 100, others


def test_a_draw_is_of_seeds_and_product_ids():
    """A draw takes one seed and one ID: the four leads are equally likely, two are the bounds."""
    ours, others = leads_of(np.array([[1.0, 2.0], [3.0, 10.0]]))
    one_type = np.zeros(2)
    difference, low, high = statistics.paired_bootstrap(
        ours, others, one_type, 500, measure="mean AUC"
    )
    assert (difference, low, high) == pytest.approx((4, 1, 10))
    difference, low, high = statistics.paired_bootstrap(ours, others, one_type, 500)
    harmonic = [100 * hmean([0.52, 0.56]) - 50, 1, 10]  # over seeds first: 0.52 and 0.56
    assert (difference, low, high) == pytest.approx(harmonic)


def test_each_machine_type_draws_seeds_of_its_own():
    """Seven types, each +1 or -1 by its seed: 5 of 7 or more agree in 1 of 8 draws, 7 in 1 of 64.

    So the 97.5 % bound of their mean is (6 - 1) / 7; if all types drew one seed it were 1.
    """
    by_seed = np.array([[1.0], [-1.0]]).repeat(14, axis=1)
    types = np.repeat(np.arange(7), 2)
    estimate = statistics.paired_bootstrap(*leads_of(by_seed), types, measure="mean AUC")
    assert estimate == pytest.approx((0, -5 / 7, 5 / 7))


def test_a_machine_type_keeps_its_share_of_the_mean():
    """Four IDs at +1 and two at +4: 2 on average, in every draw."""
    leads = np.array([1.0] * 4 + [4.0] * 2)[None].repeat(3, axis=0)
    types = np.array(["fan"] * 4 + ["pump"] * 2)
    estimate = statistics.paired_bootstrap(*leads_of(leads), types, 50, measure="mean AUC")
    assert estimate == pytest.approx((2, 2, 2))


@pytest.mark.parametrize(
    "by_seed, by_product, by_both, widest",
    [(2, 0, 0, 1.15), (0, 2, 0, 1.15), (2, 2, 0, 1.15), (0, 0, 4, 3**0.5 * 1.15)],
)
def test_the_interval_is_as_wide_as_seeds_and_product_ids_make_it(
    by_seed, by_product, by_both, widest
):
    """Against the spread of the mean over many studies of 5 seeds and 4 IDs of each of 4 types."""
    rng = np.random.default_rng(0)
    types, widths, means = np.repeat(np.arange(4), 4), [], []
    for _ in range(200):
        leads = by_seed * rng.normal(size=(5, 4, 1)) + by_product * rng.normal(size=(1, 4, 4))
        leads = (leads + by_both * rng.normal(size=(5, 4, 4))).reshape(5, 16)
        mean, low, high = statistics.paired_bootstrap(
            *leads_of(leads), types, 300, measure="mean AUC"
        )
        widths.append(high - low)
        means.append(mean)
    assert 0.85 < np.mean(widths) / (2 * 1.96 * np.std(means)) < widest


def test_a_single_seed_has_no_interval():
    ours, others = leads_of(np.full((1, 2), 3.0))
    difference, low, high = statistics.paired_bootstrap(ours, others, np.zeros(2), 10)
    assert difference == pytest.approx(3) and np.isnan(low) and np.isnan(high)
    assert statistics.verdict(low, high) == "cannot tell"
    with pytest.raises(InputError, match="unknown measure 'median'; known: harmonic mean, mean"):
        statistics.paired_bootstrap(ours, others, np.zeros(2), measure="median")


def test_what_trials_adopt_by_hand():
    """Leads of 1 and 3 points are 2 on average with a standard error of 1: not more than twice."""
    pairs = {"reference": (0.50, 0.60), "close": (0.51, 0.63), "clear": (0.55, 0.66)}
    rows = [
        {"setting": name, "corpus": "c", "machine_type": "fan", "seed": seed, "product": "0"}
        | {"role": role, "chosen": chosen, "AUC": auc * (chosen and role == "validation")}
        for name, areas_of in pairs.items()
        for seed, auc in enumerate(areas_of)
        for role, chosen in (("validation", True), ("validation", False), ("test", True))
    ]
    table = pd.DataFrame(rows).assign(pAUC=0.0)
    trials = statistics.trials(table).set_index("setting")
    assert trials.index.tolist() == ["clear", "close", "reference"]
    assert trials.loc["close", ["mean AUC", "lead", "SE"]].tolist() == pytest.approx([57, 2, 1])
    assert trials.loc["clear", ["lead", "SE"]].tolist() == pytest.approx([5.5, 0.5])
    assert trials.adopted.to_dict() == {"clear": True, "close": False, "reference": False}


def test_verdicts():
    assert statistics.verdict(0.1, 2) == "helps" and statistics.verdict(-2, -0.1) == "hurts"
    assert statistics.verdict(-0.1, 2) == statistics.verdict(0, 2) == "cannot tell"


def test_differences_and_their_sentences(table):
    differences = statistics.differences(results.systems(table), "proposed", draws=300)
    assert set(differences.minus) == {"no-mixup", "without h", "product-only"}
    over_all = differences[differences.machine_type == ALL].set_index("minus")
    assert over_all.loc["product-only", "difference"] > over_all.loc["no-mixup", "difference"] > 0
    assert (over_all["product IDs"] == 4).all() and (over_all.seeds == 2).all()  # test IDs only
    assert (over_all.verdict == "helps").all()
    words = statistics.in_words(differences)
    assert "- **proposed minus product-only**: +" in words
    assert words.count("- **proposed minus ") == 3
    assert words.count("2 seeds, 4 product IDs); *better*.") == 3
    reverse = statistics.differences(results.systems(table), "product-only", draws=300)
    words = statistics.in_words(reverse)
    assert re.search(r"- \*\*product-only minus proposed\*\*: .*\*worse\*\.", words)
    single = statistics.differences(
        results.systems(table[table["product"] == "02"]), "proposed", draws=10
    )
    assert "no interval, 2 seeds, 2 product IDs); *cannot tell*." in statistics.in_words(single)
    assert set(single.verdict) == {"cannot tell"}


def test_the_difference_is_that_of_the_means_over_seeds(table):
    rows = results.systems(table)
    (line,) = (
        statistics.differences(rows, "proposed", draws=10)
        .query("minus == 'no-mixup' and machine_type == @ALL")
        .itertuples()
    )
    means = rows[rows.role == "test"].groupby(["system", "machine_type", "product"])[
        ["AUC", "pAUC"]
    ]
    proposed, other = (
        100 * hmean(means.mean().loc[n], axis=None) for n in ("proposed", "no-mixup")
    )
    assert line.difference == pytest.approx(proposed - other)


def test_differences_are_of_the_seeds_that_both_have(table):
    """A third seed of one system alone, far off, changes nothing; nor does one of half its IDs."""
    extra = table[(table.variant == "proposed") & (table.seed == 0)].assign(
        seed=2, AUC=0.1, pAUC=0.1
    )
    half = pd.concat([extra, extra.assign(variant="no-mixup")])
    half = half[half["product"] != "02"]
    plain = statistics.differences(results.systems(table), "proposed", draws=50)
    for rows in (pd.concat([table, extra]), pd.concat([table, half])):
        more = statistics.differences(results.systems(rows), "proposed", draws=50)
        of_others = plain.minus != "without h"  # that one is scored on the same, extra run
        pd.testing.assert_frame_equal(more[of_others], plain[of_others])


def test_levels_are_means_with_the_interval_of_their_differences(table):
    """Each variant is averaged by itself: over fan and slider, test IDs 02 and 03."""
    rows = results.systems(table, ["proposed", "no-mixup"])
    lines = statistics.levels(rows, ["variant"]).set_index("variant")
    tested = rows[rows.role == "test"].groupby("variant").AUC.mean()
    assert lines["mean"].to_dict() == pytest.approx((100 * tested).to_dict())
    assert (lines.low < lines["mean"]).all() and (lines["mean"] < lines.high).all()
    assert (lines["product IDs"] == 4).all() and (lines.seeds == 2).all()
    halves = statistics.levels(rows.assign(half=rows.AUC / 2), ["variant"], "half")
    assert halves["mean"].tolist() == pytest.approx((lines["mean"] / 2).tolist())


def test_a_system_without_training_is_compared_with_every_seed(table):
    spectrum = table[(table.variant == "product-only") & (table.seed == 0) & table.chosen]
    rows = results.systems(pd.concat([table, spectrum.assign(variant="spectrum")]))
    (line,) = (
        statistics.differences(rows, "proposed", draws=50)
        .query("minus == 'spectrum' and machine_type == 'fan'")
        .itertuples()
    )
    assert line.seeds == 2 and line.verdict == "helps"
    copies = [spectrum.assign(variant="spectrum", seed=seed) for seed in (0, 1)]
    rows = results.systems(pd.concat([table, *copies]))
    again = statistics.differences(rows, "proposed", draws=50)
    assert (again[again.minus == "spectrum"].iloc[0, 3:6] == list(line[4:7])).all()


def test_settings_of_a_sweep_are_compared_each_for_itself(table):
    parts = [table.assign(dial="a", setting=s, AUC=table.AUC - s / 10) for s in (0.0, 0.2)]
    rows = results.systems(pd.concat(parts))
    both = statistics.differences(rows, "proposed", ["dial", "setting"], draws=50)
    for setting, part in both.groupby("setting"):
        alone = statistics.differences(rows[rows.setting == setting], "proposed", draws=50)
        pd.testing.assert_frame_equal(part.iloc[:, 2:].reset_index(drop=True), alone)


def candidates(areas: dict) -> pd.DataFrame:
    """A run's table with every candidate: the area of each of four product IDs by h and p."""
    lines = [
        (f"{k}", inlier, size, area, "test" if k > 1 else "validation")
        for (inlier, size), of_ids in areas.items()
        for k, area in enumerate(of_ids)
    ]
    rows = pd.DataFrame(lines, columns=["product", "inlier", "size", "AUC", "role"])
    return rows.assign(pAUC=rows.AUC, machine_type="fan", seed=0, best=False, chosen=False)


def test_each_half_of_the_product_ids_chooses_for_the_other():
    table = candidates(
        {
            ("GMM", 1): [0.9, 0.8, 0.6, 0.6],  # best p of GMM on the first half, and best h
            ("GMM", 2): [0.7, 0.7, 0.8, 0.7],
            ("LOF", 4): [0.8, 0.8, 0.9, 0.9],  # best h on the second half
            ("kNN", 1): [1.0, 1.0, 1.0, 1.0],  # beside, never chosen
        }
    )
    table.loc[table["size"] == 1, "best"] = table.loc[table.inlier == "LOF", "best"] = True
    table.loc[(table.inlier == "GMM") & table.best, "chosen"] = True
    two = pd.concat([table, table.assign(seed=1)])
    folds = statistics.choose_in_folds(two)
    assert len(folds) == 2 * 4 * 3 and set(folds.role) == {"test"} and "best" not in folds
    by_id = folds[folds.seed == 1].set_index(["inlier", "product"])
    assert by_id["size"]["GMM"].to_dict() == {"0": 2, "1": 2, "2": 1, "3": 1}
    assert by_id.AUC["GMM"].to_dict() == {"0": 0.7, "1": 0.7, "2": 0.6, "3": 0.6}
    chosen = folds[folds.chosen & (folds.seed == 0)].set_index("product").inlier.to_dict()
    assert chosen == {"0": "LOF", "1": "LOF", "2": "GMM", "3": "GMM"}
    fixed = statistics.choose_in_folds(table, among=())
    assert set(fixed.inlier[fixed.chosen]) == {"GMM"}
    without_p = statistics.choose_in_folds(table[table.best])  # as the table of a book
    assert without_p["size"].nunique() == 2 and len(without_p) == 12
    with pytest.raises(InputError, match="product ID 0 only; expected two or more"):
        statistics.choose_in_folds(table[table["product"] == "0"])


def test_the_test_ids_get_the_choice_of_the_run_itself():
    """The first half are the validation IDs, so for the rest nothing changes."""
    rng = np.random.default_rng(0)
    scores = pd.DataFrame(
        {"product": np.repeat(list("0123"), 20), "label": ["normal", "anomaly"] * 40}
    )
    scores["role"] = np.where(scores["product"] < "2", "validation", "test")
    tried = [(h, p) for h in ("GMM", "LOF", "kNN") for p in (1, 2, 4)]
    for h, p in tried:
        scores[f"{h} {p}"] = rng.normal(size=80) + (scores.label == "anomaly")
    validation = scores[scores.role == "validation"]
    reached = {
        (h, p): metrics.harmonic_mean(metrics.table(validation, f"{h} {p}")[["AUC", "pAUC"]])
        for h, p in tried
    }
    sizes = {h: max((1, 2, 4), key=lambda p: reached[h, p]) for h in ("GMM", "LOF", "kNN")}
    inlier = max(("GMM", "LOF"), key=lambda h: reached[h, sizes[h]])
    choice = {"inlier": inlier, "sizes": sizes}
    choice["candidates"] = [{"inlier": h, "size": p} for h, p in tried]
    table = metrics_by_product(scores, choice)
    folds = statistics.choose_in_folds(table)
    own = table[table.best & (table.role == "test")].drop(columns="best")
    again = folds[folds["product"] >= "2"]
    order = ["inlier", "product"]
    pd.testing.assert_frame_equal(
        again.sort_values(order, ignore_index=True)[own.columns],
        own.sort_values(order, ignore_index=True),
    )


def test_what_systems_cost(table):
    costs = tables.costs(results.systems(table)).loc["no-mixup"]
    networks, parameters, seconds, spread, count = costs
    assert (networks, parameters, count) == (1, 10, 4)  # 2 types, 2 seeds
    assert seconds == 2.5 and spread == pytest.approx((1 / 3) ** 0.5)
