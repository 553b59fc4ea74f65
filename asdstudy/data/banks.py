"""Banks: every clip decoded once, into one memory-mapped file of int16 samples per machine type."""

import hashlib
import json
import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
from filelock import FileLock
from tqdm import tqdm

from asdlib.errors import InputError
from asdlib.waves import FULL_SCALE, WaveBank
from asdstudy.data import inputs
from asdstudy.paths import check_room, make_folder, making


def open_bank(clips: pd.DataFrame, folder, progress: bool = True) -> WaveBank:
    """The bank of one machine type's ``clips`` (rows of the index), kept below ``folder``.

    A bank that is there already for the same files (name, size, time of change) is only mapped. It
    is written to a temporary name and renamed when whole; a broken one is rebuilt.
    """
    clips = clips.reset_index(drop=True)
    stem = Path(folder) / f"{clips.machine_type[0]}-{_listing(clips.path)}"
    if not (bank := _mapped(stem, clips)):
        make_folder(stem.parent)
        # one of two runs decodes, the other waits
        with making(stem), FileLock(_beside(stem, ".lock")):
            if not (bank := _mapped(stem, clips)):
                _decode(clips, stem, progress)
                bank = _mapped(stem, clips)
    return bank


def _mapped(stem: Path, clips: pd.DataFrame) -> WaveBank | None:
    """The bank that is there, if it is whole."""
    frames = clips.frames.to_numpy()
    try:
        facts = json.loads(_beside(stem, ".json").read_text())
        facts.pop("files", None)
        samples = np.load(_beside(stem, ".npy"), mmap_mode="r")
        bank = WaveBank(clips, samples, _offsets(frames), frames, **facts)
    except (OSError, ValueError, TypeError, AttributeError, EOFError):
        return None
    return bank if samples.shape == (frames.sum(),) else None


def _offsets(frames: np.ndarray) -> np.ndarray:
    """Where each clip begins in the samples of all, ``(clips,)``."""
    return np.cumsum(frames) - frames


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


def _decode(clips: pd.DataFrame, stem: Path, progress: bool) -> None:
    """Write the samples of all clips, and a record of their statistics, beside ``stem``."""
    total, what = int(clips.frames.sum()), f"decoding {clips.machine_type[0]}"
    offsets = _offsets(clips.frames.to_numpy())
    # a full disk would kill the process that writes to a memory map: so the room is taken before
    check_room(stem.parent, 2 * total, what)
    part = _beside(stem, ".part")

    def decode(row: int):
        path, first, frames = clips.path[row], offsets[row], clips.frames[row]
        sound = inputs.read_clip(path)
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
            decoded = pool.map(decode, range(len(clips)))
            look = {"unit": "clip", "mininterval": 1, "disable": not progress}
            digests, sums, squares = zip(*tqdm(decoded, what, len(clips), **look), strict=True)
        bank.flush()
        train = (clips.split == "train").to_numpy()
        count, machine_folder = clips.frames[train].sum(), clips.path[0].parent.parent
        if not count:
            raise InputError(f"{machine_folder}: no train clips")
        mean = np.sum(sums, where=train) / count
        variance = np.sum(squares, where=train) / count - mean**2
        if not variance > 0:
            raise InputError(f"{machine_folder}: the train clips are all silent or constant")
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
