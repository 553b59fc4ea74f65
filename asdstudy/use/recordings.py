"""Recordings to be scored: which they are, and their sound window by window."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, gcd
from pathlib import Path

import numpy as np
import soundfile

from asdlib.errors import InputError
from asdlib.profiles import SAMPLE_RATE
from asdstudy.data.adopt import checked_header, converted, read_recording
from asdstudy.data.corpora import files_below
from asdstudy.data.inputs import CLIPS, UNKNOWN_FRAMES, check_samples, open_sound, to_int16
from asdstudy.data.settings import Conversion, Windows
from asdstudy.use.detector import Detector


@dataclass(frozen=True)
class Recording:
    """A file, and where its windows start and how long they are, in samples at 16 kHz."""

    path: Path
    product: str | None
    starts: Sequence[int]
    length: int
    conversion: Conversion

    def windows(self) -> Iterator[tuple[float, np.ndarray]]:
        """Start in seconds and sound, int16 ``(length,)``, of one window after the other.

        Only one is in memory. Raises :class:`InputError`, naming the file, as `asd adopt` does, and
        where all of it is silent.
        """
        heard = False
        for start, sound in self._sounds():
            heard = heard or bool(sound.any())
            yield start / SAMPLE_RATE, sound
        if not heard:
            raise InputError(f"{self.path}: silent; expected the sound of a machine")

    def _sounds(self) -> Iterator[tuple[int, np.ndarray]]:
        try:
            with open_sound(self.path) as file:
                if len(self.starts) > 1:
                    loudest = 0.0
                    for start in self.starts:
                        sound = self._read(file, start)
                        loudest = max(loudest, np.abs(sound).max())
                        yield start, to_int16(sound)
                    check_samples(self.path, np.array([loudest]), file.quietest)
                    return
        except soundfile.LibsndfileError as error:
            raise InputError(f"{self.path}: cannot be decoded ({error.error_string})") from None
        whole = to_int16(read_recording(self.path, self.conversion))
        for start in self.starts:
            yield start, whole[start : start + self.length]

    def _read(self, file: soundfile.SoundFile, start: int) -> np.ndarray:
        """One window in one channel at 16 kHz, float64 ``(length,)``.

        It is cut from a slightly longer one: the filter that resamples reaches some samples to both
        sides.
        """
        divisor = gcd(file.samplerate, SAMPLE_RATE)
        block, new_block = file.samplerate // divisor, SAMPLE_RATE // divisor
        margin = 2 + 7 // min(block, new_block)  # blocks; torchaudio's filter needs one less
        first = max(start // new_block - margin, 0)
        end = min((ceil((start + self.length) / new_block) + margin) * block, file.frames)
        file.seek(first * block)
        channels = file.read(end - first * block, dtype="float64", always_2d=True)
        if len(channels) < end - first * block:
            raise InputError(f"{self.path}: truncated; expected {file.frames} samples")
        check_samples(self.path, channels)
        sound = converted(self.path, channels, file.samplerate, self.conversion)
        skipped = start - first * new_block
        return sound[skipped : skipped + self.length]


def promises_length(path: Path) -> bool:
    """Whether the header of a recording says how long it is; while it is written it may not."""
    try:
        return 0 < soundfile.info(str(path)).frames < UNKNOWN_FRAMES
    except soundfile.LibsndfileError:
        return False


def recordings(
    paths: Sequence[Path],
    detector: Detector,
    product: str | None = None,
    windows: Windows = Windows(),
) -> list[Recording]:
    """The recordings among ``paths``, files and folders, by their headers.

    A recording is scored as a whole, unless it is longer than all clips of the run: then in windows
    of the clips' usual length. ``windows`` may say otherwise. The last window ends with the
    recording. Raises :class:`InputError`, naming the file, for what cannot be scored.
    """
    shortest, seconds = detector.shortest / SAMPLE_RATE, windows.window_seconds
    if seconds is not None and seconds < shortest:
        raise InputError(f"window of {seconds:g} s; expected at least {shortest:g} s")
    return [_recording(path, detector, product, windows) for path in files_of(paths)]


def files_of(paths: Sequence[Path]) -> list[Path]:
    """Files as they are, and the .wav and .flac files below folders."""
    files = []
    for path in map(Path, paths):
        if path.is_dir():
            below = [file for file in files_below(path) if file.suffix.lower() in CLIPS]
            if not below:
                raise InputError(f"{path}: no recordings; expected .wav or .flac files below it")
            files += below
        else:
            files.append(path)
    return files


def _recording(path: Path, detector: Detector, product: str | None, windows: Windows) -> Recording:
    info, hop = checked_header(path, windows), windows.hop_seconds
    frames = ceil(info.frames * SAMPLE_RATE / info.samplerate)
    if frames < detector.shortest:
        raise InputError(
            f"{path}: {frames / SAMPLE_RATE:.2f} s long; expected at least "
            f"{detector.shortest / SAMPLE_RATE:g} s"
        )
    length = frames
    if windows.window_seconds is not None:
        length = min(round(windows.window_seconds * SAMPLE_RATE), frames)
    elif hop is not None or frames > detector.longest:
        length = min(detector.usual, frames)
    step = length if hop is None else round(hop * SAMPLE_RATE)
    starts = [*range(0, frames - length, step), frames - length]
    return Recording(path, detector.product_of(path, product), starts, length, windows)
