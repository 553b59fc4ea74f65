"""What a change makes the workflow do again: dry runs on a study whose files are all there."""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest
import yaml
from conftest import ROOT, write_clip, write_corpus, write_finished

from asdstudy.runs.run import Run
from asdstudy.runs.study import read_study

SOURCES = ("Snakefile", "_config.yml", "_toc.yml", "asdlib", "asdstudy", "book", "notebooks",
           "workflow")  # fmt: skip
RUN = {"train", "embed", "score", "evaluate"}


def copy_project(folder: Path) -> Path:
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile
        copy(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A copy of the project in which the small study seems to be done."""
    folder = copy_project(tmp_path_factory.mktemp("project"))
    shutil.copyfile(ROOT / "tests/small-study.yaml", folder / "study.yaml")
    for plan in read_study(folder / "study.yaml", {}).plans():
        write_finished(replace(plan, out_dir=folder / "runs"))
    summary = snakemake(folder, "--summary").splitlines()[1:]
    outputs = [folder / line.split("\t")[0] for line in summary]
    moment = time.time()
    for path in outputs:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.utime(path, (moment, moment))
    assert jobs(folder) == {}
    return folder


def started(folder: Path, *words) -> subprocess.Popen:
    """Snakemake on the study there, in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "snakemake", "--cores", "1", *words], cwd=folder, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
        env=os.environ | {"PYTHONPATH": str(folder), "ASDLIB_ROOT": str(folder)},
    )  # fmt: skip


def snakemake(folder: Path, *words, fails: bool = False) -> str:
    """What Snakemake says of the study there."""
    process = started(folder, *words)
    output, _ = process.communicate(timeout=300)
    assert bool(process.returncode) == fails, output
    return output


def jobs(folder: Path, *words: str) -> dict[str, list[str]]:
    """The rules that a dry run would run, and the wildcards of each of their jobs."""
    rules, rule = {}, None
    for line in snakemake(folder, "-n", "--rerun-triggers", "mtime", *words).splitlines():
        kind, _, name = line.partition(" ")
        if kind in ("rule", "localrule"):
            rule = name.rstrip(":")
            rules.setdefault(rule, [])
        elif line.startswith("    wildcards: "):
            rules[rule].append(line.removeprefix("    wildcards: "))
    return rules


@pytest.fixture
def change(project):
    """Change a file of the project, and what that makes necessary; it is as before afterwards."""
    before = {}

    def make(name: str) -> dict[str, list[str]]:
        path = project / name
        before[path] = path.read_bytes(), path.stat()
        path.write_bytes(before[path][0] + b"\n# another line\n")
        os.utime(path, (time.time() + 60, time.time() + 60))
        return jobs(project)

    yield make
    for path, (content, stat) in before.items():
        path.write_bytes(content)
        os.utime(path, (stat.st_atime, stat.st_mtime))


@pytest.mark.parametrize("name", ["captions", "figures"])
def test_a_caption_or_a_colour_makes_pages_only(change, name):
    made = change(f"asdstudy/report/{name}.py")
    assert {*made} == {"page", "source", "book"}
    assert {"page=results", "page=machines/fan", "page=sounds"} <= {*made["page"]}


def test_an_inlier_model_scores_again_and_trains_nothing(change):
    made = change("asdlib/inliers.py")
    assert {*made} == {"score", "evaluate", "page", "source", "book"}
    assert len(made["score"]) == len(made["evaluate"]) == 4


@pytest.mark.parametrize("name", ["asdlib/losses.py", "asdstudy/systems/serial.py"])
def test_a_loss_makes_everything_again(change, name):
    made = change(name)
    assert {*made} == {*RUN, "page", "source", "book"}
    assert all(len(made[stage]) == 4 for stage in RUN)


def test_a_rival_that_is_not_in_the_study_trains_nothing(change):
    assert not RUN & {*change("asdstudy/systems/ddcsad.py")}


def test_a_metric_only_evaluates(change):
    assert RUN & {*change("asdlib/metrics.py")} == {"score", "evaluate"}  # h is chosen by it, too


def test_a_notebook_makes_its_own_pages(change):
    made = change("notebooks/train.ipynb")
    assert sorted(made["page"]) == ["page=machines/fan", "page=machines/slider"]
    assert not RUN & {*made}


def test_a_page_does_again_what_is_gone_of_a_run(project, change):
    """Whoever removes a run, or a file of it, need not know of the marks."""
    (scores,) = (project / "runs/simulated/fan").glob("proposed-*/scores.csv")
    moved = scores.rename(scores.with_name("moved"))
    marks = [*(project / "_build/done").rglob("fan/proposed-*")]
    moment = marks[0].stat().st_mtime
    try:
        made = change("notebooks/results.ipynb")
    finally:
        moved.rename(scores)
        for mark in marks:
            mark.touch()
            os.utime(mark, (moment, moment))
    run = [f"machine_type=fan, variant=proposed, seed=0, mark={scores.parent.name[-8:]}"]
    assert made["score"] == made["evaluate"] == run and not {"train", "embed"} & {*made}


def test_a_build_that_runs_is_left_alone_and_one_that_was_cut_off_is_not(project):
    lock = project / ".snakemake/locks/0.output.lock"
    lock.parent.mkdir(exist_ok=True)
    lock.write_text("_build/html/index.html\n")
    with (project / ".snakemake/hold").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        refused = snakemake(project, "--forcerun", "book", fails=True)
        assert "A build is running in this folder." in refused and "LockException" in refused
        assert "book" in snakemake(project, "-n", "--forcerun", "book") and lock.exists()
    snakemake(project, "-n")
    assert not lock.exists()


def contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.slow
def test_a_finished_run_outlives_what_was_to_replace_it(tmp_path):
    """A damaged clip, a mistake in the study, a killed build; then it goes on by itself."""
    copy_project(tmp_path)
    corpus = write_corpus(tmp_path / "data/noise")
    few = {"epochs": 30, "batch_size": 8, "inlier": "kNN", "inliers": ["kNN"]}
    study = {"corpus": "noise", "machine_types": ["pump"], "overrides": {"pump": few}}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    (plan,) = read_study(tmp_path / "study.yaml", {}).plans()
    folder = tmp_path / plan.folder
    snakemake(tmp_path, "runs")
    finished = contents(folder)
    assert Run(folder).params["fingerprint"] and len(finished) > 7

    def is_as_before() -> bool:
        return contents(folder) == finished and not Run(folder).metrics.empty

    clip = next((corpus / "pump/train").iterdir())
    sound = clip.read_bytes()
    clip.write_bytes(sound[:99])
    assert clip.name in snakemake(tmp_path, "runs", fails=True) and is_as_before()
    clip.write_bytes(sound)
    mistaken = few | {"inlier_size": 5000}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study | {"overrides": {"pump": mistaken}}))
    assert "too few for kNN" in snakemake(tmp_path, "runs", fails=True) and is_as_before()

    write_clip(clip, seconds=1.4)  # other sound: the run is to be repeated in the same folder
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    build = started(tmp_path, "runs")
    while not list(folder.parent.glob(".*.checkpoint")):
        assert build.poll() is None
        time.sleep(0.02)
    os.killpg(build.pid, signal.SIGKILL)
    build.communicate()
    assert is_as_before() and list((tmp_path / ".snakemake/locks").iterdir())
    snakemake(tmp_path, "runs", "--rerun-incomplete")  # as make book does
    again = Run(folder)
    assert again.params["resumed"] and contents(folder) != finished
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_a_failed_notebook_is_named_with_its_cell(tmp_path):
    cells = [nbformat.v4.new_code_cell(code) for code in ("x = 1", "raise ValueError(f'not {x}')")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "page.ipynb")
    words = ["page.ipynb", "out.ipynb", "--log", "logs/log.ipynb"]
    done = subprocess.run(
        [sys.executable, ROOT / "workflow/run_notebook.py", *words],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1 and not (tmp_path / "out.ipynb").exists()
    assert "page.ipynb failed in cell 1: ValueError: not 1" in done.stderr
    assert (tmp_path / "logs/log.failed").read_text() in done.stderr
    (error,) = nbformat.read(tmp_path / "logs/log.ipynb", 4).cells[-1].outputs
    assert error.output_type == "error"


@pytest.mark.slow
def test_braces_in_the_path_of_a_checkout_elsewhere(tmp_path):
    """`--directory` names sources by their path, in which Snakemake would see wildcards."""
    project = tmp_path / "project {a} (1)"
    project.mkdir()
    copy_project(project)
    shutil.copyfile(ROOT / "tests/small-study.yaml", project / "study.yaml")
    (tmp_path / "work").mkdir()
    words = ["-n", "--snakefile", project / "Snakefile", "--directory", tmp_path / "work"]
    assert "train" in snakemake(project, *words)
