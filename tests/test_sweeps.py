"""Sweeps: what jobs there are, and that a finished run is not run again."""

import pytest
from conftest import write_corpus
from test_training import SMALL

from asdstudy import paths
from asdstudy.data.simulate import Simulation
from asdstudy.report import studies
from asdstudy.runs import stages as runs
from asdstudy.runs import sweeps

pytestmark = pytest.mark.filterwarnings("ignore:a GMM with p")


def test_jobs_of_every_variant_and_seed():
    jobs = sweeps.jobs_of(["a", "b"], [0, 1], corpus="c", epochs=3)
    which = [(job.arguments["variant"], job.arguments["seed"]) for job in jobs]
    assert which == [("a", 0), ("a", 1), ("b", 0), ("b", 1)]
    assert all(job.arguments["corpus"] == "c" and job.arguments["epochs"] == 3 for job in jobs)


def test_a_sweep_goes_on_where_it_stopped(tmp_path, monkeypatch):
    root = write_corpus(tmp_path / "corpus", train=4)
    shared = dict(corpus="noise", machine_type="pump", data_dir=root, out_dir=tmp_path)
    jobs = sweeps.jobs_of(["proposed"], [1, 0], **shared, **SMALL | {"epochs": 1})
    first = sweeps.sweep(jobs, workers=1, progress=False)
    assert [run.params["seed"] for run in first] == [1, 0]
    monkeypatch.setattr(runs, "_stage", lambda *_, **__: pytest.fail("trained again"))
    again = sweeps.sweep(jobs, workers=1, progress=False)
    assert [run.params for run in again] == [run.params for run in first]


def test_a_switch_is_flipped_alone():
    board = [("default", "default", {}), ("log-mel", "off", {"log_mel": False})]
    corpora = [("c", "fan", "folder"), ("uav", "uav", "place")]
    jobs = studies.switch_jobs(board, corpora, [0, 1], {"profile": "quick", "epochs": 3})
    assert len(jobs) == 2 * 2 * 2
    default, flipped = jobs[0], jobs[4]
    assert flipped.labels == {"switch": "log-mel", "setting": "off"}
    assert flipped.arguments == default.arguments | {"log_mel": False}
    assert jobs[-1].arguments["data_dir"] == "place" and jobs[-1].arguments["seed"] == 1


def test_a_dial_is_turned_alone():
    jobs = sweeps.jobs_of(["proposed"], [0], machine_type="fan")
    dials = {"product_similarity": [0.2, 0.9], "machine_similarity": [0.2, 0.6]}
    turned = studies.dial_jobs(dials, {"train_clips": 5}, jobs, make=False, workers=1)
    usual = Simulation()
    assert (usual.product_similarity, usual.machine_similarity) == (0.2, 0.2)
    assert [job.arguments["corpus"] for job in turned] == [
        "similarity-p0.2-m0.2", "similarity-p0.2-m0.6", "similarity-p0.2-m0.2",
        "similarity-p0.9-m0.2",
    ]  # fmt: skip
    assert turned[1].labels == {"dial": "machine_similarity", "setting": 0.6, "train_clips": 5}


def test_the_real_recordings_are_looked_for_where_they_may_be_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "project_root", lambda: tmp_path / "project")
    shared = tmp_path / "shared/real-mini"
    assert studies.uav_folder() == shared  # of the committed table
    write_corpus(tmp_path / "project/data/uav", ["uav"], products=1, train=1, test=1)
    assert studies.uav_folder() == tmp_path / "project/data/uav"
    assert studies.uav_folder("elsewhere").name == "elsewhere"
