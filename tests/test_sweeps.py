"""Sweeps: a finished run is not run again."""

import pytest
from conftest import write_corpus
from test_training import SMALL

from asdstudy.runs import stages as runs
from asdstudy.runs import sweeps

pytestmark = pytest.mark.filterwarnings("ignore:a GMM with p")


def test_a_sweep_goes_on_where_it_stopped(tmp_path, monkeypatch):
    root = write_corpus(tmp_path / "corpus", train=4)
    shared = dict(corpus="noise", machine_type="pump", data_dir=root, out_dir=tmp_path)
    jobs = [sweeps.Job(shared | SMALL | {"epochs": 1, "seed": seed}) for seed in (1, 0)]
    first = sweeps.sweep(jobs, workers=1, progress=False)
    assert [run.params["seed"] for run in first] == [1, 0]
    monkeypatch.setattr(runs, "_stage", lambda *_, **__: pytest.fail("trained again"))
    again = sweeps.sweep(jobs, workers=1, progress=False)
    assert [run.params for run in again] == [run.params for run in first]
