"""What a user's disk and words hold is used, or one InputError names what is wrong with it."""

import codecs
import io
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import unicodedata
import unittest.mock
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
import yaml
from conftest import ROOT, asd, write_clip, write_corpus
from hypothesis import given, settings
from hypothesis import strategies as st
from test_training import SMALL

from asdlib import InputError, waves
from asdlib.embedding import Embedded
from asdlib.encoder import Encoder, LogMel
from asdlib.profiles import Profile
from asdlib.scoring import segment_scores
from asdstudy import paths
from asdstudy.data import corpora, inputs, is_corpus, open_corpus
from asdstudy.data.adopt import adopt
from asdstudy.data.banks import open_bank
from asdstudy.data.describe import describe
from asdstudy.data.fetch import fetch
from asdstudy.data.inputs import name_of
from asdstudy.data.recordings import links_beside
from asdstudy.data.settings import Adoption, Recipe, Simulation
from asdstudy.data.simulate import make_corpus
from asdstudy.data.uav import fetch_uav
from asdstudy.report import results
from asdstudy.report.spectrograms import spectrogram
from asdstudy.runs import stages
from asdstudy.runs.checkpoints import Checkpoint
from asdstudy.runs.enough import check_clips, check_fit
from asdstudy.runs.plan import Plan
from asdstudy.runs.run import Run, find_runs
from asdstudy.runs.study import Study, read_study
from asdstudy.systems import make_profile, parallel, system_of
from asdstudy.systems.task import make_task

NO_NAMES = ["/home/me/rec", "a/b", "a\\b", "C:a", "..", ".", "", ".fan", "-x", "a\0b", "a\nb"]
NO_NAMES += ["\udcff", "x" * 300, 2021, True, None, ["fan"], ("fan",), 1.5, b"fan", Path("fan")]
NO_NAMES += ["fan ", " fan", "fan.", "...", "fan:a", "fa\u200bn", "fan\u00a0", "\ufefffan", "C:"]


@pytest.mark.parametrize("name", NO_NAMES, ids=repr)
def test_a_path_is_no_name(name, tmp_path, monkeypatch):
    """No corpus, machine type or variant has it, and nothing is written where it leads to."""
    monkeypatch.chdir(tmp_path)
    for ask in (
        lambda: name_of("corpus", name),
        lambda: Plan(name, "fan"),
        lambda: Plan("simulated", name),
        lambda: Plan("simulated", "fan", name),
        lambda: Plan("simulated", "fan", "proposed", name),
        lambda: open_corpus(name, tmp_path),
        lambda: find_runs(name),
        lambda: find_runs("simulated", [name]),
        lambda: find_runs("simulated", ["fan"], [name]),
        lambda: Study(machine_types=["fan"], corpus=name),
        lambda: Study(machine_types=[name]),
        lambda: Study(machine_types=["fan"], variants=["proposed", name]),
        lambda: adopt(tmp_path, tmp_path / "out", name),
    ):
        with pytest.raises(InputError) as error:
            ask()
        assert "expected" in str(error.value) or "known" in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_names_of_any_letters_are_names(tmp_path):
    for name in ("fan", "Lüfter 1.2 [50%] {a} ~*", "fan_west", "01", "$(x) ' \" `;&"):
        assert Plan(name, name).folder.parent.name == name_of("machine type", name)
        assert Study(machine_types=[name], corpus=name).plans()[0].machine_type == name


@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
def test_a_name_is_the_same_however_its_letters_are_composed(tmp_path, monkeypatch, forms):
    """macOS decomposes them: a name that is said is compared with the one on the disk as NFC."""
    there, said = (unicodedata.normalize(form, "Lüfter é") for form in forms)
    monkeypatch.setenv("ASDLIB_ROOT", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    root = write_corpus(tmp_path / "data" / there, (there, "pump"), products=1)
    (name,) = {*corpora.index(root, [said]).machine_type}
    assert name == unicodedata.normalize("NFC", said) and is_corpus(root, said)
    fields = SMALL | {"epochs": 1}
    run = stages.execute(said, said, progress=False, **fields)
    for one, other in ((there, said), (said, there)):
        runs = find_runs(one, [other], overrides={one: fields})
        assert [each.folder for each in runs] == [run.folder]
    few = {"corpus": said, "machine_types": [said], "overrides": {there: {"epochs": 1}}}
    study = Study(**few)
    assert study.listing() and study.plans()[0].profile.epochs == 1
    with pytest.raises(InputError, match="expected each once"):
        Study(machine_types=[there, said])
    table = pd.DataFrame({"machine_type": [name, "pump"]})
    assert len(results.only(table, machine_type=[said])) == 1
    write_clip(tmp_path / "mine" / "a" / "normal" / "0.wav")
    with pytest.raises(InputError, match="is there already; expected a new machine type"):
        adopt(tmp_path / "mine", root, said, progress=False)
    assert links_beside(root, [root / there]) == {}
    write_corpus(root, (said,), products=1)
    with pytest.raises(InputError, match="is also in .*; expected each machine type once"):
        corpora.index(root)


def test_links_beside_have_names(tmp_path):
    folder = write_corpus(tmp_path, ("-x",), products=1) / "-x"
    with pytest.raises(InputError, match="machine type '-x': expected the name"):
        links_beside(tmp_path / "out", [folder])


@pytest.mark.parametrize("seed", [np.int64(3), np.uint8(3), np.array(3)[()], 3])
def test_numbers_of_numpy_are_seeds(seed):
    plan = Plan("simulated", "fan", seed=seed)
    assert plan.folder == Plan("simulated", "fan", seed=3).folder and plan.record["seed"] == 3
    assert type(plan.seed) is int


@pytest.mark.parametrize(
    "seed", [-1, 1.5, True, "1", None, np.nan, np.float64(1), np.bool_(True), 2**32, [1]], ids=repr
)
def test_what_is_no_seed(seed):
    with pytest.raises(
        InputError, match="seed is .*; expected a whole number from 0 to 4294967295"
    ):
        Plan("simulated", "fan", seed=seed)
    with pytest.raises(InputError, match="seeds? is .*; expected a (whole )?number"):
        Study(machine_types=["fan"], seeds=[seed])


@pytest.mark.parametrize(
    "fields",
    [
        {"dropout": 2},
        {"hop_seconds": 1e-5},
        {"hop_seconds": 0},
        {"mel_low_hz": 7900},
        {"mel_high_hz": 8001},
        {"validation_share": 0.99},
        {"learning_rate": np.nan},
        {"learning_rate": np.inf},
        {"mixup_alpha": -1},
        {"segment_seconds": 0.01},
        {"segment_seconds": 1e-9},
        {"epochs": 0},
        {"epochs": True},
        {"epochs": 1.5},
        {"inlier_sizes": [0]},
        {"inlier_size": -2},
        {"covariance_floor": -1},
        {"inliers": []},
        {"inliers": ["GMM", "x"]},
        {"pretrained": 1},
        {"backbone": 3},
        {"segments": 0},
        {"inlier_sizes": [True]},
        {"inlier_sizes": [2, 1, 2]},
        {"inlier_sizes": [10**30]},
        {"inliers": ["GMM", "GMM"]},
        {"inliers": "GMM"},
        {"mel_low_hz": 7799.99},
        {"mel_low_hz": 102, "mel_high_hz": 103},
        {"mel_power": 1e300},
        {"log_floor": 1e300},
        {"learning_rate": 1e-300},
        {"learning_rate": 1e6},
        {"weight_decay": 1e6},
        {"product_weight": 1e300},
        {"segment_seconds": 1e308},
        {"window_seconds": 1e308},
        {"weights": "a\0b"},
        *({name: 10**30} for name, of in Profile.model_fields.items() if of.annotation is int),
    ],
    ids=repr,
)
def test_every_field_has_its_range_before_anything_runs(fields):
    with pytest.raises(InputError, match=f"{next(iter(fields))}|unknown inlier") as error:
        Plan("simulated", "fan", overrides=fields)
    assert re.search("expected|known:", str(error.value)) and "\n" not in str(error.value)
    with pytest.raises(InputError):
        Study(machine_types=["fan"], overrides={"fan": fields})


def test_numbers_of_numpy_are_fields():
    fields = {"epochs": np.int64(3), "dropout": np.float32(0.25), "inlier_sizes": np.array([1, 2])}
    profile = Plan("simulated", "fan", overrides=fields).profile
    assert (profile.epochs, profile.dropout, profile.inlier_sizes) == (3, 0.25, (1, 2))


@pytest.mark.parametrize(
    "make",
    [
        lambda: find_runs("simulated", "fan"),
        lambda: find_runs("simulated", [], "proposed"),
        lambda: find_runs("simulated", seeds=0),
        lambda: find_runs("simulated", seeds=[True]),
        lambda: find_runs("simulated", overrides=[1]),
        lambda: find_runs("simulated", overrides={"fan": 1}),
        lambda: find_runs("simulated", profile=1),
        lambda: find_runs("simulated", profile="slow"),
        lambda: Plan("simulated", "fan", out_dir=2021).folder,
        lambda: Plan("simulated", "fan", overrides=None),
        lambda: Plan("simulated", "fan", overrides=["epochs"]),
        lambda: open_corpus("Waves"),
        lambda: open_corpus("mine", 2021),
        lambda: asd("collect", "noise", "x.csv", "--seeds", "0-3"),
        lambda: asd("collect", "noise", "x.csv", "--overrides", "{"),
        lambda: asd("run", "noise", "fan", "--set", "epochs=["),
        lambda: asd("run", "noise", "fan", "--set", "weights=2021-13-45"),
        lambda: asd("run", "noise", "fan", "--set", "epochs=!!python/object:x 1"),
        lambda: Adoption(cut_seconds=1e308),
        lambda: Adoption(seed=-1),
        lambda: Simulation(seed=2**40),
        lambda: Recipe(trim_seconds=1e308),
        lambda: Recipe(broken=(1, 1)),
    ],
)
def test_words_of_a_notebook_or_command_that_are_of_another_kind(make, tmp_path, monkeypatch):
    """One sentence, and nothing is written."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises((InputError, SystemExit), match="expected|known:"):
        make()
    assert not [*tmp_path.iterdir()]


def test_one_s_own_folder_may_be_a_tilde(tmp_path, monkeypatch):
    """A shell puts a path in its place; a notebook's parameter passes through none."""
    monkeypatch.setenv("HOME", str(tmp_path))
    write_corpus(tmp_path / "c", products=1)
    clips, _ = open_corpus("noise", "~/c", progress=False)
    assert clips.path[0].is_relative_to(tmp_path / "c")
    assert Plan("noise", "fan", out_dir="~/runs").folder.is_relative_to(tmp_path / "runs")
    assert Study(corpus="noise", machine_types=["fan"], data_dir="~/c").folder == f"{tmp_path}/c"


SIMULATION = "machine_types: [fan, pump]\ndata_dir: d\nsimulation: "


@pytest.mark.parametrize(
    "text, message",
    [
        ("corpus:\tsimulated\n\tseeds: [0]", "study.yaml: line 1: .*; expected a study"),
        ("- fan\n- pump", "study.yaml: expected keys"),
        ("fan", "study.yaml: expected keys"),
        ("1: 2", "study.yaml: expected keys"),
        ("machine_types: [fan]\noverrides: {fan: }", "overrides.fan is None; expected"),
        ("machine_types: [fan]\noverrides:", "overrides is None; expected"),
        ("machine_types: [fan]\noverrides: [fan]", "overrides is .*; expected"),
        ("machine_types: [fan]\noverrides: {fan: {1: 2}}", "expected string"),
        ("machine_types: [fan]\noverrides: {fan: {epoch: 2}}", "epoch"),
        ("machine_types: [fan]\noverrides: {pump: {epochs: 2}}", "known: fan"),
        (
            "machine_types: [fan]\noverrides: {fan: {variant: ae}}",
            "unknown profile field 'variant'",
        ),
        ("machine_types: [fan]\noverrides: {fan: {name: quick}}", "unknown profile field 'name"),
        ("machine_types: [fan]\noverrides: {fan: {inlier: }}", "^unknown inlier None; known: GMM"),
        (
            "machine_types: [fan]\nseeds: [08]",
            "^seed is '08'; expected a whole number from 0 to [0-9]+$",
        ),
        ("[" * 5000, "study.yaml: .*; expected a study"),
        ("machine_types: [2021-13-45]", "study.yaml: month must be in 1..12; expected a study"),
        ("machine_types: [yes]", "machine_types is .True.; expected a number or"),
        ("machine_types: [01]", "machine_types.0 is 1; expected string"),
        ("machine_types: [a/b]", "'a/b': expected the name"),
        ("machine_types: [fan, fan]", "fan, fan; expected each once"),
        ("machine_types: fan", "machine_types is 'fan'; expected"),
        ("machine_types:", "machine_types is None; expected"),
        ("machine_types: []", "machine_types"),
        ("corpus: simulated", "machine_types"),
        ("corpus: 2021\nmachine_types: [fan]", "corpus is 2021; expected string"),
        ("corpus: ../x\nmachine_types: [fan]", "'../x': expected the name"),
        ("machine_types: [fan]\nseeds: [-1]", "seed is -1; expected a whole number"),
        ("machine_types: [fan]\nseeds: [yes]", "seeds is .True.; expected a number or a word"),
        ("machine_types: [fan]\nseeds: 0", "seeds is 0; expected"),
        ("machine_types: [fan]\nvariants: [no]", "variants is .False.; expected a number or"),
        ("machine_types: [fan]\nvariants: [nothing]", "unknown variant"),
        ("machine_types: [fan]\nprofile: slow", "unknown profile"),
        ("machine_types: [fan]\nmachines: [fan]", "unknown study field 'machines'; known: corpus"),
        ("machine_types: [fan]\ndata_dir: d\nsimulation: {clip: 1}", "unknown simulation field"),
        ("machine_types: [fan]\ndata_dir: d\nsimulation: {severity: 9}", "severity is 9"),
        ("corpus: [", "study.yaml: .*expected a study"),
        ("", "machine_types is missing"),
        ("machine_types: [fan]\n---\nseeds: [1]", "line 2: .*another document; expected a study"),
        ("machine_types: [fan]\nmachine_types: [pump]", "line 2: machine_types a second time"),
        ("machine_types: [fan]\noverrides: {fan: {epochs: 3, epochs: 4}}", "epochs a second time"),
        ("machine_types: &a [*a]", "machine_types.0 is .*; expected string"),
        ("machine_types: !!python/name:os.system [fan]", "line 1: .*; expected a study"),
        ("machine_types: [2021-01-01]", "machine_types.0 is .*; expected string"),
        ("machine_types: [fan]\nseeds: [1.0]", "seed is 1.0; expected a whole number"),
        ("machine_types: [fan]\nseeds: 0-3", "seeds is '0-3'; expected"),
        ("machine_types: [fan]\nprofile:", "profile is None; expected string"),
        ("machine_types: [fan]\noverrides: {fan: {epochs: {a: 1}}}", "epochs is .*; expected int"),
        ("machine_types: [drill]", "unknown machine type of the simulated corpus 'drill'; known"),
        (SIMULATION + "{machine_types: [fan]}", "'pump'; known: fan$"),
        (
            SIMULATION + "{machine_types: [fan, pump, drill]}",
            "simulated machine type 'drill'",
        ),
        (SIMULATION + "{machine_types: fan}", "simulation.machine_types is 'fan'; expected a list"),
        (
            "machine_types: [fan]\nvariants: [proposed, ae]\noverrides: {fan: {inlier: kNN}}",
            "unknown inlier 'kNN'; known: output",
        ),
    ],
)
def test_a_study_as_people_write_it(tmp_path, text, message):
    path = tmp_path / "study.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as error:
        read_study(path, {})
    assert "\n" not in str(error.value)


def test_numbers_from_the_command_line_are_words(tmp_path):
    """Snakemake hands over every number of --config as a string, in lists, too."""
    path = tmp_path / "study.yaml"
    path.write_text("machine_types: [fan]\n")
    study = read_study(path, {"seeds": ["0", "1"], "variants": ["proposed"], "corpus": "mine"})
    assert list(study.seeds) == [0, 1] and study.corpus == "mine"
    with pytest.raises(InputError, match="seeds is .*; expected at least 1 value"):
        read_study(path, {"seeds": []})


def test_a_study_that_is_no_file_of_text(tmp_path):
    with pytest.raises(InputError, match="nowhere.yaml: No such file or directory; expected a"):
        read_study(tmp_path / "nowhere.yaml", {})
    with pytest.raises(InputError, match="directory; expected a study"):
        read_study(tmp_path, {})
    path = tmp_path / "study.yaml"
    path.write_bytes(b"corpus: \xff\xfe")
    with pytest.raises(InputError, match="study.yaml: .*expected a study"):
        read_study(path, {})
    path.write_text("machine_types: [fan]")
    with pytest.raises(InputError, match="seeds=.1: expected a value as in YAML"):
        read_study(path, {"seeds": "[1"})


def test_a_listing_of_what_is_there(tmp_path, monkeypatch):
    """A link to nothing, a ring of links and a name that is no UTF-8 are files, too."""
    monkeypatch.chdir(tmp_path)
    write_clip(tmp_path / "data" / "mine" / "fan" / "train" / "a.wav")
    study = Study(corpus="mine", machine_types=["fan"])
    first = study.listing()
    (tmp_path / "data" / "mine" / "nothing.wav").symlink_to("nowhere")
    (tmp_path / "data" / "mine" / "fan" / "ring").symlink_to("..")
    open(b"data/mine/\xff.wav", "wb").close()
    assert study.listing() == study.listing() != first


def test_segments_that_repeat_none_before(tmp_path):
    """A clip no longer than a segment has one; a little longer, two."""
    distinct = waves.distinct_segments(np.array([3, 4, 5, 7, 100]), 4, 4)
    assert distinct.sum(axis=1).tolist() == [1, 1, 2, 4, 4]
    assert distinct[:, 0].all() and distinct[2].tolist() == [True, False, False, True]
    assert waves.distinct_segments(np.array([3, 100]), 1, 4).all()


def test_a_short_clip_counts_as_one_vector():
    """h is fitted as if it had one segment, and too few of them are reported before training."""
    profile = make_profile("quick", "pump", "product-only", inlier_part="train")
    rng = np.random.default_rng(0)
    once = rng.normal(size=(12, 1, 4)).astype(np.float32)
    frames = np.full(12, profile.segment_frames)
    clips = pd.DataFrame(
        {"product": "00", "frames": frames, "path": [Path("fan/train/a.wav")] * 12}
    )
    fit = Embedded(clips, np.repeat(once, 10, axis=1))
    test = Embedded(clips, rng.normal(size=(12, 10, 4)).astype(np.float32))
    for inlier, size in (("LOF", 3), ("kNN", 4), ("GMM", 2), ("Mahalanobis", 0)):
        many = segment_scores(inlier, size, fit, test, ["00"], profile)
        single = segment_scores(inlier, size, Embedded(clips, once), test, ["00"], profile)
        np.testing.assert_array_equal(many, single)
    assert check_clips(clips, 10, profile) == 12
    assert check_clips(clips.assign(frames=frames + 9), 10, profile) == 120
    with pytest.raises(InputError, match="12 embeddings are too few for LOF, which needs 17"):
        check_clips(clips, 10, profile.replace(inlier="LOF", inliers=("LOF",), inlier_size=16))


def test_copies_of_a_clip_count_once():
    """Under other names they are the same vectors, which h would take for near neighbours."""
    profile = make_profile("quick", "pump", "product-only", inlier_part="train")
    rng = np.random.default_rng(0)
    once = rng.normal(size=(12, 3, 4)).astype(np.float32)
    frames = np.full(24, 9 * profile.segment_frames)
    clips = pd.DataFrame({"product": "00", "frames": frames, "path": [Path("fan/train/a")] * 24})
    fit = Embedded(clips, np.concatenate([once, once]))
    test = Embedded(clips[:12], rng.normal(size=(12, 3, 4)).astype(np.float32))
    for inlier, size in (("LOF", 3), ("kNN", 4), ("GMM", 2), ("Mahalanobis", 0)):
        many = segment_scores(inlier, size, fit, test, ["00"], profile)
        single = segment_scores(inlier, size, fit[np.arange(24) < 12], test, ["00"], profile)
        np.testing.assert_array_equal(many, single)
    same = Embedded(clips, np.repeat(once[:1], 24, axis=0))
    with pytest.raises(InputError, match="3 embeddings are too few for LOF, which needs 4"):
        check_fit(same, ["00"], profile.replace(inlier="LOF", inlier_size=3))


@pytest.mark.parametrize(
    "name, features", [("test_efficientnet", 256), ("mambaout_femto", 288), ("test_resnet", 96)]
)
def test_a_backbone_is_pooled_over_its_map_and_not_over_its_channels(name, features):
    profile = make_profile("quick", "pump", backbone=name)
    encoder = Encoder(profile, 2)
    assert encoder.head[1].in_features == encoder.backbone.num_features == features
    assert encoder(torch.zeros(2, profile.segment_frames)).shape == (2, 128)


@pytest.mark.parametrize(
    "name, message",
    [
        ("test_vit", "has no feature map to pool"),
        ("vit_tiny_patch16_224", "takes no mel of 64 bins x 32 frames: AssertionError"),
        ("swin_tiny_patch4_window7_224", "takes no mel of 64 bins x 32 frames: AssertionError"),
        ("test_efficientnet.nothing", "cannot be made: RuntimeError"),
        ("nothing", "unknown backbone 'nothing'"),
    ],
)
def test_a_backbone_that_cannot_be_used_is_refused_before_training(name, message):
    with pytest.raises(InputError, match=message) as error:
        Encoder(make_profile("quick", "pump", backbone=name), 2)
    assert "\n" not in str(error.value)


def test_a_backbone_may_run_at_its_own_size():
    sizes = {"mel_bins": 224, "segment_seconds": 2.0, "hop_seconds": 2 / 223}
    profile = make_profile("quick", "pump", backbone="swin_tiny_patch4_window7_224", **sizes)
    assert Encoder(profile, 2).head[1].in_features == 768


def _sound(samples=1600, rate=16_000, **format):
    file = io.BytesIO()
    noise = np.random.default_rng(0).normal(0, 0.1, samples)
    soundfile.write(file, noise, rate, **{"format": "WAV", "subtype": "PCM_16"} | format)
    return file.getvalue()


def _with_length(content, place, size):
    return content[:place] + size.to_bytes(4, "little") + content[place + 4 :]


GOOD = _sound()
SOUNDS = {
    "good": GOOD,
    "flac": _sound(format="FLAC"),
    "float": _sound(subtype="FLOAT"),
    "other rate": _sound(rate=8000),
    "in units of int16": _sound(subtype="FLOAT")[:-4] + np.float32(20_000).tobytes(),
    "NaN": _sound(subtype="FLOAT")[:-4] + np.float32(np.nan).tobytes(),
    "empty": b"",
    "no sound": _sound(0),
    "text": b"no sound at all",
    "cut off": GOOD[:-100],
    "header alone": GOOD[:20],
    "half a FLAC": _sound(16_000, format="FLAC")[:9000],
    "of a pipe": _with_length(GOOD, 40, 0xFFFFFFFF),
    "of a pipe, 0": _with_length(GOOD, 40, 0),
}
PLACES = [
    *("{t}/train/", "{t}/train/", "{t}/test/", "{t}/source_test/", "{t}/target_test/"),
    *("{t}/", "{t}/id_00/normal/", "{t}/id_00/abnormal/", "{t}/supplemental/", "{t}/train/deep/"),
    *("", "ground_truth/", "ground_truth_domain/", "{t}/.hidden/", "-6_dB_{t}/{t}/id_02/normal/"),
]
FILES = [
    *(f"section_00_source_{split}_0000.wav".encode() for split in ("train_normal", "test_anomaly")),
    *(b"section_00_source_train_anomaly_0001.wav", b"section_0_source_train_normal_0002.wav"),
    *(b"section_00_source_test_0003.wav", b"section_00_0004.wav", b"section_01_target_test_0.flac"),
    *(b"normal_id_00_00000000.wav", b"00000000.wav", b"00000000.WAV", b"notes.txt", b".DS_Store"),
    *(b"section_00_source_train_normal_0005_\xff.wav", b"\xe4.wav", b"a\nb.wav", b"x.mp3"),
    *(b"attributes_00.csv", b"recordings.csv", b"ground_truth_fan_section_00_source_test.csv"),
    *(b"ground_truth_fan_west_section_00_test.csv", b"ground_truth_fan.csv", b"README.md"),
    *("section_00_source_train_normal_0006_Lüfter 1.5 [a]*.wav".encode(), b"train", b"test"),
]
TABLES = [
    *("section_00_source_test_0003.wav,1\n", "name;label\nfan/test/section_00_source_test_0003;0"),
    *("file_name,d1p,d1v\nsection_00_source_train_normal_0000.wav,speed,6\n", "clip,recording\n"),
    *("", "\n", ",", '"', "\0", "a,b,c\n1\n", "file_name\n\n,,,\n", "section_00_0004.wav\t2\n"),
]
TYPES = ["fan", "fan_west", "fan[1]", "-x", "ä ö", "\udcff"]


@st.composite
def _things(draw):
    """What lies at a path: sound, a table, a link, a folder, a pipe, or what nobody may read."""
    place = draw(st.sampled_from(PLACES)).format(t=draw(st.sampled_from(TYPES)))
    path = os.fsencode(place) + draw(st.sampled_from(FILES))
    sounds = st.sampled_from(["good"] * 9 + list(SOUNDS))
    tables = st.sampled_from(TABLES).map(str.encode) | st.binary(max_size=20)
    if path.endswith(b".csv"):
        return path, draw(st.sampled_from(["file"] * 9 + ["pipe", "closed", "ring"])), draw(tables)
    kinds = ["file"] * 12 + ["link to nothing", "ring", "folder", "pipe", "closed", "twice"]
    kinds += ["closed folder", "folder without way", "folder without list"]
    return path, draw(st.sampled_from(kinds)), draw(sounds)


FOLDERS = {"closed folder": 0, "folder without way": 0o444, "folder without list": 0o111}


def _make(root: Path, path: bytes, kind: str, content: str | bytes) -> None:
    path = root / os.fsdecode(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if os.path.lexists(path):
            return
        if kind == "folder":
            path.mkdir()
        elif kind == "pipe":
            os.mkfifo(path)
        elif kind in ("link to nothing", "ring", "twice"):
            first = root / "fan/train/section_00_source_train_normal_0009.wav"
            path.symlink_to({"link to nothing": "nowhere", "ring": ".."}.get(kind, first))
        else:
            path.write_bytes(SOUNDS.get(content, content))
            path.chmod(0 if kind == "closed" else 0o644)
            if "folder" in kind:  # the one around it
                path.parent.chmod(FOLDERS[kind])
    except (FileExistsError, NotADirectoryError):  # another thing lies there
        pass


@cache
def _import_late_modules():
    """Import what is imported when it is used: nobody may not read the interpreter's files."""
    for codec in ("utf-8-sig", "utf-16"):
        codecs.lookup(codec)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "corpus"
        root.mkdir()
        name = "fan/train/section_00_source_train_normal_0009.wav"
        _make(root, name.encode(), "file", "good")
        _every_file_is_accounted_for(root, {root / name}, Path(folder) / "waves")


@contextmanager
def _as_nobody(folder: Path):
    """Root may open everything: where the tests run as root, be someone who may not."""
    root = os.geteuid() == 0
    folder.chmod(0o777)
    if root:
        _import_late_modules()
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        for place, _, _ in os.walk(folder):  # top down: each is opened before it is looked into
            os.chmod(place, 0o777)


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(st.lists(_things(), min_size=1, max_size=12))
def test_every_file_is_used_or_passed_over_or_in_an_error(things):
    """Never another exception, never a silent loss; describe and the index say the same."""
    with tempfile.TemporaryDirectory() as folder:
        root, banks = Path(folder) / "corpus", Path(folder) / "waves"
        root.mkdir()
        _make(root, b"fan/train/section_00_source_train_normal_0009.wav", "file", "good")
        for thing in things:
            _make(root, *thing)
        places = [(Path(place), names) for place, _, names in os.walk(root)]
        visible = {
            place / name
            for place, names in places
            for name in names
            if not any(part.startswith(".") for part in (place / name).relative_to(root).parts)
        }
        with _as_nobody(Path(folder)):
            _every_file_is_accounted_for(root, visible, banks)


def _every_file_is_accounted_for(root, visible, banks):
    try:
        description = describe(root)
    except InputError as error:  # of the corpus itself
        assert str(error).startswith(f"{root}: cannot be read")
        return
    str(description).encode()
    beside = {path for path in visible if path.name == "README.md"} | corpora.survey(root).tables
    faulty = {*description.unplaced}  # of a folder that cannot be read, that alone is said
    named = {path for path in visible if not faulty.isdisjoint((path, *path.parents))}
    assert visible <= {*description.clips.path} | named | beside
    assert not {*description.clips.path} & faulty
    try:
        clips = corpora.index(root)
    except InputError as error:
        message = str(error)
        assert message.isprintable()
        assert any(message.startswith(why) for why in description.unplaced.values())
        return
    used = description.clips[description.clips.split != "supplemental"]
    assert clips.path.tolist() == used.path.tolist()
    passed = {path for path in faulty if not os.path.isdir(path)}
    assert not any(path.suffix.lower() in inputs.SOUND or path.suffix == ".csv"
                   and "fan_west" not in path.name for path in passed)  # fmt: skip
    for _, part in clips.groupby("machine_type"):
        try:
            open_bank(part, banks, progress=False)
        except InputError as error:
            assert str(root) in str(error)


def test_where_nothing_may_be_written_or_read():
    """One line each, from banks and from whatever makes a corpus."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clips = corpora.index(write_corpus(folder / "c", ("fan",), products=1))
        write_corpus(folder / "closed" / "c", ("fan",), products=1)
        for number in range(3):
            write_clip(folder / "mine" / "a" / "normal" / f"{number}.wav")
        (folder / "full").mkdir(mode=0o555)
        (folder / "closed").chmod(0)
        out, server = folder / "full" / "out", "http://localhost:1"
        with _as_nobody(folder):
            for make in (
                lambda: open_bank(clips, out, progress=False),
                lambda: open_bank(clips, out.parent, progress=False),
                lambda: adopt(folder / "mine", out, "fan", progress=False),
                lambda: make_corpus(out, progress=False),
                lambda: fetch(out, ["fan"], server),
                lambda: fetch_uav(out, server=server),
            ):
                with pytest.raises(InputError, match="cannot be written .Permission denied.; exp"):
                    make()
            for read in (corpora.index, describe, lambda path: adopt(path, out, "fan")):
                with pytest.raises(InputError, match="closed/c: no such folder"):
                    read(folder / "closed" / "c")


@pytest.mark.parametrize(
    "name, kind, message",
    [
        (b"section_00_source_train_normal_0001.wav", "link to nothing", "a link to nothing"),
        (b"section_00_source_train_normal_0001.wav", "folder", "no file; expected"),
        (b"section_00_source_train_normal_0001.wav", "pipe", "no file; expected"),
        (b"section_00_source_train_normal_0001.wav", "ring", "no file; expected"),
        (b"section_00_source_train_normal_0001_\xff.wav", "file", "the name is no UTF-8"),
        (b"section_00_source_train_normal_0001_\xff.wav", "link to nothing", "is no UTF-8"),
    ],
)
def test_a_tree_as_it_is(tmp_path, name, kind, message, capsys):
    """It is one line in the index, in the list of the command, and in adopt."""
    write_corpus(tmp_path / "c", ("fan",), products=1)
    _make(tmp_path / "c", b"fan/train/" + name, kind, "good")
    with pytest.raises(InputError, match=message):
        corpora.index(tmp_path / "c")
    asd("describe", tmp_path / "c")
    said = [line for line in capsys.readouterr().out.splitlines() if "normal_0001" in line]
    assert len([line for line in said if message in line]) == 1
    for number in range(3):
        write_clip(tmp_path / "mine" / "a" / "normal" / f"{number}.wav")
    _make(tmp_path / "mine", b"a/normal/" + name, kind, "good")
    if kind not in ("folder", "ring"):  # the files of a folder are one recording
        with pytest.raises(InputError):
            adopt(tmp_path / "mine", tmp_path / "out", "fan", progress=False)


def test_a_folder_in_two_layouts_and_one_without_train(tmp_path):
    write_clip(tmp_path / "fan" / "train" / "section_00_source_train_normal_0000.wav")
    write_clip(tmp_path / "fan" / "id_00" / "normal" / "00000000.wav")
    with pytest.raises(InputError, match="fan: id_<II>/ beside train/; expected either layout"):
        corpora.index(tmp_path)
    write_clip(tmp_path / "other" / "pump" / "test" / "section_00_source_test_0000.wav")
    assert corpora.index(tmp_path / "other").machine_type.tolist() == ["pump"]


@pytest.mark.parametrize("seconds", [1 / 16_000, 0.04, 0.3])
def test_every_system_takes_one_short_clip_among_others(tmp_path, seconds):
    """It is repeated: the least length is one sample, which the index checks."""
    root = write_corpus(tmp_path / "c", train=4)
    for folder, label in (("train", "train_normal"), ("source_test", "test_anomaly")):
        write_clip(root / "pump" / folder / f"section_00_source_{label}_0099.wav", seconds, 7)
    _, banks = open_corpus("noise", root, progress=False)
    few = {"epochs": 1, "batch_size": 8, "inlier_sizes": (1,), "inliers": ("GMM", "output")}
    for variant in ("spectrum", "parallel"):
        overrides = {"inliers": ("output",)} if variant == "parallel" else {}
        profile = make_profile("quick", "pump", variant, **few | {"inlier": "output"} | overrides)
        system = system_of(variant)
        task = make_task(system, "pump", banks, profile, 0, progress=False)
        with unittest.mock.patch.object(parallel, "AUTOENCODER_EPOCHS", 1):
            output = system.embed(task, system.train(task).weights).output
        assert np.isfinite(output[task.clips(task.test_rows).shape[0] * -1 :]).all()


@pytest.mark.parametrize("samples", [1, 2, 640, 1024, 1025, 2047])
def test_sound_shorter_than_a_window_is_repeated_by_whatever_uses_it(samples):
    """The log-mel sets the least length, so the encoder, a spectrum and a picture have the same:
    one sample."""
    profile = make_profile("quick", "pump")
    sound = np.random.default_rng(0).normal(0, 9999, samples).astype(np.int16)
    logmel = LogMel(profile)
    wave = torch.from_numpy(sound.astype(np.float32))[None]
    whole = torch.from_numpy(np.resize(sound, logmel.size).astype(np.float32))[None]
    assert torch.equal(logmel(wave), logmel(whole))
    assert np.isfinite(spectrogram(sound, profile).get_images()[0].get_array()).all()


@contextmanager
def _files_of_at_most(size):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_costs_no_epoch(tmp_path):
    """One sentence, nothing half written, and the checkpoint of before."""
    checkpoint = Checkpoint(tmp_path / ".run.encoder.checkpoint", {"a": 1})
    rng = np.random.default_rng(0)
    checkpoint.save({"weights": torch.zeros(10)}, rng)
    before = checkpoint.path.read_bytes()
    with _files_of_at_most(10_000):
        with pytest.raises(
            InputError, match="checkpoint: no room to write it .* are free.*goes on"
        ):
            checkpoint.save({"weights": torch.zeros(100_000)}, rng)
    assert list(tmp_path.iterdir()) == [checkpoint.path]
    assert checkpoint.path.read_bytes() == before


def _things_that_write(tmp_path):
    root = write_corpus(tmp_path / "c", ("fan",), products=1)
    for number in range(3):
        write_clip(tmp_path / "mine" / "a" / "normal" / f"{number}.wav")
    clips, out = corpora.index(root), tmp_path / "out"
    few = Simulation(train_clips=1, test_clips=0, products=1)
    return {
        "bank": lambda: open_bank(clips, out, progress=False),
        "adopt": lambda: adopt(tmp_path / "mine", out, "fan", progress=False),
        "simulate": lambda: make_corpus(out, few, ["fan"], workers=1, progress=False),
        "a table": lambda: results.save(clips, out / "table.csv"),
    }


@pytest.mark.parametrize("size", [0, 100, 1000])
@pytest.mark.parametrize("name", ["bank", "adopt", "simulate", "a table"])
def test_a_full_disk_is_one_sentence_of_whatever_writes(tmp_path, name, size):
    """It names the place and the room; nothing half written is left, and it works later."""
    make, out = _things_that_write(tmp_path)[name], tmp_path / "out"
    out.mkdir()
    with _files_of_at_most(size):
        with pytest.raises(InputError, match=f"{re.escape(str(out))}.*: no room to write it .*GB"):
            make()
    left = [path for path in out.rglob("*") if path.is_file() and not path.name.endswith("lock")]
    assert {path.name for path in left} <= {"corpus.json"}  # which says what is being made
    make()


def test_what_is_made_does_not_mix_with_what_is_there(tmp_path):
    """Nothing is written among a user's recordings, nor beside the clips of another corpus."""
    for number in range(3):
        write_clip(tmp_path / "mine" / "a" / "normal" / f"{number}.wav")
    root = write_corpus(tmp_path / "c", ("fan",), products=1)
    (tmp_path / "link").symlink_to("mine")
    files = {*tmp_path.rglob("*")}
    for out in ("mine", "mine/a", "mine/new", "link", "link/a", "mine/../mine"):
        with pytest.raises(InputError, match="among the recordings of .*; expected another place"):
            adopt(tmp_path / "mine", tmp_path / out, "fan", progress=False)
    for folder in (root, tmp_path / "mine", tmp_path):
        with pytest.raises(InputError, match="holds .*, and no corpus.json .*; expected a folder"):
            make_corpus(folder, Simulation(train_clips=1), ["fan"], progress=False)
    with pytest.raises(InputError, match="c/fan: is there already; expected a new folder"):
        fetch(root, ["fan"], "http://localhost:1")
    assert {*tmp_path.rglob("*")} == files


def test_memory_that_is_full_is_one_sentence(tmp_path):
    for error in (MemoryError("Unable to\nallocate 9 TiB"), RuntimeError("CUDA out of memory.")):
        with pytest.raises(InputError, match="run: not enough memory to make it .*") as caught:
            with paths.making(tmp_path / "run"), paths.making(tmp_path / "inner" / "run"):
                raise error
        assert "\n" not in str(caught.value) and "inner" in str(caught.value)


def test_a_folder_for_runs_that_cannot_be_written_is_reported_before_training(tmp_path):
    (tmp_path / "file").write_text("")
    root = write_corpus(tmp_path / "c", products=1)
    for out in (tmp_path / "file", tmp_path / "file" / "below", "/proc/runs", "x" * 300, "a\0b"):
        with pytest.raises(
            InputError, match="(cannot be written|a str); expected a|folder for out"
        ):
            stages.execute("noise", "pump", data_dir=root, out_dir=out, progress=False, **SMALL)


def test_a_full_disk_keeps_what_a_run_has_done(tmp_path):
    root = write_corpus(tmp_path / "c", products=1)
    ask = {"data_dir": root, "out_dir": tmp_path / "runs", "progress": False}
    plan = Plan("noise", "pump", overrides=SMALL, out_dir=tmp_path / "runs")
    _, banks = open_corpus("noise", root, progress=False)
    save, saved = Checkpoint.save, []

    def save_twice(self, *values):
        with _files_of_at_most(1000 if saved else 10**9):
            save(self, *values)
        saved.append(self.path)

    with unittest.mock.patch.object(Checkpoint, "save", save_twice):
        with pytest.raises(InputError, match="no room to write it"):
            stages.train(plan, banks, progress=False)
    left = [path for path in (tmp_path / "runs").rglob("*") if path.is_file()]
    assert left == saved
    run = stages.execute("noise", "pump", **ask, **SMALL)
    assert run.params["resumed"]
    with _files_of_at_most(1000):
        with pytest.raises(InputError, match="no room to write it"):
            stages.execute("noise", "pump", **ask, **SMALL | {"embedding_size": 64, "epochs": 1})


def test_what_lies_beside_the_runs_is_no_run(tmp_path):
    """A run's record says what it is; a broken one is reported, and repeated."""
    root = write_corpus(tmp_path / "c", products=1)
    ask = {"data_dir": root, "out_dir": tmp_path / "runs", "progress": False}
    run = stages.execute("noise", "pump", **ask, **SMALL)
    overrides = {"pump": SMALL}

    def there():
        return find_runs("noise", out_dir=tmp_path / "runs", overrides=overrides)

    shutil.copytree(run.folder, run.folder.with_name(f"{run.folder.name} (copy)"))
    shutil.copytree(run.folder, run.folder.parents[1] / "old" / run.folder.name)
    (run.folder.parent / "notes.txt").write_text("mine")
    (run.folder.parent / "empty").mkdir()
    assert [each.folder for each in there()] == [run.folder]
    cut = run.folder.with_name("cut")
    cut.mkdir()
    broken = [b'{"corpus": "noi', b"", b"[1]", b"\xff", b"[" * 99_999, b'{"score": null}']
    for content in (*broken, b'{"score": [1]}', b'{"score": {}}', b'{"train": {"identity": 1}}'):
        (cut / "params.json").write_bytes(content)
        with pytest.warns(UserWarning, match="cut/params.json: broken; the run is left out"):
            assert [each.folder for each in there()] == [run.folder]
        with pytest.raises(InputError, match="cut: finished stages: none"):
            Run(cut)
        assert stages.execute("noise", "pump", **ask, **SMALL).params == run.params
    shutil.rmtree(cut)
    for name, size in ("metrics.csv", 0), ("scores.csv", 0), ("history.csv", 0), ("metrics.csv", 9):
        (run.folder / name).write_bytes((run.folder / name).read_bytes()[:size])
        with pytest.raises(InputError, match=f"{re.escape(run.folder.name)}: a broken run"):
            there()
        again = stages.execute("noise", "pump", **ask, **SMALL)
        assert again.metrics.equals(run.metrics)
    content = (run.folder / "params.json").read_bytes()
    broken = {b'"dropout"': b'"drop"', b'"wall_seconds"': b'"x"', b'"epochs": 2': b'"epochs": 0'}
    for old, new in broken.items():
        (run.folder / "params.json").write_bytes(content.replace(old, new))
        with pytest.raises(InputError, match=f"{re.escape(run.folder.name)}: a broken run"):
            Run(run.folder)
    (run.folder / "params.json").write_bytes(content[:99])
    again = stages.execute("noise", "pump", **ask, **SMALL)
    assert again.metrics.equals(run.metrics)


def test_a_target_without_test_clips_is_reported_before_anything_is_drawn(tmp_path):
    """Target-domain clips do not count; another machine type needs none."""
    root = write_corpus(tmp_path, products=1)
    for path in (root / "pump" / "source_test").iterdir():
        path.unlink()
    write_clip(root / "pump" / "target_test" / "section_00_target_test_normal_0000.wav")
    _, banks = open_corpus("noise", root, "pump", progress=False)
    with pytest.raises(InputError, match="pump: no test clips to score in the source domain"):
        stages.task_of(Plan("noise", "pump", overrides=SMALL), banks, progress=False)
    assert stages.task_of(Plan("noise", "fan", overrides=SMALL), banks, progress=False)
    cells = nbformat.read(ROOT / "notebooks/train.ipynb", as_version=4).cells
    sources = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    assert sources.index("stages.task_of(") < sources.index("spectrograms(")


def test_a_single_product_id_without_others_is_reported(tmp_path):
    """Eq. 1 has nothing to separate then, and a plausible AUC would appear without a warning."""
    ask = {"data_dir": write_corpus(tmp_path / "c", products=1), "progress": False}
    run = stages.execute("noise", "pump", "product-only", **ask, **SMALL | {"epochs": 1})
    assert [words for words in run.params["warnings"] if words.startswith("nothing to learn: one")]


def test_no_compiler_is_reported_before_training(tmp_path, monkeypatch):
    root = write_corpus(tmp_path, products=1)
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(InputError, match="compile is True, and no-such-compiler is not there"):
        stages.execute("noise", "pump", data_dir=root, progress=False, **SMALL, compile=True)


@pytest.mark.slow
def test_no_name_of_a_folder_is_special_to_a_shell(tmp_path):
    """A checkout, a corpus and a machine type as a synchronised disk may call them."""
    odd = "OneDrive - Firm (1) 'x' $HOME {a} & co"
    project = tmp_path / odd
    for name in ("Snakefile", "_config.yml", "_toc.yml", "asdlib", "asdstudy", "book", "notebooks"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copyfile
        project.mkdir(exist_ok=True)
        copy(ROOT / name, project / name)
    shutil.copytree(ROOT / "workflow", project / "workflow")
    write_corpus(project / odd, (odd, "pump"))
    few = {odd: {"epochs": 1, "batch_size": 8, "inlier_sizes": [1], "inlier": "GMM"}}
    text = {"corpus": odd, "data_dir": odd, "machine_types": [odd], "overrides": few}
    (project / "study.yaml").write_text(yaml.safe_dump(text, allow_unicode=True))
    (plan,) = Study(**text).plans()
    target = (
        "_build/pages/machines/OneDrive - Firm =28=1=29= =27=x=27= =24=HOME =7b=a=7d= =26= co.ipynb"
    )
    words = [sys.executable, "-m", "snakemake", "--cores", "1", target]
    environment = os.environ | {"PYTHONPATH": str(project), "ASDLIB_ROOT": str(project)}
    done = subprocess.run(words, cwd=project, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    assert (project / target).exists() and Run(project / plan.folder).params["corpus"] == odd
    assert [path.name for path in tmp_path.iterdir()] == [odd]


@pytest.mark.parametrize(
    "content, message",
    [
        (
            "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)",
            "in cell 2: the kernel was kill",
        ),
        ("1 / 0", "in cell 2: ZeroDivisionError"),
        (b"", "before its first cell: no notebook that can be read"),
        (b"{", "before its first cell: no notebook that can be read"),
        (b"{}", "before its first cell: no notebook that can be read"),
        (b"[]", "before its first cell: no notebook that can be read"),
        (
            b'{"cells": [], "metadata": {"x": "\xff"}}',
            "before its first cell: no notebook that can be",
        ),
        ("import os; os._exit(3)", "in cell 2: the kernel was kill"),
        ("import sys; sys.exit(3)", "in cell 2: SystemExit: 3"),
        ("raise KeyboardInterrupt", "in cell 2: KeyboardInterrupt"),
        (None, "with .*: No such file or directory"),
        (Path(), "with .*: Is a directory"),
    ],
)
def test_a_notebook_that_cannot_end_is_one_message(tmp_path, content, message):
    notebook, out, log = (tmp_path / name for name in ("a.ipynb", "out.ipynb", "log.ipynb"))
    if isinstance(content, bytes):
        notebook.write_bytes(content)
    elif isinstance(content, Path):
        notebook.mkdir()
    elif content:
        python = {"kernelspec": {"name": "python3", "language": "python", "display_name": "P"}}
        cells = [nbformat.v4.new_code_cell(text) for text in ("a = 1", content, "b = 1")]
        nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=python), notebook)
    words = [sys.executable, ROOT / "workflow/run_notebook.py", notebook, out, "--log", log]
    words += ["--parameters", '{"x": 1}']
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 1 and not out.exists()
    # a kernel that ends while it answers may log that it has lost its socket
    lost = r"ERROR:tornado.general:.*\nTraceback (?:.*\n)+?zmq.error.ZMQError: Socket .*-socket\n"
    said = re.sub(lost, "", done.stderr)
    assert re.search(f"{re.escape(str(notebook))} failed {message}", said)
    assert 'parameters: {"x": 1}' in said and "Traceback" not in said
    assert log.with_suffix(".failed").read_text() in said + "\n"


def test_where_a_notebook_s_page_cannot_be_written(tmp_path, monkeypatch):
    """One message, the page of before, and nothing half written; parameters are an object."""
    from workflow import run_notebook

    def executed(notebook, log, *_, **__):
        Path(log).write_text("page")

    monkeypatch.setattr(run_notebook.papermill, "execute_notebook", executed)
    out, log = tmp_path / "out.ipynb", tmp_path / "log.ipynb"
    out.write_text("before")
    assert run_notebook.run(Path("a.ipynb"), out / "below.ipynb", log, {}).startswith("a.ipynb fai")
    with _files_of_at_most(2):
        message = run_notebook.run(Path("a.ipynb"), out, log, {})
    assert re.match("a.ipynb failed with .*: File too large", message)
    assert out.read_text() == "before" and {p.name for p in tmp_path.iterdir()} == {
        *("out.ipynb", "log.ipynb", "log.failed")
    }
    assert run_notebook.run(Path("a.ipynb"), out, log, {}) is None
    assert out.read_text() == "page" and not log.with_suffix(".failed").exists()
    for words in ("[1]", "x", "null", '"fan"'):
        with pytest.raises(ValueError):
            run_notebook.an_object(words)
