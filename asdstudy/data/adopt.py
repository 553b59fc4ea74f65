"""Make a machine type of a corpus from a folder of one's own recordings."""

import math
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torchaudio.functional import resample

from asdlib.errors import InputError, one_of
from asdlib.profiles import SAMPLE_RATE
from asdstudy.data import inputs
from asdstudy.data.corpora import inside
from asdstudy.data.recordings import Recording, cuts, links_beside, write_recordings
from asdstudy.data.settings import Adoption, Conversion
from asdstudy.paths import spelled, whole_folder

FOLDERS = ("normal", "anomaly", "abnormal")  # the last as in MIMII
LONGEST_SECONDS = 60.0  # of a clip that is not to be cut
LONGEST_NAME = 200  # bytes of attributes, of the 255 that a name may have
LARGEST_RATIO = 2000  # a filter between rates with hardly a common divisor fills the memory
EXPECTED = "<product>/normal/*.wav and <product>/anomaly/*.wav"


def adopt(
    folder,
    out,
    machine_type: str,
    adoption: Adoption = Adoption(),
    beside: Sequence[Path] = (),
    progress: bool = True,
) -> Path:
    """Make ``<out>/<machine type>/`` from ``<folder>/<product>/<normal|anomaly>/``.

    Products, by name, become the product IDs 00, 01, ... A share of each one's normal recordings
    is for testing, with all anomalous ones. A file is one recording; the files of a sub-folder of
    ``normal`` are one recording together. Clips keep the name of their file, and ``recordings.csv``
    says where each comes from. ``beside`` are folders of other machine types, linked into the
    corpus. Returns ``out``.

    Raises :class:`InputError`, naming the file, for what cannot be used as it is, and leaves
    nothing behind then.
    """
    name = inputs.name_of("machine type", machine_type)
    folder, target = Path(folder), spelled(Path(out) / name)
    if os.path.exists(target):
        raise InputError(f"{target}: is there already; expected a new machine type")
    if Path(os.path.realpath(out)).is_relative_to(os.path.realpath(folder)):
        raise InputError(f"{out}: among the recordings of {folder}; expected another place")
    links = links_beside(Path(out), beside)
    recordings = list(_recordings(folder))
    clips_of = partial(_clips, folder, adoption)
    with whole_folder(target) as part:
        listing = write_recordings(part, recordings, clips_of, adoption, folder, progress)
        counts = Counter(listing["folder"][listing["clip"].str.startswith("train/")])
        for product in sorted({recording.product for recording in recordings}):
            if counts[product] < 2:
                raise InputError(
                    f"{folder / product}: {counts[product]} train clips; expected at least 2: add "
                    "recordings, or cut them with --cut"
                )
    for place, other in links.items():
        place.symlink_to(other, target_is_directory=True)
    return Path(out)


def _recordings(folder: Path) -> Iterator[Recording]:
    """All recordings of a folder, in a fixed order."""
    if not os.path.isdir(folder):
        raise InputError(f"{folder}: no such folder; expected {EXPECTED} below it")
    if not inside(folder):
        raise InputError(f"{folder}: is empty; expected {EXPECTED} below it")
    files_of = {}
    for product in inside(folder):
        if not (product / "normal").is_dir():
            raise InputError(f"{product}: no folder normal/ in it; expected {EXPECTED}")
        for inner in inside(product):
            if inner.name not in FOLDERS or not inner.is_dir():
                raise InputError(f"{inner}: not expected here; expected {EXPECTED}")
            for path in inside(inner):
                files = inside(path) if os.path.isdir(path) else [path]
                for file in files:
                    if file.suffix.lower() not in inputs.CLIPS:
                        raise InputError(f"{file}: {inputs.CLIP}")
                    inputs.check_file(file, inputs.CLIP)
                    words = f"{product.name}_{path.stem}_{file.stem}"  # all become attributes
                    inputs.check_label(file, words, inputs.LABELS[inner.name])
                    if (other := files_of.setdefault(inputs.file_of(file), file)) != file:
                        raise InputError(f"{file}: the same file as {other}; expected it once")
                yield Recording(product.name, inputs.LABELS[inner.name], path.name, tuple(files))


def _clips(folder: Path, adoption: Adoption, recording: Recording) -> Iterator[tuple]:
    """Sound, ``(samples,)`` at 16 kHz, attributes and origin of each clip of a recording."""
    wanted = adoption.cut_seconds
    for path in recording.files:
        sound, file = read_recording(path, adoption), path.relative_to(folder)
        seconds = len(sound) / SAMPLE_RATE
        if wanted is None and seconds > LONGEST_SECONDS:
            raise InputError(
                f"{path}: {seconds:.1f} s long; expected clips of at most {LONGEST_SECONDS:.0f} s, "
                "or --cut SECONDS to cut it"
            )
        pieces = [(0, len(sound))] if wanted is None else cuts(len(sound), wanted)
        if not pieces:
            raise InputError(
                f"{path}: {seconds:.1f} s long; expected at least the {wanted:g} s of --cut"
            )
        words = [recording.product, *file.parts[2:-1], path.stem]
        attributes = "_".join(re.sub(r"[^\w.]+", "-", word).strip("-") for word in words)
        if len(attributes.encode()) > LONGEST_NAME:
            raise InputError(f"{path}: expected names of at most {LONGEST_NAME} bytes together")
        origin = {"folder": recording.product, "file": file.as_posix()}
        for start, end in pieces:
            yield sound[start:end], attributes, origin | {"start_seconds": start / SAMPLE_RATE}


def read_recording(path: Path, conversion: Conversion) -> np.ndarray:
    """A recording as ``(samples,)``, float64 within -1 and 1, one channel, 16 kHz.

    Raises :class:`InputError`, naming the file and the option, if that needs a conversion without
    its option, and if the file is broken or beyond full scale.
    """
    checked_header(path, conversion)
    channels, rate = inputs.read_sound(path)
    sound = converted(path, channels, rate, conversion)
    if rate != SAMPLE_RATE:
        inputs.check_samples(f"{path} at {SAMPLE_RATE} Hz", sound)
    return sound


def checked_header(path: Path, conversion: Conversion) -> inputs.Header:
    """The header of a recording, where all the conversions it needs were asked for."""
    info = inputs.read_header(path)
    if max(info.samplerate, SAMPLE_RATE) > LARGEST_RATIO * math.gcd(info.samplerate, SAMPLE_RATE):
        raise InputError(f"{path}: sample rate {info.samplerate} Hz; expected a usual one")
    if not conversion.resample:
        inputs.check_rate(path, info.samplerate, ", or --resample")
    if conversion.channel is None:
        remedy = (
            ", or --channel mean to mix them, "
            f"or --channel N (0 to {info.channels - 1}) to take one"
        )
        inputs.check_mono(path, info.channels, remedy)
    return info


def converted(path: Path, channels: np.ndarray, rate: int, conversion: Conversion) -> np.ndarray:
    """The channel that was asked for of ``channels`` ``(samples, channels)``, or their mean, at
    16 kHz."""
    sounds = {str(number): channel for number, channel in enumerate(channels.T)}
    sounds["mean"] = channels.mean(axis=1)
    channel = "mean" if channels.shape[1] == 1 else conversion.channel
    one_of(f"channel of {path}", channel, sounds)
    return resample(torch.from_numpy(sounds[channel].copy()), rate, SAMPLE_RATE).numpy()
