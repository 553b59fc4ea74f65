"""Spectrograms: a frequency is drawn where its tick is, in a width that can be read."""

import numpy as np
import pytest
from test_figures import assert_apart, closed  # noqa: F401 (closes the figures of each test)

from asdlib.encoder import LogMel
from asdlib.profiles import PAPER, QUICK, SAMPLE_RATE
from asdstudy.report.figures import WIDTH, use_style
from asdstudy.report.spectrograms import mel_height, spectrogram, spectrograms


@pytest.mark.parametrize("profile", [QUICK, PAPER], ids=["quick", "paper"])
def test_a_frequency_is_at_the_middle_of_the_filter_that_peaks_there(profile):
    filters = LogMel(profile).filters.numpy()  # (frequencies, mel bins)
    hertz = np.linspace(0, SAMPLE_RATE / 2, len(filters))
    bins = np.arange(profile.mel_bins // 2, profile.mel_bins)  # the low ones are narrow
    peaks = (filters[:, bins] * hertz[:, None]).sum(0) / filters[:, bins].sum(0)
    np.testing.assert_allclose(mel_height(peaks, profile), bins + 0.5, atol=0.2)


def test_a_tone_is_bright_at_its_frequency():
    time = np.arange(2 * SAMPLE_RATE) / SAMPLE_RATE
    ax = spectrogram(np.sin(2 * np.pi * 2000 * time), QUICK)
    (image,) = ax.images
    row = image.get_array().mean(axis=1).argmax()
    labels = [text.get_text() for text in ax.get_yticklabels()]
    assert labels == ["250", "500", "1000", "2000", "4000"] and ax.get_ylabel() == "frequency (Hz)"
    assert abs(row + 0.5 - ax.get_yticks()[3]) <= 1
    assert image.get_extent() == [0, 2, 0, QUICK.mel_bins]
    assert_ink(image.cmap)


def assert_ink(cmap) -> None:
    """More is darker, from the page's white on: inverted, in dark mode, it is brighter."""
    brightness = cmap(np.linspace(0, 1, 9))[:, :3] @ [0.2126, 0.7152, 0.0722]
    assert brightness[0] > 0.95 and brightness[-1] < 0.25 and (np.diff(brightness) < 0).all()


def test_a_frequency_that_the_log_mel_leaves_out_has_no_tick():
    narrow = QUICK.replace(mel_low_hz=400, mel_high_hz=3000)
    ax = spectrogram(np.random.default_rng(0).normal(size=SAMPLE_RATE), narrow)
    assert [text.get_text() for text in ax.get_yticklabels()] == ["500", "1000", "2000"]


def test_rows_of_spectrograms_are_no_wider_than_a_page():
    noise = np.random.default_rng(0).normal(size=SAMPLE_RATE)
    use_style()
    figure = spectrograms(dict.fromkeys("abc", noise), QUICK, "of a test")
    assert [ax.get_title() for ax in figure.axes] == ["a", "b", "c", ""]
    assert figure.get_figwidth() == WIDTH
    assert_apart(figure)
