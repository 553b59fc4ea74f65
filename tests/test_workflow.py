"""What a change makes the workflow do again: dry runs on a study whose files are all there."""

import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import nbformat
import pytest
from conftest import ROOT, write_finished

from asdstudy.runs.study import read_study

SOURCES = ("Snakefile", "_config.yml", "_toc.yml", "asdlib", "asdstudy", "book", "notebooks",
           "workflow")  # fmt: skip
RUN = {"train", "embed", "score", "evaluate"}


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """A copy of the project in which the small study seems to be done."""
    folder = tmp_path_factory.mktemp("project")
    for name in SOURCES:
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile
        copy(ROOT / name, folder / name)
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


def snakemake(folder: Path, *words: str) -> str:
    """What Snakemake says of the study there."""
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--cores", "1", *words],
        cwd=folder, capture_output=True, text=True, timeout=120,
        env=os.environ | {"PYTHONPATH": str(folder), "ASDLIB_ROOT": str(folder)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


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
    assert made["page"] == ["page=machines/fan", "page=machines/slider"] and not RUN & {*made}


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
