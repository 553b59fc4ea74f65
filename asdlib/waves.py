"""Waves: every clip decoded once into one memory-mapped int16 bank a machine type."""

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from filelock import FileLock
from tqdm import tqdm

from asdlib.errors import InputError, check_room, make_folder, making

FULL_SCALE = 32768.0  # an int16 sample of this size would be amplitude 1


@dataclass(frozen=True)
class WaveBank:
    """The sound of one machine type: the samples of all its clips, one after the other.

    ``samples`` ``(total frames,)`` int16, memory-mapped; ``clips`` the rows of the index, clip i at
    ``offsets[i]`` with ``frames[i]`` samples; ``mean`` and ``std`` those of the train clips, in
    units of full scale; ``fingerprint`` a SHA-256 over names and samples.
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

    def gather(self, clips: np.ndarray, starts: np.ndarray, length: int) -> np.ndarray:
        """``length`` samples from ``starts`` within each of ``clips``: int16 ``(B, length)``.

        A clip shorter than ``length`` is repeated until it is long enough.
        """
        waves = np.empty((len(clips), length), np.int16)
        firsts, ends = self.offsets[clips] + starts, self.offsets[clips] + self.frames[clips]
        samples = self.samples.view(np.ndarray)  # slices of a memory map cost more
        for row, first, end in zip(waves, firsts, ends, strict=True):
            sound = samples[first : min(first + length, end)]
            row[:] = sound if len(sound) == length else np.resize(sound, length)
        return waves

    def random_crops(self, clips: np.ndarray, length: int, rng: np.random.Generator) -> np.ndarray:
        """One crop of each of ``clips`` at a random place: int16 ``(B, length)``."""
        room = np.maximum(self.frames[clips] - length, 0)
        return self.gather(clips, rng.integers(0, room + 1), length)

    def segments(self, clips: np.ndarray, count: int, length: int) -> np.ndarray:
        """``count`` evenly spread segments of each of ``clips``: int16 ``(B, count, length)``."""
        starts = np.stack([segment_starts(self.frames[clip], count, length) for clip in clips])
        waves = self.gather(np.repeat(clips, count), starts.ravel(), length)
        return waves.reshape(len(clips), count, length)


def segment_starts(frames: int, count: int, length: int) -> np.ndarray:
    """Where S segments of ``length`` start in a clip of ``frames`` samples: ``(S,)``.

    Starts at i * floor((frames - length) / (S - 1)), the last flush with the end (section IV-A:
    "S = 10 segments, with overlap allowed"). All zero for a clip no longer than a segment.
    """
    room = max(int(frames) - length, 0)
    starts = np.arange(count) * (room // max(count - 1, 1))
    if count > 1:
        starts[-1] = room
    return starts


def distinct_segments(frames: np.ndarray, count: int, length: int) -> np.ndarray:
    """Which segments of clips repeat none before them: bool ``(clips, S)``.

    Of a clip no longer than a segment that is the first alone.
    """
    starts = np.stack([segment_starts(each, count, length) for each in frames])
    return np.diff(starts, axis=1, prepend=-1) > 0


def normalise(waves, mean, std) -> torch.Tensor:
    """int16 samples to float32 of mean 0 and variance 1, by a machine type's statistics.

    ``waves`` is an array or a tensor, which stays on its device; ``mean`` and ``std`` are numbers,
    or arrays ``(B, 1)`` where the rows are of several machine types.
    """
    scaled = torch.as_tensor(waves).to(torch.float32, copy=True)  # then scaled in place
    centre, factor = mean * FULL_SCALE, 1 / (std * FULL_SCALE)
    if np.ndim(mean):  # numbers need no copy to the device, and no wait for it
        like = {"dtype": scaled.dtype, "device": scaled.device}
        centre, factor = torch.as_tensor(centre, **like), torch.as_tensor(factor, **like)
    return scaled.sub_(centre).mul_(factor)


def open_bank(clips: pd.DataFrame, folder, read_clip: Callable, progress: bool = True) -> WaveBank:
    """The bank of one machine type's ``clips`` (rows of the index), kept below ``folder``.

    ``read_clip`` of a path gives int16 ``(frames,)``, once for each clip, in parallel. A bank that
    is there already for the same files (name, size, time of change) is only mapped. It is written
    to a temporary name and renamed when whole; one that is broken is made again.
    """
    clips = clips.reset_index(drop=True)
    machine_type = clips.machine_type.iloc[0]
    frames = clips.frames.to_numpy()
    offsets = np.concatenate([[0], np.cumsum(frames)[:-1]])
    stem = Path(folder) / f"{machine_type}-{_listing(clips.path)}"
    if not (bank := _mapped(stem, clips, offsets, frames)):
        make_folder(stem.parent)
        # of two runs one decodes, the other waits
        with making(stem), FileLock(_beside(stem, ".lock")):
            if not (bank := _mapped(stem, clips, offsets, frames)):
                _decode(clips, offsets, int(frames.sum()), stem, read_clip, progress)
                bank = _mapped(stem, clips, offsets, frames)
    return bank


def _mapped(stem: Path, clips: pd.DataFrame, offsets, frames) -> WaveBank | None:
    """The bank that is there, if it is whole."""
    try:
        facts = json.loads(_beside(stem, ".json").read_text())
        facts.pop("files", None)
        samples = np.load(_beside(stem, ".npy"), mmap_mode="r")
        bank = WaveBank(clips, samples, offsets, frames, **facts)
    except (OSError, ValueError, TypeError, AttributeError, EOFError):
        return None
    return bank if samples.shape == (frames.sum(),) else None


def _beside(stem: Path, ending: str) -> Path:
    """``stem`` with an ending; ``with_suffix`` would take what follows a dot in a name for one."""
    return stem.with_name(stem.name + ending)


def _listing(paths: Iterable[Path]) -> str:
    """A short hash of which files these are, without reading them."""
    files = ((os.fsencode(path.resolve()), path.stat()) for path in paths)
    lines = (b"%b|%d|%d\n" % (name, s.st_size, s.st_mtime_ns) for name, s in files)
    return hashlib.sha256(b"".join(lines)).hexdigest()[:12]


def _remove_outdated(new: Path) -> None:
    """Remove the banks beside a ``new`` one of which a file has changed or is gone."""
    for record in new.parent.glob(f"*-{'[0-9a-f]' * 12}.json"):
        stem = record.with_name(record.stem)
        if stem == new or not record.is_file():
            continue
        try:
            files = json.loads(record.read_text())["files"]
            outdated = not stem.name.endswith(_listing(map(Path, files)))
        except (OSError, ValueError, TypeError, KeyError):  # gone, or a broken record
            outdated = True
        if outdated:
            for ending in (".json", ".npy", ".lock"):  # the record first: none is without a bank
                _beside(stem, ending).unlink(missing_ok=True)


def _decode(
    clips: pd.DataFrame, offsets, total: int, stem: Path, read_clip: Callable, progress: bool
) -> None:
    machine_type = clips.machine_type.iloc[0]
    # a full disk would kill the process that writes to a memory map: so the room is taken before
    check_room(stem.parent, 2 * total, f"decoding {machine_type}")
    part = _beside(stem, ".part")

    def decode(row: int):
        path, first, frames = clips.path[row], offsets[row], clips.frames[row]
        sound = read_clip(path)
        if len(sound) != frames:
            raise InputError(f"{path}: truncated; {len(sound)} of {frames} samples can be read")
        bank[first : first + frames] = sound
        digest = hashlib.sha256(f"{path.parent.name}/{path.name}".encode())
        digest.update(sound.tobytes())
        exact = sound.astype(np.float64)
        return digest.digest(), exact.sum(), np.square(exact).sum()

    try:
        bank = np.lib.format.open_memmap(part, "w+", np.int16, (total,))
        if hasattr(os, "posix_fallocate"):  # macOS has none
            with part.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, part.stat().st_size)
        with ThreadPoolExecutor() as pool:
            bar = tqdm(
                pool.map(decode, range(len(clips))),
                total=len(clips),
                desc=f"decoding {machine_type}",
                unit="clip",
                mininterval=1,
                disable=not progress,
            )
            digests, sums, squares = zip(*bar, strict=True)
        bank.flush()
        train = (clips.split == "train").to_numpy()
        count = clips.frames[train].sum()
        if not count:
            raise InputError(f"{clips.path[0].parent.parent}: no train clips")
        mean = np.sum(sums, where=train) / count
        variance = np.sum(squares, where=train) / count - mean**2
        if not variance > 0:
            raise InputError(
                f"{clips.path[0].parent.parent}: the train clips are all silent or constant"
            )
        facts = {
            "mean": mean / FULL_SCALE,
            "std": float(np.sqrt(variance)) / FULL_SCALE,
            "fingerprint": hashlib.sha256(b"".join(digests)).hexdigest(),
            "files": [str(path.resolve()) for path in clips.path],
        }
        os.replace(part, _beside(stem, ".npy"))
        part = _beside(stem, ".json.part")
        part.write_text(json.dumps(facts))
        os.replace(part, _beside(stem, ".json"))
        _remove_outdated(stem)
    finally:
        part.unlink(missing_ok=True)
