"""The one table of results: from runs, from files, and the rows of its systems."""

import json

import numpy as np
import pandas as pd
import pytest
from conftest import asd, write_corpus
from test_training import SMALL

from asdlib import InputError
from asdstudy import paths
from asdstudy.report import results, statistics
from asdstudy.runs import stages as runs
from asdstudy.runs.sweeps import Job, sweep

pytestmark = pytest.mark.filterwarnings("ignore:a GMM with p")


def test_systems_take_their_own_rows(table):
    rows = results.systems(table)
    assert list(rows.system.unique()) == ["proposed", "no-mixup", "without h", "product-only"]
    without = rows[rows.system == "without h"]
    assert set(without.variant) == {"proposed"} and set(without.inlier) == {"none"}
    rivals = results.systems(table, results.TABLE_II)
    assert set(rivals.system) == {"proposed"} and set(rivals.inlier) == {"GMM"}
    assert results.systems(table, ["ddcsad"]).empty


def test_a_table_that_is_read_is_the_one_that_was_saved(table, tmp_path):
    """A product ID with one label has no AUC; "00" and "none" are words."""
    table.loc[0, ["AUC", "pAUC", "cpu_seconds"]] = np.nan
    path = results.save(table, tmp_path / "new" / "table.csv")
    pd.testing.assert_frame_equal(results.read(path), table.round({"AUC": 5, "pAUC": 5}))
    assert not list(path.parent.glob("*.part"))
    whole = path.read_text()
    thin = results.save(results.thinned(table), path).read_text()
    pd.testing.assert_frame_equal(results.read(path), table.round({"AUC": 5, "pAUC": 5}))
    runs = table[results.RUN].drop_duplicates()
    versions = table.versions.iloc[0]
    assert whole.count(versions) == len(table) and 1 <= thin.count(versions) <= len(runs)


def test_a_sweep_makes_a_table_and_one_of_folds(tmp_path):
    root = write_corpus(tmp_path / "corpus", train=4)
    for path in root.glob("pump/source_test/section_01*anomaly*"):
        path.unlink()  # a product ID with one label
    shared = {"corpus": "noise", "machine_type": "pump", "data_dir": root, "out_dir": tmp_path}
    shared |= SMALL | {"epochs": 1}
    made = sweep([Job(shared | {"seed": seed}) for seed in (0, 1)], workers=1, progress=False)
    table = results.collect(made, [{"switch": "none"}] * 2)
    assert set(table.switch) == {"none"}
    assert table.columns[:5].tolist() == ["switch", "corpus", "machine_type", "variant", "seed"]
    assert table[table["product"] == "01"].AUC.isna().all()
    folds = results.collect(made, folds=["noise"])
    assert set(folds.role) == {"test"} and len(folds) == len(table)
    assert folds.columns.tolist() == table.columns.tolist()[1:]
    own = table.role == "test"  # chosen by the first half, as in the run
    keys = ["seed", "product", "inlier"]
    both = folds.merge(table[own], on=[*keys, "size", "chosen"])
    assert len(both) == own.sum() and both.AUC_x.equals(both.AUC_y)

    of_run = table[(table.seed == 0) & table.chosen]
    value = statistics.values(of_run, ["machine_type"]).value.item()
    assert value == pytest.approx(100 * made[0].result()) and np.isfinite(value)


def test_only_some_rows_of_a_table(table):
    assert set(results.only(table, product=["02", "03"])["product"]) == {"02", "03"}
    both = results.only(table, machine_type=["fan"], variant=("proposed", "no-mixup"))
    assert set(both.machine_type) == {"fan"} and set(both.variant) == {"proposed", "no-mixup"}
    assert results.only(table, machine_type=[]).equals(table)
    for names in ("fan", 4, [4], [True], None, {"fan": 1}, [["fan"]]):
        with pytest.raises(InputError, match="machine_type: .*; expected a list of words"):
            results.only(table, machine_type=names)
    with pytest.raises(InputError, match="unknown machine_type 'pump'; known: fan, slider"):
        results.only(table, machine_type=["pump"])


def test_the_tables_of_a_study_are_read_together(table, tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "measured_dir", lambda: tmp_path)
    with pytest.raises(InputError, match="no table of ablation; expected .*make evidence"):
        results.measured("ablation")
    for name in ("ablation-recordings", "ablation-simulated", "rivals", "geometry-ablation-x"):
        results.save(table.assign(corpus=name), tmp_path / f"{name}.csv")
    both = {"ablation-recordings", "ablation-simulated"}
    assert set(results.measured("ablation").corpus) == both
    assert set(results.measured("ablation", "rivals").corpus) == both | {"rivals"}


def test_what_learns_nothing_is_made_at_once_and_kept_nowhere(tmp_path):
    root = write_corpus(tmp_path / "corpus")
    table = results.untrained("noise", ["pump", "fan"], "quick", root)
    rows = results.systems(table, ["spectrum", "level"])
    assert rows.groupby(["system", "machine_type"]).size().eq(2).all()  # product IDs
    assert rows.system.nunique() == 2 and rows[["AUC", "pAUC"]].notna().all(axis=None)
    assert not list(paths.runs_dir().rglob("params.json"))


def test_the_command_line_writes_a_table(tmp_path):
    root = write_corpus(tmp_path / "corpus", train=4)
    options = SMALL | {"epochs": 1, "progress": False}
    runs.execute("noise", "pump", data_dir=root, out_dir=tmp_path, **options)
    options = ["--seeds", "0", "--variants", "proposed", "--out-dir", tmp_path]
    overrides = json.dumps({"pump": SMALL | {"epochs": 1}})
    asd("collect", "noise", tmp_path / "t.csv", *options, "--overrides", overrides)
    assert set(results.read(tmp_path / "t.csv").inlier) >= {"GMM", "none"}


@pytest.mark.parametrize("path", sorted(paths.measured_dir().glob("*.csv")), ids=lambda p: p.stem)
def test_the_committed_tables_are_whole(path):
    table = results.read(path)
    if "chosen" in table:
        assert len(results.systems(table))
    values = {"AUC", "pAUC", "median norm"} & {*table}
    assert values and table[[*values]].notna().all(axis=None)
    if "commit" in table:
        assert not table.commit.str.endswith("+").any(), f"{path}: from uncommitted code"
