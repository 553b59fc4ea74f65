"""Fetching DCASE 2021, with Zenodo replaced by a folder: what is unpacked, and what fails."""

import zipfile

import pytest
from conftest import write_clip

from asdlib import InputError, corpora, fetch


class Shelf:
    """Stands in for a Zenodo record: the files of a local folder."""

    base_url = "doi:record"

    def __init__(self, folder):
        self.folder = folder
        self.registry = {path.name: None for path in folder.glob("*.zip")}

    def fetch(self, name, progressbar):
        return str(self.folder / name)


@pytest.fixture
def zenodo(tmp_path, monkeypatch):
    folder = tmp_path / "zenodo"
    folder.mkdir()

    def add(archive, name):
        clip = write_clip(tmp_path / "clips" / name)
        with zipfile.ZipFile(folder / archive, "a") as content:
            content.write(clip, name)

    add("dev_data_fan.zip", "fan/train/section_00_source_train_normal_0000.wav")
    add("eval_data_fan_train.zip", "fan/train/section_03_source_train_normal_0000.wav")
    add("eval_data_fan_test.zip", "fan/source_test/section_03_source_test_0000.wav")
    with zipfile.ZipFile(folder / "truth.zip", "w") as content:
        name = "ground_truth_fan_section_03_source_test.csv"
        content.writestr(f"ground_truth_data/{name}", "section_03_source_test_0000.wav,1\n")
    monkeypatch.setattr(fetch, "_shelf", lambda record, cache: Shelf(folder))
    return folder


def test_fetched_corpus_is_indexed_with_its_labels(zenodo, tmp_path):
    clips = corpora.index(fetch.fetch(tmp_path / "data", ["fan"]))
    assert sorted(clips["product"]) == ["00", "03", "03"]
    assert clips[clips.split == "test"].label.tolist() == ["anomaly"]
    fetch.fetch(tmp_path / "data", ["fan"])  # again: nothing to do, nothing left over
    assert not list((tmp_path / "data").rglob("*.part"))


def test_a_missing_archive_is_named(zenodo, tmp_path):
    with pytest.raises(InputError, match="no file dev_data_pump.zip"):
        fetch.fetch(tmp_path / "data", ["pump"])
    with pytest.raises(InputError, match="unknown machine type of DCASE 2021 'drone'"):
        fetch.fetch(tmp_path / "data", ["drone"])


def test_no_connection_is_one_clear_sentence(tmp_path, monkeypatch):
    def refuse(self):
        raise ConnectionError("no route")

    monkeypatch.setattr("pooch.Pooch.load_registry_from_doi", refuse)
    with pytest.raises(InputError, match="Zenodo record 4562016 cannot be reached"):
        fetch.fetch(tmp_path / "data", ["fan"])
