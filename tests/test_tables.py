"""Tables and charts of the pages: laid out as they should be, and drawn whatever is missing."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from conftest import write_corpus
from scipy.stats import hmean
from test_training import SMALL

from asdstudy.report import captions, charts, figures, maps, results, statistics, tables
from asdstudy.report.paper import (
    ALL,
    PAPER_SYSTEMS,
    PAPER_TABLE_II,
    PAPER_TABLE_III,
)
from asdstudy.runs import stages as runs


@pytest.fixture(autouse=True)
def style():
    """The book's look, as on the pages; neither it nor a figure is left behind."""
    with plt.rc_context():
        figures.use_style()
        yield
    plt.close("all")


def test_an_axis_of_scores_has_two_labels_at_least_on_its_logarithmic_part():
    for scores, ticks in (
        ([1e4, 2e4, 3e4, 771_090], [0, 1e4, 1e5]),  # else only 100,000 would be a label
        ([10, 20, 30, 771_090], [0, 1e2, 1e3, 1e4, 1e5]),
    ):
        _, ax = plt.subplots()
        figures.spread_out(ax, scores)
        assert ax.get_yticks().tolist() == ticks and ax.get_ylim()[1] > 771_090


@pytest.mark.parametrize("paper", [PAPER_TABLE_II, PAPER_TABLE_III], ids=["II", "III"])
def test_last_column_of_the_papers_tables_is_the_harmonic_mean_of_the_others(paper):
    # within rounding: each of the seven values is itself rounded to 0.01
    means = hmean(paper.drop(columns=ALL).to_numpy(), axis=1)
    assert np.abs(means - paper[ALL]).max() < 0.02


def test_the_papers_two_tables_under_our_names():
    assert set(PAPER_SYSTEMS.index) <= set(results.SYSTEMS)
    assert PAPER_SYSTEMS.index.is_unique and len(PAPER_SYSTEMS) == 4 + 3
    ddcsad = PAPER_TABLE_II.loc["DDCSAD"]
    pd.testing.assert_series_equal(PAPER_SYSTEMS.loc["ddcsad"], ddcsad, check_names=False)


def test_cells_in_words():
    """A single seed has no spread, and without seeds there is no mean."""
    nan = float("nan")
    summary = pd.DataFrame(
        [
            ("b", "y", 1.0, 0.5, 2, -1.0, 3.0), ("a", "y", 2.0, nan, 1, nan, nan),
            ("a", "x", nan, nan, 0, nan, nan),
        ],
        columns=["row", "column", "mean", "sd", "n", "low", "high"],
    )  # fmt: skip
    cells = tables.in_cells(summary, ["row"], ["column"], tables.SPREAD + " (n = {n})")
    assert cells.index.tolist() == ["b", "a"] and cells.columns.tolist() == ["y", "x"]
    assert cells.loc["b"].tolist() == ["1.0 ± 0.5 (n = 2)", "-"]
    assert cells.loc["a"].tolist() == ["2.0 (n = 1)", "- (n = 0)"]
    differences = summary.rename(columns={"mean": "difference"})
    bounds = tables.in_cells(differences, ["row"], ["column"], tables.BOUNDED)
    assert bounds["y"].tolist() == ["+1.0 [-1.0, 3.0]", "+2.0"]
    levels = tables.in_cells(summary, ["row"], ["column"], tables.LEVEL)
    assert levels["y"].tolist() == ["1.0 [-1.0, 3.0]", "2.0"]
    assert tables.in_cells(summary, ["row"], ["column"]).loc["b", "y"] == 1


def test_charts_of_systems_draw_what_is_there(table):
    rows = results.systems(table[(table.variant != "no-mixup") | (table.machine_type == "fan")])
    rows.loc[rows.system == "product-only", ["AUC", "pAUC"]] = np.nan
    names = ["fan", "slider", ALL]
    (panel,) = charts.points(statistics.by_type(rows), "of a test").axes
    assert [label.get_text() for label in panel.get_yticklabels()] == names
    forest = charts.forest(statistics.differences(rows, "proposed", draws=50), "of a test")
    places = [label.get_text() for label in forest.axes[0].get_yticklabels()]
    assert places == ["fan", "slider", "All"]
    assert len(charts.hover_products(rows, "of a test").data) == rows.system.nunique()
    assert tables.costs(rows).index[0] == "proposed"
    alone = results.systems(table, results.TABLE_II)  # a study without the rivals
    for against in ("proposed", "spectrum, kNN"):
        nothing = statistics.differences(alone, against)
        assert charts.forest(nothing, "") is None and statistics.in_words(nothing) == ""


def test_charts_of_settings_and_seeds(table):
    """As many panels as machine types and dials, at most two in a row."""
    turned = [table.assign(dial=d, setting=s) for d in ("a_dial", "b_dial") for s in (0.2, 0.9)]
    turned = charts.with_sound(pd.concat(turned, ignore_index=True))
    keys = ["dial", "setting", "machine_type", "seed", "variant"]
    figure = charts.by_dial(statistics.values(turned, keys), "of a test")
    assert len(figure.axes) == 2 * 2 and figure.get_figwidth() <= figures.WIDTH + 0.1
    names = ["fan (simulated sound)", "slider (simulated sound)"]
    assert set(turned.machine_type) == set(names)
    rows = turned[turned.chosen].assign(system="setting " + turned.variant)
    differences = statistics.differences(rows, "setting proposed", ["dial", "setting"], draws=50)
    figure = charts.forest(differences, "", row="minus", col="machine_type")
    assert [ax.get_title() for ax in figure.axes] == [*names, "All"]
    of_drone = differences.assign(machine_type="uav")
    figure_of_drone = charts.forest(of_drone, "", row="minus", col="machine_type")
    assert figure_of_drone.axes[0].get_title() == "drone"
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == [
        "setting no-mixup", "setting product-only",
    ]  # fmt: skip
    by_h = statistics.values(table, ["variant", "inlier", "seed"])
    figure = charts.points(by_h, "of a test", x="inlier", hue="variant")
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["GMM", "none"]


def test_the_epoch_of_the_smallest_validation_loss_is_shown_beside_the_last():
    history = pd.DataFrame({"epoch": [1, 2, 3], "loss": 0.5, "validation_loss": [3.0, 1.0, 2.0]})
    shown = tables.epochs(history)
    assert shown.loc["epoch"].to_dict() == {"smallest validation loss": 2, "last": 3}
    of_networks = pd.concat([history.assign(product=k) for k in ("00", "01")], ignore_index=True)
    pd.testing.assert_frame_equal(tables.epochs(of_networks), shown)
    assert tables.epochs(history.head(0)).empty  # of a system that is not trained


def test_a_chart_leaves_the_interactive_mode_on(table):
    """A notebook shows no figure without it, and its first figure switches it on."""
    plt.ion()
    charts.points(statistics.values(table, ["variant", "inlier", "seed"]), "", "inlier", "variant")
    assert plt.isinteractive()


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

    about = captions.about_run(run.params)
    assert about == "the corpus mine, quick profile with changed fields, seed 0"
    shown = tables.result_table(run)
    assert about in shown.to_html()
    (h,) = run.metrics.inlier[run.metrics.chosen].unique()
    column = next(name for name in shown.data if name.split(",")[0] == h)
    assert shown.data.loc[("harmonic mean", "all IDs"), column] == pytest.approx(100 * run.result())
    assert shown.data.loc[("ID 00 (validation)", "AUC"), column] == pytest.approx(
        100 * run.metrics.AUC[run.metrics.chosen].iloc[0]
    )
    for draw in (figures.score_distributions, figures.roc_curves):
        assert draw(run.scores, about).get_suptitle().replace("\n", " ") == about
    choice = run.params["choice"]
    words = f"{choice['inlier']}, {choice['sizes'][choice['inlier']]}"
    assert tables.chosen_inliers([run]).loc[0, ["h, p", "paper"]].tolist() == [words, "GMM, 2"]

    grid = maps.map_grid({("a", "ID 00"): placed, ("b", "ID 00"): placed}, about)
    assert {text.get_text() for text in grid.legends[0].get_texts()} == {*maps.COLOURS}
    assert len(maps.hover_map(placed, about).data) == len(maps.KINDS)
    curves = figures.loss_curves(run.history, about)
    assert [ax.get_title() for ax in curves.axes] == [*figures.LOSSES.values()][:3]

    near = maps.closeness_by_label([run])
    assert near.index.tolist() == [("pump", "proposed", "positive")]
    assert near[maps.SHARE].stack().between(0, 100).all()


def test_closeness_by_hand(monkeypatch):
    """One of a normal clip's two neighbours is another machine, and none of the anomaly's.

    The anomaly is shorter than two of the three normal clips.
    """
    rows = pd.DataFrame(
        {"product": ["0"] * 4 + ["9"], "kind": ["normal"] * 3 + ["anomaly", "others"]}
    )
    vectors = np.array([[0.0], [1.0], [1.1], [0.9], [-0.1]])
    monkeypatch.setattr(maps, "shown_clips", lambda run: (rows, vectors))
    table = maps.closeness(None, neighbours=2).set_index("kind")
    assert table[maps.SHARE].to_dict() == pytest.approx({"anomaly": 0, "normal": 100 / 6})
    assert table[maps.SHORTER].to_dict() == pytest.approx({"anomaly": 200 / 3, "normal": 100 / 3})
