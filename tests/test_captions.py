"""What captions say, and the command at the foot of every page."""

import json
import shlex

import numpy as np
import pandas as pd
import papermill.cli
import pytest
from click.testing import CliRunner
from conftest import ROOT

from asdstudy import paths
from asdstudy.report import captions
from asdstudy.runs.provenance import DECISIVE


def parameters_of(page: str, monkeypatch) -> dict:
    """What papermill's own command line hands to the notebook, by the command on a page."""
    call = {}
    monkeypatch.setattr(papermill.cli, "execute_notebook", lambda **options: call.update(options))
    command = page.split("```")[1].strip()
    result = CliRunner().invoke(papermill.cli.papermill, shlex.split(command)[1:])
    assert result.exit_code == 0, result.output
    assert (ROOT / call["input_path"]).exists()
    return call["parameters"]


def where_from(notebook: str, names: dict, *origins: str, **changes) -> str:
    """The foot of a page whose kernel has run the parameters cell of that notebook."""
    cells = json.loads((ROOT / f"notebooks/{notebook}.ipynb").read_text())["cells"]
    first = next(cell for cell in cells if cell["cell_type"] == "code")
    ran = {"In": ["", "%matplotlib inline", "import os", "".join(first["source"])]}
    return captions.where_from(notebook, names | ran, *origins, **changes).data


RECORD = {
    "corpus": "mine", "machine_type": "fan", "variant": "no-mixup", "profile_name": "quick",
    "seed": 3, "overrides": {}, "fingerprint": "f", "commit": "c", "device": "cpu",
    "threads": 1, "wall_seconds": 1.5, "finished": "today", "resumed": False,
    "versions": dict.fromkeys(DECISIVE, "2"),
}  # fmt: skip
SOUNDS = {"corpus": "simulated", "machine_types": [], "profile": "quick", "seed": 2, "players": 3}


def test_the_command_on_a_page_reproduces_its_parameters(monkeypatch):
    overrides = {
        "inlier_sizes": [1, 2], "learning_rates": [1e-6, 0.5], "learning_rate": 1e-6, "epochs": 3,
        "log_mel": False, "none": None, "id": "00", "word": "True", "text": "it's 2 words",
        "nested": {"rows": "all", "pair": [1, "x y"]}, "empty": [], "number": "1e5",
    }  # fmt: skip
    record = RECORD | {"overrides": overrides}
    places = {"data_dir": "data/mine", "out_dir": ""}
    names = {"corpus": "mine", "machine_type": "fan", "variant": "no-mixup", "profile": "quick"}
    names |= {"seed": 3}
    origin = captions.origin_of_run(record)
    page = where_from("train", names | places | {"other": 1}, origin, **overrides)
    expected = names | {"data_dir": "data/mine"} | overrides
    parameters = parameters_of(page, monkeypatch)
    assert parameters == expected
    assert {n: type(v) for n, v in parameters.items()} == {n: type(v) for n, v in expected.items()}


def test_a_page_shows_no_path_of_the_computer_that_made_it(tmp_path, monkeypatch):
    root = tmp_path / "here" / "project"
    monkeypatch.setattr(paths, "project_root", lambda: root)
    for place, shown in [
        (root / "data/mine", "data/mine"),
        (root.parent / "shared/real-mini", "../shared/real-mini"),
        (tmp_path / "elsewhere/my sounds", "path/to/my sounds"),
    ]:
        page = where_from("sounds", SOUNDS | {"data_dir": place}, "")
        assert parameters_of(page, monkeypatch) == SOUNDS | {"data_dir": shown}
        assert str(tmp_path) not in page


def test_a_page_without_a_run_says_where_it_comes_from(monkeypatch):
    origin = captions.origin_of_page("simulated sound")
    page = where_from("sounds", SOUNDS | {"data_dir": ""}, origin)
    assert "**Provenance.** simulated sound; versions python" in page
    assert "; wall time " in page
    assert parameters_of(page, monkeypatch) == SOUNDS


def test_what_a_caption_says_of_a_run():
    assert captions.about_run(RECORD) == "the corpus mine, quick profile, seed 3"
    changed = captions.about_run(RECORD | {"overrides": {"epochs": 3}})
    assert changed == "the corpus mine, quick profile with changed fields, seed 3"
    line = captions.origin_of_run(RECORD)
    assert "; device cpu; threads 1; " in line and line.startswith("1 run, this one: ")
    assert line.endswith("wall time 2 s for 1 run")
    assert "wall time 0 s for 0 runs" in captions.origin_of_run(RECORD | {"resumed": True})


def test_what_a_caption_says_of_a_table(table):
    assert captions.about(table) == "simulated sound, quick profile, 2 seeds"
    some = table.assign(overrides=np.where(table.seed == 0, "{}", '{"epochs": 3}'))
    assert captions.about(some).endswith("quick profile with changed fields in some rows, 2 seeds")
    similar = table.assign(corpus=np.where(table.seed == 0, "similarity-a", "similarity-b"))
    assert captions.about(similar) == "simulated sound, quick profile, 2 seeds"
    more = [table.assign(variant="other", seed=table.seed + 2 * k) for k in range(2)]
    of_both = captions.about(pd.concat([table, *more, table[table.seed == 0].assign(variant="x")]))
    assert of_both == "simulated sound, quick profile, 2 or 4 seeds"
    line = captions.origin(table, "drawn from a test")
    assert line.startswith("12 runs, drawn from a test: corpus simulated; fingerprint f; profile")
    assert "seed 0, 1; commit c; versions torch 2; device" in line
    assert line.endswith("overrides none; wall time 12 s for 12 runs")
    resumed = table.assign(wall_seconds=table.wall_seconds.where(table.seed == 0))
    line = captions.origin(resumed, "Drawn")
    assert "wall time 6 s for 6 runs" in line
    two = table.assign(
        overrides=np.where(table.seed, '{"epochs": 3, "dropout": 0}', '{"epochs": 3}')
    )
    assert "overrides epochs = 3 in all runs, the others differ; " in captions.origin(two, "Drawn")


def test_a_caption_promises_types_spread_and_intervals_only_where_there_are_any(table):
    assert captions.over_seeds(table) == ", mean ± SD over seeds"
    assert captions.over_seeds(table[table.seed == 0]) == ""
    assert captions.by_type(table) == ", by machine type"
    assert captions.by_type(table[table.machine_type == "fan"]) == ""
    lines = pd.DataFrame({"low": [np.nan, 1.0]})
    assert captions.intervals(lines) == ", with 95 % intervals"
    assert captions.intervals(lines.head(1)) == ""


def test_the_page_of_recordings_does_not_show_where_they_are():
    page = where_from("recordings", {"profile": "quick", "folder": "/home/me/sound"}, "Drawn")
    assert "folder: path/to/sound" in page and "/home/me" not in page
    assert "folder" not in where_from("recordings", {"profile": "quick", "folder": ""}, "Drawn")


def test_a_page_over_runs_names_those_that_it_shows(table, monkeypatch):
    own = captions.parameters_of_runs(table)
    assert own["machine_types"] == ["fan", "slider"] and own["seeds"] == [0, 1]
    names = {name: [] for name in own} | {"overrides": {}, "out_dir": ""}
    page = where_from("ablation", names, "", **own)
    assert "To reproduce this page" in page
    assert parameters_of(page, monkeypatch) == own | {"overrides": {}}


@pytest.mark.parametrize(
    "changes, verdict",
    [
        ({}, "cannot be compared with the paper's numbers (simulated sound, quick profile)."),
        ({"corpus": "dcase2021", "profile": "paper"}, "can be compared with the paper's numbers."),
        (
            {"corpus": "dcase2021", "profile": "paper", "overrides": '{"epochs": 3}'},
            "cannot be compared with the paper's numbers (fields of the profile overridden).",
        ),
    ],
)
def test_only_the_papers_own_setting_is_comparable_with_it(table, changes, verdict):
    assert captions.comparable(table.assign(**changes)) == f"These runs {verdict}"
