"""Means, intervals and differences, by hand; what they say in words."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import hmean

from asdstudy.report import results, statistics, tables
from asdstudy.report.paper import ALL


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


def test_interval_by_hand():
    # mean 2, sample sd 1, n = 3; Student's t at 97.5 % with 2 degrees of freedom is 4.302653
    seeds = pd.DataFrame({"variant": "a", "value": [1.0, 2.0, 3.0, np.nan]})
    summary = statistics.over_seeds(seeds, ["variant"]).loc[0]
    assert (summary["mean"], summary.sd, summary.n) == (2, 1, 3)
    assert summary.high - 2 == pytest.approx(4.302653 / np.sqrt(3), rel=1e-6)
    assert 2 - summary.low == pytest.approx(summary.high - 2)
    assert np.isnan(statistics.interval(pd.Series([1.0]))[0])
    assert statistics.interval(pd.Series([1.0, 1.0])) == (1, 1)  # without a seed, no spread


def test_leads_are_paired_within_a_seed():
    rows = [
        ("default", "default", 0, 60.0), ("default", "default", 1, 70.0),
        ("floor", "high", 0, 61.0), ("floor", "high", 1, 73.0), ("floor", "high", 2, 80.0),
    ]  # fmt: skip
    values = pd.DataFrame(rows, columns=["switch", "setting", "seed", "value"])
    leads = statistics.leads(values, switch="default", setting="default")
    assert leads.lead.tolist() == [-1.0, -3.0]  # the third has nothing to be paired with
    assert leads.switch.tolist() == ["floor"] * 2
    summary = statistics.over_seeds(leads, ["setting"], "lead")
    words = statistics.tally(summary, "setting")
    assert "above zero in 0 of 1 cases, and below it in 0" in words


def test_bootstrap_of_equal_systems_is_zero_and_of_shifted_ones_excludes_zero():
    rng = np.random.default_rng(0)
    areas = rng.uniform(0.6, 0.9, (12, 2))
    groups = np.repeat(["fan", "slider"], 6)
    assert statistics.paired_bootstrap(areas, areas, groups, 200) == (0, 0, 0)
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


def test_differences_and_their_sentences(table):
    differences = statistics.differences(results.systems(table), "proposed", draws=300)
    assert set(differences.minus) == {"no-mixup", "without h", "product-only"}
    over_all = differences[differences.machine_type == ALL].set_index("minus")
    assert over_all.loc["product-only", "difference"] > over_all.loc["no-mixup", "difference"] > 0
    assert (over_all["product IDs"] == 4).all()  # test IDs only
    words = statistics.verdict(differences)
    assert "proposed minus product-only" in words and "proposed is better" in words
    single = statistics.differences(
        results.systems(table[table["product"] == "02"]), "proposed", draws=10
    )
    assert "no interval" in statistics.verdict(single)


def test_differences_are_of_the_seeds_that_both_have(table):
    """A third seed of one system alone, far off, changes nothing."""
    extra = table[(table.variant == "proposed") & (table.seed == 0)].assign(
        seed=2, AUC=0.1, pAUC=0.1
    )
    with_extra, without = (
        statistics.differences(results.systems(rows), "proposed", draws=50)
        for rows in (pd.concat([table, extra]), table)
    )
    of_others = without.minus != "without h"  # that one is scored on the same, extra run
    pd.testing.assert_frame_equal(with_extra[of_others], without[of_others])


def test_what_systems_cost(table):
    costs = tables.costs(results.systems(table)).loc["no-mixup"]
    networks, parameters, seconds, spread, count = costs
    assert (networks, parameters, count) == (1, 10, 4)  # 2 types, 2 seeds
    assert seconds == 2.5 and spread == pytest.approx((1 / 3) ** 0.5)
