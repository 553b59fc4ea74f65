"""A picture of a scored recording: its score over time, above its log-mel in Hz."""

from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from torch.nn.functional import adaptive_avg_pool1d

from asdlib.batches import normalise
from asdlib.encoder import LogMel
from asdlib.profiles import SAMPLE_RATE, Profile
from asdlib.waves import segment_starts
from asdstudy.use.detector import Detector, Verdict
from asdstudy.use.recordings import Recording

COLUMNS = 1200  # of the spectrogram, however long the recording is
TICKS_HZ = (100, 250, 500, 1000, 2000, 4000, 8000)


class Picture:
    """Drawn window by window, so that a long recording takes no more memory than a short one."""

    def __init__(self, detector: Detector, recording: Recording):
        self.detector, self.recording = detector, recording
        self.logmel = LogMel(detector.profile)
        self.columns = max(COLUMNS // len(recording.starts), 1)  # of a window
        self.drawn, self.edges, self.mels, self.verdicts = 0.0, [], [], []

    def add(self, start: float, sound: np.ndarray, verdict: Verdict) -> None:
        """The next window, int16 ``(samples,)``, which starts at ``start`` seconds."""
        self.verdicts.append((start, verdict))
        end = start + len(sound) / SAMPLE_RATE
        if start > self.drawn:  # windows with a gap between them
            self._draw(np.full((self.detector.profile.mel_bins, 1), np.nan), start)
        with torch.inference_mode():
            wave = normalise(sound[None], self.detector.mean, self.detector.std)
            short = self.logmel.size - wave.shape[1]
            mel = self.logmel(torch.nn.functional.pad(wave, (0, max(short, 0))))[0]
            new = max(round(mel.shape[1] * (end - self.drawn) / (end - start)), 1)
            mel = mel[:, -new:]
            mel = adaptive_avg_pool1d(mel, min(self.columns, new)).numpy()
        self._draw(mel, end)

    def _draw(self, mel: np.ndarray, end: float) -> None:
        """Add columns ``(mel bins, columns)`` from what is drawn to ``end``."""
        self.edges.append(np.linspace(self.drawn, end, mel.shape[1], endpoint=False))
        self.mels.append(mel)
        self.drawn = end

    def save(self, path: Path) -> None:
        """Write a PNG file."""
        figure = Figure(figsize=(9, 5), layout="constrained")
        above, below = figure.subplots(2, sharex=True)
        self._scores(above)
        above.set(ylabel="score", title=self.recording.path.name)
        above.legend(fontsize="small", loc="upper left")
        seconds = np.append(np.concatenate(self.edges), self.drawn)
        draw_mel(below, seconds, np.concatenate(self.mels, axis=1), self.detector.profile)
        figure.savefig(path, dpi=110)

    def _scores(self, ax) -> None:
        """The score of each window over its length, those of its segments, and the threshold."""
        length, segment = self.recording.length, self.detector.profile.segment_frames
        for number, (start, verdict) in enumerate(self.verdicts):
            end = start + length / SAMPLE_RATE
            middles = segment_starts(length, len(verdict.segments), segment) + segment / 2
            times = np.minimum(start + middles / SAMPLE_RATE, end)
            names = ("segments", "score", "threshold") if number == 0 else (None,) * 3
            if len(times) > 1:
                ax.plot(times, verdict.segments, ".", color="0.7", ms=4, label=names[0])
            colour = "tab:red" if verdict.anomalous else "tab:blue"
            ax.plot([start, end], [verdict.score] * 2, color=colour, lw=2.5, label=names[1])
            if verdict.threshold is not None:
                ax.plot([start, end], [verdict.threshold] * 2, "k--", lw=1, label=names[2])


def draw_mel(ax, seconds: np.ndarray, values: np.ndarray, profile: Profile, colours="magma"):
    """Draw ``values`` ``(rows, columns)`` over ``seconds`` ``(columns + 1,)`` and the mel scale.

    The rows divide the scale evenly, and its ticks are in Hz.
    """
    low, high = profile.mel_low_hz, profile.mel_high_hz
    heights = np.linspace(mel_of_hz(low), mel_of_hz(high), len(values) + 1)
    darkest, brightest = np.nanpercentile(values, [2, 99.8])
    ax.pcolormesh(seconds, heights, values, cmap=colours, vmin=darkest, vmax=brightest)
    ticks = [hz for hz in TICKS_HZ if low <= hz <= high]
    ax.set_yticks([mel_of_hz(hz) for hz in ticks], ticks)
    ax.set(xlabel="time (s)", ylabel="frequency (Hz)")


def mel_of_hz(hz):
    """The mel scale that the filters are spaced on (HTK's)."""
    return 2595 * np.log10(1 + hz / 700)


def hz_of_mel(mel):
    """Its inverse."""
    return 700 * (10 ** (mel / 2595) - 1)
