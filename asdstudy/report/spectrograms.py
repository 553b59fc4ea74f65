"""Clips as pictures: the log-mel that the encoder sees."""

import textwrap

import matplotlib.pyplot as plt
import numpy as np
import torch

from asdlib.encoder import LogMel
from asdlib.profiles import SAMPLE_RATE, Profile
from asdstudy.report.figures import WIDTH, headed


def spectrogram(wave: np.ndarray, profile: Profile, ax=None, title: str = ""):
    """The log-mel of ``wave`` ``(frames,)``, scaled to variance 1, as the encoder sees it."""
    ax = ax or plt.gca()
    scaled = torch.from_numpy(np.asarray(wave, np.float32) / max(float(np.std(wave)), 1e-9))
    with torch.inference_mode():
        mel = LogMel(profile)(scaled[None])[0].numpy()
    seconds = len(wave) / SAMPLE_RATE
    quiet, loud = np.percentile(mel, [2, 99.8])
    ax.imshow(
        mel, origin="lower", aspect="auto", cmap="Blues", vmin=quiet, vmax=loud,
        extent=(0, seconds, 0, profile.mel_bins),
    )  # fmt: skip
    hertz = np.array([250, 500, 1000, 2000, 4000])
    hertz = hertz[(hertz > profile.mel_low_hz) & (hertz < profile.mel_high_hz)]
    ax.set_yticks(mel_height(hertz, profile), hertz)
    ax.set(xlabel="time (s)", ylabel="frequency (Hz)", title=title)
    ax.grid(False)
    return ax


def mel_height(hertz: np.ndarray, profile: Profile) -> np.ndarray:
    """Where frequencies lie on the axis of a log-mel's bins, bin k from k to k + 1.

    The peaks of the filters are equally spaced on the mel scale of HTK, as torchaudio's are.
    """
    low, high, here = (
        np.log1p(np.asarray(f) / 700) for f in (profile.mel_low_hz, profile.mel_high_hz, hertz)
    )
    return (here - low) / (high - low) * (profile.mel_bins + 1) - 0.5


def spectrograms(sounds: dict[str, np.ndarray], profile: Profile, title: str, columns: int = 2):
    """The log-mels of some clips, in so many columns, each under its name."""
    rows = -(-len(sounds) // columns)
    figure, axes = plt.subplots(
        rows, columns, figsize=(WIDTH, 2 * rows + 0.7), squeeze=False, layout="constrained"
    )
    figure.get_layout_engine().set(w_pad=0.12)  # else the last tick of a panel meets the next one
    for ax, (name, wave) in zip(axes.flat, sounds.items(), strict=False):
        spectrogram(wave, profile, ax)
        ax.set_title(textwrap.fill(name, 54 // columns), fontsize="small")
        ax.label_outer()
    for ax in axes.flat[len(sounds) :]:
        ax.set_axis_off()
    for ax in axes.flat[max(len(sounds) - columns, 0) : len(sounds)]:  # the lowest of its column
        ax.tick_params(labelbottom=True)
        ax.set_xlabel("time (s)")
    headed(figure, title)
    return figure
