"""The README has no number that a run did not make, and one version and one paper to cite."""

import json
import tomllib

import yaml
from conftest import ROOT

import asdlib
from asdstudy.report import results, statistics, tables


def test_the_table_of_the_readme_is_the_measured_one():
    rows = results.systems(results.measured("ablation-recordings"))
    values = statistics.values(rows, ["system", "corpus", "seed"], "test", "mean AUC")
    summary = statistics.over_seeds(values, ["system", "corpus"])
    cells = tables.in_cells(summary, ["system"], ["corpus"], tables.SPREAD)
    readme = (ROOT / "README.md").read_text()
    for system, cell in cells[["mimii-mini", "uav"]].iterrows():
        assert f"| {system} | {' | '.join(cell)} |" in readme
    assert sorted(rows.seed.unique()) == list(range(10)) and "ten seeds" in readme


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
