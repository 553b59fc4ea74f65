"""Make a machine type of a corpus from a folder of one's own recordings.

``python -m asdstudy.data adopt FOLDER OUT --machine-type NAME``; the chapter "Other data, and your
own" goes through it. Nothing is converted unless an option asks for it.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch
from torchaudio.functional import resample as resampled
from tqdm import tqdm

from asdlib.corpora import SUFFIXES, read_header
from asdlib.errors import InputError, one_of
from asdlib.profiles import SAMPLE_RATE
from asdstudy.data.recordings import ClipWriter, cuts, hold_out, link, links_beside
from asdstudy.paths import whole_folder

LABELS = {"normal": "normal", "anomaly": "anomaly", "abnormal": "anomaly"}  # the last as in MIMII
LONGEST_SECONDS = 60.0  # of a clip that is not asked to be cut
EXPECTED = "<product>/normal/*.wav and <product>/anomaly/*.wav"


@dataclass(frozen=True)
class Conversion:
    """What may be done to recordings; nothing by default."""

    resample: bool = False  # to 16 kHz, from any rate
    channel: str | None = None  # which channel to take, "0" being the first, or their "mean"
    cut_seconds: float | None = None  # cut into pieces of this length; the rest is left out


@dataclass(frozen=True)
class Recording:
    """Sound that must not be torn apart by the split: a file, or all files of a sub-folder."""

    product: str
    label: str
    name: str
    files: tuple[Path, ...]


def adopt(
    folder,
    out,
    machine_type: str,
    conversion: Conversion = Conversion(),
    test_share: float = 0.2,
    seed: int = 0,
    beside: Sequence[Path] = (),
    progress: bool = True,
) -> Path:
    """Make ``<out>/<machine type>/`` from ``<folder>/<product>/<normal|anomaly>/``.

    Products, by name, become the product IDs 00, 01, ... Of each one's normal recordings a
    ``test_share``, drawn by ``seed``, is for testing, with all anomalous ones. A file is one
    recording; files of a sub-folder below ``normal`` are one recording together. Names keep what
    the file was called, and ``recordings.csv`` where each clip comes from. ``beside`` are folders
    of other machine types, linked into the corpus. Returns ``out``.

    Raises :class:`InputError`, naming the file, for what cannot be used as it is, and leaves
    nothing behind then.
    """
    folder, target = Path(folder), Path(out) / machine_type
    if not re.fullmatch(r"\w[\w.-]*", machine_type):
        raise InputError(f"machine type {machine_type!r}: expected letters, digits, _, . and -")
    if target.exists():
        raise InputError(f"{target}: is there already; expected a new machine type")
    links = links_beside(Path(out), beside)
    recordings = list(_recordings(folder))
    products = sorted({recording.product for recording in recordings})
    held_out = set()
    for number, product in enumerate(products):
        names = [r.name for r in recordings if r.product == product and r.label == "normal"]
        if test_share and len(names) < 2:
            raise InputError(
                f"{folder / product}: {len(names)} normal recordings; expected at least 2, "
                "one for training and one for testing, or --test-share 0"
            )
        chosen = hold_out(names, test_share, np.random.default_rng([seed, number]))
        held_out |= {(product, name) for name in chosen}
    with whole_folder(target) as part:
        writer = ClipWriter(part)
        for recording in tqdm(recordings, unit="recording", mininterval=1, disable=not progress):
            tested = recording.label == "anomaly" or (recording.product, recording.name) in held_out
            for path in recording.files:
                for start, sound in _clips(path, conversion):
                    writer.write(
                        sound,
                        products.index(recording.product),
                        "test" if tested else "train",
                        recording.label,
                        _text(recording.product, *path.relative_to(folder).parts[2:-1], path.stem),
                        folder=recording.product,
                        recording=recording.name,
                        file=path.relative_to(folder).as_posix(),
                        start_seconds=start / SAMPLE_RATE,
                    )
        writer.write_listing()
        for number, product in enumerate(products):
            count = writer.numbers[f"section_{number:02d}_source_train_normal"]
            if count < 2:
                raise InputError(
                    f"{folder / product}: {count} train clips; expected at least 2: add "
                    "recordings, or cut them with --cut"
                )
    link(links)
    return Path(out)


def _recordings(folder: Path) -> Iterator[Recording]:
    """All recordings of a folder, in a fixed order."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected {EXPECTED} below it")
    products = _visible(folder)
    if not products:
        raise InputError(f"{folder}: is empty; expected {EXPECTED} below it")
    for product in products:
        if not (product / "normal").is_dir():
            raise InputError(f"{product}: no folder normal/ in it; expected {EXPECTED}")
        for inner in _visible(product):
            if inner.name not in LABELS or not inner.is_dir():
                raise InputError(f"{inner}: not expected here; expected {EXPECTED}")
            for path in _visible(inner):
                files = [path] if path.is_file() else [f for f in _visible(path)]
                for file in files:
                    if file.suffix.lower() not in SUFFIXES or not file.is_file():
                        raise InputError(f"{file}: expected a .wav or .flac file")
                yield Recording(product.name, LABELS[inner.name], path.name, tuple(files))


def _visible(folder: Path) -> list[Path]:
    return sorted(folder.glob("[!.]*"))


def _clips(path: Path, conversion: Conversion) -> Iterator[tuple[int, np.ndarray]]:
    """Start, in samples, and sound, ``(samples,)`` at 16 kHz, of each clip of a file."""
    sound = read_recording(path, conversion)
    seconds = len(sound) / SAMPLE_RATE
    if conversion.cut_seconds is None:
        if seconds > LONGEST_SECONDS:
            raise InputError(
                f"{path}: {seconds:.1f} s long; expected clips of at most {LONGEST_SECONDS:.0f} s, "
                "or --cut SECONDS to cut it"
            )
        yield 0, sound
        return
    pieces = cuts(len(sound), conversion.cut_seconds)
    if not pieces:
        raise InputError(
            f"{path}: {seconds:.1f} s long; expected at least the {conversion.cut_seconds:g} s "
            "of --cut"
        )
    for start, end in pieces:
        yield start, sound[start:end]


def read_recording(path: Path, conversion: Conversion) -> np.ndarray:
    """A recording as ``(samples,)``, float64 within -1 and 1, one channel, 16 kHz.

    Raises :class:`InputError`, naming the file and the option, where that needs a conversion that
    was not asked for, and where the file is broken or beyond full scale.
    """
    info = read_header(path)
    if info.samplerate != SAMPLE_RATE and not conversion.resample:
        raise InputError(
            f"{path}: sample rate {info.samplerate} Hz; expected {SAMPLE_RATE} Hz, or --resample"
        )
    if info.channels != 1 and conversion.channel is None:
        raise InputError(
            f"{path}: {info.channels} channels; expected one, or --channel mean to mix them, "
            f"or --channel 0 to {info.channels - 1} to take one"
        )
    try:
        channels, rate = soundfile.read(str(path), always_2d=True)
    except soundfile.LibsndfileError as error:
        raise InputError(f"{path}: cannot be decoded ({error})") from error
    if info.channels == 1 or conversion.channel == "mean":
        sound = channels.mean(axis=1)
    else:
        known = [str(number) for number in range(info.channels)]
        one_of(f"channel of {path}", conversion.channel, [*known, "mean"])
        sound = channels[:, int(conversion.channel)]
    if not np.isfinite(sound).all():
        raise InputError(f"{path}: NaN or infinite samples; expected finite sound")
    if np.abs(sound).max() > 1:
        raise InputError(
            f"{path}: samples up to {np.abs(sound).max():.3g}; expected -1 to 1, full scale"
        )
    if rate != SAMPLE_RATE:
        sound = resampled(torch.from_numpy(sound), rate, SAMPLE_RATE).numpy()
    return sound


def _text(*words: str) -> str:
    """Words as attributes in a file name."""
    return "_".join(re.sub(r"[^\w.]+", "-", word).strip("-") for word in words)
