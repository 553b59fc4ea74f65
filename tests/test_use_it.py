"""The chapter on use, word by word: from a folder of recordings to a verdict on a new one."""

import csv
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import soundfile
from conftest import ROOT, shared

from asdlib.metrics import auc_pauc
from asdstudy.runs import stages
from asdstudy.runs.run import Run
from asdstudy.use.detector import Detector
from asdstudy.use.recordings import recordings

CHAPTER = (ROOT / "book" / "use-it.md").read_text()


def rows(path) -> list[dict]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_five_commands_from_recordings_to_a_verdict(tmp_path, monkeypatch):
    """On the practice recordings of the chapter before, but fewer and shorter ones."""
    practice = (ROOT / "book" / "own-data.md").read_text()
    (recorded,) = [
        code
        for code in re.findall(r"```python\n(.*?)```", practice, re.DOTALL)
        if "data/my-recordings" in code
    ]
    (new,) = re.findall(r"```python\n(.*?)```", CHAPTER, re.DOTALL)
    commands = re.findall(r"^\$ (asd .*)$", CHAPTER, re.MULTILINE)
    assert len(commands) == 5
    monkeypatch.chdir(tmp_path)
    few = recorded.replace('("normal", 30), ("anomaly", 10)', '("normal", 8), ("anomaly", 3)')
    assert few != recorded
    for code in (few, new):
        exec(code.replace("clip_seconds=10", "clip_seconds=2"), {})
    words = tmp_path / "bin" / "asd"
    words.parent.mkdir()
    words.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m asdstudy "$@"\n')
    words.chmod(0o755)
    environment = os.environ | {
        "PATH": f"{words.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "ASDLIB_ROOT": str(tmp_path),
    }
    said = []
    for command in commands:
        done = subprocess.run(
            command, shell=True, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        said.append(done.stdout.splitlines())
    run = Run(said[2][-1])
    assert run.folder.is_relative_to(tmp_path / "runs/hall/fan")
    scored, watched = rows(tmp_path / "scores.csv"), rows(tmp_path / "data/new.csv")
    assert [row["file"] for row in scored] == ["data/new/friday.wav", "data/new/monday.wav"]
    assert {row["file"]: row["score"] for row in watched} == {
        row["file"].removeprefix("data/new/"): row["score"] for row in scored
    }
    assert [line.split(":")[0] for line in said[3]] == [row["file"] for row in scored]
    assert all(("ANOMALOUS" in line) != line.endswith("normal") for line in said[3])
    pictures = {path.name for path in (tmp_path / "pictures").iterdir()}
    assert pictures == {"friday.png", "monday.png"}


def test_what_the_chapter_says_of_rates():
    assert "with 24 normal clips for each product ID, that is 4 %" in CHAPTER and 1 / 25 == 0.04
    assert "saves 8,640 in a day, 86 of which" in " ".join(CHAPTER.split())
    assert 24 * 3600 / 10 == 8640 and round(8640 * 0.01) == 86


@pytest.mark.slow
def test_real_clips_as_new_files_have_the_scores_and_the_auc_of_the_run(tmp_path):
    """Recordings of fans, copied one by one to a folder that says nothing of them."""
    corpus = shared("mimii-mini")
    run = stages.execute(
        "mimii", "fan", data_dir=corpus, out_dir=tmp_path, progress=False, epochs=2,
        segments=4,
    )  # fmt: skip
    detector = Detector(run.folder)
    stored = {row["file"]: float(row["score"]) for row in rows(run.folder / "scores.csv")}
    labels, scores, products = [], [], []
    for number, clip in enumerate(sorted((corpus / "fan" / "test").iterdir())):
        sound, rate = soundfile.read(clip, dtype="int16")
        new = tmp_path / f"new-{number}.wav"
        soundfile.write(new, sound, rate)
        product = clip.name[8:10]
        (recording,) = recordings([new], detector, product)
        ((_, sound),) = recording.windows()
        score = detector.verdict(sound, product).score
        assert score == stored[clip.name]
        labels.append("_anomaly_" in clip.name)
        scores.append(score)
        products.append(product)
    labels, scores, products = map(np.array, (labels, scores, products))
    for area in run.metrics[run.metrics.chosen].itertuples():
        rows_of = products == area.product
        assert auc_pauc(labels[rows_of], scores[rows_of]) == (area.AUC, area.pAUC)
