"""New recordings scored by a finished run: to the bit as in training, in windows, with words."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import ROOT, asd, write_clip, write_corpus
from test_inputs import flac_of_a_pipe
from test_training import SMALL

from asdlib import InputError
from asdstudy.data.adopt import read_recording
from asdstudy.data.inputs import to_int16
from asdstudy.data.settings import Windows
from asdstudy.runs import stages
from asdstudy.runs.thresholds import empirical_threshold
from asdstudy.systems import RIVALS, make_profile
from asdstudy.use import score
from asdstudy.use.detector import Detector
from asdstudy.use.recordings import recordings

pytestmark = pytest.mark.filterwarnings("ignore:a GMM with p", "ignore:collapse")


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("c") / "corpus")


def execute(root, out_dir, variant="proposed", **options):
    arguments = SMALL | {"epochs": 1, "inliers": ("GMM", "kNN"), "inlier": "GMM"} | options
    return stages.execute(
        "noise", "pump", variant, data_dir=root, out_dir=out_dir, progress=False, **arguments
    )


@pytest.fixture(scope="module")
def run(noise, tmp_path_factory):
    return execute(noise, tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def detector(run):
    return Detector(run.folder)


def stored(run) -> dict[str, float]:
    """The scores in the run's folder, by file name, to the bit."""
    with (run.folder / "scores.csv").open(newline="") as file:
        return {row["file"]: float(row["score"]) for row in csv.DictReader(file)}


def rows(path: Path) -> list[dict]:
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        assert tuple(reader.fieldnames) == score.COLUMNS
        return list(reader)


def test_a_clip_has_the_score_of_the_run_to_the_bit(run, noise, tmp_path, capsys):
    """All at once, in the other order, and one by one."""
    clips = sorted((noise / "pump" / "source_test").glob("*.wav"))
    asd("score", run.folder, *reversed(clips), "--out", tmp_path / "new" / "scores.csv")
    table = rows(tmp_path / "new" / "scores.csv")
    assert {Path(row["file"]).name: float(row["score"]) for row in table} == stored(run)
    assert all(row["product"] == Path(row["file"]).name[8:10] for row in table)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(clips) and lines[0].startswith(f"{clips[-1]}: product 01, score ")
    for row in table:
        above = float(row["score"]) > float(row["threshold"])
        assert row["anomalous"] == str(above)
    for clip in clips[:2]:
        asd("score", run.folder, clip, "--out", tmp_path / "one.csv")
        (row,) = rows(tmp_path / "one.csv")
        assert float(row["score"]) == stored(run)[clip.name]
    assert {path.name for path in tmp_path.rglob("*.*")} == {"scores.csv", "one.csv"}


def own_inliers(variant: str) -> dict:
    """A rival has inlier models of its own."""
    profile = make_profile("quick", "pump", variant)
    return {name: getattr(profile, name) for name in ("inliers", "inlier")}


@pytest.mark.slow
@pytest.mark.parametrize("variant", [*RIVALS, "product-only", "level"])
def test_every_system_to_the_bit(noise, tmp_path, variant):
    """And where nobody knows the product ID, each gives the smallest score."""
    if variant == "level":
        run = execute(noise, tmp_path, "spectrum", inliers=("output",), inlier="output")
    else:
        run = execute(noise, tmp_path, variant, **own_inliers(variant))
    detector = Detector(run.folder)
    for recording in recordings([noise / "pump" / "source_test"], detector):
        ((_, sound),) = recording.windows()
        verdict = detector.verdict(sound, recording.product)
        assert verdict.score == stored(run)[recording.path.name]
        each = [detector.verdict(sound, product).score for product in detector.products]
        assert detector.verdict(sound).score == min(each)


@pytest.mark.slow
def test_the_number_of_threads_is_that_of_the_training(run, noise, tmp_path):
    """A process of its own that would take another number finds the same bits."""
    clip = sorted((noise / "pump" / "source_test").glob("*.wav"))[0]
    words = [sys.executable, "-m", "asdstudy", "score", run.folder, clip, "--out"]
    for threads in ("1", "3"):
        out = tmp_path / f"{threads}.csv"
        subprocess.run(
            [*words, out],
            env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": threads}, check=True,
        )  # fmt: skip
        assert float(rows(out)[0]["score"]) == stored(run)[clip.name]


def test_a_run_folder_is_all_that_is_needed(run, noise, tmp_path):
    """And nothing in it is a pickle."""
    moved = tmp_path / "elsewhere" / "a run"
    shutil.copytree(run.folder, moved)
    for path in moved.rglob("*.npz"):
        np.load(path, allow_pickle=False).files  # noqa: B018
    clip = sorted((noise / "pump" / "source_test").glob("*.wav"))[3]
    (recording,) = recordings([clip], Detector(moved))
    ((_, sound),) = recording.windows()
    assert Detector(moved).verdict(sound, "00").score == stored(run)[clip.name]


def test_the_product_id_is_named_or_in_the_name_or_the_smallest_score(detector, noise, tmp_path):
    clip = sorted((noise / "pump" / "source_test").glob("section_01*.wav"))[0]
    unnamed = shutil.copyfile(clip, tmp_path / "monday.wav")
    (named,), (nobody,) = (recordings([path], detector) for path in (clip, unnamed))
    assert (named.product, nobody.product) == ("01", None)
    assert recordings([clip], detector, product="00")[0].product == "00"
    assert detector.product_of(Path("normal_id_01_00000003.wav")) == "01"
    ((_, sound),) = nobody.windows()
    each = {name: detector.verdict(sound, name) for name in detector.products}
    smallest = min(each.values(), key=lambda verdict: verdict.score)
    verdict = detector.verdict(sound)
    assert verdict[:4] == smallest[:4]
    assert "not known: the smallest score of all" in score.in_words(nobody, [(0.0, verdict)])
    assert "not known" not in score.in_words(named, [(0.0, verdict)])


def joined(tmp_path, noise, seconds=16):
    """A long recording of many clips, and its samples."""
    clips = sorted((noise / "pump" / "train").glob("section_00*.wav"))
    sound = np.concatenate([soundfile.read(clip, dtype="int16")[0] for clip in clips] * 20)
    sound = sound[: round(seconds * 16_000)]
    soundfile.write(tmp_path / "long.wav", sound, 16_000)
    return tmp_path / "long.wav", sound


def test_a_long_recording_is_scored_in_windows(detector, noise, tmp_path):
    """They have the clips' length; the last ends with the recording; each is a clip of its own."""
    path, sound = joined(tmp_path, noise, 4)
    (recording,) = recordings([path], detector, "00")
    assert recording.length == detector.usual == 24_000
    windows = list(recording.windows())
    assert [start for start, _ in windows] == [0, 1.5, 2.5]
    for start, window in windows:
        first = round(start * 16_000)
        np.testing.assert_array_equal(window, sound[first : first + 24_000])
    (recording,) = recordings([path], detector, "00", Windows(window_seconds=1, hop_seconds=0.5))
    assert [start for start, _ in recording.windows()] == [0, 0.5, 1, 1.5, 2, 2.5, 3]
    verdicts = [(start, detector.verdict(window, "00")) for start, window in windows]
    highest = max(verdicts, key=lambda pair: pair[1].score)
    assert f"at {highest[0]:g} s" in score.in_words(recording, verdicts)


@pytest.mark.parametrize(("rate", "channel"), [(44_100, "mean"), (48_000, "0"), (8_000, None)])
def test_windows_of_a_resampled_recording_are_parts_of_the_whole(detector, tmp_path, rate, channel):
    rng = np.random.default_rng(0)
    shape = (5 * rate + 7,) if channel is None else (5 * rate + 7, 2)
    soundfile.write(tmp_path / "a.wav", np.clip(rng.normal(0, 0.1, shape), -1, 1), rate)
    windows = Windows(resample=True, channel=channel)
    whole = read_recording(tmp_path / "a.wav", windows)
    (recording,) = recordings([tmp_path / "a.wav"], detector, "00", windows)
    parts = list(recording.windows())
    assert parts[-1][0] * 16_000 + recording.length == len(whole)
    for start, sound in parts:
        first = round(start * 16_000)
        expected = np.round(whole[first : first + len(sound)] * 32768)
        assert len(sound) == recording.length and np.abs(sound - expected).max() <= 1


def test_a_converted_clip_is_what_adopt_would_have_made(detector, tmp_path):
    noise = np.random.default_rng(0).normal(0, 0.1, (44_100, 2))
    soundfile.write(tmp_path / "a.flac", noise, 44_100)
    windows = Windows(resample=True, channel="mean")
    (recording,) = recordings([tmp_path / "a.flac"], detector, "00", windows)
    ((_, sound),) = recording.windows()
    np.testing.assert_array_equal(sound, to_int16(read_recording(tmp_path / "a.flac", windows)))


def test_a_recording_too_quiet_for_16_bits_is_refused_in_windows_too(detector, noise, tmp_path):
    path, sound = joined(tmp_path, noise, 4)
    soundfile.write(path, sound * 1e-9, 16_000, subtype="FLOAT")
    (recording,) = recordings([path], detector, "00")
    assert len(recording.starts) > 1
    with pytest.raises(InputError, match="long.wav: samples up to .*; expected some that 16 bits"):
        list(recording.windows())


@pytest.mark.parametrize("form", ["wav", "flac without a length"])
def test_a_long_recording_takes_no_more_memory_than_a_short_one(detector, noise, tmp_path, form):
    peaks = []
    for seconds in (20, 80):
        path, sound = joined(tmp_path, noise, seconds)
        if form != "wav":
            path = tmp_path / "long.flac"
            flac_of_a_pipe(path, sound)
            (recording,) = recordings([path], detector, "00")
            windows = np.concatenate([window for _, window in recording.windows()][:-1])
            np.testing.assert_array_equal(windows, sound[: len(windows)])
        opened = recordings([path], detector, "00")
        tracemalloc.start()
        (_,) = score.score_recordings(detector, opened, tmp_path / "o.csv", progress=False)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0] + 100_000


def test_the_threshold_is_the_runs_or_that_of_a_rate(run, detector):
    kept = json.loads((run.folder / "thresholds.json").read_text())["products"]
    assert detector.thresholds == {name: one["gamma"] for name, one in kept.items()}
    other = Detector(run.folder, 0.4)
    assert other.thresholds == {
        name: empirical_threshold(np.array(one["scores"]), 0.4) for name, one in kept.items()
    }
    assert not other.doubts
    (first, _) = Detector(run.folder, 0.01).doubts
    assert "6 normal clips of product ID 00 cannot guarantee less than 14 %" in first
    metrics = run.metrics[run.metrics.chosen].set_index("product")
    assert metrics.threshold.to_dict() == detector.thresholds


def test_a_picture_for_each_recording(run, noise, tmp_path):
    path, _ = joined(tmp_path, noise, 4)
    (tmp_path / "again").mkdir()
    twin = shutil.copyfile(path, tmp_path / "again" / "long.wav")
    words = ("--plot", tmp_path / "pictures", "--product", "00", "--hop", "0.25")
    asd("score", run.folder, path, twin, *words)
    pictures = sorted((tmp_path / "pictures").iterdir())
    assert [picture.name for picture in pictures] == ["long-2.png", "long.png"]
    assert all(picture.read_bytes().startswith(b"\x89PNG") for picture in pictures)


def whole(tmp_path) -> Path:
    return write_clip(tmp_path / "in" / "fine.wav")


def replaced(value):
    def make(path: Path):
        write_clip(path, subtype="FLOAT")
        sound, rate = soundfile.read(path)
        sound[100] = value
        soundfile.write(path, sound, rate, subtype="FLOAT")

    return make


BAD = {
    "a wrong rate": (lambda p: write_clip(p, rate=44_100), "sample rate 44100 Hz; expected 16000"),
    "stereo": (
        lambda p: soundfile.write(p, np.zeros((9000, 2)), 16_000),
        "2 channels; expected one",
    ),
    "silence": (lambda p: soundfile.write(p, np.zeros(24_000), 16_000), "silent; expected"),
    "too short": (lambda p: write_clip(p, 0.1), "0.10 s long; expected at least 0.5 s"),
    "NaN": (replaced(np.nan), "NaN or infinite samples"),
    "infinity": (replaced(np.inf), "NaN or infinite samples"),
    "beyond full scale": (replaced(3.0), "samples up to 3; expected -1 to 1"),
    "an empty file": (lambda p: p.write_bytes(b""), "an empty file"),
    "no sound": (lambda p: soundfile.write(p, np.zeros(0), 16_000), "no sound in it"),
    "text": (lambda p: p.write_text("file,score\n"), "not audio that can be read"),
    "cut off": (lambda p: p.write_bytes(write_clip(p).read_bytes()[:9000]), "truncated"),
    "missing": (lambda p: None, "cannot be read"),
    "an empty folder": (lambda p: p.mkdir(), "no recordings; expected .wav or .flac"),
    "a link to nothing": (lambda p: p.symlink_to("nowhere"), "a link to nothing"),
    "a pipe": (lambda p: os.mkfifo(p), "no file; expected"),
    "a foreign product ID": (
        lambda p: write_clip(p),
        "unknown product ID of .*'07'; known: 00, 01",
    ),
}


def refused(*words) -> str:
    with pytest.raises(SystemExit) as stopped:
        asd(*words)
    assert stopped.value.code == 2
    (line,) = str(stopped.value).splitlines()
    return line


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_recording_is_one_line_and_nothing_is_left(run, tmp_path, kind):
    """The first of two files is fine; no table and no picture of it is left behind."""
    make, message = BAD[kind]
    name = "section_07_source_test_0001.wav" if "foreign" in kind else "bad.wav"
    bad = tmp_path / "in" / name
    fine = whole(tmp_path)
    make(bad)
    out, plot = tmp_path / "out.csv", tmp_path / "pictures"
    line = refused("score", run.folder, fine, bad, "--out", out, "--plot", plot)
    assert re.search(message, line) and str(bad) in line
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_table_that_is_there_outlives_an_error(run, tmp_path):
    fine, out = whole(tmp_path), tmp_path / "out.csv"
    asd("score", run.folder, fine, "--out", out)
    before = out.read_bytes()
    BAD["silence"][0](tmp_path / "in" / "silent.wav")
    refused("score", run.folder, fine, tmp_path / "in" / "silent.wav", "--out", out)
    assert out.read_bytes() == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--product", "7"], "unknown product ID of .*fine.wav '7'; known: 00, 01"),
        (["--false-alarms", "0"], "false alarms 0.0; expected a share between 0 and 1"),
        (["--false-alarms", "nan"], "false alarms nan"),
        (["--window", "0.1"], "window of 0.1 s; expected at least 0.5 s"),
        (["--window", "inf"], "window_seconds is inf; expected a finite number"),
        (["--hop", "0"], "hop_seconds is 0.0; expected greater than or equal to 0.001"),
        (["--channel", "5"], "unknown channel of .*fine.wav '5'; known: 0, mean"),
        (["--out", "."], "is a folder; expected the name of a file"),
        (["--out", "in/fine.wav/o.csv"], "in/fine.wav/o.csv: cannot be written"),
        (["--plot", "in/fine.wav"], "in/fine.wav: is a file; expected the name of a folder"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_bad_option_is_one_line(run, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    fine = whole(tmp_path)
    stereo = "--channel" in words
    if stereo:
        soundfile.write(fine, np.random.default_rng(0).normal(0, 0.1, (9000, 2)), 16_000)
        message = message.replace("0, mean", "0, 1, mean")
    assert re.search(message, refused("score", run.folder, fine, *words))
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def spoilt(name, change):
    def spoil(folder):
        path = folder / name
        change(path)

    return spoil


def without(*names):
    def change(path):
        record = json.loads(path.read_text())
        section = record
        for name in names[:-1]:
            section = section[name]
        del section[names[-1]]
        path.write_text(json.dumps(record))

    return change


BAD_RUNS = {
    "no folder": (lambda folder: shutil.rmtree(folder), "finished stages: none"),
    "no record": (spoilt("params.json", Path.unlink), "finished stages: none"),
    "an unfinished run": (
        spoilt("params.json", without("evaluate")),
        "finished stages: train, emb",
    ),
    "no scores": (spoilt("scores.csv", Path.unlink), "a broken run"),
    "no encoder": (spoilt("encoder.safetensors", Path.unlink), "a broken run"),
    "a broken encoder": (
        spoilt("encoder.safetensors", lambda p: p.write_bytes(b"123")),
        "a broken run",
    ),
    "broken embeddings": (spoilt("embeddings.npz", lambda p: p.write_bytes(b"PK")), "a broken run"),
    "no thresholds": (spoilt("thresholds.json", Path.unlink), "thresholds.json: .*expected"),
    "broken thresholds": (
        spoilt("thresholds.json", lambda p: p.write_text("{")),
        "thresholds.json",
    ),
    "an older run": (
        spoilt("params.json", without("train", "amplitude_mean")),
        "a broken run .*amplitude_mean",
    ),
}


@pytest.mark.parametrize("kind", BAD_RUNS)
def test_a_bad_run_is_one_line(run, tmp_path, kind):
    spoil, message = BAD_RUNS[kind]
    folder = tmp_path / "run"
    shutil.copytree(run.folder, folder)
    spoil(folder)
    line = refused("score", folder, whole(tmp_path))
    assert re.search(message, line) and str(folder) in line
