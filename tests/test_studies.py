"""Studies: the tidy table, the paper's tables, and the paired bootstrap."""

import numpy as np
import pandas as pd
import pytest
from conftest import write_corpus
from scipy.stats import hmean
from test_training import SMALL

from asdlib.errors import InputError
from asdstudy import paths
from asdstudy.report import bootstrap, captions, figures, maps, studies, tables
from asdstudy.report.paper import ALL, PAPER_SYSTEMS, PAPER_TABLE_II, PAPER_TABLE_III
from asdstudy.runs import run as runs


@pytest.fixture
def table() -> pd.DataFrame:
    """Two machine types, two seeds, four product IDs, the systems of Table III."""
    rng = np.random.default_rng(0)
    rows = []
    for variant, lift in (("proposed", 0.2), ("no-mixup", 0.1), ("product-only", 0.0)):
        for seed in (0, 1):
            for machine_type in ("fan", "slider"):
                for number in range(4):
                    for inlier in ("GMM", "none"):
                        areas = 0.55 + lift * (inlier == "GMM") + 0.02 * rng.random(2)
                        rows.append(
                            {
                                "corpus": "simulated",
                                "machine_type": machine_type,
                                "variant": variant,
                                "seed": seed,
                                "product": f"{number:02d}",
                                "role": "validation" if number < 2 else "test",
                                "inlier": inlier,
                                "size": 2,
                                "chosen": inlier == "GMM",
                                "AUC": areas[0],
                                "pAUC": areas[1],
                                "fingerprint": "f",
                                "profile": "quick",
                                "overrides": "{}",
                                "commit": "c",
                                "device": "cpu",
                                "models": 1,
                                "parameters": 10,
                                "wall_seconds": 1.0,
                                "cpu_seconds": 2.0 + seed,
                                "finished": "2025-01-01",
                            }
                        )
    return pd.DataFrame(rows)


@pytest.mark.parametrize("paper", [PAPER_TABLE_II, PAPER_TABLE_III], ids=["II", "III"])
def test_last_column_of_the_papers_tables_is_the_harmonic_mean_of_the_others(paper):
    # within rounding: each of the seven values is itself rounded to 0.01
    own = hmean(paper.drop(columns=ALL).to_numpy(), axis=1)
    assert np.abs(own - paper[ALL]).max() < 0.02


def test_harmonic_means_by_hand(table):
    rows = studies.of_system(table, "proposed")
    means = studies.harmonic_means(rows)
    fan = rows[(rows.seed == 0) & (rows.machine_type == "fan")]
    assert means.loc[0, "fan"] == pytest.approx(
        100 * hmean(fan[["AUC", "pAUC"]].to_numpy().ravel())
    )
    one = rows[rows.seed == 1]
    assert means.loc[1, ALL] == pytest.approx(100 * hmean(one[["AUC", "pAUC"]].to_numpy().ravel()))


def test_systems_take_their_own_rows(table):
    assert studies.systems_in(table) == ["proposed", "no-mixup", "without h", "product-only"]
    without = studies.of_system(table, "without h", None)
    assert set(without.variant) == {"proposed"} and set(without.inlier) == {"none"}
    assert set(studies.of_system(table, "proposed").role) == {"test"}
    with pytest.raises(InputError, match="without h"):
        studies.of_system(table, "nothing")


def test_bootstrap_of_equal_systems_is_zero_and_of_shifted_ones_excludes_zero():
    rng = np.random.default_rng(0)
    areas = rng.uniform(0.6, 0.9, (12, 2))
    groups = np.repeat(["fan", "slider"], 6)
    assert bootstrap.paired_bootstrap(areas, areas, groups, 200) == (0, 0, 0)
    difference, low, high = bootstrap.paired_bootstrap(areas, areas - 0.1, groups, 500)
    assert 0 < low <= difference <= high
    assert difference == pytest.approx(100 * (hmean(areas.ravel()) - hmean(areas.ravel() - 0.1)))
    reverse = bootstrap.paired_bootstrap(areas - 0.1, areas, groups, 500)
    assert reverse[0] == pytest.approx(-difference)


def test_bootstrap_of_a_single_product_id_has_no_interval():
    difference, low, high = bootstrap.paired_bootstrap(
        np.full((1, 2), 0.8), np.full((1, 2), 0.7), np.array(["fan"]), 10
    )
    assert difference == pytest.approx(10) and np.isnan(low) and np.isnan(high)


def test_pairing_is_tighter_than_the_product_ids_are_apart():
    areas = np.linspace(0.5, 0.95, 20).repeat(2).reshape(20, 2)
    groups = np.zeros(20, int)
    _, low, high = bootstrap.paired_bootstrap(areas, areas - 0.02, groups, 1000)
    assert high - low < 2  # points, while the IDs lie 45 points apart


def test_differences_and_their_sentences(table):
    found = bootstrap.differences(table, "proposed", draws=300)
    assert set(found.minus) == {"no-mixup", "without h", "product-only"}
    over_all = found[found.machine_type == ALL].set_index("minus")
    assert over_all.loc["product-only", "difference"] > over_all.loc["no-mixup", "difference"] > 0
    assert (over_all["product IDs"] == 4).all()  # test IDs only
    words = tables.in_words(found)
    assert "proposed minus product-only" in words and "proposed is better" in words


def test_nothing_simulated_is_comparable_with_the_paper(table):
    assert studies.comparable(table) == "no: simulated sound, quick profile"
    paper = table.assign(corpus="dcase2021", profile="paper")
    assert studies.comparable(paper) == "yes"
    beside = studies.paper_beside_ours(PAPER_TABLE_III, table)
    fan = beside[(beside.system == "proposed") & (beside.machine_type == "fan")].iloc[0]
    assert fan["paper: value"] == 84.35 and fan["ours: n seeds"] == 2


def test_committed_table_counts_only_where_it_has_more_seeds_of_the_same(table, tmp_path):
    fresh = table[table.seed == 0]
    table.to_csv(tmp_path / "seeds.csv", index=False)
    committed = studies.read_measured(tmp_path / "seeds.csv")
    assert committed["product"].iloc[0] == "00" and "none" in set(committed.inlier)

    def widest(measured):
        return studies.widest(fresh, studies.Source(measured, "before"))

    assert widest(committed).table.seed.nunique() == 2 and widest(committed).source == "before"
    assert widest(committed.assign(profile="paper")).table is fresh
    assert widest(None).table is fresh and widest(None).source == "Runs of this build"
    assert studies.read_measured(tmp_path / "other.csv") is None


def test_a_committed_table_of_other_overrides_variants_or_sound(table):
    fresh, changed = table[table.seed == 0], table.assign(overrides='{"epochs": 3}')

    def widest(measured):
        return studies.widest(fresh, studies.Source(measured, "before"))

    assert widest(changed).table is fresh
    assert widest(table[table.variant != "no-mixup"]).table is fresh
    assert "another fingerprint" in widest(table.assign(fingerprint="x")).source
    assert "another fingerprint" not in widest(table).source


def test_the_table_of_several_seeds_is_that_of_make_seeds_before_the_committed_one(
    table, tmp_path, monkeypatch
):
    monkeypatch.setattr(paths, "measured_dir", lambda: tmp_path / "measured")
    assert studies.seeds_table("simulated").table is None
    for folder, name in (("measured", "seeds.csv"), ("runs/simulated", "collected.csv")):
        (tmp_path / folder).mkdir(parents=True)
        table.assign(commit=folder).to_csv(tmp_path / folder / name, index=False)
    committed = studies.seeds_table("simulated")
    assert set(committed.table.commit) == {"measured"} and "committed" in committed.source
    made = studies.seeds_table("simulated", out_dir=tmp_path / "runs")
    assert set(made.table.commit) == {"runs/simulated"} and "make seeds" in made.source
    named = studies.seeds_table("simulated", tmp_path / "measured/seeds.csv", tmp_path / "runs")
    assert set(named.table.commit) == {"measured"}


def test_what_is_said_under_a_table(table):
    line = studies.origin(table, "Runs")
    assert "12 s of wall time of whole runs" in line  # 3 variants, 2 seeds, 2 types, 1 s each
    assert "versions as pinned by that commit's constraints.txt" in line  # an early table
    resumed = table.assign(versions="torch 2").assign(
        wall_seconds=table.wall_seconds.where(table.seed == 0)
    )
    line = studies.origin(resumed, "Runs")
    assert "6 s of wall time of whole runs" in line and "6 without a recorded time" in line
    assert "torch 2" in line and "pinned" not in line
    two = pd.concat([table.assign(corpus=f"similarity-{name}") for name in "ab"])
    assert studies.kind(two) == "simulated sound, quick profile, 2 seeds"


def test_overrides_are_told(table):
    assert "with overrides" not in studies.kind(table)
    changed = table.assign(corpus="dcase2021", profile="paper", overrides='{"epochs": 3}')
    assert "paper profile with overrides" in studies.kind(changed)
    assert studies.comparable(changed) == "no: fields of the profile overridden"
    same = changed.assign(overrides="{}")
    beside = studies.paper_beside_ours(PAPER_TABLE_III, same).set_index("machine_type").comparable
    assert set(beside["fan"]) == {"yes"}
    assert set(beside[ALL]) == {"no: not over the paper's machine types"}


def test_a_system_that_lacks_a_machine_type_has_no_mean_over_all(table):
    part = table[(table.variant != "no-mixup") | (table.machine_type == "fan")]
    ours = studies.wide(part)
    assert np.isnan(ours.loc["no-mixup", [ALL, "slider"]].astype(float)).all()
    assert ours.loc["no-mixup", "fan"] == studies.wide(table).loc["no-mixup", "fan"]
    assert np.isfinite(ours.loc["proposed"].astype(float)).all()
    tables.result_dots(part, "")  # draw what is there
    tables.forest(bootstrap.differences(part, "proposed", draws=50), "")


def test_differences_are_of_the_seeds_that_both_have(table):
    """A third seed of one system alone, far off, changes nothing."""
    more = table[(table.variant == "proposed") & (table.seed == 0)].assign(
        seed=2, AUC=0.1, pAUC=0.1
    )
    with_more = bootstrap.differences(pd.concat([table, more]), "proposed", draws=50)
    without = bootstrap.differences(table, "proposed", draws=50)
    of_others = without.minus != "without h"  # that one is scored on the same, extra run
    pd.testing.assert_frame_equal(with_more[of_others], without[of_others])


def test_the_bootstrap_of_few_product_ids_is_as_wide_as_their_mean_is_uncertain():
    """Against the standard error of a mean of n = 3, of many draws of such threes."""
    rng = np.random.default_rng(0)
    widths, true = [], []
    for _ in range(200):
        inverse = 2 + 0.02 * rng.normal(size=(21, 1)).repeat(2, axis=1)
        groups = np.repeat(np.arange(7), 3)
        difference, low, high = bootstrap.paired_bootstrap(
            1 / inverse, np.full((21, 2), 0.5), groups, 300
        )
        widths.append(high - low)
        true.append(difference)
    assert np.mean(widths) == pytest.approx(2 * 1.96 * np.std(true), rel=0.15)


def test_only_some_systems_and_what_they_cost(table):
    rivals = studies.only(
        table, studies.TABLE_II
    )  # the ablation and "without h" are not among them
    assert studies.systems_in(rivals) == ["proposed"]
    assert set(rivals.inlier) == {"GMM"}
    assert studies.systems_in(studies.only(table, studies.TABLE_III)) == [
        "proposed", "no-mixup", "without h", "product-only",
    ]  # fmt: skip
    costs = studies.costs(table).loc["no-mixup"]
    assert (costs.networks, costs.parameters, costs.runs) == (1, 10, 4)  # 2 types, 2 seeds
    assert costs["CPU seconds"] == 2.5 and costs.SD == pytest.approx((1 / 3) ** 0.5)


def test_the_papers_two_tables_under_our_names():
    assert set(PAPER_SYSTEMS.index) <= set(studies.SYSTEMS)
    assert PAPER_SYSTEMS.index.is_unique and len(PAPER_SYSTEMS) == 4 + 3
    ddcsad = PAPER_TABLE_II.loc["DDCSAD [18]"]
    pd.testing.assert_series_equal(PAPER_SYSTEMS.loc["ddcsad"], ddcsad, check_names=False)


@pytest.mark.filterwarnings("ignore:a GMM with p")
def test_a_page_of_a_run_has_its_clips_scores_and_captions(tmp_path):
    """All product IDs, both labels and the other machines use the same names, as MIMII's do."""
    root = write_corpus(tmp_path / "corpus", train=4)
    run = runs.execute("mine", "pump", data_dir=root, out_dir=tmp_path, **SMALL | {"epochs": 1})
    embedded = run.embedded
    for part in (*embedded.values(), run):
        clips = part.scores if part is run else part.clips
        clips["file"] = clips.groupby(["product", "label"]).cumcount().astype(str) + ".wav"
    placed = maps.map_of(run)
    tested = placed[placed.kind != "others"].reset_index(drop=True)
    assert len(placed) == len(embedded["test"].clips) + len(embedded["others"].clips)
    pd.testing.assert_series_equal(tested.score, run.scores.score)  # in the order of the clips
    assert placed[placed.kind == "others"].score.isna().all()

    kind = captions.kind_of(run.params)
    assert kind == "the corpus mine, quick profile with overrides, seed 0"
    assert kind in figures.result_table(run).to_html()
    for draw in (figures.score_distributions, figures.roc_curves):
        assert draw(run.scores, kind).get_suptitle().replace("\n", " ") == kind
    assert "s since it was resumed" not in captions.provenance_line(run.params).data
    assert "s since it was resumed" in captions.provenance_line(run.params | {"resumed": True}).data
