"""What a name, a file, a clip and a table may be: decided here and nowhere else.

What a value may be is written beside its field, in :class:`asdlib.profiles.Profile`,
:mod:`asdstudy.data.settings`, :class:`asdstudy.runs.plan.Which` and
:class:`asdstudy.runs.study.Study`; :class:`asdlib.settings.Settings` checks them all.
:mod:`asdstudy.data.corpora` decides where clips and tables lie, and :mod:`asdstudy.official` what
the files of a submission look like, whose form the challenge sets.
"""

import csv
import errno
import io
import json
import re
import stat
import struct
from collections.abc import Iterator
from functools import partial
from pathlib import Path, PureWindowsPath
from typing import NamedTuple

import numpy as np
import soundfile

from asdlib.errors import InputError
from asdlib.profiles import SAMPLE_RATE
from asdstudy.paths import composed

FULL_SCALE = 2.0**15  # as in asdlib.waves, which would bring torch to whoever checks a name
CLIP = "expected a .wav or .flac file"
CLIPS = {".wav", ".flac"}
SOUND = CLIPS | {f".{end}" for end in "wave mp3 ogg opus aif aiff m4a aac wma w64 caf au".split()}
FORMATS = ("WAV", "WAVEX", "RF64", "FLAC")  # of libsndfile, whatever the suffix says
CODINGS = ("PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ALAW", "ULAW")
UNKNOWN_BYTES = 0x7FFF0000  # and above: what a WAV header says of a length not known yet
UNKNOWN_FRAMES = 2**63 - 1  # what libsndfile makes of that in a FLAC header
BLOCK = 1 << 20  # frames that are decoded at a time
LARGEST_GAIN = 1 << 13  # samples per byte: more than FLAC has for the longest silence
LOUDEST = 1.01  # resampling overshoots full scale by a little, which is clipped
QUIETEST = 8 / FULL_SCALE  # of other than 16-bit sound: below, rounding to 16 bits would be heard

# the folders of a machine type and what lies in each; the domain is in the name from 2021 on
SPLITS = {
    "train": {"split": "train", "label": "normal"},
    "test": {"split": "test"},
    "source_test": {"split": "test", "domain": "source"},
    "target_test": {"split": "test", "domain": "target"},
    # of DCASE 2025: clean machines or noise alone, which the index leaves out
    "supplemental": {"split": "supplemental", "domain": "-", "label": "-"},
}
SUPPLEMENTAL = "supplemental"
MIMII = {  # folders below <machine type>/id_<II>
    "normal": {"split": "train", "label": "normal", "domain": "source"},
    "abnormal": {"split": "test", "label": "anomaly", "domain": "source"},
}
NAMES = (  # with the domain of clips whose names give none
    (  # 2021 and later
        re.compile(
            r"section_(?P<product>[0-9]+)_(?P<domain>source|target)_(?P<split>train|test)"
            r"(?:_(?P<label>normal|anomaly))?_[0-9]+(?:_(?P<attributes>.*))?"
        ),
        "source",
    ),
    (  # the evaluation sets of 2022, and of 2023 and later, whose domains are mixed
        re.compile(r"section_(?P<product>[0-9]+)(?:_(?P<split>test))?_[0-9]+"),
        "unknown",
    ),
    (  # 2020, before there were domains
        re.compile(r"(?:(?P<label>normal|anomaly)_)?id_(?P<product>[0-9]+)_[0-9]+"),
        "source",
    ),
)
NAME = (
    "section_<II>_<source|target>_<train|test>_<normal|anomaly>_<NNNN>[_<attributes>]"
    " or <normal|anomaly>_id_<II>_<NNNNNNNN>"
)
LABELS = {"normal": "normal"} | dict.fromkeys(("anomaly", "anomalous", "abnormal"), "anomaly")
DOMAINS = {"source": "source", "target": "target"}
TABLE = "expected a table of file names"


def name_of(kind: str, value) -> str:
    """``value``, its letters composed, if it is the name of one folder, and of the same on every
    disk; else :class:`InputError`.

    A dot at the beginning would hide it, and a dash would make it an option. Blanks and dots at the
    end are lost on some disks, and seldom meant.
    """
    if not isinstance(value, str):
        raise InputError(f"{kind} {value!r}: a {type(value).__name__}; expected a name, as text")
    parts = PureWindowsPath(value).name != value or ":" in value  # /, \, drives, streams
    lost = value.strip(" .") != value or not value.isprintable()
    if not value or parts or lost or value.startswith("-") or len(value.encode()) > 100:
        raise InputError(
            f"{kind} {value!r}: expected the name of a visible folder, without / or \\, and no "
            "blank or dot at its ends"
        )
    return composed(value)


def seed_of(value) -> int:
    """``value``, if it can be a random seed: scikit-learn and numpy take 32 bits."""
    number = value.item() if isinstance(value, np.generic) else value
    if type(number) is not int or not 0 <= number < 2**32:
        raise InputError(f"seed is {value!r}; expected a whole number from 0 to {2**32 - 1}")
    return number


def parse_name(path: Path) -> dict:
    """What name and folder of a clip say: product, domain, split, label and attributes."""
    folder, of_mimii = path.parent.name, path.parent.name in MIMII
    if folder == SUPPLEMENTAL:
        section = re.match("section_([0-9]+)_", path.name)
        return SPLITS[folder] | {"product": section[1] if section else "-", "attributes": ""}
    place = MIMII[folder] if of_mimii else SPLITS[folder]
    if of_mimii:
        place = place | {"product": composed(path.parent.parent.name).removeprefix("id_")}
    names, domain = said_in(path.stem)
    if not (names or of_mimii) or not re.fullmatch(r"[\w-]+", place.get("product", "00")):
        raise InputError(f"{path}: the name does not parse; expected {NAME}")
    for field, value in names.items():
        # in a tree of MIMII no clip is of either split before some are held out
        if value != place.get(field, value) or (of_mimii and field == "split"):
            where = path.parent.parent.name if field == "product" else folder
            raise InputError(f"{path}: the name says {value}, the folder {where}")
    check_label(path, path.stem, place.get("label", names.get("label")))
    return {"domain": domain, "label": "unknown", "attributes": ""} | names | place


def said_in(name: str) -> tuple[dict[str, str], str]:
    """What a clip's name without its suffix says, by field, and the domain if it says none.

    Nothing, if it is none of ``NAMES``.
    """
    for pattern, domain in NAMES:
        if match := pattern.fullmatch(name):
            return {n: v for n, v in match.groupdict().items() if v is not None}, domain
    return {}, "source"


def check_label(path: Path, name: str, label: str | None) -> None:
    """Raise :class:`InputError` where a word in the ``name`` of a clip says another label.

    It counts among the attributes, too, which may hold any other word, but not in a table of them.
    """
    said = {LABELS.get(word) for word in re.findall(r"[^\W\d_]+", name.casefold())} - {None}
    if len(said) > 1:
        raise InputError(f"{path}: the name says anomaly and normal; expected one of them")
    if said - {label}:
        raise InputError(f"{path}: the name says {said.pop()}, the folder {path.parent.name}")


def check_file(path: Path, expected: str) -> None:
    """Raise :class:`InputError` unless ``path`` is a file that can be read, with a legible name."""
    try:
        str(path).encode()
        if not stat.S_ISREG(path.stat().st_mode):  # to open a pipe would wait for ever
            raise InputError(f"{path}: no file; {expected}")
        path.open("rb").close()
    except UnicodeEncodeError:
        raise InputError(f"{path}: the name is no UTF-8; expected it renamed") from None
    except OSError as error:
        nothing = error.errno in (errno.ENOENT, errno.ELOOP) and path.is_symlink()
        what = "a link to nothing" if nothing else f"cannot be read ({error.strerror})"
        raise InputError(f"{path}: {what}; {expected}") from None


def file_of(path: Path) -> tuple | Path:
    """What is the same for all names of one file: those of links to it, and of hard links."""
    status = path.stat()
    return (status.st_dev, status.st_ino) if status.st_nlink > 1 else path.resolve()


def read_json(path: Path) -> dict:
    """What a tool of ours has noted beside data; :class:`InputError` where that is broken."""
    expected = "expected what was written there; remove it to start again"
    check_file(path, expected)
    try:
        if isinstance(record := json.loads(path.read_text()), dict):
            return record
    except ValueError:  # no JSON, or no UTF-8
        pass
    raise InputError(f"{path}: broken; {expected}")


class Header(NamedTuple):
    """The length in samples, the rate in Hz and the number of channels of a recording."""

    frames: int
    samplerate: int
    channels: int


def read_header(path: Path) -> Header:
    """The header of a recording; :class:`InputError` where it is not complete."""
    with open_sound(path) as file:
        return Header(file.frames, file.samplerate, file.channels)


def clip_frames(path: Path) -> int:
    """The length in samples of a clip, which must have 16 kHz and one channel."""
    header, remedy = read_header(path), " (`asd adopt` converts recordings)"
    check_rate(path, header.samplerate, remedy)
    check_mono(path, header.channels, remedy)
    return header.frames


def check_rate(path, rate: int, remedy: str = "") -> None:
    """Raise :class:`InputError` unless a sample rate is 16 kHz."""
    if rate != SAMPLE_RATE:
        raise InputError(f"{path}: sample rate {rate} Hz; expected {SAMPLE_RATE} Hz{remedy}")


def check_mono(path, channels: int, remedy: str = "") -> None:
    """Raise :class:`InputError` unless there is one channel."""
    if channels != 1:
        raise InputError(f"{path}: {channels} channels; expected one{remedy}")


def read_sound(path, content: bytes | None = None, exact: bool = False) -> tuple[np.ndarray, int]:
    """The channels of a recording, ``(frames, channels)`` within -1 and 1, and its rate in Hz.

    ``content`` is read instead of the file, if given. ``exact`` leaves 16-bit sound int16.
    """
    with open_sound(path, content) as file:
        dtype = "int16" if exact and file.subtype == "PCM_16" else "float64"
        blocks = list(_blocks(path, file, dtype))
    if (count := sum(map(len, blocks))) < file.frames:
        raise InputError(f"{path}: truncated; {count} of {file.frames} samples can be read")
    sound = np.concatenate(blocks) if len(blocks) > 1 else blocks[0]
    if dtype == "float64":
        check_samples(path, sound, file.quietest)
    return sound, file.samplerate


def read_clip(path: Path) -> np.ndarray:
    """A clip as int16 samples ``(frames,)``; 16-bit files exactly, others rounded."""
    sound, _ = read_sound(path, exact=True)
    return sound[:, 0] if sound.dtype == np.int16 else to_int16(sound[:, 0])


def check_samples(path, sound: np.ndarray, quietest: float = 0) -> None:
    """Raise :class:`InputError` for amplitudes that 16 bits cannot hold, unless all are zero."""
    peak = np.abs(sound).max(initial=0)
    if not np.isfinite(peak):
        raise InputError(f"{path}: NaN or infinite samples; expected finite sound")
    if peak > LOUDEST:
        raise InputError(f"{path}: samples up to {peak:.6g}; expected -1 to 1, full scale")
    if 0 < peak < quietest:
        raise InputError(
            f"{path}: samples up to {peak:.3g}; expected some that 16 bits can hold, of "
            f"{quietest:.2g} or more"
        )


def to_int16(sound: np.ndarray) -> np.ndarray:
    """Amplitudes within -1 and 1 as int16; what is beyond is clipped."""
    return np.clip(np.round(sound * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)


class Sound(soundfile.SoundFile):
    """A recording that is open: the file at a path, or the ``source`` that holds its bytes."""

    def __init__(self, source):
        self._source = source
        super().__init__(source)

    @property
    def quietest(self) -> float:
        """What its loudest sample must reach: 16-bit sound may be of any level."""
        return 0 if self.subtype == "PCM_16" else QUIETEST

    def seekable(self) -> bool:
        """False: soundfile would seek after each read, which fails in FLAC of unknown length."""
        return False

    def close(self) -> None:
        """Close the source, too."""
        super().close()
        if isinstance(self._source, _Overlaid):
            self._source.close()


class _Overlaid:
    """A file that is open, of which some bytes read as others: ``patches`` by place."""

    def __init__(self, file, patches: dict[int, bytes]):
        self.file, self.patches = file, patches
        self.seek, self.tell, self.close = file.seek, file.tell, file.close

    def read(self, count: int) -> bytes:
        place, content = self.tell(), bytearray(self.file.read(count))
        for first, patch in self.patches.items():
            for byte, value in enumerate(patch, first - place):
                if 0 <= byte < len(content):
                    content[byte] = value
        return bytes(content)


def open_sound(path, content: bytes | None = None) -> Sound:
    """A recording, or the ``content`` of one; :class:`InputError` where it is none we can read.

    FLAC that does not say how long it is is decoded once before, in blocks, to count its samples.
    """
    if content is None:
        check_file(path, CLIP)
    with path.open("rb") if content is None else io.BytesIO(content) as file:
        if not file.read(1):
            raise InputError(f"{path}: an empty file; {CLIP}")
        patches, size = _length(path, file), file.seek(0, io.SEEK_END)
        sound = _opened(path, content, patches)
        if (frames := sound.frames) == UNKNOWN_FRAMES and sound.format == "FLAC":
            with sound:
                frames = sum(map(len, _blocks(path, sound, "int16")))
            sound = _opened(path, content, _flac_length(file, frames))
    why = f"{sound.format} of {sound.subtype} inside; {CLIP}"
    if sound.format in FORMATS and sound.subtype in CODINGS:
        why = "no sound in it; expected a clip of at least one sample"
        if frames:
            if sound.frames <= LARGEST_GAIN * size:
                return sound
            why = f"its header counts {frames} samples, which {size} bytes cannot hold; {CLIP}"
    sound.close()
    raise InputError(f"{path}: {why}")


def _opened(path, content: bytes | None, patches: dict[int, bytes]) -> Sound:
    """A recording, or the ``content`` of one, with ``patches`` by place in the file."""
    source = str(path) if content is None else io.BytesIO(content)
    if patches:
        source = _Overlaid(path.open("rb") if content is None else source, patches)
    try:
        return Sound(source)
    except soundfile.LibsndfileError as error:
        if patches:
            source.close()
        why = f"not audio that can be read ({error.error_string}); {CLIP}"
        raise InputError(f"{path}: {why}") from None


def _blocks(path, file: Sound, dtype: str) -> Iterator[np.ndarray]:
    """The samples that are there, some ``(frames, channels)`` at a time.

    A header that counts too many must not fill the memory.
    """
    left = file.frames
    try:
        while len(block := file.read(min(left, BLOCK), dtype, always_2d=True)):
            yield block
            left -= len(block)
    except soundfile.LibsndfileError as error:
        raise InputError(f"{path}: cannot be decoded ({error.error_string})") from None


def _flac_length(file, frames: int) -> dict[int, bytes]:
    """What a FLAC file must have in its STREAMINFO, by place, to say that it has ``frames``."""
    file.seek(0)
    head = file.read(BLOCK)  # tags may come before it
    place = head.find(b"fLaC") + 21  # 36 bits begin in the middle of this byte
    first = head[place] & 0xF0 | frames >> 32
    return {place: bytes([first]) + (frames & 0xFFFFFFFF).to_bytes(4, "big")}


def _length(path, file) -> dict[int, bytes]:
    """What a WAV file must have in its header, by place, where that leaves out the length.

    A recorder that writes into a pipe cannot go back to fill it in. Raises :class:`InputError` for
    a length other than what is there, of which libsndfile would read the shorter.
    """
    size, place, wide = file.seek(0, io.SEEK_END), 12, None
    file.seek(0)
    if not re.fullmatch(rb"(RIFF|RF64).{4}WAVE", file.read(12), re.DOTALL):
        return {}
    while True:
        file.seek(place)
        if len(chunk := file.read(8)) < 8:
            return {}  # no sound: libsndfile says what is wrong
        name, length = struct.unpack("<4sI", chunk)
        if name == b"data":
            break
        if name == b"ds64":
            wide = int.from_bytes(file.read(16)[8:], "little")
        place += 8 + length + length % 2
    rest = size - place - 8
    if wide is not None and length == 0xFFFFFFFF:
        length = wide
    elif rest < length >= UNKNOWN_BYTES:
        return {}  # libsndfile reads to the end
    if rest < length < 2**63:
        raise InputError(f"{path}: truncated; {rest} of {length} bytes of sound are there")
    if length <= rest:
        file.seek(place + 8 + length + length % 2)
        if _is_no_sound(file, size):
            return {}
        if length:
            raise InputError(
                f"{path}: its header counts {length} of {rest} bytes of sound; expected all: "
                f"rewrite it, as with `ffmpeg -ignore_length 1 -i FILE NEW{Path(path).suffix}`"
            )
    unknown = b"\xff" * 4  # which libsndfile takes for "to the end"
    return {0: b"RIFF" + unknown, place + 4: unknown}


def _is_no_sound(file, size: int) -> bool:
    """Whether what follows the sound of a WAV file of ``size`` bytes is other chunks, or zeros."""
    while head := file.read(8):
        if not head.strip(b"\0"):
            return not any(block.strip(b"\0") for block in iter(partial(file.read, BLOCK), b""))
        length = int.from_bytes(head[4:], "little")
        if not re.match(rb"[ -~]{4}", head) or file.tell() + length > size:
            return False
        file.seek(length + length % 2, io.SEEK_CUR)
    return True


def _cells(table: Path) -> Iterator[tuple[int, list[str]]]:
    """The rows of a table that are not empty, numbered from 1, without blanks around the cells.

    Cells are separated by commas, semicolons or tabs, whichever a spreadsheet leaves.
    """
    check_file(table, TABLE)
    content = table.read_bytes()
    utf16 = content[:2] in (b"\xff\xfe", b"\xfe\xff")
    try:
        text = content.decode("utf-16" if utf16 else "utf-8-sig")
        if "\0" in text:
            raise csv.Error("holds NUL")
        first = next((line for line in text.splitlines() if line.strip()), "")
        delimiter = next((sign for sign in "\t;," if sign in first), ",")
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{table}: {error}; {TABLE}, saved as CSV in UTF-8") from None
    rows = [(number, row) for number, row in rows if any(row)]
    if not rows:
        raise InputError(f"{table}: empty; {TABLE}")
    yield from rows


def _columns(table: Path, name: str, needed: set, expected: str) -> Iterator[tuple[int, str, dict]]:
    """Row, file name in the column ``name``, and the other cells by column, where it has a name."""
    (_, header), *rows = _cells(table)
    header = [column.casefold() for column in header]
    once = len({*header}) == len(header) - max(header.count("") - 1, 0)
    if not once or not {name, *needed} <= {*header}:
        raise InputError(f"{table}: columns {header}; expected {expected}, each once")
    for number, row in rows:
        if len(row) > len(header):
            raise InputError(f"{table}: row {number}: {len(row)} cells; expected {len(header)}")
        pairs = list(zip(header, row, strict=False))
        if nameless := [cell for column, cell in pairs if cell and not column]:
            raise InputError(f"{table}: row {number}: {nameless[0]!r} in a column without a name")
        cells = dict.fromkeys(header, "") | dict(pairs)
        cells.pop("", None)
        if not (clip := cells.pop(name)):
            raise InputError(f"{table}: row {number}: {','.join(row)!r}; expected a file name")
        yield number, clip, cells


def read_attributes(table: Path) -> Iterator[tuple[int, str, str]]:
    """``file_name,d1p,d1v,...``: row, file name, and attributes joined as in the names of clips."""
    for number, clip, cells in _columns(table, "file_name", set(), "file_name,d1p,d1v,..."):
        yield number, clip, "_".join(filter(None, cells.values()))


def read_recordings(table: Path) -> Iterator[tuple[int, str, str]]:
    """``clip,...,recording,...``: row, file name of the clip, and recording."""
    for number, clip, cells in _columns(table, "clip", {"recording"}, "clip and recording"):
        yield number, clip, cells["recording"]


def read_truth(table: Path, words: dict[str, str]) -> Iterator[tuple[int, str, str]]:
    """Row, file name and meaning of ``file name,0 or 1``, or a word, with or without a header."""
    meaning = dict(zip("01", dict.fromkeys(words.values()), strict=True)) | words
    rows, count = list(_cells(table)), 0
    for place, (number, row) in enumerate(rows):
        row = row[: 1 + max(column for column, cell in enumerate(row) if cell)]
        value = re.sub("[.,]0+$", "", row[-1].lower())
        if len(row) == 2 and row[0] and value in meaning:
            count += 1
            yield number, row[0], meaning[value]
        elif place or len(row) != 2 or re.search("[0-9]", row[0]):  # no header either
            raise InputError(
                f"{table}: row {number}: {','.join(row)!r}; expected a file name and one of "
                f"{', '.join(meaning)}"
            )
    if not count:
        raise InputError(f"{table}: no rows below the header; expected a file name and 0 or 1")
