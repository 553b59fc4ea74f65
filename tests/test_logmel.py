"""Log-mel against torchaudio, which is the reference."""

import pytest
import torch
from torchaudio.transforms import MelSpectrogram

from asdlib.encoder import LogMel
from asdlib.profiles import SAMPLE_RATE, make_profile


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
