"""The rivals of Table II: complete run folders, and what sets each apart."""

import subprocess
import sys
from typing import get_args

import numpy as np
import pandas as pd
import pytest
import test_training
import torch
from conftest import write_corpus
from scipy import special
from test_training import SMALL

from asdlib import InputError
from asdlib.batches import Batch, split_clips, validation_batch
from asdlib.embedding import Embedded
from asdlib.encoder import Encoder
from asdlib.inliers import Mahalanobis
from asdlib.profiles import Inlier
from asdlib.scoring import segment_scores
from asdstudy.data import open_corpus
from asdstudy.runs import stages as runs
from asdstudy.systems import RIVALS, autoencoder, ddcsad, make_profile, parallel, serial, softmax
from asdstudy.systems.centroid import Centroid

pytestmark = pytest.mark.filterwarnings("ignore:a GMM with p")
PROFILE = make_profile("quick", "pump", "ddcsad", **SMALL)
FILES = {"params.json", "history.csv", "encoder.safetensors", "embeddings.npz", "scores.csv",
         "thresholds.json", "metrics.csv", "card.md", "submission"}  # fmt: skip


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    return write_corpus(tmp_path_factory.mktemp("c") / "corpus")


def execute(root, variant, machine_type="pump", **options):
    return runs.execute(
        "noise", machine_type, variant, data_dir=root, progress=False, **SMALL | options
    )


@pytest.mark.slow
@pytest.mark.parametrize("variant", RIVALS)
def test_a_rival_leaves_a_complete_run_folder_and_is_the_same_again(noise, tmp_path, variant):
    run = execute(noise, variant, out_dir=tmp_path)
    assert {path.name for path in run.folder.iterdir()} == FILES
    assert run.scores.score.notna().all() and len(run.scores) == 8
    assert 0 <= run.result() <= 1
    assert set(run.embedded) == {"fit", "test", "others"}
    assert run.profile == make_profile("quick", "pump", variant, **SMALL)
    assert run.metrics[run.metrics.chosen].threshold.notna().all()
    networks = {"ddcsad": 2, "spectrum": 0, "parallel": 2}.get(variant, 1)
    assert run.params["models"] == networks
    assert (run.params["parameters"] == 0) == (variant == "spectrum")
    again = execute(noise, variant, out_dir=tmp_path / "again")
    np.testing.assert_array_equal(run.scores.score, again.scores.score)


def split_of(noise, machine_type="pump", variant="ddcsad"):
    _, banks = open_corpus("noise", noise, progress=False)
    others = [bank for name, bank in banks.items() if name != machine_type]
    profile = make_profile("quick", machine_type, variant, **SMALL)
    return split_clips(banks[machine_type], others, profile, 0)


def test_ddcsad_sets_one_id_against_its_siblings_and_the_other_machines(noise):
    split = split_of(noise)
    binary = ddcsad.one_against_rest(split, 1)
    assert binary.products == ("01",)
    clips = binary.train.bank.clips
    assert set(clips["product"].iloc[binary.train.rows]) == {"01"}
    assert (binary.train.products == 0).all()
    siblings, fans = binary.others_train
    assert set(siblings.bank.clips["product"].iloc[siblings.rows]) == {"00"}
    assert set(fans.bank.clips.machine_type) == {"fan"}
    assert all((part.products == -1).all() for part in binary.others_train)
    heard = len(binary.train) + len(siblings)
    assert heard == len(split.train)
    unheard = {*binary.validation.rows, *binary.others_validation[0].rows}
    assert not unheard & {*binary.train.rows, *siblings.rows}


def test_ddcsad_without_any_negative_is_refused(tmp_path):
    alone = write_corpus(tmp_path / "alone", machine_types=("pump",), products=1)
    with pytest.raises(InputError, match="no negatives"):
        execute(alone, "ddcsad", out_dir=tmp_path)


@pytest.mark.parametrize("variant", ["serial", "classifier", "parallel"])
def test_a_softmax_over_one_product_id_is_refused(tmp_path, variant):
    alone = write_corpus(tmp_path / "alone", products=1)
    with pytest.raises(InputError, match="needs two"):
        execute(alone, variant, out_dir=tmp_path)


def embedded(clips, vectors, logits) -> Embedded:
    return Embedded(clips, np.asarray(vectors, float), np.asarray(logits, float))


def test_ddcsads_score_by_hand(noise):
    """Fitted at -1 and 1: centroid 0, unit 1. A clip at 3 with logit 0: distance 3, p = 0.5."""
    bank = split_of(noise).train.bank
    own = bank.clips[bank.clips["product"] == "00"]
    fit = embedded(own[:2], [[[-1.0]], [[1.0]]], np.zeros((2, 1, 1)))
    test = embedded(own[2:3], [[[3.0]]], [[[0.0]]])
    profile = make_profile("quick", "pump", "ddcsad")
    for percent, expected in ((0, 3.0), (100, 0.5), (25, 0.25 * 0.5 + 0.75 * 3.0)):
        scores = segment_scores("centroid", percent, fit, test, ["00"], profile)
        assert scores[0, 0] == pytest.approx(expected)


def test_the_stages_can_score_with_every_h():
    """In a process of its own, since others have imported the systems here."""
    code = "import asdstudy.runs.stages, asdlib.inliers; print(*asdlib.inliers.INLIERS)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) == set(get_args(Inlier))


def test_centroid_counts_in_its_own_mean_distance():
    model = Centroid().fit(np.array([[0.0, 0.0], [4.0, 0.0], [2.0, 0.0]]))
    assert model.score(np.array([[2.0, 0.0], [2.0, 4.0]])).tolist() == [0.0, 3.0]


def test_a_collapse_is_said(corpus):
    split, profile = test_training.split_of(corpus)
    net = Encoder(profile, 2).eval()
    target = validation_batch(split, profile, 0).machine == 1
    noise = torch.randn(len(target), 128, generator=torch.Generator().manual_seed(0))
    cases = {  # size of the target's and the others' embeddings, offset of a slope of 1
        (1.0, 1e-4, -5.0): ["the embeddings of the other machines are one point"],
        (1e-4, 1.0, 5.0): ["the embeddings of the target are one point", "no better than"],
        (1.0, 1.0, 0.0): ["no better than that of a constant answer, 0.693"],
        (2.0, 0.5, -13.0): [],
    }
    for (of_target, of_others, offset), expected in cases.items():
        places = noise * torch.where(target, of_target, of_others)[:, None]
        net.forward = lambda waves, places=places: places
        torch.nn.init.constant_(net.g_affine.weight, 1.0)
        torch.nn.init.constant_(net.g_affine.bias, offset)
        sentences = serial.collapses(net, split, profile, 0)
        assert len(sentences) == len(expected), sentences
        assert all(part in sentence for part, sentence in zip(expected, sentences, strict=True))
    alone, profile = test_training.split_of(corpus, machine_weight=0.0)
    assert serial.collapses(net, alone, profile, 0) == []


def test_log_odds_of_a_softmax():
    logits = np.random.default_rng(0).normal(0, 2, (5, 4))
    odds = softmax.log_odds(torch.from_numpy(logits)).numpy()
    p = special.softmax(logits, axis=1)
    np.testing.assert_allclose(odds, np.log(p / (1 - p)), rtol=1e-10)


def test_classifier_scores_are_the_baselines_mean_log_odds(noise, tmp_path):
    run = execute(noise, "classifier", out_dir=tmp_path)
    test = run.embedded["test"]
    k = np.array([run.params["products"].index(name) for name in test.clips["product"]])
    p = 1 / (1 + np.exp(-test.logits.astype(float)))  # (clips, S, K)
    np.testing.assert_allclose(p.sum(axis=2), 1, atol=1e-5)  # a softmax's, over the product IDs
    own = np.take_along_axis(p, k[:, None, None], axis=2)[..., 0]
    expected = np.log((1 - own) / own).mean(axis=1)
    np.testing.assert_allclose(run.scores.score, expected, rtol=1e-3, atol=1e-4)


def clips_of(*events: str) -> pd.DataFrame:
    return pd.DataFrame({"product": "00", "event": events})


def test_parallel_standardises_h_on_clips_that_it_was_not_fitted_on():
    """Fewer clips than dimensions: the distances of the fitted ones themselves would be tiny."""
    rng = np.random.default_rng(0)
    fit, test = (rng.normal(size=(count, 64)) * np.linspace(0.1, 3, 64) for count in (50, 500))
    usual = parallel.unheard_distances(fit, clips_of(*[""] * 50), seed=0)
    new = parallel.distances(fit, test)
    assert len(usual) == 50 and len(new) == 500
    standard = parallel.standardised(new[:, None], usual.mean(), usual.std())
    assert abs(standard.mean()) < 1 and 0.5 < standard.std() < 1.5
    inside = Mahalanobis().fit(fit).score(fit)
    assert ((new - inside.mean()) / inside.std()).mean() > 2  # what this guards against


def test_parallel_leaves_out_whole_recordings(monkeypatch):
    """Clips of one event, each other's doubles, are never on both sides of a fit."""
    events = ["a", "b", "a", "", "c", "b", ""]
    numbers = np.arange(7.0)[:, None]
    fits = []

    def noted(fitted, vectors):
        fits.append(({*fitted[:, 0].astype(int)}, {*vectors[:, 0].astype(int)}))
        return np.zeros(len(vectors))

    monkeypatch.setattr(parallel, "distances", noted)
    parallel.unheard_distances(numbers, clips_of(*events), seed=0)
    assert sorted(row for _, left_out in fits for row in left_out) == list(range(7))
    for fitted, left_out in fits:
        assert not {events[row] for row in fitted} & {events[row] for row in left_out} - {""}


def test_a_product_id_of_two_recordings_is_fitted_as_a_whole():
    rng = np.random.default_rng(0)
    fit, events = rng.normal(size=(6, 2)), clips_of(*"aaabbb")
    usual = parallel.unheard_distances(fit, events, seed=0)
    np.testing.assert_array_equal(usual, parallel.distances(fit, fit))


def test_ddcsad_divides_no_recording(noise):
    split = split_of(noise)
    clips = split.train.bank.clips
    clips["event"] = [f"e{number // 2}" for number in range(len(clips))]
    whole = split_clips(split.train.bank, [part.bank for part in split.others_train], PROFILE, 0)
    for k in range(2):
        binary = ddcsad.one_against_rest(whole, k)
        heard = np.concatenate([binary.train.rows, binary.others_train[0].rows])
        unheard = np.concatenate([binary.validation.rows, binary.others_validation[0].rows])
        keys = [{*zip(clips["product"].iloc[rows], clips.event.iloc[rows], strict=True)}
                for rows in (heard, unheard)]  # fmt: skip
        assert keys[0] and keys[1] and not keys[0] & keys[1]


def test_parallel_averages_three_standardised_scores(noise, tmp_path, monkeypatch):
    """Usual 0 and 2, 10 and 14, and distances 1 and 3 by fits to other clips; new 3, 14, and at a
    squared distance of 2: (2 + 1 + 0) / 3 = 1."""

    def of(part, usual, new):
        """A value for each clip: train clips have the two usual ones in turn."""
        tested = (part.bank.clips.split.iloc[part.rows] == "test").to_numpy()
        return np.where(tested, new, np.resize(usual, len(part))).astype(float)

    def classify(*_):
        def embed(part):
            logits = np.repeat(-of(part, [10, 14], 14)[:, None, None], 2, axis=2)
            return np.zeros((len(part), 1, 3)), logits

        return embed

    def reproduce(*_):
        return lambda part: (None, None, of(part, [0, 2], 3)[:, None])

    monkeypatch.setattr(parallel.softmax, "embedder", classify)
    monkeypatch.setattr(parallel.autoencoder, "embedder", reproduce)
    # of one dimension, with a mean of 0 and a variance of 1
    monkeypatch.setattr(
        parallel.spectrum, "mean_spectra", lambda part, _: of(part, [-1, 1], 2**0.5)[:, None]
    )
    monkeypatch.setattr(
        parallel, "unheard_distances", lambda train, *_: np.resize([1.0, 3.0], len(train))
    )
    run = execute(noise, "parallel", out_dir=tmp_path)
    np.testing.assert_allclose(run.scores.score, 1)
    assert len(run.history) == 100 and run.history.squared_error.notna().all()
    assert run.history.loss.notna().sum() == SMALL["epochs"]  # the classifier's


@pytest.mark.parametrize(
    ("variant", "options", "message"),
    [
        ("ae", {"inliers": ["none"], "inlier": "none"}, "none, a score that the system autoenc"),
        ("spectrum", {"inliers": ["centroid"], "inlier": "centroid"}, "centroid, a score that"),
        ("parallel", {"inliers": ["output", "none"]}, "none, .* that is fitted, or output"),
        ("ddcsad", {"product_weight": 0, "machine_weight": 1}, "product_weight is 0: g_product"),
        ("machine-only", {"inliers": ["output"], "inlier": "output"}, "g_product is not trained"),
        ("ae", {"inliers": ["output", "GMM"], "inlier_sizes": [7]}, "6 embeddings are too few"),
        ("spectrum", {"inlier_part": "validation"}, "1 embeddings are too few for Mahalanobis"),
    ],
)
def test_what_cannot_be_scored_is_refused_before_training(
    noise, tmp_path, monkeypatch, variant, options, message
):
    for module, name in ((serial, "train_encoder"), (ddcsad, "train_encoder"),
                         (autoencoder, "train_autoencoder")):  # fmt: skip
        monkeypatch.setattr(module, name, lambda *_, **__: pytest.fail("it was trained"))
    with pytest.raises(InputError, match=message):
        execute(noise, variant, out_dir=tmp_path, **options)
    assert not list(tmp_path.rglob("*.*"))


def test_a_clip_shorter_than_a_window_has_a_spectrum(tmp_path):
    short = write_corpus(tmp_path / "short", seconds=0.03)
    run = execute(short, "spectrum", out_dir=tmp_path, window_seconds=0.128)
    assert run.scores.score.notna().all()


def test_ddcsads_loss_by_hand():
    """Classes (0, 2) and (5, 9): W = 1 + 4, B = 36. Logits of +-log 3: each entropy -log(3/4)."""
    profile = make_profile("quick", "pump", "ddcsad")
    machine = torch.tensor([1.0, 1, 0, 0])
    batch = Batch(torch.zeros(4, 1), machine[:, None], machine)
    logits = torch.tensor([[1.0], [1], [-1], [-1]]) * np.log(3)
    embedding = torch.tensor([[0.0], [2], [5], [9]])
    parts = ddcsad.losses(embedding, logits, torch.zeros(4), batch, profile)
    assert parts["product_loss"] == pytest.approx(-np.log(3 / 4))
    assert parts["centroid_loss"] == pytest.approx(5 / 41)
    assert parts["loss"] == pytest.approx(-np.log(3 / 4) + 5 / 41)


def test_a_system_of_several_networks_has_no_single_encoder(noise, tmp_path):
    with pytest.raises(InputError, match="variant ddcsad has no encoder"):
        execute(noise, "ddcsad", out_dir=tmp_path).encoder()
