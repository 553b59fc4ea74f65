"""Explain a score: which seconds and which frequencies of a clip made it high, by occlusion.

Patches of the log-mel are replaced, one after the other, by what is usual at their frequencies. The
patch without which the score falls most made it high. It can be heard with the others turned down.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from tqdm import tqdm

from asdlib.batches import normalise
from asdlib.embedding import Embedded
from asdlib.errors import InputError
from asdlib.profiles import SAMPLE_RATE
from asdlib.waves import FULL_SCALE, segment_starts
from asdstudy.use.detector import Detector, Verdict
from asdstudy.use.plot import draw_mel, hz_of_mel, mel_of_hz
from asdstudy.use.recordings import Recording

BANDS = 8  # of the mel scale
PATCH_SECONDS = 0.5
TURNED_DOWN_DB = 30.0
WINDOW, HOP = 1024, 256  # samples, of the spectrogram that is turned into sound again


class Explanation(NamedTuple):
    """``falls`` ``(BANDS, patches)``: by how much the score falls without each patch; ``seconds``
    ``(patches + 1,)`` and ``hertz`` ``(BANDS + 1,)`` are the edges of the patches. ``mel``
    ``(mel bins, frames)`` is the log-mel of the clip, ``sound`` int16 ``(samples,)``, which starts
    at ``start`` seconds."""

    verdict: Verdict
    falls: np.ndarray
    seconds: np.ndarray
    hertz: np.ndarray
    mel: np.ndarray
    sound: np.ndarray
    start: float

    def in_words(self, recording: Recording) -> str:
        """One line about the patch without which the score falls most."""
        band, column = np.unravel_index(self.falls.argmax(), self.falls.shape)
        begin, end = self.start + self.seconds[column : column + 2]
        low, high = self.hertz[band : band + 2]
        return (
            f"{recording.path}: product {self.verdict.product}, score {self.verdict.score:.4g}; "
            f"{self.verdict.score - self.falls.max():.4g} without {begin:.1f} to {end:.1f} s at "
            f"{low:.0f} to {high:.0f} Hz"
        )


def explain(
    detector: Detector,
    recording: Recording,
    normal: Sequence[Recording] = (),
    progress: bool = True,
) -> Explanation:
    """Explain the score of a recording, or of the most anomalous of its windows.

    What is usual at a frequency is the mean log-mel there: of the recordings ``normal``, or of the
    clip itself; then a sound that never stops cannot stand out. Only the method and its ablations
    have the encoder that this needs; :class:`InputError` for others.
    """
    encoder, profile = detector.run.encoder(), detector.profile
    windows = [(detector.verdict(sound, recording.product), start, sound)
               for start, sound in recording.windows()]  # fmt: skip
    verdict, start, sound = max(windows, key=lambda window: window[0].score)
    if len(sound) < profile.segment_frames:
        raise InputError(
            f"{recording.path}: shorter than a segment; expected {profile.segment_seconds:g} s"
        )

    def mel_of(waves: np.ndarray) -> torch.Tensor:
        return encoder.logmel(normalise(waves, detector.mean, detector.std))

    starts = segment_starts(len(sound), profile.segments, profile.segment_frames)
    seconds = len(sound) / SAMPLE_RATE
    edges = np.linspace(0, seconds, max(round(seconds / PATCH_SECONDS), 1) + 1)
    bands = np.linspace(0, profile.mel_bins, BANDS + 1).round().astype(int)
    clips, falls = pd.DataFrame({"frames": [len(sound)]}), np.zeros((BANDS, len(edges) - 1))
    with torch.inference_mode():
        whole = mel_of(sound[None])[0]
        others = [mel_of(part[None])[0] for one in normal for _, part in one.windows()]
        usual = torch.cat(others or [whole], dim=1).mean(dim=1)  # (mel bins,)
        mels = mel_of(np.stack([sound[s : s + profile.segment_frames] for s in starts]))
        frames = np.arange(mels.shape[2]) * profile.hop_seconds
        times = starts[:, None] / SAMPLE_RATE + frames  # (S, frames): when each frame is
        patches = [(band, column) for band in range(BANDS) for column in range(len(edges) - 1)]
        for band, column in tqdm(patches, "explaining", delay=1, disable=not progress):
            inside = torch.from_numpy((times >= edges[column]) & (times < edges[column + 1]))
            rows = slice(bands[band], bands[band + 1])
            occluded = mels.clone()
            part = occluded[:, rows]
            occluded[:, rows] = torch.where(inside[:, None], usual[rows, None], part)
            embedding = encoder.embed(occluded)
            logits = encoder.heads(embedding)[0]
            embedded = Embedded(clips, embedding[None].numpy(), logits[None].numpy())
            score = detector.judge(embedded, verdict.product).score
            falls[band, column] = verdict.score - score
    heights = np.linspace(mel_of_hz(profile.mel_low_hz), mel_of_hz(profile.mel_high_hz),
                          profile.mel_bins + 1)  # fmt: skip
    hertz = hz_of_mel(heights[bands])
    return Explanation(verdict, falls, edges, hertz, whole.numpy(), sound, start)


def audible(explanation: Explanation) -> np.ndarray:
    """The clip with what did not make its score high turned down: float32 ``(samples,)``.

    The patch without which the score falls most keeps its level; one without which it does not
    fall, and what is outside the mel scale, is 30 dB lower, and the others lie between.
    """
    falls = explanation.falls.clip(0)
    shares = np.pad(falls / max(falls.max(), 1e-12), ((1, 1), (0, 0)))  # what is outside is a row
    gains = 10 ** (TURNED_DOWN_DB / 20 * (shares - 1))
    window, waves = torch.hann_window(WINDOW), torch.from_numpy(explanation.sound / FULL_SCALE)
    form = {"n_fft": WINDOW, "hop_length": HOP, "window": window.to(waves.dtype)}
    spectrum = torch.stft(waves, **form, pad_mode="constant", return_complex=True)
    hertz = np.linspace(0, SAMPLE_RATE / 2, spectrum.shape[0])
    seconds = np.arange(spectrum.shape[1]) * HOP / SAMPLE_RATE
    rows = np.searchsorted(explanation.hertz, hertz, side="right")
    columns = np.searchsorted(explanation.seconds[1:-1], seconds, side="right")
    spectrum *= torch.from_numpy(gains[rows][:, columns])
    return torch.istft(spectrum, **form, length=len(waves)).float().numpy()


def draw(explanation: Explanation, detector: Detector, title: str, path: Path) -> None:
    """Write a PNG file: the log-mel, and below how much the score falls without each patch."""
    figure = Figure(figsize=(9, 6), layout="constrained")
    above, below = figure.subplots(2, sharex=True)
    seconds = explanation.start + explanation.seconds
    frames = np.linspace(seconds[0], seconds[-1], explanation.mel.shape[1] + 1)
    draw_mel(above, frames, explanation.mel, detector.profile)
    above.set(xlabel="", title=title)
    draw_mel(below, seconds, explanation.falls, detector.profile, "viridis")
    figure.colorbar(below.collections[0], ax=below, label="fall of the score")
    figure.savefig(path, format="png", dpi=110)
