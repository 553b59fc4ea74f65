"""The log-mel, the heads of the encoder, and backbones."""

import numpy as np
import pytest
import timm
import torch
from test_training import SMALL, small_encoder
from torchaudio.transforms import MelSpectrogram

from asdlib import InputError, encoder
from asdlib.encoder import LogMel
from asdlib.profiles import SAMPLE_RATE, Profile
from asdstudy.systems import make_profile


def test_log_mel_of_a_tone():
    """A 1000 Hz tone is in the bin whose centre is nearest, and its floor is the profile's."""
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


def test_g_product_is_linear():
    assert small_encoder().g_product.bias is None
    assert small_encoder(product_bias=True).g_product.bias is not None
    assert small_encoder().heads(torch.zeros(1, 128))[0].tolist() == [[0.0, 0.0]]


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


@pytest.mark.parametrize("log_mel", [True, False])
@pytest.mark.parametrize("mel_power", [2.0, 1.0, 0.5])
@pytest.mark.parametrize("name", ["quick", "paper"])
def test_the_same_as_torchaudios(name, mel_power, log_mel):
    profile = make_profile(name, "fan", pretrained=False, mel_power=mel_power, log_mel=log_mel)
    reference = MelSpectrogram(
        SAMPLE_RATE,
        n_fft=round(profile.window_seconds * SAMPLE_RATE),
        hop_length=round(profile.hop_seconds * SAMPLE_RATE),
        f_min=profile.mel_low_hz,
        f_max=profile.mel_high_hz,
        n_mels=profile.mel_bins,
        power=mel_power,
    )
    rng = torch.Generator().manual_seed(0)
    waves = torch.randn(5, profile.segment_frames, generator=rng)
    waves[3:] *= 1e-3  # a quiet one, and one that is silent for a while
    waves[4, : SAMPLE_RATE // 2] = 0
    expected = reference(waves)
    expected = torch.log(expected + profile.log_floor) if log_mel else expected
    torch.testing.assert_close(LogMel(profile)(waves), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("low, high", [(0.0, 8000.0), (50.0, 7800.0), (1000.0, 1016.0)])
def test_no_bin_that_a_filter_weighs_is_left_out(low, high):
    profile = make_profile("quick", "fan", mel_bins=1, mel_low_hz=low, mel_high_hz=high)
    reference = MelSpectrogram(SAMPLE_RATE, 2048, hop_length=512, f_min=low, f_max=high, n_mels=1)
    waves = torch.randn(1, 16_000, generator=torch.Generator().manual_seed(0))
    expected = torch.log(reference(waves) + profile.log_floor)
    torch.testing.assert_close(LogMel(profile)(waves), expected, rtol=1e-5, atol=1e-5)


def test_gradients_reach_the_waves():
    waves = torch.randn(3, 16_000, requires_grad=True)
    LogMel(make_profile("quick", "fan"))(waves).sum().backward()
    assert waves.grad.isfinite().all() and waves.grad.any()
