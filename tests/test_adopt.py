"""Adopting a folder of recordings: what becomes of it, and one clear error for what cannot be."""

import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from conftest import ODD, ROOT, asd, write_clip, write_corpus

from asdlib import InputError, waves
from asdstudy.data import corpora, inputs, open_corpus
from asdstudy.data.adopt import adopt
from asdstudy.data.describe import describe
from asdstudy.data.settings import Adoption
from asdstudy.runs import stages as runs


@pytest.fixture
def folder(tmp_path):
    """Two products: one with files, one with the parts of recordings in folders of their own."""
    seed = 0
    for product in ("Fan north", "fan-south"):
        for number in range(5):
            seed += 1
            name = f"rec {number}.wav" if product == "Fan north" else f"rec{number}/a.wav"
            write_clip(tmp_path / "mine" / product / "normal" / name, 2.0, seed)
            if product != "Fan north":
                part = tmp_path / "mine" / product / "normal" / f"rec{number}" / "b.flac"
                write_clip(part, 1.0, 100 + seed, subtype=None)
    write_clip(tmp_path / "mine" / "Fan north" / "anomaly" / "loose screw.wav", 2.0, 50)
    (tmp_path / "mine" / ".DS_Store").write_bytes(b"")
    return tmp_path / "mine"


def make(folder, beside=(), **options):
    adoption = Adoption(**options)
    return adopt(folder, folder.parent / "corpus", "fan", adoption, beside, progress=False)


def test_folders_become_a_machine_type(folder):
    clips = corpora.index(make(folder))
    counts = clips.groupby(["product", "split", "label"]).size().to_dict()
    assert counts == {
        ("00", "train", "normal"): 4, ("00", "test", "normal"): 1, ("00", "test", "anomaly"): 1,
        ("01", "train", "normal"): 8, ("01", "test", "normal"): 2,
    }  # fmt: skip
    assert "Fan-north_loose-screw" in set(clips.attributes)
    assert clips.attributes[clips["product"] == "01"].str.match(r"fan-south_rec\d_[ab]$").all()
    listing = pd.read_csv(folder.parent / "corpus" / "fan" / "recordings.csv")
    assert len(listing) == len(clips)
    for row in listing.itertuples():  # 16 kHz, mono, 16 bit: not a sample is changed
        adopted = inputs.read_clip(folder.parent / "corpus" / "fan" / row.clip)
        assert np.array_equal(adopted, inputs.read_clip(folder / row.file))


def test_a_recording_is_never_torn_apart(folder):
    make(folder, cut_seconds=0.5)
    listing = pd.read_csv(folder.parent / "corpus" / "fan" / "recordings.csv")
    split = listing["clip"].str.split("/").str[0]
    assert (split.groupby([listing.folder, listing.recording]).nunique() == 1).all()
    assert len(listing) == 6 * 4 + 5 * (4 + 2)
    assert listing.groupby("file").start_seconds.max().isin([0.5, 1.5]).all()
    clips = corpora.index(folder.parent / "corpus")
    assert (clips.frames == 8000).all()


def test_the_seed_makes_the_split(folder):
    def tested(seed, share=0.4):
        adoption = Adoption(test_share=share, seed=seed)
        out = adopt(folder, folder.parent / f"{seed}-{share}", "fan", adoption, progress=False)
        clips = corpora.index(out)
        return set(clips.attributes[(clips.split == "test") & (clips.label == "normal")])

    drawn = [tested(seed) for seed in range(4)]
    assert all(len(names) == 2 + 2 * 2 for names in drawn)
    assert len({frozenset(names) for names in drawn}) > 1
    assert tested(0, 0.401) == drawn[0]
    assert tested(0, 0.0) == set()


def test_another_rate_and_channels_on_request(folder):
    path = folder / "Fan north" / "normal" / "rec 0.wav"
    time = np.arange(2 * 44_100) / 44_100
    left, right = 0.5 * np.sin(2 * np.pi * 440 * time), np.zeros(2 * 44_100)
    soundfile.write(path, np.stack([left, right], axis=1), 44_100, subtype="FLOAT")
    with pytest.raises(InputError, match="sample rate 44100 Hz; expected 16000 Hz, or --resample"):
        make(folder)
    with pytest.raises(InputError, match=r"2 channels; expected one, or --channel mean .*0 to 1"):
        make(folder, resample=True)
    with pytest.raises(InputError, match="unknown channel of .*rec 0.wav '2'; known: 0, 1, mean"):
        make(folder, resample=True, channel="2")
    assert not (folder.parent / "corpus" / "fan").exists()
    for channel, peak in (("0", 0.5), ("1", 0.0), ("mean", 0.25)):
        adoption = Adoption(resample=True, channel=channel, test_share=0)
        out = adopt(folder, folder.parent / channel, "fan", adoption, progress=False)
        clip = next((out / "fan").rglob("*Fan-north_rec-0.wav"))
        sound = inputs.read_clip(clip) / waves.FULL_SCALE
        assert len(sound) == 2 * 16_000
        expected = peak * np.sin(2 * np.pi * 440 * np.arange(len(sound)) / 16_000)
        assert np.abs(sound - expected)[800:-800].max() < 2e-3


def test_resampling_may_not_go_beyond_full_scale(folder):
    """A recording that is clipped itself overshoots: that is an error, and not cut off."""
    path = folder / "Fan north" / "normal" / "rec 0.wav"
    time = np.arange(44_100) / 44_100
    soundfile.write(path, 0.999 * np.sign(np.sin(2 * np.pi * 997 * time)), 44_100)
    with pytest.raises(InputError, match="rec 0.wav at 16000 Hz: samples up to 1[.]"):
        make(folder, resample=True)


def test_long_recordings_are_cut_on_request(folder):
    path = write_clip(folder / "fan-south" / "normal" / "long.wav", 61.0)
    with pytest.raises(
        InputError, match="61.0 s long; expected .* 60 s, or --cut SECONDS"
    ) as error:
        make(folder)
    assert str(path) in str(error.value)
    with pytest.raises(InputError, match="screw.wav: 2.0 s long; expected at least the 3 s of"):
        make(folder, cut_seconds=3.0)


def _touch(path, content=b""):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _float(value):
    def write(path):
        soundfile.write(path, np.array([0.0, value]), 16_000, subtype="FLOAT")

    return write


@pytest.mark.parametrize(
    "name, make_it, message",
    [
        ("fan-south/normal/x.wav", _touch, "an empty file"),
        ("fan-south/normal/x.wav", lambda path: _touch(path, b"no sound"), "not audio"),
        ("fan-south/normal/x.wav", _float(np.nan), "NaN or infinite"),
        ("fan-south/normal/x.wav", _float(1.5), "samples up to 1.5; expected -1 to 1"),
        ("fan-south/normal/x.mp3", _touch, "expected a .wav or .flac file"),
        ("fan-south/normal/rec0/x.txt", _touch, "expected a .wav or .flac file"),
        ("fan-south/broken/x.wav", _touch, "not expected here; expected <product>/normal"),
        ("fan-south/x.wav", _touch, "not expected here"),
        ("third/anomaly/x.wav", _touch, "no folder normal/ in it"),
        ("fan-south/normal/x.wav", lambda path: os.mkfifo(path), "x.wav: no file; expected"),
        ("fan-south/normal/x.wav", lambda path: path.symlink_to("no"), "x.wav: a link to nothing"),
        (
            "fan-south/normal/x.wav",
            lambda path: path.symlink_to("../../Fan north/normal/rec 0.wav"),
            "x.wav: the same file as .*rec 0.wav",
        ),
        (
            "fan-south/normal/x.wav",
            lambda path: path.hardlink_to(path.parents[2] / "Fan north/normal/rec 0.wav"),
            "x.wav: the same file as .*rec 0.wav",
        ),
        ("fan-south/normal/anomaly.wav", write_clip, "the name says anomaly, the folder normal"),
        ("fan-south/anomaly/normal-3.wav", write_clip, "the name says normal, the folder anomaly"),
        ("fan-south/normal/anomalous/a.wav", write_clip, "the name says anomaly, the folder anom"),
        ("normal fan/anomaly/x.wav", write_clip, "normal fan: no folder normal/ in it"),
        (f"fan-south/normal/{'x' * 230}.wav", write_clip, "at most 200 bytes together"),
        (
            "fan-south/normal/x.wav",
            lambda path: write_clip(path, rate=15_999),
            "sample rate 15999 Hz; expected a usual one",
        ),
        ("third/normal/x.wav", write_clip, "1 normal recordings; expected at least 2"),
    ],
)
def test_what_cannot_be_adopted_leaves_nothing(folder, name, make_it, message):
    path = folder / name
    make_it(path)
    with pytest.raises(InputError, match=message) as error:
        make(folder)
    assert str(folder / name.split("/")[0]) in str(error.value)
    left = folder.parent / "corpus"
    assert not left.exists() or list(left.iterdir()) == []


def test_too_few_train_clips(folder):
    for number in range(2):
        write_clip(folder / "third" / "normal" / f"{number}.wav", 2.0, number)
    with pytest.raises(InputError, match="third: 1 train clips; expected at least 2.*--cut"):
        make(folder)
    make(folder, cut_seconds=0.5)


def test_folders_that_cannot_be_adopted(folder, tmp_path):
    with pytest.raises(InputError, match="nowhere: no such folder"):
        adopt(tmp_path / "nowhere", tmp_path / "out", "fan")
    (tmp_path / "bare").mkdir()
    with pytest.raises(InputError, match="bare: is empty; expected <product>/normal"):
        adopt(tmp_path / "bare", tmp_path / "out", "fan")
    for name in ("../fan", "a/fan", "a\\fan", "C:fan", ".fan", ""):
        with pytest.raises(InputError, match="machine type '.*': expected the name of a visible"):
            adopt(folder, tmp_path / "out", name)
    with pytest.raises(InputError, match="test_share is 1; expected less than 1"):
        make(folder, test_share=1)
    with pytest.raises(InputError, match="no train/ in it"):
        make(folder, beside=[tmp_path])
    with pytest.raises(InputError, match="cut_seconds is 0.0; expected greater than 0"):
        make(folder, cut_seconds=0.0)
    make(folder)
    before = sorted((tmp_path / "corpus").rglob("*"))
    with pytest.raises(InputError, match="corpus/fan: is there already; expected a new"):
        make(folder)
    assert sorted((tmp_path / "corpus").rglob("*")) == before


def test_names_may_hold_more_than_letters(folder, tmp_path):
    """The names are those of the folders, a product, a file, and both machine types."""
    (folder / "Fan north").rename(folder / ODD)
    (folder / ODD / "normal" / "rec 1.wav").rename(folder / ODD / "normal" / f"{ODD}.1.wav")
    mine = folder.rename(tmp_path / ODD)
    other = write_corpus(tmp_path / f"other {ODD}", (f"{ODD}.1", ODD), products=1) / f"{ODD}.1"
    corpus = tmp_path / f"corpus {ODD}"
    asd("adopt", mine, corpus, "--machine-type", ODD, "--beside", other)
    description = describe(corpus)
    assert description.unplaced == {}
    assert sorted(description.clips.machine_type.unique()) == [ODD, f"{ODD}.1"]
    clips, banks = open_corpus(ODD, corpus, ODD, progress=False)
    part = clips[clips.machine_type == ODD]
    listing = pd.read_csv(corpus / ODD / "recordings.csv")
    assert set(listing.folder) == {"fan-south", ODD} and f"{ODD}.1.wav" in set(listing.recording)
    for row in listing.itertuples():
        assert np.array_equal(
            banks[ODD].sound(corpus / ODD / row.clip), inputs.read_clip(mine / row.file)
        )
    assert len(part) == len(listing)
    assert part.attributes.str.startswith(("Lüfter-1.2-50-a_", "fan-south_")).all()


def test_from_folder_to_scores(folder, capsys):
    """The whole way: adopt, with another machine type beside it, train and score."""
    others = write_corpus(folder.parent / "others", ("pump",), products=1)
    words = ["adopt", folder, folder.parent / "corpus", "--machine-type", "fan"]
    asd(*words, "--cut", "0.5", "--beside", others / "pump")
    said = capsys.readouterr().out
    assert "fan" in said and "pump" in said and "No other machine type" not in said
    run = runs.execute(
        "mine", "fan", data_dir=folder.parent / "corpus", progress=False, epochs=1, batch_size=8,
        mel_bins=32, inlier_size=1,
    )  # fmt: skip
    assert len(run.scores) == 4 + 6 + 4 and run.scores.score.notna().all()
    with pytest.raises(SystemExit, match="error: .*: is there already"):
        asd(*words)


@pytest.mark.slow
def test_the_chapter_works_word_by_word(tmp_path, monkeypatch, capsys):
    """Its practice recordings, every adopt and describe it shows, and the message it promises."""
    chapter = (ROOT / "book" / "own-data.md").read_text()
    chapter = chapter.split("## From your own recordings to scores")[1]
    python = re.findall(r"```python\n(.*?)```", chapter, re.DOTALL)
    commanded = re.findall(r"^\$ asd (.*)$", chapter, re.MULTILINE)
    promised = re.search(r"^error: .*$", chapter, re.MULTILINE)[0]
    assert len(python) == 1 and len(commanded) == 5
    monkeypatch.chdir(tmp_path)
    few = python[0].replace('("normal", 30), ("anomaly", 10)', '("normal", 6), ("anomaly", 2)')
    assert few != python[0]
    exec(few, {})
    with pytest.raises(SystemExit) as stopped:
        asd(*commanded[0].split())
    assert str(stopped.value) == promised
    for command in commanded[1:]:
        asd(*command.split())
    said = capsys.readouterr().out
    assert "96 clips\n0 files that could not be placed" in said
    clips = corpora.index(Path("data/mine"))
    assert (clips.frames == 5 * 16_000).all()
    assert (
        clips.groupby("machine_type")["product"].unique().map(list).tolist() == [["00", "01"]] * 3
    )
