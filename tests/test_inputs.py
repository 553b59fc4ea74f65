"""What a clip and a table may be: what is read to the end, and what is refused."""

import io
import struct
import tracemalloc
from functools import partial

import numpy as np
import pytest
import soundfile

from asdlib import InputError
from asdstudy import paths
from asdstudy.data import corpora, inputs
from asdstudy.data.adopt import read_recording
from asdstudy.data.banks import open_bank
from asdstudy.data.fetch import fetch
from asdstudy.data.settings import Adoption
from asdstudy.data.simulate import make_corpus
from asdstudy.data.uav import fetch_uav


@pytest.mark.parametrize("subtype, exact", [("PCM_16", 0), ("PCM_24", 1), ("FLOAT", 1)])
def test_every_format_becomes_int16(tmp_path, subtype, exact):
    sound = np.array([0.0, 0.5, -0.25, 0.999])
    soundfile.write(tmp_path / "a.wav", sound, 16_000, subtype=subtype)
    clip = inputs.read_clip(tmp_path / "a.wav")
    assert clip.dtype == np.int16
    assert np.abs(clip - sound * 32768).max() <= 1


@pytest.mark.parametrize(
    "value, message",
    [
        (1.5, "samples up to 1.5; expected -1 to 1"),
        (-20_000.0, "samples up to 20000; expected -1 to 1"),
        (np.inf, "NaN or infinite"),
        (1e-6, "expected some that 16 bits can hold"),
    ],
)
@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
def test_sound_beyond_full_scale_is_refused_by_whoever_opens_it(tmp_path, value, message, subtype):
    """Not cut off: by the bank, by adopt, and by what takes recordings from an archive."""
    path = tmp_path / "a.wav"
    soundfile.write(path, np.array([0.0, value]), 16_000, subtype=subtype)
    for read in (
        inputs.read_clip,
        partial(read_recording, conversion=Adoption()),
        lambda path: inputs.read_sound("zip: a.wav", path.read_bytes()),
    ):
        with pytest.raises(InputError, match=f"a.wav: .*{message}"):
            read(path)
    soundfile.write(path, np.array([1.0, -1.0]), 16_000, subtype=subtype)
    assert inputs.read_clip(path).tolist() == [32767, -32768]


def _streamed(path, size):
    """A WAV file of noise whose header says that it has ``size`` bytes of sound."""
    sound = np.random.default_rng(0).integers(-9999, 9999, 8000).astype(np.int16)
    sound[:10] = 0
    soundfile.write(path, sound, 16_000, subtype="PCM_16")
    content = bytearray(path.read_bytes())
    content[40:44] = content[4:8] = size.to_bytes(4, "little")
    path.write_bytes(content)
    return sound


@pytest.mark.parametrize(
    "size", [0, 0xFFFFFFFF, 0x7FFFF000, 0x80000000, 0x7FFFFFFF, 0xFFFFFFFF - 36]
)
def test_sound_of_a_pipe_is_read_to_its_end(tmp_path, size):
    path = tmp_path / "fan" / "train" / "section_00_source_train_normal_0000.wav"
    path.parent.mkdir(parents=True)
    sound = _streamed(path, size)
    assert corpora.index(tmp_path).frames.tolist() == [8000]
    assert np.array_equal(inputs.read_clip(path), sound)
    assert np.array_equal(read_recording(path, Adoption()) * 32768, sound)
    assert np.array_equal(inputs.read_sound("zip: a.wav", path.read_bytes(), True)[0][:, 0], sound)


def _written(**format):
    file = io.BytesIO()
    sound = np.random.default_rng(0).normal(0, 0.1, 8000)
    soundfile.write(file, sound, 16_000, **{"format": "WAV", "subtype": "PCM_16"} | format)
    return sound, bytearray(file.getvalue())


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
@pytest.mark.parametrize("container", ["WAV", "WAVEX", "RF64", "RF64 of 0"])
def test_any_container_without_a_length_is_read_to_its_end(tmp_path, container, subtype):
    sound, content = _written(format=container.split()[0], subtype=subtype)
    place = content.index(b"data") + 4
    if "RF64" in container:  # 8 bytes of its own for the length, or -1
        ds64 = content.index(b"ds64") + 16
        content[ds64 : ds64 + 8] = (b"\0" if "0" in container[4:] else b"\xff") * 8
    else:
        content[place : place + 4] = bytes(4)
    (tmp_path / "a.wav").write_bytes(content)
    assert inputs.clip_frames(tmp_path / "a.wav") == 8000
    error = inputs.read_clip(tmp_path / "a.wav") - np.round(sound * 32768)
    assert np.abs(error).max() <= (256 if subtype == "PCM_U8" else 1)


def flac_of_a_pipe(path, sound, before=b""):
    """FLAC that says neither how long it is nor how large its frames are."""
    soundfile.write(path, sound, 16_000)
    content = bytearray(path.read_bytes())
    content[12:18] = bytes(6)
    content[21] &= 0xF0  # the number of samples in STREAMINFO: 36 bits
    content[22:26] = bytes(4)
    path.write_bytes(before + content)
    return before + content


@pytest.mark.parametrize("before", [b"", b"ID3\x04\0\0\0\0\0\x0a" + bytes(10)])
@pytest.mark.parametrize("samples", [1, 8000, 3 << 20])
def test_flac_without_a_length_is_read_to_its_end(tmp_path, samples, before):
    path = tmp_path / "a.flac"
    sound = np.random.default_rng(0).integers(-9999, 9999, samples).astype(np.int16)
    content = flac_of_a_pipe(path, sound, before)
    assert inputs.clip_frames(path) == samples
    assert np.array_equal(inputs.read_clip(path), sound)
    assert np.array_equal(inputs.read_sound("zip: a", bytes(content), True)[0][:, 0], sound)
    path.write_bytes(content[: len(content) * 2 // 3])
    for read in (inputs.clip_frames, inputs.read_clip) if not before else ():
        with pytest.raises(InputError, match="a.flac: (cannot be decoded|not audio that)"):
            read(path)


def test_a_long_flac_without_a_length_is_not_held_in_memory(tmp_path):
    """Neither to count it nor to read any part of it."""
    path, sound = tmp_path / "a.flac", np.zeros(1 << 24, np.int16)
    sound[::1000] = np.arange(len(sound[::1000])) % 999
    flac_of_a_pipe(path, sound)
    tracemalloc.start()
    assert inputs.clip_frames(path) == 1 << 24
    with inputs.open_sound(path) as file:
        for start in (4000, (1 << 24) - 8000, 0):
            file.seek(start)
            assert np.array_equal(file.read(8000, "int16"), sound[start : start + 8000])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**23


@pytest.mark.parametrize("samples", [2**36 - 1, 2**31, 9000])
def test_flac_that_counts_more_than_it_holds_fills_no_memory(tmp_path, samples):
    """Nor does it ask for more room than there is."""
    path = tmp_path / "fan" / "train" / "section_00_source_train_normal_0000.flac"
    path.parent.mkdir(parents=True)
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, 8000), 16_000)
    content = bytearray(path.read_bytes())
    content[21] = content[21] & 0xF0 | samples >> 32
    content[22:26] = (samples & 0xFFFFFFFF).to_bytes(4, "big")
    path.write_bytes(content)
    with pytest.raises(InputError, match="bytes cannot hold|truncated; 8000 of"):
        read_recording(path, Adoption())
    with pytest.raises(InputError, match="bytes cannot hold|truncated; 8000 of|cannot be decoded"):
        open_bank(corpora.index(tmp_path), tmp_path / "waves", progress=False)
    soundfile.write(path, np.zeros(9_600_000), 16_000)  # ten minutes of silence are no such thing
    assert inputs.clip_frames(path) == 9_600_000


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
def test_a_long_recording_without_a_length_is_not_held_in_memory(tmp_path, size):
    """Neither to count it nor to read a part of it."""
    path = tmp_path / "a.wav"
    sound = _streamed(path, size)
    with path.open("r+b") as file:
        file.truncate(44 + 2 * 2**29)  # 9 hours, of which the disk holds the beginning
    tracemalloc.start()
    assert inputs.clip_frames(path) == 2**29
    with inputs.open_sound(path) as file:
        file.seek(4000)
        assert np.array_equal(file.read(4000, "int16"), sound[4000:])
        file.seek(2**29 - 10)
        assert file.read(10, "int16").tolist() == [0] * 10
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**23


def test_a_length_that_is_not_the_file_s(tmp_path):
    """Sound that no header counts is neither lost nor guessed; other chunks and zeros are none."""
    path, content = tmp_path / "a.wav", _written()[1]
    for after in (b"", b"\0" * 500, b"LIST\x04\0\0\0INFO", b"id3 \x01\0\0\0x\0"):
        path.write_bytes(content + after)
        assert inputs.clip_frames(path) == 8000
    for length, message in (
        (8000, "its header counts 8000 of 16000 bytes of sound; .* `ffmpeg -ignore_length 1"),
        (16002, "truncated; 16000 of 16002 bytes of sound are there"),
        (0x7FFE0000, "truncated; 16000 of 2147352576 bytes"),
    ):
        content[40:44] = struct.pack("<I", length)
        path.write_bytes(content)
        for read in (inputs.clip_frames, inputs.read_clip):
            with pytest.raises(InputError, match=f"a.wav: {message}"):
                read(path)
    content[40:44] = bytes(4)  # no sound, but a chunk of words
    path.write_bytes(content[:44] + b"LIST" + struct.pack("<I", 2000) + b"INFO" + b"x" * 1996)
    with pytest.raises(InputError, match="no sound in it"):
        inputs.clip_frames(path)


@pytest.mark.parametrize(
    "format, subtype",
    [
        *(("OGG", "VORBIS"), ("MP3", "MPEG_LAYER_III"), ("AIFF", "PCM_16"), ("W64", "PCM_16")),
        *(("WAV", "GSM610"), ("WAV", "IMA_ADPCM"), ("WAV", "MS_ADPCM")),
    ],
)
def test_other_sound_under_the_name_of_wav_is_refused(tmp_path, format, subtype):
    (tmp_path / "a.wav").write_bytes(_written(format=format, subtype=subtype)[1])
    with pytest.raises(InputError, match=f"a.wav: {format} of {subtype} inside; expected a .wav"):
        inputs.clip_frames(tmp_path / "a.wav")


def test_how_loud_and_how_quiet_sound_may_be(tmp_path):
    """A resampler's overshoot is clipped; sound that 16 bits would turn to noise is refused."""
    path, rng = tmp_path / "a.wav", np.random.default_rng(0)
    noise = rng.uniform(-1, 1, 1000)
    for peak, subtype, message in (
        (1.0001, "FLOAT", None),
        (1.02, "FLOAT", "samples up to 1.0"),
        (1e-4, "FLOAT", "samples up to .*; expected some that 16 bits can hold"),
        (1e-4, "PCM_24", "samples up to .*; expected some that 16 bits can hold"),
        (1e-4, "PCM_16", None),
        (0, "FLOAT", None),
    ):
        soundfile.write(path, noise / np.abs(noise).max() * peak, 16_000, subtype=subtype)
        if message:
            with pytest.raises(InputError, match=message):
                inputs.read_clip(path)
        else:
            expected = np.clip(np.round(noise / np.abs(noise).max() * peak * 32768), -32768, 32767)
            assert np.abs(inputs.read_clip(path) - expected).max() <= 1


def test_half_a_flac_is_said_by_whoever_opens_it(tmp_path):
    path = tmp_path / "a.flac"
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, 80_000), 16_000)
    path.write_bytes(path.read_bytes()[:60_000])
    for read in (inputs.read_clip, partial(read_recording, conversion=Adoption())):
        with pytest.raises(InputError, match="a.flac: (truncated|cannot be decoded)"):
            read(path)


def test_an_error_is_one_legible_line():
    """Whatever the name of a file holds: line ends, what steers a terminal, what is no UTF-8."""
    message = str(InputError("a\nb\x1b[31m\udcff Lüfter é 音\t: x"))
    assert message == r"a\nb\x1b[31m\udcff Lüfter é 音\t: x"
    assert paths.gigabytes(1.5e9) == "1.5 GB"


@pytest.mark.parametrize("content", [b"", b'{"seed": 0, "se', b"[1]", b"\xff"])
def test_a_broken_note_beside_data_is_named(tmp_path, content):
    for name, make in (
        ("corpus.json", lambda: make_corpus(tmp_path, progress=False)),
        ("uav/source.json", lambda: fetch_uav(tmp_path, server="http://localhost:1")),
        (".fetch/dev_data_fan.json", lambda: fetch(tmp_path, ["fan"], "http://localhost:1")),
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=f"{name}: broken; expected what was written there"):
            make()
