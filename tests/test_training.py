"""Batches, the split, the encoder and training."""

from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import timm
import torch
from conftest import write_corpus

from asdlib import InputError, batches, encoder, training
from asdlib.profiles import Profile, make_profile
from asdstudy.data import open_corpus

SMALL = dict(
    backbone="test_efficientnet", pretrained=False, mel_bins=32, segment_seconds=0.5,
    batch_size=8, epochs=2, segments=3, inlier_part="train", inlier_sizes=(1, 2),
)  # fmt: skip


def split_of(root, target="pump", seed=0, **overrides):
    profile = make_profile("quick", target, **SMALL | overrides)
    _, banks = open_corpus("noise", root, target, progress=False)
    others = [bank for name, bank in banks.items() if name != target]
    return batches.split_clips(banks[target], others, profile, seed), profile


def test_split_is_stratified_and_seeded(corpus):
    split, _ = split_of(corpus, validation_share=1 / 3)
    assert sorted(split.train.products) == [0] * 4 + [1] * 4
    assert sorted(split.validation.products) == [0, 0, 1, 1]
    assert not set(split.train.rows) & set(split.validation.rows)
    again, _ = split_of(corpus, validation_share=1 / 3)
    other, _ = split_of(corpus, seed=1, validation_share=1 / 3)
    assert again.validation.rows.tolist() == split.validation.rows.tolist()
    assert other.validation.rows.tolist() != split.validation.rows.tolist()


def test_batches_are_half_target_and_an_epoch_is_one_pass(corpus):
    split, profile = split_of(corpus)
    rng = np.random.default_rng(0)
    found = list(batches.balanced_batches(split, profile, rng))
    assert len(found) == batches.steps_an_epoch(split, profile) == 3  # 10 clips, 4 a batch
    assert sum(int(b.machine.sum()) for b in found) == len(split.train) == 10
    for batch in found:
        assert batch.machine.mean() == 0.5
        assert batch.waves.shape == (len(batch.machine), profile.segment_frames)
        target = batch.machine == 1
        assert (batch.product[target].sum(1) == 1).all() and (batch.product[~target] == 0).all()


def test_without_machine_loss_there_are_no_negatives(corpus):
    split, profile = split_of(corpus, machine_weight=0.0)
    for batch in batches.balanced_batches(split, profile, np.random.default_rng(0)):
        assert (batch.machine == 1).all()
    assert batches.steps_an_epoch(split, profile) == 3  # as many as with negatives


def test_normalisation_switch(tmp_path):
    """The others are scaled by the target's statistics, or by their own."""
    write_corpus(tmp_path)
    target, _ = split_of(tmp_path)
    own, _ = split_of(tmp_path, normalisation="own")
    assert target.others_train[0].std == target.train.std
    assert own.others_train[0].std == own.others_train[0].bank.std != own.train.std


def test_one_scale_is_a_number_and_several_are_one_a_row(tmp_path, monkeypatch):
    """A number needs no copy to the device in every step."""
    shapes = []

    def seen(waves, mean, std):
        shapes.append((np.shape(mean), np.shape(std)))
        return torch.as_tensor(waves).float()

    write_corpus(tmp_path)
    monkeypatch.setattr(batches, "normalise", seen)
    for choice in ("target", "own"):
        split, profile = split_of(tmp_path, normalisation=choice)
        next(batches.balanced_batches(split, profile, np.random.default_rng(0)))
    rows = profile.target_rows * 2
    assert shapes == [((), ()), ((rows, 1), (rows, 1))]


def test_log_mel_of_a_tone():
    """A 1000 Hz tone stands in the bin whose centre is nearest, and its floor is the profile's."""
    profile = Profile(pretrained=False)
    tone = torch.sin(2 * torch.pi * 1000 * torch.arange(32_000) / 16_000)[None]
    mel = encoder.LogMel(profile)(tone)
    assert mel.shape == (1, 224, 126)  # 2 s in hops of 16 ms, centred
    edges = np.linspace(*(2595 * np.log10(1 + np.array([50, 7800]) / 700)), 226)
    centres = 700 * (10 ** (edges[1:-1] / 2595) - 1)
    assert abs(int(mel[0, :, 60].argmax()) - int(np.abs(centres - 1000).argmin())) <= 1
    silence = encoder.LogMel(profile)(torch.zeros(1, 32_000))
    assert silence.max().item() == pytest.approx(np.log(profile.log_floor))


def test_log_mel_switches():
    tone = torch.sin(torch.arange(16_000) * 0.3)[None]
    power = encoder.LogMel(make_profile("quick", "fan", log_mel=False))(tone)
    magnitude = encoder.LogMel(make_profile("quick", "fan", log_mel=False, mel_power=1.0))(2 * tone)
    log = encoder.LogMel(make_profile("quick", "fan"))(tone)
    torch.testing.assert_close(log, torch.log(power + 1e-6))
    doubled = encoder.LogMel(make_profile("quick", "fan", log_mel=False, mel_power=1.0))(tone) * 2
    torch.testing.assert_close(magnitude, doubled, rtol=1e-4, atol=1e-3)


def small_encoder(**overrides):
    torch.manual_seed(0)
    return encoder.Encoder(make_profile("quick", "fan", **SMALL | overrides), 2).eval()


def test_machine_head_sees_only_the_norm():
    net = small_encoder()
    embedding = torch.randn(5, 128)
    rotation = torch.linalg.qr(torch.randn(128, 128))[0]
    _, logit = net.heads(embedding)
    _, rotated = net.heads(embedding @ rotation)
    torch.testing.assert_close(rotated, logit)
    _, longer = net.heads(2 * embedding)
    slope = net.g_affine.weight.item()
    torch.testing.assert_close(longer - logit, slope * embedding.norm(dim=1))


def test_machine_input_switch():
    embedding = torch.tensor([[3.0, 4.0] + [0.0] * 126])
    for choice, seen in (("norm", 5.0), ("mean-square", 25 / 128)):
        net = small_encoder(machine_input=choice)
        expected = net.g_affine.weight.item() * seen + net.g_affine.bias.item()
        assert net.heads(embedding)[1].item() == pytest.approx(expected, rel=1e-5)
    assert small_encoder(machine_input="embedding").g_affine.in_features == 128


def test_machine_slope_says_who_is_at_the_centre():
    """Which of the two gets the small norms is where Eq. 2 starts, and a switch of the profile."""
    for slope, sign in (("positive", 1), ("negative", -1)):
        net = small_encoder(machine_slope=slope)
        assert net.g_affine.weight.item() == sign
    signs = set()
    for seed in range(8):
        torch.manual_seed(seed)
        profile = make_profile("quick", "fan", **SMALL, machine_slope="random")
        signs.add(encoder.Encoder(profile, 2).g_affine.weight.item() > 0)
    assert signs == {True, False}


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


def test_the_time_of_an_epoch_has_all_of_its_steps(corpus, monkeypatch):
    """A GPU still computes when the last step was asked for; who wants its numbers waits."""
    clock, had = [0.0], torch.Tensor.tolist

    def waited(tensor):
        clock[0] += 100.0
        return had(tensor)

    split, profile = split_of(corpus, epochs=1)
    monkeypatch.setattr(torch.Tensor, "tolist", waited)
    monkeypatch.setattr(training, "time", SimpleNamespace(perf_counter=lambda: clock[0]))
    _, history = training.train(split, profile, seed=0, device="cpu", progress=False)
    assert history.clips_per_second.tolist() == [2 * len(split.train) / 100.0]


def test_the_kept_model_has_the_smallest_validation_loss(corpus):
    split, profile = split_of(corpus, epochs=4, learning_rate=0.01)
    net, history = training.train(split, profile, seed=0, device="cpu", progress=False)
    batch = batches.validation_batch(split, profile, seed=0)
    loss = training.validate(net, batch, profile)[0].item()
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
        tmp_path, epochs=12, learning_rate=0.01, mixup_alpha=0.0, product_weight=1.0
    )
    _, history = training.train(split, profile, seed=0, device="cpu", progress=False)
    first, last = history.iloc[0], history.iloc[-1]
    assert last.machine_loss < first.machine_loss / 2
    assert last.product_loss < first.product_loss / 2


def test_a_machine_alone_needs_product_only(tmp_path):
    write_corpus(tmp_path, ("pump",))
    with pytest.raises(InputError, match="pump: no other machine type beside it"):
        split_of(tmp_path)
    split, _ = split_of(tmp_path, machine_weight=0.0)
    assert split.others_train == ()


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
        assert torch.isfinite(parts).all()
    moved = [name for name, value in net.named_parameters() if not torch.equal(value, before[name])]
    assert len(moved) == len(before)


def test_missing_pretrained_weights_are_one_clear_sentence(monkeypatch):
    def refuse(*args, pretrained, **kwargs):
        raise OSError("no route to host") if pretrained else AssertionError("trained from scratch")

    monkeypatch.setattr(timm, "create_model", refuse)
    with pytest.raises(
        InputError, match="weights of 'tf_efficientnet_b0.* cannot be fetched.*pret"
    ):
        encoder.Encoder(make_profile("paper", "fan"), 6)


def test_unknown_backbone():
    with pytest.raises(InputError, match="unknown backbone 'efficientnet_b99'"):
        small_encoder(backbone="efficientnet_b99")
