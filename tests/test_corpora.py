"""The corpus index: every DCASE layout, and one clear error for what cannot be used."""

import struct

import numpy as np
import pytest
import soundfile
from conftest import shared, write_clip, write_corpus

from asdlib import InputError, corpora


def test_layout_of_2021(corpus):
    clips = corpora.index(corpus)
    assert list(clips.columns) == corpora.COLUMNS
    assert sorted(clips.machine_type.unique()) == ["fan", "pump"]
    assert len(clips) == 2 * 2 * (6 + 2 + 2)
    row = clips[clips.label == "anomaly"].iloc[0]
    assert (row["product"], row.domain, row.split, row.attributes) == (
        "00",
        "source",
        "test",
        "hum",
    )
    assert (clips.frames == 24_000).all()


def test_other_layouts(tmp_path):
    write_clip(tmp_path / "a" / "train" / "section_03_target_train_normal_0000_speed_6.wav")
    write_clip(tmp_path / "a" / "test" / "section_03_target_test_anomaly_0001.flac", subtype=None)
    write_clip(tmp_path / "a" / "target_test" / "section_03_target_test_0002.wav")
    write_clip(tmp_path / "b" / "train" / "normal_id_02_00000000.wav")  # 2020
    write_clip(tmp_path / "b" / "test" / "anomaly_id_02_00000001.wav")
    write_clip(tmp_path / "b" / "test" / "id_02_00000002.wav")
    clips = corpora.index(tmp_path)
    assert clips["product"].tolist() == ["03"] * 3 + ["02"] * 3
    assert clips.label.tolist() == ["normal", "anomaly", "unknown"] * 2
    assert clips.attributes.tolist() == ["speed_6", "", "", "", "", ""]
    assert clips.domain.tolist() == ["target"] * 3 + ["source"] * 3
    assert len(corpora.index(tmp_path, domain="source")) == 3
    assert len(corpora.index(tmp_path, ["b"])) == 3


def test_ground_truth_of_an_evaluation_set(tmp_path):
    folder = tmp_path / "fan"
    write_clip(folder / "train" / "section_03_source_train_normal_0000.wav")
    for number in range(3):
        write_clip(folder / "source_test" / f"section_03_source_test_{number:04d}.wav")
    truth = tmp_path / "ground_truth" / "ground_truth_fan_section_03_source_test.csv"
    truth.parent.mkdir()
    truth.write_text("section_03_source_test_0000.wav,1\nsection_03_source_test_0001.wav,0\n")
    clips = corpora.index(tmp_path, ["fan"])
    assert clips[clips.split == "test"].label.tolist() == ["anomaly", "normal", "unknown"]


def test_real_recordings():
    clips = corpora.index(shared("real-mini"))
    assert len(clips) == 578
    counts = clips.groupby(["machine_type", "split", "label"]).size()
    assert counts["uav", "train", "normal"] == 238 and counts["uav", "test", "anomaly"] == 80
    assert (counts["fan", "test", "normal"], counts["clock", "train", "normal"]) == (6, 40)
    assert set(clips.attributes[clips.machine_type == "uav"].str.split("_").str[0]) == {
        "ccw-f8", "ccw-square", "cw-f8", "cw-square",
    }  # fmt: skip
    table = corpora.summary(clips)
    assert table.loc[("uav", "00"), "clip (s)"] == "10.0"


NAME = "section_00_source_train_normal_0000.wav"


def _truncated(path):
    write_clip(path)
    path.write_bytes(path.read_bytes()[:-1000])


def _nan(path):
    path.parent.mkdir(parents=True)
    soundfile.write(path, np.array([0.0, np.nan]), 16_000, subtype="FLOAT")


def _bytes(content):
    def write(path):
        path.parent.mkdir(parents=True)
        path.write_bytes(content)

    return write


def _stereo(path):
    path.parent.mkdir(parents=True)
    soundfile.write(path, np.zeros((100, 2)), 16_000)


HEADER = b"RIFF" + struct.pack("<I", 36) + b"WAVEfmt " + struct.pack(
    "<IHHIIHH", 16, 1, 1, 16_000, 32_000, 2, 16
) + b"data" + struct.pack("<I", 0)  # fmt: skip


@pytest.mark.parametrize(
    "make, message",
    [
        (_bytes(b""), "an empty file"),
        (_bytes(HEADER), "no sound in it"),
        (_bytes(b"not audio at all"), "not audio"),
        (_truncated, "truncated"),
        (_stereo, "2 channels; expected one"),
        (lambda path: write_clip(path, rate=8_000), "sample rate 8000 Hz; expected 16000 Hz"),
    ],
)
def test_clips_that_cannot_be_used(tmp_path, make, message):
    path = tmp_path / "fan" / "train" / NAME
    make(path)
    with pytest.raises(InputError, match=message) as error:
        corpora.index(tmp_path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    "name, folder, message",
    [
        ("recording.wav", "train", "does not parse; expected section_"),
        (NAME, "source_test", "the name says train, the folder source_test"),
        ("section_00_source_test_normal_0000.wav", "target_test", "says source, the folder target"),
    ],
)
def test_names_that_cannot_be_used(tmp_path, name, folder, message):
    write_clip(tmp_path / "fan" / "train" / NAME)
    path = write_clip(tmp_path / "fan" / folder / name)
    with pytest.raises(InputError, match=message) as error:
        corpora.index(tmp_path)
    assert str(path) in str(error.value)


def test_folders_that_cannot_be_used(tmp_path):
    with pytest.raises(InputError, match="nowhere: no such folder"):
        corpora.index(tmp_path / "nowhere")
    with pytest.raises(InputError, match="no machine types; expected folders"):
        corpora.index(tmp_path)
    write_corpus(tmp_path / "c")
    with pytest.raises(InputError, match="unknown machine type.*'drone'; known: fan, pump"):
        corpora.index(tmp_path / "c", ["drone"])


def test_nan_names_the_file(tmp_path):
    from asdlib.waves import open_bank

    path = tmp_path / "fan" / "train" / NAME
    _nan(path)
    with pytest.raises(InputError, match="NaN or infinite") as error:
        open_bank(corpora.index(tmp_path), tmp_path / "waves", progress=False)
    assert str(path) in str(error.value)
    assert not list((tmp_path / "waves").iterdir())
