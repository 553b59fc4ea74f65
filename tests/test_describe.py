"""Describing a folder: every file is counted or listed with the reason."""

import pytest
from conftest import asd, write_clip, write_corpus

from asdlib import InputError
from asdstudy.data import corpora
from asdstudy.data.describe import describe


def test_counts_are_those_of_the_index(corpus):
    description = describe(corpus)
    assert description.unplaced == {}
    assert description.clips[corpora.COLUMNS].equals(corpora.index(corpus))
    counts = description.counts().set_index(["machine_type", "product", "domain", "split", "label"])
    assert len(counts) == 2 * 2 * 3 and counts.clips.sum() == len(description.clips)
    assert counts.loc[("fan", "00", "source", "train", "normal"), "clips"] == 6
    assert counts.loc[("fan", "00", "source", "train", "normal"), "seconds"] == 9.0


def test_every_other_file_is_listed_with_the_reason(tmp_path):
    corpus = write_corpus(tmp_path, ("fan",), products=1)
    fan = corpus / "fan"
    unplaced = {
        write_clip(fan / "train" / "noise.wav"): "the name does not parse; expected section_",
        write_clip(fan / "source_test" / "section_00_source_train_normal_0000.wav"): "says train",
        write_clip(fan / "train" / "section_00_source_train_normal_0009.wav", rate=8000): "8000 Hz",
        write_clip(fan / "stray.wav"): "not in a folder <machine type>/<train|test|",
        write_clip(corpus / "deep" / "er" / "still.flac", subtype=None): "not in a folder",
    }
    empty = fan / "train" / "section_00_source_train_normal_0008.wav"
    empty.write_bytes(b"")
    notes = corpus / "notes.txt"
    notes.write_text("monday")
    unplaced |= {empty: "an empty file", notes: "no clip; expected .wav or .flac"}
    (fan / "attributes_00.csv").write_text("file_name,d1p,d1v\n")
    (corpus / "README.md").write_text("ours")
    (corpus / ".hidden").write_text("")
    write_clip(fan / "supplemental" / "section_00_source_supplemental_machine_0000.wav")
    description = describe(corpus)
    assert sorted(description.unplaced) == sorted(unplaced)
    for path, why in unplaced.items():
        assert why in description.unplaced[path]
        assert f"  {path}: " in str(description)
    assert (description.clips.split == "supplemental").sum() == 1
    assert len(description.clips) == 6 + 2 + 2 + 1
    files = [p for p in corpus.rglob("*") if p.is_file()]
    assert len(files) == len(description.clips) + len(unplaced) + 3


def test_a_folder_of_nothing_and_no_folder(tmp_path):
    assert str(describe(tmp_path)) == "no clips\n0 files that could not be placed"
    with pytest.raises(InputError, match="nowhere: no such folder"):
        describe(tmp_path / "nowhere")


def test_command(corpus, capsys):
    asd("describe", corpus)
    said = capsys.readouterr().out
    assert "40 clips\n0 files" in said and "machine_type" in said
    with pytest.raises(SystemExit, match="error: .*nowhere: no such folder"):
        asd("describe", corpus / "nowhere")
