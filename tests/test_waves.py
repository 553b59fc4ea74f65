"""The wave bank: decoded once, cropped and segmented as worked out by hand."""

import io
import os
import shutil
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch
from conftest import write_corpus
from test_training import SMALL

from asdlib import InputError, batches, waves
from asdlib.profiles import make_profile
from asdstudy import paths
from asdstudy.data import corpora, open_corpus
from asdstudy.data.adopt import read_recording
from asdstudy.data.settings import Adoption
from asdstudy.runs import stages as runs
from asdstudy.runs.device import DEVICE_RESERVE, on, onto_device


@pytest.fixture
def bank(tmp_path):
    """One train clip 0, 1, ..., 9, one test clip 100, ..., 103, both silent of other sound."""
    folder = tmp_path / "corpus" / "pump"
    for sub, name, samples in (
        ("train", "section_00_source_train_normal_0000.wav", np.arange(10)),
        ("test", "section_00_source_test_normal_0000.wav", np.arange(100, 104)),
    ):
        (folder / sub).mkdir(parents=True)
        soundfile.write(folder / sub / name, samples.astype(np.int16), 16_000, subtype="PCM_16")
    clips = corpora.index(folder.parent)
    return waves.open_bank(clips, paths.waves_dir("numbers"), progress=False)


def test_statistics_are_those_of_the_train_clips(bank):
    assert bank.mean * 32768 == pytest.approx(4.5)
    assert bank.std * 32768 == pytest.approx(np.sqrt(8.25))  # variance of 0..9: (10^2 - 1) / 12
    scaled = waves.normalise(bank.gather(np.array([0]), np.array([0]), 10), bank.mean, bank.std)
    assert scaled.mean() == pytest.approx(0, abs=1e-6)
    assert scaled.std(unbiased=False) == pytest.approx(1)


@pytest.mark.parametrize(
    "names", [("fan.1", "fan.2"), ("fan 1", "fan 2"), ("50%", "60%"), ("Lüfter", "[ü]")]
)
def test_any_name_has_a_bank_of_its_own(tmp_path, names):
    """A dot in a name is no suffix: the bank of one type is never another's."""
    write_corpus(tmp_path, names)
    _, banks = open_corpus("noise", tmp_path, progress=False)
    for name, bank in banks.items():
        path = bank.clips.path[0]
        assert path.parent.parent.name == name
        assert np.array_equal(bank.sound(path), waves.read_clip(path))
    assert banks[names[0]].fingerprint != banks[names[1]].fingerprint
    assert len(list(paths.waves_dir("noise").glob("*.npy"))) == 2


def test_segment_starts_by_hand():
    # i * floor((10 - 4) / (4 - 1)) = 0, 2, 4, 6
    assert waves.segment_starts(10, 4, 4).tolist() == [0, 2, 4, 6]
    # floor(7 / 3) = 2: 0, 2, 4, and the last flush with the end
    assert waves.segment_starts(11, 4, 4).tolist() == [0, 2, 4, 7]
    assert waves.segment_starts(160_000, 10, 32_000).tolist() == [i * 14222 for i in range(9)] + [
        128_000
    ]
    assert waves.segment_starts(3, 4, 4).tolist() == [0, 0, 0, 0]
    assert waves.segment_starts(10, 1, 4).tolist() == [0]


def test_segments_by_hand(bank):
    segments = bank.segments(np.array([0]), 3, 4)
    assert segments.tolist() == [[[0, 1, 2, 3], [3, 4, 5, 6], [6, 7, 8, 9]]]


def test_a_clip_shorter_than_a_segment_is_repeated(bank):
    assert bank.gather(np.array([1]), np.array([0]), 6).tolist() == [[100, 101, 102, 103, 100, 101]]


def test_sound_is_the_whole_clip(bank):
    assert bank.sound(bank.clips.path[1]).tolist() == [100, 101, 102, 103]


def test_random_crops_stay_inside_their_clip_and_reach_both_ends(bank):
    crops = bank.random_crops(np.zeros(200, int), 4, np.random.default_rng(0))
    assert (np.diff(crops, axis=1) == 1).all()
    assert crops[:, 0].min() == 0 and crops[:, -1].max() == 9


def test_nothing_is_decoded_twice(tmp_path, monkeypatch):
    clips = corpora.index(write_corpus(tmp_path / "c", ("pump",)))
    first = waves.open_bank(clips, tmp_path / "waves", progress=False)
    monkeypatch.setattr(waves, "read_clip", lambda path: pytest.fail(f"decoded {path} again"))
    again = waves.open_bank(clips, tmp_path / "waves", progress=False)
    assert isinstance(again.samples, np.memmap) and again.samples.dtype == np.int16
    assert again.fingerprint == first.fingerprint and np.array_equal(again.samples, first.samples)
    assert not list((tmp_path / "waves").glob("*.part"))


def test_the_bank_of_files_that_have_changed_goes(tmp_path):
    """Of the same files only: those of other clips, types and corpora stay, and what is no bank."""
    root, folder = write_corpus(tmp_path / "c"), tmp_path / "waves"
    other = write_corpus(tmp_path / "other", ("pump",))
    (folder).mkdir()
    (folder / "fingerprint.json").write_text('{"pump": "a"}')
    waves.open_bank(corpora.index(other), folder, progress=False)
    pump = corpora.index(root, ["pump"])
    waves.open_bank(corpora.index(root, ["fan"]), folder, progress=False)
    waves.open_bank(pump[pump["product"] == "00"], folder, progress=False)
    before = {*folder.iterdir()}
    for shift in (0, 1, 2):  # as if copied anew
        for path in pump.path:
            os.utime(path, ns=(shift, shift))
        bank = waves.open_bank(pump, folder, progress=False)
        assert np.array_equal(bank.sound(pump.path[0]), waves.read_clip(pump.path[0]))
    assert before < {*folder.iterdir()} and len([*folder.iterdir()]) == len(before) + 3
    assert len(list(folder.glob("*.npy"))) == 4


@pytest.mark.filterwarnings("ignore:a GMM with p")
def test_the_number_of_workers_changes_no_bit(corpus, tmp_path, monkeypatch):
    """Of the banks, and of the scores of a run on them."""
    banks, scores = [], []
    for workers in (1, 8):
        monkeypatch.setattr(waves, "ThreadPoolExecutor", partial(ThreadPoolExecutor, workers))
        monkeypatch.setattr(paths, "waves_dir", lambda _, n=workers: tmp_path / f"waves-{n}")
        out = tmp_path / f"runs-{workers}"
        run = runs.execute("noise", "pump", data_dir=corpus, out_dir=out, progress=False, **SMALL)
        banks.append(open_corpus("noise", corpus, progress=False)[1])
        scores.append((run.folder / "scores.csv").read_bytes())
    assert scores[0] == scores[1]
    for one, other in zip(*(each.values() for each in banks), strict=True):
        assert np.array_equal(one.samples, other.samples)
        for fact in ("fingerprint", "mean", "std"):
            assert getattr(one, fact) == getattr(other, fact)


def test_fingerprint_follows_the_sound(tmp_path):
    prints = []
    for seed_products in (1, 1, 2):
        root = write_corpus(tmp_path / str(len(prints)), ("pump",), products=seed_products)
        bank = waves.open_bank(corpora.index(root), tmp_path / "waves", progress=False)
        prints.append(bank.fingerprint)
    assert prints[0] == prints[1] != prints[2]


@pytest.mark.parametrize("subtype, exact", [("PCM_16", 0), ("PCM_24", 1), ("FLOAT", 1)])
def test_every_format_becomes_int16(tmp_path, subtype, exact):
    sound = np.array([0.0, 0.5, -0.25, 0.999])
    soundfile.write(tmp_path / "a.wav", sound, 16_000, subtype=subtype)
    found = waves.read_clip(tmp_path / "a.wav")
    assert found.dtype == np.int16
    assert np.abs(found - sound * 32768).max() <= 1


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
        waves.read_clip,
        partial(read_recording, adoption=Adoption()),
        lambda path: waves.read_sound("zip: a.wav", io.BytesIO(path.read_bytes())),
    ):
        with pytest.raises(InputError, match=f"a.wav: .*{message}"):
            read(path)
    soundfile.write(path, np.array([1.0, -1.0]), 16_000, subtype=subtype)
    assert waves.read_clip(path).tolist() == [32767, -32768]


def _streamed(path, size):
    """A WAV file of noise whose header says that it has ``size`` bytes of sound."""
    sound = np.random.default_rng(0).integers(-9999, 9999, 8000).astype(np.int16)
    sound[:10] = 0
    soundfile.write(path, sound, 16_000, subtype="PCM_16")
    content = bytearray(path.read_bytes())
    content[40:44] = content[4:8] = size.to_bytes(4, "little")
    path.write_bytes(content)
    return sound


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFF000, 0x80000000, 0x7FFFFFFF, 0xFFFFFFFF - 36])
def test_sound_of_a_pipe_is_read_to_its_end(tmp_path, size):
    path = tmp_path / "fan" / "train" / "section_00_source_train_normal_0000.wav"
    path.parent.mkdir(parents=True)
    sound = _streamed(path, size)
    assert corpora.index(tmp_path).frames.tolist() == [8000]
    assert np.array_equal(waves.read_clip(path), sound)
    assert np.array_equal(read_recording(path, Adoption()) * 32768, sound)


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_sound_of_which_no_header_knows_the_length(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    if suffix == "wav":
        _streamed(path, 0)
    else:
        soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, 8000), 16_000)
        content = bytearray(path.read_bytes())
        content[21] &= 0xF0  # the number of samples in STREAMINFO: 36 bits
        content[22:26] = bytes(4)
        path.write_bytes(content)
    for read in (corpora.clip_frames, partial(read_recording, adoption=Adoption())):
        with pytest.raises(InputError, match=f"a.{suffix}: its header gives no length.*ffmpeg"):
            read(path)


def test_half_a_flac_is_said_by_whoever_opens_it(tmp_path):
    path = tmp_path / "a.flac"
    soundfile.write(path, np.random.default_rng(0).normal(0, 0.1, 80_000), 16_000)
    path.write_bytes(path.read_bytes()[:60_000])
    for read in (waves.read_clip, partial(read_recording, adoption=Adoption())):
        with pytest.raises(InputError, match="a.flac: (truncated|cannot be decoded)"):
            read(path)


def test_memory_does_not_grow_with_the_number_of_clips(tmp_path):
    """Decoding, an epoch of batches and segments of 20 and of 80 clips a product ID."""
    profile = make_profile("quick", "pump", "product-only", batch_size=8)
    peaks, sizes = [], []
    for number, count in enumerate((20, 80)):
        root = write_corpus(tmp_path / str(number), ("pump",), train=count, test=1, seconds=10)
        clips = corpora.index(root)
        tracemalloc.start()
        bank = waves.open_bank(clips, tmp_path / f"waves-{number}", progress=False)
        split = batches.split_clips(bank, [], profile, 0)
        for batch in batches.balanced_batches(split, profile, np.random.default_rng(0)):
            assert len(batch.machine) <= 4
        for which in np.arange(len(split.train)).reshape(-1, 1):
            split.train.segments(which, profile.segments, profile.segment_frames)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        sizes.append(bank.samples.nbytes)
    grown = sizes[1] - sizes[0]
    assert grown > 30e6
    assert peaks[1] - peaks[0] < 0.25 * grown  # threads that decode side by side vary a little


def test_banks_that_do_not_fit_on_the_device_stay_in_memory(corpus, tmp_path, monkeypatch):
    clips = corpora.index(corpus, ["pump"])
    banks = {"pump": waves.open_bank(clips, tmp_path / "waves", progress=False)}
    free = int(DEVICE_RESERVE)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (free, free))
    with pytest.warns(UserWarning, match="8.0 GB are free on the device: they stay in memory"):
        assert onto_device(banks) is banks
    assert onto_device(banks, []) == banks


def test_no_room_for_decoded_clips(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(InputError, match="not enough room; decoding pump needs about"):
        waves.open_bank(corpora.index(corpus, ["pump"]), tmp_path / "waves", progress=False)
    assert not list((tmp_path / "waves").glob("*.*[!k]"))  # nothing but the lock


def test_a_bank_on_a_device_gives_the_same_samples(corpus, tmp_path):
    """On the CPU as the device, bit for bit; clips shorter than a crop are repeated alike."""
    bank = waves.open_bank(corpora.index(corpus, ["pump"]), tmp_path / "waves", progress=False)
    there = on(bank, "cpu")
    rng = np.random.default_rng(0)
    which = rng.integers(0, len(bank.clips), 20)
    for length in (100, 24_000, 30_000):
        starts = rng.integers(0, max(24_000 - length, 0) + 1, 20)
        gathered = there.gather(which, starts, length)
        assert gathered.dtype == torch.int16
        np.testing.assert_array_equal(gathered.numpy(), bank.gather(which, starts, length))
    parts = [batches.Part(each, which, which % 2, bank.mean, bank.std) for each in (bank, there)]
    whole = []
    for part in parts:
        crops = part.crops(np.arange(20), 8000, np.random.default_rng(1))
        whole.append(batches.scaled([part], [crops]))
    assert torch.equal(*whole) and whole[0].dtype == torch.float32
    assert torch.equal(*(part.segments(np.arange(20), 3, 8000) for part in parts))
