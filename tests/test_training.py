"""Batches, the split, the encoder and training."""

import itertools
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import soundfile
import timm
import torch
from conftest import write_clip, write_corpus

from asdlib import InputError, batches, encoder, training, waves
from asdlib.profiles import Profile, make_profile
from asdstudy.data import open_corpus
from asdstudy.systems.collapse import collapses

SMALL = dict(
    backbone="test_efficientnet", pretrained=False, mel_bins=32, segment_seconds=0.5,
    batch_size=8, epochs=2, segments=3, inlier_part="train", inlier_sizes=(1, 2),
)  # fmt: skip


def split_of(root, target="pump", seed=0, **overrides):
    profile = make_profile("quick", target, **SMALL | overrides)
    _, banks = open_corpus("noise", root, target, progress=False)
    others = [bank for name, bank in banks.items() if name != target]
    heard = others if profile.needs_others else []
    return batches.split_clips(banks[target], heard, profile, seed), profile


def test_split_is_stratified_and_seeded(corpus):
    split, _ = split_of(corpus, validation_share=1 / 3)
    assert sorted(split.train.products) == [0] * 4 + [1] * 4
    assert sorted(split.validation.products) == [0, 0, 1, 1]
    assert not set(split.train.rows) & set(split.validation.rows)
    again, _ = split_of(corpus, validation_share=1 / 3)
    other, _ = split_of(corpus, seed=1, validation_share=1 / 3)
    assert again.validation.rows.tolist() == split.validation.rows.tolist()
    assert other.validation.rows.tolist() != split.validation.rows.tolist()


NAME = "section_{product:02d}_source_train_normal_{number:04d}"


def write_clips(root, counts, name=NAME):
    """Train clips of noise, ``counts`` of each product ID of a pump."""
    for product, count in enumerate(counts):
        for number in range(count):
            path = root / f"pump/train/{name.format(product=product, number=number)}.wav"
            write_clip(path, seed=100 * product + number)
    return root


@pytest.mark.parametrize("seed", range(4))
def test_every_product_is_in_both_parts(tmp_path, seed):
    """60 and 3 clips: a stratified 10 % is [6, 0]."""
    split, _ = split_of(write_clips(tmp_path, (60, 3)), seed=seed, machine_weight=0.0)
    assert set(split.validation.products) == set(split.train.products) == {0, 1}
    assert (split.validation.products == 1).sum() == 1
    assert len(split.train) + len(split.validation) == 63


def test_an_event_is_in_one_part(tmp_path):
    """Several microphones hear one clip."""
    for number in range(40):
        name = NAME.format(product=number % 2, number=number)
        write_clip(tmp_path / f"pump/train/{name}_clip_{number // 4:08d}_mic_1.wav", seed=number)
    split, _ = split_of(tmp_path, machine_weight=0.0, validation_share=0.3)
    clips = split.train.bank.clips
    events = clips["product"] + clips.event
    assert events.nunique() == 20
    train, validation = (set(events.iloc[p.rows]) for p in (split.train, split.validation))
    assert not train & validation and len(validation) == 6


def test_a_recording_is_in_one_part(tmp_path):
    """The clips that were cut from one recording sound alike."""
    write_clips(tmp_path, (12, 12))
    listing = pd.DataFrame(
        {
            "clip": [f"train/{path.name}" for path in sorted((tmp_path / "pump/train").iterdir())],
            "recording": [f"take-{number // 3}" for number in range(24)],
        }
    )
    listing.to_csv(tmp_path / "pump/recordings.csv", index=False)
    split, _ = split_of(tmp_path, machine_weight=0.0, validation_share=0.25)
    events = split.train.bank.clips.event
    train, validation = (set(events.iloc[p.rows]) for p in (split.train, split.validation))
    assert not train & validation and len(validation) == 2
    listing.rename(columns={"recording": "origin"}).to_csv(tmp_path / "pump/recordings.csv")
    with pytest.raises(InputError, match="recordings.csv: columns .*expected clip and recording"):
        split_of(tmp_path)


def test_a_product_of_one_recording_cannot_be_divided(tmp_path):
    write_clips(tmp_path, (4,), NAME + "_clip_7")
    with pytest.raises(InputError, match="pump: product ID 00 has 1 recording to train on"):
        split_of(tmp_path, machine_weight=0.0)


def test_too_few_clips_for_batch_norm(tmp_path):
    """One clip to train on has no variance; other machines beside it would do."""
    with pytest.raises(InputError, match="pump: 1 clip to train on, and 1 for validation"):
        split_of(write_clips(tmp_path, (2,)), machine_weight=0.0)


@pytest.mark.parametrize("clips", range(3, 12))
def test_no_batch_is_of_a_single_row(tmp_path, clips):
    split, profile = split_of(write_clips(tmp_path, (clips,)), machine_weight=0.0, batch_size=4)
    epoch = batches.balanced_batches(split, profile, np.random.default_rng(0))
    sizes = [len(batch.machine) for batch in epoch]
    assert min(sizes) >= 2 and sum(sizes) == len(split.train)
    assert len(sizes) == batches.steps_an_epoch(split, profile)


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


def test_each_row_is_scaled_by_the_statistics_of_its_part(tmp_path):
    write_corpus(tmp_path)
    for choice in ("target", "own"):
        split, profile = split_of(tmp_path, normalisation=choice)
        parts = [split.train, *split.others_train]
        which, length = np.arange(3), profile.segment_frames
        crops = [part.crops(which, length, np.random.default_rng(0)) for part in parts]
        expected = [
            waves.normalise(crop, part.mean, part.std)
            for part, crop in zip(parts, crops, strict=True)
        ]
        torch.testing.assert_close(batches.scaled(parts, crops), torch.cat(expected))


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


@pytest.mark.parametrize("slope", ["positive", "negative", "random"])
@pytest.mark.parametrize("seen", ["norm", "mean-square", "embedding"])
@pytest.mark.parametrize("backbone", ["test_efficientnet", "test_resnet"])
def test_eq_2_starts_centred(corpus, seen, slope, backbone):
    """The median logit of the first batch is 0, whatever g_affine sees and whoever is inside."""
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
        split, profile = split_of(corpus, machine_start=start, learning_rate=1e-12, epochs=1)
        net, history = training.train(split, profile, seed=0, device="cpu", progress=False)
        first[start] = history.machine_loss[0]
        offset = abs(net.g_affine.bias.item())
        assert offset > 1.5 if start == "centred" else offset <= 1
    assert first["centred"] < 1 < first["layer"]


def test_g_product_is_linear():
    assert small_encoder().g_product.bias is None
    assert small_encoder(product_bias=True).g_product.bias is not None
    assert small_encoder().heads(torch.zeros(1, 128))[0].tolist() == [[0.0, 0.0]]


def test_a_collapse_is_said(corpus):
    split, profile = split_of(corpus)
    net = encoder.Encoder(profile, 2).eval()
    target = batches.validation_batch(split, profile, 0).machine == 1
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
        sentences = collapses(net, split, profile, 0)
        assert len(sentences) == len(expected), sentences
        assert all(part in sentence for part, sentence in zip(expected, sentences, strict=True))
    alone, profile = split_of(corpus, machine_weight=0.0)
    assert collapses(net, alone, profile, 0) == []


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
        assert all(torch.isfinite(part) for part in parts.values())
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
