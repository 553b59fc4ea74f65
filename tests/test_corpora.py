"""The corpus index: every DCASE layout, and one clear error for what cannot be used."""

import os
import struct
import unicodedata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from conftest import shared, write_clip, write_corpus

from asdlib import InputError
from asdlib.profiles import SAMPLE_RATE
from asdstudy.data import corpora, is_corpus, summary
from asdstudy.data.describe import describe


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
    rows = "section_03_source_test_0000.wav,1\nsection_03_source_test_0001.wav,0\n"
    truth.write_text(rows)
    with pytest.raises(
        InputError, match="_source_test.csv: no row for section_03_source_test_0002"
    ):
        corpora.index(tmp_path, ["fan"])
    truth.write_text(rows + "section_03_source_test_0002.wav,0\n")
    write_clip(folder / "target_test" / "section_03_target_test_0000.wav", seed=1)
    clips = corpora.index(tmp_path, ["fan"])
    assert clips[clips.split == "test"].label.tolist() == ["anomaly", "normal", "normal", "unknown"]


def test_layout_of_2022_and_later(tmp_path):
    """Attributes in a table, mixed domains, evaluation sets that give neither domain nor label."""
    folder = tmp_path / "fan"
    write_clip(folder / "train" / "section_00_source_train_normal_0000_m-n_W.wav")
    write_clip(folder / "train" / "section_00_target_train_normal_0001_noAttribute.wav")  # 2024
    write_clip(folder / "train" / "section_00_target_train_normal_0002.wav")
    write_clip(folder / "test" / "section_00_0000.wav")  # 2023
    write_clip(folder / "test" / "section_00_0001.wav")
    write_clip(folder / "test" / "section_03_test_0000.wav")  # 2022
    write_clip(folder / "supplemental" / "section_00_noise_0000.wav")  # 2025
    (folder / "attributes_00.csv").write_text(
        "file_name,d1p,d1v,d2p,d2v\n"
        "fan/train/section_00_source_train_normal_0000_m-n_W.wav,m-n,X,,\n"
        "fan/train/section_00_target_train_normal_0002.wav,m-n,Y,spd,6\n"
    )
    clips = corpora.index(tmp_path)
    assert clips.split.tolist() == ["train"] * 3 + ["test"] * 3
    assert clips["product"].tolist() == ["00"] * 5 + ["03"]
    assert clips.domain.tolist() == ["source", "target", "target"] + ["unknown"] * 3
    assert clips.label.tolist() == ["normal"] * 3 + ["unknown"] * 3
    assert clips.attributes.tolist() == ["m-n_W", "", "m-n_Y_spd_6", "", "", ""]
    assert len(corpora.index(tmp_path, domain="source")) == 1 + 3  # the unknown may be of it

    for folder, value in (("ground_truth", 1), ("ground_truth_domain", 0)):
        table = tmp_path / folder / "ground_truth_fan_section_00_test.csv"
        table.parent.mkdir()
        rows = f"section_00_0000.wav,{value}\nsection_00_0001.wav,{1 - value}\n"
        table.write_text(rows)
    clips = corpora.index(tmp_path)
    assert clips.label.tolist()[3:] == ["anomaly", "normal", "unknown"]
    assert clips.domain.tolist()[3:] == ["source", "target", "unknown"]


def test_an_attribute_table_that_is_none(tmp_path):
    write_clip(tmp_path / "fan" / "train" / NAME)
    table = tmp_path / "fan" / "attributes_00.csv"
    table.write_text("")
    with pytest.raises(InputError, match="attributes_00.csv: .*expected a table of file names"):
        corpora.index(tmp_path)
    table.write_text(f"file_name,d1p,d1p\n{NAME},speed,6\n")
    with pytest.raises(InputError, match="columns .*; expected file_name,d1p,d1v,..., each once"):
        corpora.index(tmp_path)
    table.write_text("clip,speed\n")
    with pytest.raises(InputError, match="expected file_name,d1p,d1v") as error:
        corpora.index(tmp_path)
    assert str(table) in str(error.value)
    table.write_text(f"file_name;d1p;d1v;;\n{NAME};speed;6;;\n")  # as a spreadsheet ends its lines
    assert corpora.index(tmp_path).attributes.tolist() == ["speed_6"]
    table.write_text(f"file_name;d1p;d1v;\n{NAME};speed;6;load\n")
    with pytest.raises(InputError, match="row 2: 'load' in a column without a name"):
        corpora.index(tmp_path)


@pytest.mark.parametrize("top", ["fan", "-6_dB_fan/fan"])
def test_trees_of_mimii(tmp_path, top):
    for product in ("id_00", "id_02"):
        for number in range(6):
            write_clip(tmp_path / top / product / "normal" / f"{number:08d}.wav")
        for number in range(2 if product == "id_00" else 5):
            write_clip(tmp_path / top / product / "abnormal" / f"{number:08d}.wav")
    clips = corpora.index(tmp_path)
    assert set(clips.machine_type) == {"fan"} and set(clips.domain) == {"source"}
    counts = clips.groupby(["product", "split", "label"]).size().to_dict()
    assert counts == {
        ("00", "train", "normal"): 4, ("00", "test", "normal"): 2, ("00", "test", "anomaly"): 2,
        ("02", "train", "normal"): 3, ("02", "test", "normal"): 3, ("02", "test", "anomaly"): 5,
    }  # fmt: skip
    held_out = clips[
        (clips["product"] == "00") & (clips.split == "test") & (clips.label == "normal")
    ]
    assert [path.stem for path in held_out.path] == ["00000004", "00000005"]
    assert is_corpus(tmp_path, "fan") and not is_corpus(tmp_path, "pump")


def test_mimii_as_it_is_published_has_eight_channels(tmp_path):
    path = tmp_path / "fan" / "id_00" / "normal" / "00000000.wav"
    path.parent.mkdir(parents=True)
    soundfile.write(path, np.zeros((100, 8)), 16_000)
    with pytest.raises(InputError, match="8 channels; expected one .*adopt. converts") as error:
        corpora.index(tmp_path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    "name, message",
    [
        ("id_00/abnormal/normal_id_00_00000000.wav", "says normal, the folder abnormal"),
        ("id_00/normal/anomaly_id_00_00000000.wav", "says anomaly, the folder normal"),
        ("id_00/normal/normal_id_02_00000000.wav", "says 02, the folder id_00"),
        ("id_0/normal/00000000.wav", "product ID 00; expected 0, as in"),
        ("id_/normal/00000000.wav", "does not parse"),
        ("id_0.1/normal/00000000.wav", "does not parse"),
        ("id_0 1/normal/00000000.wav", "does not parse"),
    ],
)
def test_names_in_trees_of_mimii_that_do_not_fit(tmp_path, name, message):
    write_clip(tmp_path / "fan" / "id_00" / "normal" / "00000001.wav")
    write_clip(tmp_path / "fan" / name)
    with pytest.raises(InputError, match=message):
        corpora.index(tmp_path)


def test_mimii_at_two_snrs_is_ambiguous(tmp_path):
    for top in ("-6_dB_fan", "0_dB_fan"):
        write_clip(tmp_path / top / "fan" / "id_00" / "normal" / "00000000.wav")
    with pytest.raises(InputError, match="0_dB_fan/fan: fan is also in .*-6_dB_fan/fan"):
        corpora.index(tmp_path)


def test_hidden_and_unfinished_things_are_passed_over(corpus):
    clips = len(corpora.index(corpus))
    write_clip(corpus / ".uav.17.part" / "train" / NAME)
    write_clip(corpus / "fan" / "train" / "._section_00.wav")
    assert len(corpora.index(corpus)) == clips


def test_real_recordings():
    clips = corpora.index(shared("real-mini"))
    assert len(clips) == 578
    counts = clips.groupby(["machine_type", "split", "label"]).size()
    assert counts["uav", "train", "normal"] == 238 and counts["uav", "test", "anomaly"] == 80
    assert (counts["fan", "test", "normal"], counts["clock", "train", "normal"]) == (6, 40)
    assert set(clips.attributes[clips.machine_type == "uav"].str.split("_").str[0]) == {
        "ccw-f8", "ccw-square", "cw-f8", "cw-square",
    }  # fmt: skip
    table = summary(clips)
    assert table.loc[("uav", "00"), "clip (s)"] == "10.0"


def test_product_ids_with_the_same_numbers_are_one_row():
    """Only where there are several, and all of a machine type are alike."""
    parts = [("train", "normal"), ("test", "normal"), ("test", "anomaly")]
    of_types = {"fan": ["00", "01", "02"], "pump": ["00", "01"], "uav": ["00"]}
    rows = [(*p, name, product) for name in of_types for product in of_types[name] for p in parts]
    rows.append(("train", "normal", "pump", "01"))
    clips = pd.DataFrame(rows, columns=["split", "label", "machine_type", "product"])
    table = summary(clips.assign(frames=3 * SAMPLE_RATE))
    expected = [("fan", "each of 3"), ("pump", "00"), ("pump", "01"), ("uav", "00")]
    assert table.index.tolist() == expected
    assert table.train.tolist() == [1, 1, 2, 1] and table["clip (s)"].tolist() == 4 * ["3.0"]


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
        ("section_00_source_train_anomaly_0003.wav", "train", "says anomaly, the folder train"),
        ("anomaly_id_00_00000003.wav", "train", "says anomaly, the folder train"),
        ("section_00_target_train_normal_0000.wav", "test", "says train, the folder test"),
        ("section_00_test_0000.wav", "train", "says test, the folder train"),
        ("section_0_source_train_normal_0001.wav", "train", "product ID 0; expected 00, as in"),
        ("section_000_source_test_normal_0001.wav", "test", "product ID 000; expected 00, as in"),
        ("section_\u0660\u0660_source_train_normal_0001.wav", "train", "does not parse"),
        ("section_00_source_train_normal_0000.wav.wav", "train", "does not parse"),
    ],
)
def test_names_that_cannot_be_used(tmp_path, name, folder, message):
    write_clip(tmp_path / "fan" / "train" / NAME)
    path = write_clip(tmp_path / "fan" / folder / name, format="WAV")
    with pytest.raises(InputError, match=message) as error:
        corpora.index(tmp_path)
    assert str(path) in str(error.value)


def test_a_clip_in_two_files(tmp_path):
    for suffix in (".wav", ".WAV"):
        write_clip(tmp_path / "fan" / "train" / NAME.replace(".wav", suffix), format="WAV")
    with pytest.raises(InputError, match="0000.wav: the same name as section_.*_0000.WAV"):
        corpora.index(tmp_path)


def test_folders_that_cannot_be_used(tmp_path):
    with pytest.raises(InputError, match="nowhere: no such folder"):
        corpora.index(tmp_path / "nowhere")
    with pytest.raises(InputError, match="no machine types; expected folders"):
        corpora.index(tmp_path)
    write_corpus(tmp_path / "c")
    with pytest.raises(InputError, match=f"no machine types.*there are some in {tmp_path / 'c'}$"):
        corpora.index(tmp_path)
    with pytest.raises(InputError, match=f"looks like a machine type: give {tmp_path / 'c'}$"):
        corpora.index(tmp_path / "c" / "fan")
    with pytest.raises(InputError, match="unknown machine type.*'drone'; known: fan, pump"):
        corpora.index(tmp_path / "c", ["drone"])


def test_nan_names_the_file(tmp_path):
    from asdstudy.data.banks import open_bank

    path = tmp_path / "fan" / "train" / NAME
    _nan(path)
    with pytest.raises(InputError, match="NaN or infinite") as error:
        open_bank(corpora.index(tmp_path), tmp_path / "waves", progress=False)
    assert str(path) in str(error.value)
    left = [path.name for path in (tmp_path / "waves").iterdir() if path.suffix != ".lock"]
    assert left == []


TRUTH = "ground_truth/ground_truth_{}_section_00_source_test.csv"


def _unlabelled(root, name, table=None, place=TRUTH, clips=2, encoding="utf-8"):
    """A machine type with train clips and test clips without labels, and a table of them."""
    for number in range(2):
        write_clip(root / name / f"train/section_00_source_train_normal_{number:04d}.wav")
    for number in range(clips):
        write_clip(root / name / f"test/section_00_source_test_{number:04d}_m-n.wav")
    if table is not None:
        path = root / place.format(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(table, encoding=encoding)
        return path


def _labels(root, name="fan"):
    clips = corpora.index(root, [name])
    return clips[clips.split == "test"].label.tolist()


CLIP = "section_00_source_test_000{}_m-n.wav".format


def test_a_table_of_labels_is_of_one_machine_type(tmp_path):
    """fan_west's labels are not fan's, and brackets in a name are no pattern."""
    types = ("fan", "fan_west", "fan[1]", "fan.*", "fan_section_00", "f(n", "fan_test")
    for number, name in enumerate(types):
        rows = f"{CLIP(0)},{number % 2}\n{CLIP(1)},{1 - number % 2}\n"
        _unlabelled(tmp_path, name, rows)
    for number, name in enumerate(types):
        expected = ["normal", "anomaly"][:: -1 if number % 2 else 1]
        assert _labels(tmp_path, name) == expected  # alone, and among all
    clips = corpora.index(tmp_path)
    labels = clips[clips.split == "test"].groupby("machine_type").label.first()
    assert labels[list(types)].tolist() == ["normal", "anomaly"] * 3 + ["normal"]


def test_labels_of_a_machine_type_that_is_not_there_are_nobodys(tmp_path):
    _unlabelled(tmp_path, "fan")
    table = tmp_path / TRUTH.format("fan_west")
    table.parent.mkdir()
    table.write_text(f"{CLIP(0)},1\n{CLIP(1)},0\n")
    assert _labels(tmp_path) == ["unknown", "unknown"]
    assert "a table of no machine type here" in describe(tmp_path).unplaced[table]


@pytest.mark.parametrize(
    "rows",
    [
        f"{CLIP(0)},1\n{CLIP(1)},0\n",
        f"{CLIP(0)};1\r\n{CLIP(1)};0\r\n",
        f"{CLIP(0)}\t1\n{CLIP(1)}\t0",
        f"file_name,label\n{CLIP(0)},1\n\n{CLIP(1)},0\n",
        f"{CLIP(0)},anomaly\n{CLIP(1)},Normal\n",
        f"{CLIP(0)},abnormal\n{CLIP(1)},0.0\n",
        f"fan/test/{CLIP(0)},1\ndata\\fan\\test\\{CLIP(1)},0\n",
        f" {CLIP(0)} , 1 \n{CLIP(1)},0,\n",
        f"{CLIP(0)[:-4]},1\n{CLIP(1)[:-4]}.WAV,0\n",
        f'"{CLIP(0)}","1"\n"{CLIP(1)}","0"\n',
        f"{CLIP(0)},1\n{CLIP(0)},1\n{CLIP(1)},0\nsection_00_source_test_0007.wav,1\n",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_tables_as_spreadsheets_save_them(tmp_path, rows, encoding):
    _unlabelled(tmp_path, "fan", rows, encoding=encoding)
    assert _labels(tmp_path) == ["anomaly", "normal"]


@pytest.mark.parametrize(
    "rows, message",
    [
        (f"{CLIP(0)},1\n{CLIP(0)},0\n{CLIP(1)},0\n", "row 2: .* is 'normal'; expected 'anomaly'"),
        (f"{CLIP(0)},2\n{CLIP(1)},0\n", "row 1: .*0000_m-n.wav,2'; expected a file name and one"),
        (f"{CLIP(0)},\n{CLIP(1)},0\n", "row 1: "),
        (f"file,label\nfile,label\n{CLIP(0)},1\n{CLIP(1)},0\n", "row 2: 'file,label'"),
        (f"{CLIP(0)},1\n", "no row for section_00_source_test_0001_m-n.wav"),
        (f"0,{CLIP(0)},1\n1,{CLIP(1)},0\n", "row 1: "),
        ("section_00_source_test_0007.wav,1\n", "none of its clips is there"),
        (f"pump/test/{CLIP(0)},1\npump/test/{CLIP(1)},0\n", "none of its clips is there"),
        ("", "empty; expected a table of file names"),
        ("file,label\n", "no rows below the header"),
        (
            f"{CLIP(0)},1\n{CLIP(1)},0\nsection_00_source_train_normal_0000.wav,1\n",
            "row 3: .* is 'anomaly'; expected 'normal', as its name",
        ),
    ],
)
def test_tables_that_do_not_say_one_thing(tmp_path, rows, message):
    table = _unlabelled(tmp_path, "fan", rows)
    _unlabelled(tmp_path, "pump")
    with pytest.raises(InputError, match=message) as error:
        _labels(tmp_path)
    assert str(error.value).startswith(f"{table}: ")
    assert describe(tmp_path).unplaced == {table: str(error.value)}


def test_tables_that_cannot_be_read(tmp_path):
    table = _unlabelled(tmp_path, "fan", f"{CLIP(0)},1\n{CLIP(1)},0\n")
    for content in (b"\xe4,1\n", b"\0\xff\xfe"):
        table.write_bytes(content)
        with pytest.raises(InputError, match="test.csv: .*; expected a table of file names"):
            _labels(tmp_path)
    table.unlink()
    table.mkdir()
    with pytest.raises(InputError, match="test.csv: .*; expected a table of file names"):
        _labels(tmp_path)
    table.rmdir()
    other = table.with_name("ground_truth_fan_all.csv")
    other.write_text(f"{CLIP(0)},1\n")
    with pytest.raises(InputError, match="fan_all.csv: the name does not parse; expected ground"):
        _labels(tmp_path)


def test_other_tables_contradict_nothing_either(tmp_path):
    domains = "ground_truth_domain/ground_truth_{}_section_00_source_test.csv"
    table = _unlabelled(tmp_path, "fan", f"{CLIP(0)};target\n{CLIP(1)};source\n", domains)
    with pytest.raises(InputError, match="row 1: .* is 'target'; expected 'source'"):
        corpora.index(tmp_path)
    table.unlink()
    attributes = tmp_path / "fan" / "attributes_00.csv"
    train = "section_00_source_train_normal_000{}.wav".format
    attributes.write_text(f"file_name;d1p;d1v\nfan\\train\\{train(0)};speed;6\n{train(1)};;\n")
    assert corpora.index(tmp_path).attributes.tolist() == ["speed_6", ""] + ["m-n"] * 2
    for rows, message in (
        (f"{train(0)},a,1\n", f"attributes_00.csv: no row for {train(1)}"),
        (f"{train(0)},a,1\n{train(0)},a,2\n", "row 3: .* is 'a_2'; expected 'a_1'"),
        (f"{train(0)},a,1,b\n", "row 2: 4 cells; expected 3"),
        (f"pump/train/{train(0)},a,1\n", "attributes_00.csv: none of its clips is there"),
    ):
        _unlabelled(tmp_path, "pump")
        attributes.write_text("file_name,d1p,d1v\n" + rows)
        with pytest.raises(InputError, match=message):
            corpora.index(tmp_path)
    attributes.unlink()
    listing = tmp_path / "fan" / "recordings.csv"
    listing.write_text("clip,recording\nno.wav,a\n")
    with pytest.raises(InputError, match="recordings.csv: none of its clips is there"):
        corpora.index(tmp_path)


def test_tables_are_found_however_a_computer_spells_their_names(tmp_path):
    """macOS decomposes letters, and Windows and macOS do not mind the case."""
    rows = f"{CLIP(0)},1\n{CLIP(1)},0\n"
    for number, (name, other) in enumerate(
        [("fan", "Fan"), ("L\u00fcfter", "Lu\u0308fter"), ("Lu\u0308fter", "L\u00fcfter")]
    ):
        root = tmp_path / str(number)
        _unlabelled(root, name)
        table = root / TRUTH.format(other).replace(".csv", ".CSV")
        table.parent.mkdir()
        table.write_text(rows)
        assert _labels(root, name) == ["anomaly", "normal"]
    table = tmp_path / "0" / TRUTH.format("Fan").replace(".csv", ".CSV")
    _unlabelled(tmp_path / "0", "FAN")
    table.rename(other := table.with_name(table.name.replace("Fan", "fAn")))
    _unlabelled(tmp_path / "0", "fan")
    with pytest.raises(InputError, match="fAn_section_00_source_test.CSV: of FAN or fan; expected"):
        _labels(tmp_path / "0", "fan")
    other.rename(table)
    _unlabelled(tmp_path / "0", "Fan")  # now it is of that type alone
    assert _labels(tmp_path / "0", "fan") == ["unknown", "unknown"]
    assert _labels(tmp_path / "0", "Fan") == ["anomaly", "normal"]


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
def test_names_in_a_table_are_found_however_their_letters_are_composed(tmp_path, forms):
    there, said = (
        unicodedata.normalize(form, "section_00_source_test_0000_Lüfter") for form in forms
    )
    write_clip(tmp_path / "fan" / "test" / f"{there}.wav")
    table = tmp_path / TRUTH.format("fan")
    table.parent.mkdir()
    table.write_text(f"{said}.wav,1\n")
    assert corpora.index(tmp_path).label.tolist() == ["anomaly"]
    write_clip(tmp_path / "fan" / "test" / f"{said}.wav", seed=1)
    with pytest.raises(InputError, match="the same name as section_00_.*; expected each clip once"):
        corpora.index(tmp_path)


@pytest.mark.parametrize(
    "place",
    [
        "Ground_Truth/ground_truth_fan_section_00_test.csv",
        "ground_truth/more/ground_truth_fan_section_00_test.csv",
        "ground_truth_fan_section_00_test.csv",
        "fan/ground_truth_fan_section_00_test.csv",
        "ground_truth/ground_truth_fan_section_00_test.txt",
        "ground_truth/ground_truth_fan_section_00_test.xlsx",
        "ground_truth/ground_truth_fan_section_00_test.csv.zip",
        "fan/train/attributes_00.csv",
        "fan/attributes_00.xlsx",
        "fan/train/recordings.csv",
        "attributes_00.csv",
    ],
)
def test_a_table_where_none_is_read_is_an_error(tmp_path, place):
    path = _unlabelled(tmp_path, "fan", f"{CLIP(0)},1\n{CLIP(1)},0\n", place)
    with pytest.raises(InputError, match="a table that is not read; expected <machine type>/attr"):
        corpora.index(tmp_path)
    assert [*describe(tmp_path).unplaced] == [path]


@pytest.mark.parametrize(
    "place, message",
    [
        ("fan/Train/{}", "not in a folder <machine type>/<train|test|"),
        ("fan/train/monday/{}", "not in a folder"),
        ("fan/target_train/{}", "not in a folder"),
        ("more/pump/train/{}", "not in a folder"),
        ("{}", "not in a folder"),
        ("pump/ID_00/normal/0.wav", "not in a folder"),
        ("pump/id_02/Normal/0.wav", "not in a folder"),
        ("fan/train/{}.mp3", "no clip; expected .wav or .flac"),
        ("fan/train/{}.part", "no clip"),
        ("fan/train/x.aiff", "no clip"),
        ("fan/train/section_00_source_train_normal_0009", "no clip"),
    ],
)
def test_sound_is_not_passed_over_without_a_word(tmp_path, place, message):
    write_clip(tmp_path / "fan" / "train" / "section_00_source_train_normal_0000.wav")
    path = write_clip(tmp_path / place.format(NAME.replace("0000", "0009")), format="WAV")
    with pytest.raises(InputError, match=message.replace("|", "[|]")) as error:
        corpora.index(tmp_path)
    assert str(error.value).startswith(f"{path}: ")
    assert describe(tmp_path).unplaced == {path: str(error.value)}


def test_splits_and_types_that_are_empty_or_no_folders(tmp_path):
    for number, (make, message) in enumerate(
        [
            (lambda root: (root / "pump/train").mkdir(parents=True), "pump: no clips"),
            (lambda root: (root / "fan/test").write_text(""), "fan/test: no folder; expected one"),
            (lambda root: (root / "fan/test").symlink_to("no"), "fan/test: a link to nothing"),
            (lambda root: (root / "pump").symlink_to("no"), "pump: a link to nothing"),
            (lambda root: (root / "pump").symlink_to("pump"), "pump: a link to nothing"),
            (lambda root: (root / "pump").symlink_to("fan"), "pump: fan is also in .*/fan"),
        ]
    ):
        root = tmp_path / str(number)
        write_clip(root / "fan" / "train" / NAME)
        make(root)
        with pytest.raises(InputError, match=message):
            corpora.index(root)


@pytest.mark.parametrize("link", [Path.symlink_to, Path.hardlink_to])
def test_a_clip_that_is_there_twice_by_a_link(tmp_path, link):
    first = write_clip(tmp_path / "fan" / "train" / NAME)
    (tmp_path / "fan" / "test").mkdir()
    other = tmp_path / "fan" / "test" / "section_00_source_test_normal_0000.wav"
    link(other, first)
    with pytest.raises(InputError, match=f"{other}: the same file as {first}; expected each"):
        corpora.index(tmp_path)


TWO_WORDS = [
    (
        "train/section_00_source_train_normal_0009_anomaly.wav",
        "anomaly and normal; expected",
    ),
    ("train/section_00_source_train_normal_0009_vel_6_Abnormal-2.wav", "says anomaly and normal"),
    ("train/section_00_source_train_normal_0009_before-anomaly.wav", "says anomaly and normal"),
    ("train/section_00_source_train_0001_anomaly.wav", "says anomaly, the folder train"),
    ("test/section_00_source_test_anomaly_0003_normal.wav", "says anomaly and normal"),
    ("test/section_00_source_test_0003_anomaly.wav", "says anomaly, the folder test"),
    ("train/normal_id_00_anomalous_3.wav", "does not parse"),
    ("id_00/normal/normal_id_00_anomalous_3.wav", "says anomaly and normal"),
    ("id_00/normal/Anomalous-1.wav", "says anomaly, the folder normal"),
    ("id_00/abnormal/normal_7.wav", "says normal, the folder abnormal"),
    ("id_00/normal/section_00_target_train_normal_0001.wav", "says target, the folder normal"),
    ("id_00/normal/section_00_source_test_normal_0001.wav", "says test, the folder normal"),
    ("id_00/normal/section_00_source_train_normal_0001.wav", "says train, the folder normal"),
]


@pytest.mark.parametrize("name, message", TWO_WORDS)
def test_a_name_says_one_label_and_that_of_its_folder(tmp_path, name, message):
    """Wherever the word is: a clip that is named an anomaly must not be trained on as normal."""
    path = write_clip(tmp_path / "fan" / name)
    (path.parents[1] / "normal").mkdir(exist_ok=True)  # a tree of MIMII has it
    with pytest.raises(InputError, match=message) as error:
        corpora.index(tmp_path)
    assert str(error.value).startswith(f"{path}: ")


def test_attributes_hold_any_other_word(tmp_path):
    """Domain and split have their places; elsewhere, and in a table, any word may be used."""
    name = "section_00_source_train_normal_0000_target_speed_6_test-bench_abnormality.wav"
    write_clip(tmp_path / "fan" / "train" / name)
    write_clip(tmp_path / "fan" / "train" / NAME.replace("0000", "0001"))
    table = tmp_path / "fan" / "attributes_00.csv"
    table.write_text(f"file_name,d1p,d1v\n{NAME.replace('0000', '0001')},load,abnormal\n")
    clips = corpora.index(tmp_path)
    assert clips.attributes.tolist() == ["target_speed_6_test-bench_abnormality", "load_abnormal"]
    assert clips.domain.tolist() == ["source"] * 2 and clips.label.tolist() == ["normal"] * 2


def test_a_row_of_attributes_without_a_file_name(tmp_path):
    _unlabelled(tmp_path, "fan")
    (tmp_path / "fan" / "attributes_00.csv").write_text("File_Name,d1p,d1v\n,speed,6\n")
    with pytest.raises(InputError, match="row 2: ',speed,6'; expected a file name"):
        corpora.index(tmp_path)


@pytest.mark.parametrize("name", ["fan/attributes_00.csv", TRUTH.format("fan")])
def test_a_pipe_for_a_table_is_not_waited_for(tmp_path, name):
    _unlabelled(tmp_path, "fan")
    (tmp_path / name).parent.mkdir(exist_ok=True)
    os.mkfifo(tmp_path / name)
    with pytest.raises(InputError, match=f"{name}: no file; expected a table"):
        corpora.index(tmp_path)
