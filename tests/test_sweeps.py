"""Sweeps: intervals by hand, resumption, and what the tables say of themselves."""

import numpy as np
import pandas as pd
import pytest
from conftest import write_corpus
from test_training import SMALL

from asdlib import InputError
from asdstudy import paths
from asdstudy.runs import stages as runs
from asdstudy.runs import sweeps

pytestmark = pytest.mark.filterwarnings("ignore:a GMM with p")


def test_interval_by_hand():
    # mean 2, sample sd 1, n = 3; Student's t at 97.5 % with 2 degrees of freedom is 4.302653
    found = sweeps.interval(pd.Series([1.0, 2.0, 3.0]))
    assert (found["mean"], found.sd, found.n) == (2, 1, 3)
    assert found.high - 2 == pytest.approx(4.302653 / np.sqrt(3), rel=1e-6)
    assert 2 - found.low == pytest.approx(found.high - 2)
    assert np.isnan(sweeps.interval(pd.Series([1.0])).low)


def test_changes_are_paired_within_a_seed():
    rows = [
        ("default", "default", 0, 60.0), ("default", "default", 1, 70.0),
        ("floor", "high", 0, 61.0), ("floor", "high", 1, 73.0),
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["switch", "setting", "seed", "value"])
    table = table.assign(corpus="c", machine_type="m")
    assert sweeps.changes(table).change.tolist() == [1.0, 3.0]


def test_gains_and_their_verdict():
    table = pd.DataFrame(
        [(v, s, base + s * 0.1) for v, base in (("a", 70), ("b", 60)) for s in (0, 1, 2)],
        columns=["variant", "seed", "value"],
    ).assign(corpus="c", dial="d", setting=0.5, machine_type="m")
    gains = sweeps.gains(table, "a")
    assert gains.gain.tolist() == pytest.approx([10, 10, 10])
    summary = sweeps.summarise(gains, ["against"], "gain")
    assert "of 1 intervals 1 lie above zero" in sweeps.verdict(summary)


def test_jobs_of_every_variant_and_seed():
    jobs = sweeps.jobs_of(["a", "b"], [0, 1], corpus="c", epochs=3)
    found = [(job.arguments["variant"], job.arguments["seed"]) for job in jobs]
    assert found == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
    assert all(job.arguments["corpus"] == "c" and job.arguments["epochs"] == 3 for job in jobs)


def test_a_sweep_resumes_and_its_table_says_where_it_is_from(tmp_path, monkeypatch):
    root = write_corpus(tmp_path / "corpus", train=4)
    arguments = dict(
        corpus="noise",
        machine_type="pump",
        data_dir=root,
        out_dir=tmp_path,
        **SMALL | {"epochs": 1},
    )
    jobs = [sweeps.Job(arguments | {"seed": seed}, {"switch": "none"}) for seed in (0, 1)]
    first = sweeps.sweep(jobs, workers=1, progress=False)
    monkeypatch.setattr(runs, "_stage", lambda *_, **__: pytest.fail("trained again"))
    again = sweeps.sweep(jobs, workers=1, progress=False)
    pd.testing.assert_frame_equal(first, again)
    assert set(first.role) == {"validation", "test", "all"} and set(first.seed) == {0, 1}
    (folder,) = (tmp_path / "noise" / "pump").glob("proposed-s0-*")
    run = runs.Run(folder)
    chosen = first[(first.seed == 0) & first.chosen & (first.role == "all")]
    assert chosen.value.item() == pytest.approx(100 * run.result(), abs=1e-3)

    with pytest.raises(InputError, match="some.csv: no such table.*by: make some"):
        sweeps.load_table("some")
    sweeps.save_table(first, "some")
    read, origin = sweeps.load_table("some")
    assert origin == "a fresh sweep" and len(read) == len(first)
    line = sweeps.origin_line(read, origin)
    assert "2 runs, seeds 0, 1; quick profile" in line and "epochs = 1" in line
    assert f"noise (fingerprint `{run.params['fingerprint']}`)" in line
    assert f"torch {run.params['versions']['torch']}" in line and run.params["commit"] in line
    assert "seed =" not in line
    assert not list((paths.runs_dir() / "some").glob("*.part"))
    page = sweeps.provenance_of(read, origin, "some", {"seeds": [0, 1]}).data
    assert line in page and page.startswith("**Provenance.**")
    assert "papermill notebooks/some.ipynb out.ipynb -p fresh True -y '{seeds: [0, 1]}'" in page

    shown, _ = sweeps.load_table("some", jobs[1:])  # the parameters of a page choose what it shows
    assert set(shown.seed) == {1} and set(shown.columns) == set(read.columns)
    with pytest.raises(InputError, match="none of the runs asked for; it has .*seed 0, 1"):
        sweeps.load_table("some", [sweeps.Job(arguments | {"seed": 7}, {"switch": "none"})])


def test_a_resumed_run_has_no_wall_time_of_its_whole():
    table = sweeps.load_table("uav")[0]
    sweeps.save_table(table.assign(wall_seconds=table.wall_seconds.where(table.seed > 0)), "some")
    read, origin = sweeps.load_table("some")
    assert "3 without a recorded time left out" in sweeps.origin_line(read, origin)
    assert "left out" not in sweeps.origin_line(table, origin)


def test_the_committed_tables_are_whole():
    for path in sorted(paths.measured_dir().glob("*.csv")):
        table = pd.read_csv(path, keep_default_na=False)
        assert len(table) and "value" in table or "AUC" in table, path
        if "commit" in table:
            assert not table.commit.str.endswith("+").any(), f"{path}: from uncommitted code"
