"""The runs behind the book's claims: how many, of what, and that each is one that can be made."""

import re
import shutil
from collections import Counter

import pytest
from conftest import ROOT
from test_training import SMALL

from asdstudy import paths
from asdstudy.report import results
from asdstudy.runs.plan import Plan
from asdstudy.runs.provenance import STAMP
from asdstudy.runs.sweeps import Job
from workflow import evidence
from workflow.evidence import STUDIES, TRIAL_SEEDS, TYPES

JOBS = {name: study() for name, study in STUDIES.items()}
QUESTIONS = {"trials": "trials", "ablation": "1", "rivals": "2", "baselines": "2"}
QUESTIONS |= {"sides": "3", "settings": "3", "switches": "5", "dials": "6", "pretrained": "7"}
QUESTIONS |= {"amount": "8", "contamination": "8"}


def plan_of(job) -> Plan:
    """The run that a job makes; an InputError where its profile is none."""
    about = {n: job.arguments[n] for n in ("corpus", "machine_type", "variant", "seed")}
    overrides = {n: v for n, v in job.arguments.items() if n not in about}
    return Plan(**about, overrides=overrides, out_dir="runs")


@pytest.mark.parametrize("study", JOBS)
def test_labels_name_a_job_and_each_job_is_another_run(study):
    """The default of one dial is that of the other, too, so that run belongs to both."""
    jobs, folders = JOBS[study], [plan_of(job).folder for job in JOBS[study]]
    keys = ("corpus", "machine_type", "variant", "seed")
    names = [(*(j.arguments[k] for k in keys), *j.labels.items()) for j in jobs]
    assert len(set(names)) == len(jobs)
    assert len(jobs) - len(set(folders)) == (30 if study == "dials" else 0)
    assert len({tuple(job.labels) for job in jobs}) == 1


@pytest.mark.parametrize("study", JOBS)
def test_every_setting_has_the_same_sound_and_enough_seeds(study):
    """Five, or ten for the ablation; three near the paper, and one for what learns nothing."""
    seeds, sound = {}, {}
    for job in JOBS[study]:
        run = plan_of(job)
        setting = (run.variant, *job.labels.items())
        place = "" if study == "dials" else run.corpus
        seeds.setdefault(setting, set()).add(run.seed)
        sound.setdefault(setting, Counter()).update([(place, run.machine_type, run.seed)])
    assert all(count == 1 for counts in sound.values() for count in counts.values())
    assert len({frozenset((c, m) for c, m, _ in counts) for counts in sound.values()}) == 1
    for setting, numbers in seeds.items():
        if study.startswith("trials"):
            assert numbers == set(TRIAL_SEEDS)
        elif "spectrum" in setting:
            assert numbers == {0}
        elif study.startswith("ablation"):
            assert numbers == set(range(10))
        elif ("picture", "near the paper") in setting:
            assert numbers == {0, 1, 2}
        else:
            assert numbers == set(range(5))


def test_every_machine_type_is_one_of_its_corpus():
    for job in sum(JOBS.values(), []):
        corpus, machine_type = job.arguments["corpus"], job.arguments["machine_type"]
        if corpus.startswith("similarity-"):
            assert corpus in evidence.SIMULATIONS and machine_type in TYPES["simulated"]
        else:
            assert machine_type in TYPES[corpus]


def test_settings_of_scoring_take_encoders_that_were_trained_before():
    trained = []
    for job in JOBS["switches-recordings"]:
        run = plan_of(job)
        scoring = job.labels["switch"] in (
            *("without h", "h is fitted on", "covariance of the GMM", "aggregation"),
        )
        assert (run.training in trained) == scoring, job.labels
        trained += [run.training] * (not scoring)


def test_the_protocol_counts_the_runs():
    """The table of its budget, whose last line is the sum, rounded to tens."""
    text = (ROOT / "book/protocol.md").read_text()
    counts = dict(re.findall(r"^\| (\d|trials) \| ([\d,]+) \| [\d.]+ \|$", text, re.MULTILINE))
    expected = Counter()
    for name, jobs in JOBS.items():
        expected[QUESTIONS[name.partition("-")[0]]] += len({plan_of(job).folder for job in jobs})
    assert {n: int(count) for n, count in counts.items()} == expected
    assert f"about {round(expected.total(), -1):,}" in text


@pytest.mark.filterwarnings("ignore:a GMM with p")
def test_a_study_leaves_its_table(corpus, tmp_path, monkeypatch):
    arguments = {"corpus": "noise", "machine_type": "pump", "variant": "proposed", "seed": 0}
    job = Job(arguments | SMALL | {"epochs": 1}, {"setting": "short"})
    monkeypatch.setattr(evidence, "folder_of", lambda name: corpus)
    monkeypatch.setattr(evidence, "jobs_with", lambda *_: [job])
    monkeypatch.setattr(paths, "measured_dir", lambda: tmp_path / "measured")
    monkeypatch.setitem(STUDIES, "one", lambda: [job])
    measured = results.read(evidence.measure("one", workers=1))
    assert set(measured.setting) == {"short"} and measured.AUC.notna().all()
    scores = results.read(evidence.scores("scores-recordings", workers=1))
    assert set(scores.columns) > {"product", "role", "inlier", "size", "aggregation", "AUC"}
    assert set(measured.inlier) < set(scores.inlier)
    for table in (measured, scores):  # which code, versions and CPU these figures are of
        assert table[[*STAMP]].drop_duplicates().notna().all(axis=None)
    monkeypatch.setitem(evidence.GEOMETRY, "geometry-one", "one")
    places = results.read(evidence.places("geometry-one", workers=1))
    assert set(places.kind) == {"normal", "anomaly"}
    assert (places[["median norm", "median norm of others"]] > 0).all(axis=None)
    assert set(places.setting) == {"short"} and places.collapsed.isin([True, False]).all()
    # of a changed condition that has the same sound, the run's own figures
    target = tmp_path / "target/pump/target_test"
    target.mkdir(parents=True)
    for path in corpus.glob("pump/source_test/*.wav"):
        shutil.copy(path, target / path.name.replace("source", "target"))
    monkeypatch.setattr(evidence, "amount", lambda *_: [job])
    monkeypatch.setattr(evidence, "make_corpus", lambda *_: target.parent.parent)
    shifts = results.read(evidence.shifted("shift-simulated", workers=1)).set_index("change")
    assert [*shifts.index.unique()] == ["nothing", *evidence.CHANGES] and len(shifts) == 12
    own = measured[measured.chosen].set_index("product")
    run = evidence.runs_of([job], workers=1)[0]
    recall = run.metrics[run.metrics.chosen].set_index("product").recall
    for _, rows in shifts.groupby("change"):
        rows = rows.set_index("product")
        assert rows.AUC.to_dict() == own.AUC.to_dict() and (rows.role == own.role).all()
        assert rows.detected.to_dict() == pytest.approx(recall.to_dict())
        assert rows["false alarms"].between(0, 1).all()
