"""No number in the README that a run did not make; who cites finds one version and one paper."""

import json
import tomllib

import yaml
from conftest import ROOT

import asdlib
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


def test_version_licence_and_paper_are_the_same_wherever_they_are_named():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    zenodo = json.loads((ROOT / ".zenodo.json").read_text())
    for record in (citation, zenodo):
        assert str(record["version"]) == project["version"] == asdlib.__version__
        assert record["license"] == project["license"]
    assert citation["title"] == zenodo["title"]
    assert f"## Unreleased ({project['version']})" in (ROOT / "CHANGELOG.md").read_text()
    title = citation["references"][0]["title"]
    assert title in zenodo["references"][0]
    assert title in (ROOT / "book/references.bib").read_text()
