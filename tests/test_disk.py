"""What a user's disk and words hold is used, or one InputError names what is wrong with it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import write_clip, write_corpus

from asdlib import InputError, waves
from asdlib.embedding import Embedded
from asdlib.encoder import Encoder
from asdlib.errors import name_of
from asdlib.profiles import make_profile
from asdlib.scoring import check_enough, segment_scores
from asdstudy.data import open_corpus
from asdstudy.data.adopt import adopt
from asdstudy.data.recordings import links_beside
from asdstudy.runs.plan import Plan
from asdstudy.runs.run import find_runs
from asdstudy.runs.study import Study, read_study

NO_NAMES = ["/home/me/rec", "a/b", "a\\b", "C:a", "..", ".", "", ".fan", "-x", "a\0b", "a\nb"]
NO_NAMES += ["\udcff", "x" * 300, 2021, True, None, ["fan"], ("fan",), 1.5]


@pytest.mark.parametrize("name", NO_NAMES, ids=repr)
def test_a_path_is_no_name(name, tmp_path, monkeypatch):
    """Of a corpus, machine type or variant: nothing is written where it leads to."""
    monkeypatch.chdir(tmp_path)
    for ask in (
        lambda: name_of("corpus", name),
        lambda: Plan(name, "fan"),
        lambda: Plan("simulated", name),
        lambda: Plan("simulated", "fan", name),
        lambda: Plan("simulated", "fan", "proposed", name),
        lambda: open_corpus(name, tmp_path),
        lambda: find_runs(name),
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
    with pytest.raises(InputError, match="seed is .*; expected a whole number"):
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
    ],
    ids=repr,
)
def test_every_field_has_its_range_before_anything_runs(fields):
    with pytest.raises(InputError, match=f"{next(iter(fields))}|unknown inlier"):
        Plan("simulated", "fan", overrides=fields)
    with pytest.raises(InputError):
        Study(machine_types=["fan"], overrides={"fan": fields})


def test_numbers_of_numpy_are_fields():
    fields = {"epochs": np.int64(3), "dropout": np.float32(0.25), "inlier_sizes": np.array([1, 2])}
    profile = Plan("simulated", "fan", overrides=fields).profile
    assert (profile.epochs, profile.dropout, profile.inlier_sizes) == (3, 0.25, (1, 2))


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
        ("machine_types: [yes]", "machine_types.0 is True; expected string"),
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
        ("machine_types: [fan]\nseeds: [yes]", "seed is True; expected a whole number"),
        ("machine_types: [fan]\nseeds: 0", "seeds is 0; expected"),
        ("machine_types: [fan]\nvariants: [no]", "variants.0 is False; expected string"),
        ("machine_types: [fan]\nvariants: [nothing]", "unknown variant"),
        ("machine_types: [fan]\nprofile: slow", "unknown profile"),
        ("machine_types: [fan]\nmachines: [fan]", "unknown study field 'machines'; known: corpus"),
        ("machine_types: [fan]\ndata_dir: d\nsimulation: {clip: 1}", "unknown simulation field"),
        ("machine_types: [fan]\ndata_dir: d\nsimulation: {severity: 9}", "severity is 9"),
        ("corpus: [", "study.yaml: .*expected a study"),
    ],
)
def test_a_study_as_people_write_it(tmp_path, text, message):
    path = tmp_path / "study.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as error:
        read_study(path, {})
    assert "\n" not in str(error.value)


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
    with pytest.raises(InputError, match="expected a study"):
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
    """h is fitted as if it had one segment, and too few of them are told before training."""
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
    assert check_enough(clips, 10, profile) == 12
    assert check_enough(clips.assign(frames=frames + 9), 10, profile) == 120
    with pytest.raises(InputError, match="12 embeddings are too few for LOF, which needs 17"):
        check_enough(clips, 10, profile.replace(inlier="LOF", inliers=("LOF",), inlier_size=16))


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
