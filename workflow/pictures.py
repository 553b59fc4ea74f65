"""Draw the pictures of the book whose numbers are computed: from sound to log-mel, and a ROC."""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve
from torchaudio.functional import melscale_fbanks

from asdlib.encoder import LogMel
from asdlib.metrics import auc_pauc
from asdlib.profiles import PAPER, SAMPLE_RATE
from asdlib.waves import segment_starts
from asdstudy.data.simulate import ClipName, Simulation, simulate_clip
from asdstudy.use.plot import hz_of_mel, mel_of_hz

SECONDS, LENGTH, COUNT = 10, 2, 10  # the paper's clips and segments
WINDOW = round(PAPER.window_seconds * SAMPLE_RATE)  # samples
NORMAL, ANOMALOUS = [8, 5, 4, 3.5, 3, 2.5, 2, 1.5, 1, 0.5], [9, 7, 6, 4.5]  # of the chapter scoring

STYLE = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "asdlib",  # the same file every time
    "font.family": ["DejaVu Sans", "sans-serif"],
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "savefig.transparent": True,  # in dark mode the page inverts the picture
}
BLUE, ORANGE = "#0173b2", "#de8f05"


def segment_of_a_slider() -> np.ndarray:
    """Two seconds of a simulated slider, of mean 0 and variance 1."""
    simulation = Simulation(clip_seconds=PAPER.segment_seconds)
    audio = simulate_clip(simulation, ClipName("slider", 0, "train", "normal", 0)).audio
    return (audio - audio.mean()) / audio.std()


def stft() -> Figure:
    """A segment, one window of it, and the power in that window at each frequency."""
    wave = segment_of_a_slider()
    first = 9_000
    piece = wave[first : first + WINDOW]
    hann = torch.hann_window(WINDOW).numpy()
    power = 10 * np.log10(np.abs(np.fft.rfft(piece * hann)) ** 2)
    figure, (whole, part, spectrum) = plt.subplots(3, figsize=(5, 6.8), layout="constrained")
    whole.plot(np.arange(len(wave)) / SAMPLE_RATE, wave, color=BLUE, linewidth=0.4, rasterized=True)
    whole.axvspan(first / SAMPLE_RATE, (first + WINDOW) / SAMPLE_RATE, color=ORANGE, alpha=0.6)
    whole.set(title="a segment, one window marked", xlabel="time in seconds", xlim=(0, 2))
    whole.set(ylabel="amplitude")
    times = np.arange(WINDOW) / SAMPLE_RATE * 1000
    part.plot(times, piece, color="#888", linewidth=0.7, label="sound")
    part.plot(times, piece * hann, color=BLUE, linewidth=0.7, label="sound times window")
    part.plot(times, 3.5 * hann, color=ORANGE, label="window, enlarged")
    part.set(title="the window", xlabel="time in milliseconds", xlim=(0, times[-1]), ylim=(-5, 5))
    part.set(ylabel="amplitude")
    look = {"ncols": 3, "frameon": False, "columnspacing": 1, "handlelength": 1}
    legend = part.legend(loc="upper center", bbox_to_anchor=(0.45, -0.36), **look)
    for handle in legend.legend_handles:
        handle.set_linewidth(2.5)
    spectrum.plot(np.fft.rfftfreq(WINDOW, 1 / SAMPLE_RATE), power, color=BLUE, linewidth=0.7)
    spectrum.set(title="its spectrum", xlabel="frequency in Hz", ylabel="power in dB")
    spectrum.set(xlim=(0, SAMPLE_RATE / 2), xticks=range(0, 8001, 1000))
    return figure


def mel() -> Figure:
    """The mel scale, and triangular filters of equal width on it: 16, for 224 could not be seen."""
    few, low, high = 16, PAPER.mel_low_hz, PAPER.mel_high_hz
    filters = melscale_fbanks(WINDOW // 2 + 1, low, high, few, SAMPLE_RATE).numpy()
    frequencies = np.linspace(0, SAMPLE_RATE / 2, len(filters))
    places = np.linspace(mel_of_hz(low), mel_of_hz(high), few + 2)[1:-1]
    figure, (scale, triangles) = plt.subplots(2, figsize=(5, 5), sharex=True, layout="constrained")
    scale.plot(frequencies, mel_of_hz(frequencies), color=BLUE)
    for place in places:
        scale.plot(
            [0, hz_of_mel(place), hz_of_mel(place)], [place, place, 0], color=ORANGE, linewidth=0.6
        )
    scale.set(ylabel="mel", xlim=(0, SAMPLE_RATE / 2), ylim=(0, 2900))
    triangles.plot(frequencies, filters, color=BLUE, linewidth=0.9)
    triangles.set(xlabel="frequency in Hz", ylabel="weight", xticks=range(0, 8001, 1000))
    triangles.set(ylim=(0, 1.05))
    return figure


def log_mel() -> Figure:
    """One segment as the power at each frequency, as its logarithm, and as its log-mel."""
    wave = torch.tensor(segment_of_a_slider(), dtype=torch.float32)
    window, hop = torch.hann_window(WINDOW), round(PAPER.hop_seconds * SAMPLE_RATE)
    power = torch.stft(wave, WINDOW, hop, window=window, return_complex=True).abs() ** 2
    mels = LogMel(PAPER)(wave[None])[0]
    figure, axes = plt.subplots(3, figsize=(5, 7.6), sharex=True, layout="constrained")
    shown = [
        (power, "power"),
        (power.log(), "logarithm of the power"),
        (mels, "log-mel spectrogram"),
    ]
    for panel, (image, title) in zip(axes, shown, strict=True):
        drawn = panel.imshow(
            image.numpy(), origin="lower", aspect="auto", cmap="Blues", interpolation="none",
            extent=(0, PAPER.segment_seconds, 0, len(image)),
        )  # fmt: skip
        figure.colorbar(drawn, ax=panel, format="{x:,.0f}" if image is power else "{x:g}")
        labels = np.array([100, 500, 1000, 2000, 4000, 7000])
        low, high = mel_of_hz(np.array([PAPER.mel_low_hz, PAPER.mel_high_hz]))
        places = (mel_of_hz(labels) - low) / (high - low) * len(image)
        if image is not mels:
            labels = np.arange(0, 8001, 2000)
            places = labels / (SAMPLE_RATE / 2) * len(image)
        panel.set(title=title, ylabel="frequency in Hz", yticks=places, yticklabels=labels)
    axes[-1].set(xlabel="time in seconds", xticks=np.arange(0, 2.1, 0.5))
    return figure


def segments() -> Figure:
    """The S = 10 segments of a clip of 10 s, each with its start in seconds."""
    starts = segment_starts(SECONDS * SAMPLE_RATE, COUNT, LENGTH * SAMPLE_RATE) / SAMPLE_RATE
    figure, axes = plt.subplots(figsize=(5, 3.4), layout="constrained")
    bars = axes.barh(range(1, COUNT + 1), LENGTH, left=starts, color="#dcecf7", edgecolor="#0173b2")
    axes.bar_label(bars, [f"{start:.2f}" for start in starts], label_type="center")
    axes.set(xlim=(0, SECONDS), xticks=range(SECONDS + 1), yticks=range(1, COUNT + 1))
    axes.set(xlabel="time in the clip in seconds", ylabel="segment")
    axes.invert_yaxis()
    return figure


def roc() -> Figure:
    """The ROC of the worked example, with the area of the pAUC."""
    labels = np.repeat([0, 1], [len(NORMAL), len(ANOMALOUS)])
    scores = np.array(NORMAL + ANOMALOUS)
    auc, pauc = auc_pauc(labels, scores)
    false, true, _ = roc_curve(labels, scores, drop_intermediate=False)
    figure, axes = plt.subplots(figsize=(5, 4.2), layout="constrained")
    axes.axvspan(0, 0.1, 0, 1 / 1.02, facecolor="#f5d28f", edgecolor=ORANGE, linewidth=1.5)
    left = false <= 0.1
    axes.fill_between(false[left], true[left], color="#de8f05")
    axes.plot(false, true, color="#0173b2", linewidth=2, label=f"the example: AUC = {auc:.1f}")
    axes.plot([0, 1], [0, 1], color="#767676", linestyle="--", label="chance: AUC = 0.5")
    axes.annotate(
        f"$A_p$ = 0.1 · 1/4\npAUC = {pauc:.3f}", (0.08, 0.2), (0.15, 0.42), va="bottom",
        arrowprops={"arrowstyle": "-", "color": "#555"},
    )  # fmt: skip
    axes.set(xlim=(0, 1.01), ylim=(0, 1.02), xticks=np.arange(11) / 10)
    axes.set(xlabel="false positive rate", ylabel="true positive rate")
    axes.legend(loc="lower right", frameon=False)
    return figure


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with plt.style.context(["default", STYLE]):  # whatever was set before
        for draw in (stft, mel, log_mel, segments, roc):
            figure = draw()
            name = draw.__name__.replace("_", "-")
            figure.savefig(folder / f"{name}.svg", metadata={"Date": None}, dpi=150)
            plt.close(figure)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("book/_static"))
    main(parser.parse_args().folder)
