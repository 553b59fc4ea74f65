"""The wave bank: decoded once, cropped and segmented as worked out by hand."""

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
from asdstudy import paths
from asdstudy.data import corpora, inputs, open_corpus
from asdstudy.data.banks import open_bank
from asdstudy.runs import stages as runs
from asdstudy.runs.device import DEVICE_RESERVE, on, onto_device
from asdstudy.systems import make_profile


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
    return open_bank(clips, paths.waves_dir("numbers"), progress=False)


def test_statistics_are_those_of_the_train_clips(bank):
    assert bank.mean * 32768 == pytest.approx(4.5)
    assert bank.std * 32768 == pytest.approx(np.sqrt(8.25))  # variance of 0..9: (10^2 - 1) / 12
    scaled = batches.normalise(bank.gather(np.array([0]), np.array([0]), 10), bank.mean, bank.std)
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
        assert np.array_equal(bank.sound(path), inputs.read_clip(path))
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
    part = batches.Part(bank, np.array([0]), np.array([0]), 0.0, 1.0)
    which = np.zeros(200, int)
    starts = part.random_starts(which, 4, np.random.default_rng(0))
    crops = bank.gather(part.rows[which], starts, 4)
    assert (np.diff(crops, axis=1) == 1).all()
    assert crops[:, 0].min() == 0 and crops[:, -1].max() == 9


def test_nothing_is_decoded_twice(tmp_path, monkeypatch):
    clips = corpora.index(write_corpus(tmp_path / "c", ("pump",)))
    first = open_bank(clips, tmp_path / "waves", progress=False)
    monkeypatch.setattr(inputs, "read_clip", lambda path: pytest.fail(f"decoded {path} again"))
    again = open_bank(clips, tmp_path / "waves", progress=False)
    assert isinstance(again.samples, np.memmap) and again.samples.dtype == np.int16
    assert again.fingerprint == first.fingerprint and np.array_equal(again.samples, first.samples)
    assert not list((tmp_path / "waves").glob("*.part"))


def test_the_bank_of_files_that_have_changed_goes(tmp_path):
    """Those of other types and corpora stay, and so does what is no bank."""
    root, folder = write_corpus(tmp_path / "c"), tmp_path / "waves"
    other = write_corpus(tmp_path / "other", ("pump",))
    (folder).mkdir()
    (folder / "fingerprint.json").write_text('{"pump": "a"}')
    open_bank(corpora.index(other), folder, progress=False)
    pump = corpora.index(root, ["pump"])
    open_bank(corpora.index(root, ["fan"]), folder, progress=False)
    before = {*folder.iterdir()}
    open_bank(pump[pump["product"] == "00"], folder, progress=False)
    for shift in (0, 1, 2):  # as if copied again
        for path in pump.path:
            os.utime(path, ns=(shift, shift))
        bank = open_bank(pump, folder, progress=False)
        assert np.array_equal(bank.sound(pump.path[0]), inputs.read_clip(pump.path[0]))
    assert before < {*folder.iterdir()} and len([*folder.iterdir()]) == len(before) + 3
    assert len(list(folder.glob("*.npy"))) == 3
    shutil.rmtree(other)  # of a corpus that is gone, and of one with another clip more
    shutil.copyfile(pump.path[0], pump.path[0].with_name("section_00_source_train_normal_0099.wav"))
    os.utime(pump.path[0], ns=(9, 9))
    open_bank(corpora.index(root, ["pump"]), folder, progress=False)
    assert len(list(folder.glob("*.npy"))) == 2  # of fan and of pump


@pytest.mark.filterwarnings("ignore:a GMM with p")
def test_the_number_of_workers_changes_no_bit(corpus, tmp_path, monkeypatch):
    """The banks stay the same, and so do the scores of a run on them."""
    banks, scores = [], []
    for workers in (1, 8):
        monkeypatch.setattr(
            "asdstudy.data.banks.ThreadPoolExecutor", partial(ThreadPoolExecutor, workers)
        )
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
        bank = open_bank(corpora.index(root), tmp_path / "waves", progress=False)
        prints.append(bank.fingerprint)
    assert prints[0] == prints[1] != prints[2]


def test_memory_does_not_grow_with_the_number_of_clips(tmp_path):
    """Decoding, an epoch of batches and segments of 20 and of 80 clips per product ID."""
    profile = make_profile("quick", "pump", "product-only", batch_size=8)
    peaks, sizes = [], []
    for number, count in enumerate((20, 80)):
        root = write_corpus(tmp_path / str(number), ("pump",), train=count, test=1, seconds=10)
        clips = corpora.index(root)
        tracemalloc.start()
        bank = open_bank(clips, tmp_path / f"waves-{number}", progress=False)
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
    banks = {"pump": open_bank(clips, tmp_path / "waves", progress=False)}
    free = int(DEVICE_RESERVE)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (free, free))
    with pytest.warns(UserWarning, match="8.0 GB are free on the device: they stay in memory"):
        assert onto_device(banks) is banks
    assert onto_device(banks, []) == banks


def test_no_room_for_decoded_clips(corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(InputError, match="not enough room; decoding pump needs about"):
        open_bank(corpora.index(corpus, ["pump"]), tmp_path / "waves", progress=False)
    assert not list((tmp_path / "waves").glob("*.*[!k]"))  # nothing but the lock


def test_a_bank_on_a_device_gives_the_same_samples(corpus, tmp_path):
    """On the CPU as the device, bit for bit; clips shorter than a crop are repeated alike."""
    bank = open_bank(corpora.index(corpus, ["pump"]), tmp_path / "waves", progress=False)
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
        starts = part.random_starts(np.arange(20), 8000, np.random.default_rng(1))
        whole.append(batches.crops([part], [np.arange(20)], [starts], 8000))
    assert torch.equal(*whole) and whole[0].dtype == torch.float32
    assert torch.equal(*(part.segments(np.arange(20), 3, 8000) for part in parts))


@pytest.mark.parametrize(
    "end, content",
    [(".json", b""), (".json", b'{"mean": 0.1, "st'), (".json", b"[1]"), (".json", b'{"mean": 0}'),
     (".npy", b""), (".npy", b"x" * 500), (".npy", None), (".npy", "cut")],
)  # fmt: skip
def test_a_broken_bank_is_rebuilt(corpus, tmp_path, end, content):
    """After a power loss, or by another hand; what lies beside another bank does not matter."""
    fan, pump = (corpora.index(corpus, [name]) for name in ("fan", "pump"))
    whole = open_bank(fan, tmp_path, progress=False)
    samples, (path,) = whole.samples.tolist(), tmp_path.glob(f"*{end}")
    if content is None:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1000] if content == "cut" else content)
    (tmp_path / "a-000000000000.json").mkdir()
    again = open_bank(fan, tmp_path, progress=False)
    assert again.samples.tolist() == samples and again.fingerprint == whole.fingerprint
    path.write_bytes(b"")
    assert len(open_bank(pump, tmp_path, progress=False).samples)
