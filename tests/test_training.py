"""Batches, the split, the encoder and training."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

from asdlib import InputError, batches, encoder, training
from asdlib.losses import mixup
from asdstudy.data import open_corpus
from asdstudy.systems import make_profile

SMALL = dict(
    backbone="test_efficientnet", pretrained=False, mel_bins=32, segment_seconds=0.5,
    batch_size=8, epochs=2, segments=3, inlier_part="train", inlier_sizes=(1, 2),
)  # fmt: skip


def split_of(root, target="pump", seed=0, **overrides):
    profile = make_profile("quick", target, **SMALL | overrides)
    _, banks = open_corpus("noise", root, progress=False)
    others = [bank for name, bank in banks.items() if name != target]
    heard = others if profile.needs_others else []
    return batches.split_clips(banks[target], heard, profile, seed), profile


def small_encoder(**overrides):
    torch.manual_seed(0)
    return encoder.Encoder(make_profile("quick", "fan", **SMALL | overrides), 2).eval()


@pytest.mark.parametrize("slope", ["positive", "negative", "random"])
@pytest.mark.parametrize("seen", ["norm", "mean-square", "embedding"])
@pytest.mark.parametrize("backbone", ["test_efficientnet", "test_resnet"])
def test_eq_2_starts_centred(corpus, seen, slope, backbone):
    """The median logit of the first batch is 0, whatever g_affine gets and whoever is inside."""
    split, profile = split_of(
        corpus, machine_input=seen, machine_slope=slope, backbone=backbone, dropout=0.0
    )
    torch.manual_seed(0)
    net = encoder.Encoder(profile, 2)
    before = net.g_affine.weight.clone()
    batch = next(batches.balanced_batches(split, profile, np.random.default_rng(0)))
    still = torch.optim.SGD(net.parameters(), 0.0)
    training.train_step(net, batch, profile, still, centre=True)
    _, logit = net.heads(net(batch.waves))
    assert np.median(logit.detach()) == pytest.approx(0, abs=1e-5)
    assert torch.equal(net.g_affine.weight, before)


def test_the_start_is_centred_once_and_is_a_switch(corpus):
    """A fresh machine loss is about log 2 where it is centred, and saturated where it is not."""
    first = {}
    for start in ("centred", "layer"):
        split, profile = split_of(corpus, machine_start=start, learning_rate=1e-9, epochs=1)
        net, history = training.train(split, profile, seed=0, device="cpu", progress=False)
        first[start] = history.machine_loss[0]
        offset = abs(net.g_affine.bias.item())
        assert offset > 1.5 if start == "centred" else offset <= 1
    assert first["centred"] < 1 < first["layer"]


def test_rows_of_eq_1_as_in_the_authors_code(corpus):
    """All rows where the batch is mixed, those of the target where it is not."""
    split, profile = split_of(corpus)
    rng = np.random.default_rng(0)
    batch = next(batches.balanced_batches(split, profile, rng))
    logits = torch.randn(len(batch.machine), 2)

    def product_part(batch, rows):
        changed = profile.replace(product_rows=rows)
        return training.losses(torch.zeros(1), logits, logits[:, 0], batch, changed)["product_loss"]

    assert product_part(batch, "all-when-mixed") == product_part(batch, "included")
    mixed = training.mix(batch, profile, rng)
    assert product_part(mixed, "all-when-mixed") == product_part(mixed, "all")
    assert product_part(mixed, "all") != product_part(mixed, "included")


def test_kept_others_reach_eq_1_under_mixup_only():
    """A clip of the target, half and half with another machine; two product IDs, no L_machine.

    y is (1/2, 0) and t is 1/2. With the logits (log 3, 0), probabilities (3/4, 1/2), the first
    entropy is -(log 3/4 + log 1/4) / 2 and the second log 2.
    """
    profile = make_profile("quick", "fan", "product-only", keep_others=True, product_weight=1.0)
    logits = torch.tensor([[np.log(3), 0.0], [5.0, -7.0]], dtype=torch.float32)
    waves, share, partner = torch.zeros(2, 4), torch.tensor([0.5, 1.0]), torch.tensor([1, 1])
    whole = batches.Batch.of(waves, np.array([0, -1]), 2)
    mixed = batches.Batch(*mixup(waves, whole.product, whole.machine, share, partner), mixed=True)
    for batch, first in ((whole, -np.log(3 / 4)), (mixed, -np.log(3 / 16) / 2)):
        parts = training.losses(torch.zeros(2, 3), logits, logits[:, 0], batch, profile)
        assert parts["loss"].item() == pytest.approx((first + np.log(2)) / 2)


def test_log_mels_of_the_validation_are_made_once(corpus, monkeypatch):
    forward, rows = encoder.LogMel.forward, []

    def counted(self, waves):
        rows.append(len(waves))
        return forward(self, waves)

    monkeypatch.setattr(encoder.LogMel, "forward", counted)
    split, profile = split_of(corpus, epochs=3)
    training.train(split, profile, seed=0, device="cpu", progress=False)
    held_out = len(batches.validation_batch(split, profile, seed=0).machine)
    assert sum(rows) == 3 * 2 * len(split.train) + held_out


def test_a_validation_loss_that_is_no_number_is_never_kept(corpus, monkeypatch):
    validate, results = training.validate, []

    def nan_at_first(*arguments):
        results.append(validate(*arguments))
        factor = float("nan") if len(results) == 1 else 1
        return {name: factor * part for name, part in results[-1].items()}

    split, profile = split_of(corpus, epochs=3)
    with monkeypatch.context() as patch:
        patch.setattr(training, "validate", nan_at_first)
        net, history = training.train(split, profile, seed=0, device="cpu", progress=False)
    assert np.isnan(history.validation_loss[0])
    batch = batches.validation_batch(split, profile, seed=0)
    best = history.validation_loss[1:].min()
    assert training.validate(net, batch, net.logmel(batch.waves), profile)[
        "loss"
    ].item() == pytest.approx(best, rel=1e-5)


def test_validation_losses_that_are_all_no_numbers_are_an_error(corpus, monkeypatch):
    monkeypatch.setattr(training, "validate", lambda *_: {"loss": torch.tensor(float("nan"))})
    with pytest.raises(InputError, match="never a finite number in 2 epochs.*learning_rate"):
        training.train(*split_of(corpus), seed=0, device="cpu", progress=False)


def test_training_twice_gives_the_same(corpus):
    results = []
    for _ in range(2):
        split, profile = split_of(corpus)
        net, history = training.train(split, profile, seed=3, device="cpu", progress=False)
        results.append((net.state_dict(), history.drop(columns="clips_per_second")))
    for name, value in results[0][0].items():
        assert torch.equal(value, results[1][0][name]), name
    assert results[0][1].equals(results[1][1])
    assert len(results[0][1]) == 2 and results[0][1].notna().all(axis=None)


def test_a_rate_is_clips_by_seconds(corpus, monkeypatch):
    ticks = itertools.count(step=4.0)  # an epoch looks at the clock when it begins and ends
    monkeypatch.setattr(training, "time", SimpleNamespace(perf_counter=lambda: next(ticks)))
    split, profile = split_of(corpus)
    _, history = training.train(split, profile, seed=0, device="cpu", progress=False)
    assert history.clips_per_second.tolist() == [2 * len(split.train) / 4.0] * 2


def test_the_kept_model_has_the_smallest_validation_loss(corpus):
    split, profile = split_of(corpus, epochs=4, learning_rate=0.01)
    net, history = training.train(split, profile, seed=0, device="cpu", progress=False)
    batch = batches.validation_batch(split, profile, seed=0)
    loss = training.validate(net, batch, net.logmel(batch.waves), profile)["loss"].item()
    assert loss == pytest.approx(history.validation_loss.min(), rel=1e-5)


def test_learning_rate_is_one_cycle():
    net, profile = small_encoder(), make_profile("quick", "fan", **SMALL, learning_rate=0.01)
    optimiser, schedule = training.make_optimiser(net, profile, steps=10)
    rates = []
    for _ in range(10):
        rates.append(schedule.get_last_lr()[0])
        optimiser.step()
        schedule.step()
    assert max(rates) == pytest.approx(0.01) and rates[0] == pytest.approx(0.01 / 25)
    assert rates[-1] < rates[0] and optimiser.param_groups[0]["weight_decay"] == 0


def test_training_learns_what_is_audible(tmp_path):
    """Two product IDs that differ by a tone, and noise as the other machine: both losses fall."""
    rng, time = np.random.default_rng(0), np.arange(16_000) / 16_000
    for machine_type, products in (("pump", (400, 1500)), ("fan", (None,))):
        for product, hertz in enumerate(products):
            for number in range(12):
                path = tmp_path / machine_type / "train"
                path.mkdir(parents=True, exist_ok=True)
                sound = rng.normal(0, 0.05, 16_000)
                sound += 0.2 * np.sin(2 * np.pi * hertz * time) if hertz else 0
                name = f"section_{product:02d}_source_train_normal_{number:04d}.wav"
                soundfile.write(path / name, sound, 16_000, subtype="PCM_16")
    split, profile = split_of(
        tmp_path, epochs=24, learning_rate=0.01, mixup_alpha=0.0, product_weight=1.0
    )
    _, history = training.train(split, profile, seed=0, device="cpu", progress=False)
    first, last = history.iloc[0], history.iloc[-1]
    assert last.machine_loss < first.machine_loss / 2
    assert last.product_loss < first.product_loss / 2


def test_paper_profile_builds_and_steps():
    """EfficientNet-B0 at 224 mel bins takes two real training steps on the CPU."""
    profile = make_profile("paper", "fan", pretrained=False, batch_size=4)
    assert (profile.mel_bins, profile.backbone) == (224, "tf_efficientnet_b0.ns_jft_in1k")
    torch.manual_seed(0)
    net = encoder.Encoder(profile, 6)
    assert sum(p.numel() for p in net.backbone.parameters()) > 3_500_000
    optimiser, schedule = training.make_optimiser(net, profile, 4)
    rng = np.random.default_rng(0)
    waves = torch.from_numpy(rng.normal(size=(4, profile.segment_frames))).float()
    batch = batches.Batch.of(waves, np.array([0, 5, -1, -1]), 6)
    before = {name: value.clone() for name, value in net.named_parameters()}
    for _ in range(2):
        parts = training.train_step(net, training.mix(batch, profile, rng), profile, optimiser)
        schedule.step()
        assert all(torch.isfinite(part) for part in parts.values())
    moved = [name for name, value in net.named_parameters() if not torch.equal(value, before[name])]
    assert len(moved) == len(before)
