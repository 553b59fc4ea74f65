"""Waves: the samples of all clips of a machine type, and crops and segments of them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

FULL_SCALE = 32768.0  # an int16 sample of this size would be amplitude 1


@dataclass(frozen=True)
class WaveBank:
    """The sound of one machine type: the samples of all its clips, one after the other.

    ``samples``, int16 ``(total frames,)``, is memory-mapped. ``clips`` are the rows of the index;
    clip i starts at ``offsets[i]`` and has ``frames[i]`` samples. ``mean`` and ``std`` are those of
    the train clips, in units of full scale, and ``fingerprint`` is a hash of names and samples.
    """

    clips: pd.DataFrame
    samples: np.ndarray
    offsets: np.ndarray
    frames: np.ndarray
    mean: float
    std: float
    fingerprint: str

    def sound(self, path: Path) -> np.ndarray:
        """All of one clip, int16 ``(frames,)``."""
        clip = self.clips.index[self.clips.path == path][0]
        return self.samples[self.offsets[clip] : self.offsets[clip] + self.frames[clip]]

    def gather(
        self, clips: np.ndarray, starts: np.ndarray, length: int, out: np.ndarray | None = None
    ) -> np.ndarray:
        """``length`` samples from ``starts`` within each of ``clips``: int16 ``(B, length)``.

        A clip shorter than ``length`` is repeated until it is long enough. ``out``, of the same
        shape and of any type, is filled instead of a new array.
        """
        waves = np.empty((len(clips), length), np.int16) if out is None else out
        firsts, ends = self.offsets[clips] + starts, self.offsets[clips] + self.frames[clips]
        samples = self.samples.view(np.ndarray)  # slices of a memory map cost more
        for row, first, end in zip(waves, firsts.tolist(), ends.tolist(), strict=True):
            sound = samples[first : min(first + length, end)]
            row[:] = sound if len(sound) == length else np.resize(sound, length)
        return waves

    def segments(self, clips: np.ndarray, count: int, length: int) -> np.ndarray:
        """``count`` evenly spread segments of each of ``clips``: int16 ``(B, count, length)``."""
        starts = segment_starts(self.frames[clips], count, length).ravel()
        waves = self.gather(np.repeat(clips, count), starts, length)
        return waves.reshape(len(clips), count, length)


def last_start(frames, length: int) -> np.ndarray:
    """The last place where ``length`` samples may start in clips of ``frames`` samples."""
    return np.maximum(np.asarray(frames) - length, 0)


def segment_starts(frames, count: int, length: int) -> np.ndarray:
    """Where S segments of ``length`` start in clips of ``frames`` samples: ``(..., S)``.

    Starts at ``i * floor((frames - length) / (S - 1))``, the last flush with the end (section IV-A:
    "S = 10 segments, with overlap allowed"). All zero for a clip no longer than a segment.
    """
    room = last_start(frames, length)
    starts = np.arange(count) * (room // max(count - 1, 1))[..., None]
    if count > 1:
        starts[..., -1] = room
    return starts


def distinct_segments(frames: np.ndarray, count: int, length: int) -> np.ndarray:
    """Which segments of each clip are not copies of an earlier one: bool ``(clips, S)``.

    In a clip no longer than a segment, that is only the first.
    """
    return np.diff(segment_starts(frames, count, length), axis=1, prepend=-1) > 0
