"""No number in the README that a run did not make."""

from conftest import ROOT

from asdstudy.report import results, statistics, tables


def test_the_table_of_the_readme_is_the_measured_one():
    table = results.read(ROOT / "book" / "measured" / "uav.csv")
    values = statistics.values(table, ["variant", "inlier", "seed"])
    summary = statistics.over_seeds(values, ["variant", "inlier"])
    cells = tables.in_cells(summary, ["variant"], ["inlier"], tables.COUNTED)
    readme = (ROOT / "README.md").read_text()
    for variant, cell in cells[["GMM", "LOF", "none"]].iterrows():
        assert f"| {variant} | {' | '.join(cell)} |" in readme
    assert "| variant | *h* = GMM | *h* = LOF | *h* = none |" in readme
    assert sorted(table.seed.unique()) == [0, 1, 2, 3, 4]
