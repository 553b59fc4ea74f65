"""Batches: the 90/10 split, crops and segments of its parts, and mini-batches (section IV-A)."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.model_selection import StratifiedShuffleSplit

from asdlib.errors import InputError
from asdlib.profiles import Profile
from asdlib.waves import FULL_SCALE, WaveBank, last_start


@dataclass(frozen=True)
class Part:
    """Clips of one bank: rows of ``bank.clips``, and the number of their product ID.

    The number is -1 for clips of other machines. ``mean`` and ``std`` scale the samples. They are
    the target's or, if the profile's ``normalisation`` is ``own``, the bank's.
    """

    bank: WaveBank
    rows: np.ndarray
    products: np.ndarray
    mean: float
    std: float

    @classmethod
    def of(cls, bank: WaveBank, rows, target: WaveBank, products, profile: Profile) -> "Part":
        """``rows`` of a bank, with the numbers of their product IDs if it is the ``target``'s."""
        numbers = np.full(len(rows), -1)
        if bank is target:
            numbers = pd.Index(products).get_indexer(bank.clips["product"].iloc[rows])
        scale = bank if profile.normalisation == "own" else target
        return cls(bank, rows, numbers, scale.mean, scale.std)

    def __getitem__(self, which: np.ndarray) -> "Part":
        """Some of the clips, by place or by bool."""
        return replace(self, rows=self.rows[which], products=self.products[which])

    def random_starts(self, which: np.ndarray, length: int, rng: np.random.Generator) -> np.ndarray:
        """Where a random crop of each clip starts, ``(B,)``."""
        return rng.integers(0, last_start(self.bank.frames[self.rows[which]], length) + 1)

    def leading_starts(self, which: np.ndarray, length: int, count: int) -> np.ndarray:
        """Where the leading segments of each clip start, ``(B * count,)``, clip by clip."""
        starts = np.tile(np.arange(count) * length, len(which))
        last = last_start(self.bank.frames[self.rows[which]], length)
        return np.minimum(starts, np.repeat(last, count))

    def segments(self, which: np.ndarray, count: int, length: int) -> torch.Tensor:
        """Evenly spread segments of each clip: float32 ``(B, count, length)``."""
        return normalise(self.bank.segments(self.rows[which], count, length), self.mean, self.std)

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True)
class Split:
    """What a run trains and validates on: the target's 90 % and 10 %, the others' likewise."""

    products: tuple[str, ...]
    train: Part
    validation: Part
    others_train: tuple[Part, ...]
    others_validation: tuple[Part, ...]


def split_clips(target: WaveBank, others: list[WaveBank], profile: Profile, seed: int) -> Split:
    """Divide every bank's train clips 90 to 10, within each product ID; ``seed`` decides the draw.

    Every product ID of the target is in both parts, and an event (clips of the same sound) is in
    one of them only. The other machine types are split too, so that no training clip enters the
    validation loss. Raises :class:`InputError` where a product ID has too few clips or events, or
    where L_machine is on and there is no other machine type.
    """
    if profile.needs_others and not others:
        raise InputError(
            f"{folder_of(target.clips)}: no other machine type beside it; "
            "L_machine needs negatives (variant product-only does not)"
        )
    products = tuple(sorted(target.clips["product"][target.clips.split == "train"].unique()))

    def both_parts(bank: WaveBank) -> list[Part]:
        rows = np.flatnonzero(bank.clips.split == "train")
        whole = Part.of(bank, rows, target, products, profile)
        places = _divided(bank.clips.iloc[rows], profile.validation_share, seed, bank is target)
        return [whole[some] for some in places]

    train, validation = both_parts(target)
    if len(train) < 2 and not others:
        raise InputError(
            f"{folder_of(target.clips)}: {len(train)} clip to train on, and {len(validation)} for "
            "validation; expected at least 2 to train on without other machines"
        )
    pairs = tuple(zip(*map(both_parts, others), strict=True)) or ((), ())
    return Split(products, train, validation, *pairs)


def event_keys(clips: pd.DataFrame) -> list:
    """The keys that group clips into events; a clip without an event is one by itself."""
    return ["event", np.where(clips.event == "", clips.index, -1)]


def _divided(clips: pd.DataFrame, share: float, seed: int, is_target: bool) -> tuple:
    """The places in ``clips`` of the train part and of the validation part, each sorted.

    Whole events are drawn, stratified by product ID.
    """
    keys = ["product", *event_keys(clips)]
    events = clips.groupby(keys, sort=False).ngroup()  # (clips,): the number of each one's event
    first = np.unique(events, return_index=True)[1]  # (events,): a clip of each
    names = clips["product"].to_numpy()[first]
    counts = pd.Series(names).value_counts()
    if is_target and counts.min() < 2:
        what = "train clip" if len(first) == len(clips) else "recording to train on"
        raise InputError(
            f"{folder_of(clips)}: product ID {counts.idxmin()} has {counts.min()} {what}; "
            "expected at least 2, one of them for validation"
        )
    if len(first) < 2:  # a single clip of another machine: train on it, and validate on it
        return (np.arange(len(clips)),) * 2
    size = max(round(len(first) * share), len(counts))
    strata = names if counts.min() >= 2 else np.zeros(len(first))
    splitter = StratifiedShuffleSplit(1, test_size=size, random_state=seed)
    train, validation = next(splitter.split(first, strata))
    if is_target:  # the share of a small product ID may round down to no clip
        for name in sorted(set(names) - set(names[validation])):
            validation = np.append(validation, train[names[train] == name][0])
    held_out = np.isin(events, validation)
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


def folder_of(clips: pd.DataFrame) -> Path:
    """The folder of a machine type, by its clips, for errors."""
    return clips.path.iloc[0].parent.parent


@dataclass(frozen=True)
class Batch:
    """Waves ``(N, n)``, y ``(N, K)`` and t ``(N,)`` of one mini-batch; whether Mixup mixed it."""

    waves: torch.Tensor
    product: torch.Tensor
    machine: torch.Tensor
    mixed: bool = False

    @classmethod
    def of(cls, waves: torch.Tensor, products: np.ndarray, count: int) -> "Batch":
        """``waves`` ``(N, n)`` with labels made from ``products`` ``(N,)``, each below ``count``.

        A product of -1 is another machine, whose y is all zero.
        """
        labels = [
            torch.from_numpy(part).float().to(waves.device, non_blocking=True)
            for part in (products[:, None] == np.arange(count), products >= 0)
        ]
        return cls(waves, *labels)

    @classmethod
    def drawn(
        cls, parts: list[Part], which: list, starts: list, length: int, count: int, device
    ) -> "Batch":
        """From the clips ``(B,)`` of each part and the ``starts`` ``(B,)`` of the crops."""
        products = [part.products[clips] for part, clips in zip(parts, which, strict=True)]
        waves = crops(parts, which, starts, length, device)
        return cls.of(waves, np.concatenate(products), count)


def crops(parts: list[Part], which: list, starts: list, length: int, device="cpu") -> torch.Tensor:
    """``length`` samples of clips of each part, scaled: one float32 tensor on the device.

    ``which`` has the clips ``(B,)`` of each part, and ``starts`` where their crops start.
    """
    scales, sizes = [(part.mean, part.std) for part in parts], [len(clips) for clips in which]
    mean, std = scales[0]
    if len(set(scales)) > 1:  # one value per row
        mean, std = np.repeat(scales, sizes, axis=0).T[..., None]
    sound = torch.empty(sum(sizes), length, device=device)
    for part, rows, clips, firsts in zip(parts, sound.split(sizes), which, starts, strict=True):
        # on a CPU straight into its place: every copy counts
        place = rows.numpy() if rows.is_cpu else None
        some = part.bank.gather(part.rows[clips], firsts, length, place)
        if some is not place:  # moved as int16, half the size of the float32 it becomes
            rows.copy_(torch.as_tensor(some).to(device, non_blocking=True))
    return normalise(sound, mean, std)


def steps_an_epoch(split: Split, profile: Profile) -> int:
    """How many batches one pass over the target's clips takes; they are as even as possible.

    No batch has a single row, since BatchNorm needs a variance.
    """
    clips = len(split.train)
    fewest = 1 if split.others_train else 2
    return max(min(-(-clips // profile.target_rows), clips // fewest), 1)


def balanced_batches(
    split: Split, profile: Profile, rng: np.random.Generator, device="cpu"
) -> Iterator[Batch]:
    """One epoch: half target, half other machines (t is 1:1, section III), a random crop of each.

    The others are drawn evenly from all their clips. Without L_machine a batch holds its target
    half alone, so that every variant gets the same target clips in the same number of steps.
    """
    order, length = rng.permutation(len(split.train)), profile.segment_frames
    parts = [split.train, *split.others_train]
    sizes = np.array([len(part) for part in split.others_train])
    for targets in np.array_split(order, steps_an_epoch(split, profile)):
        which, starts = [targets], [split.train.random_starts(targets, length, rng)]
        if len(sizes):
            owner = rng.choice(len(sizes), len(targets), p=sizes / sizes.sum())
            counts = np.bincount(owner, minlength=len(sizes))
            for part, count in zip(split.others_train, counts, strict=True):
                which.append(rng.choice(len(part), count, replace=count > len(part)))
                starts.append(part.random_starts(which[-1], length, rng))
        yield Batch.drawn(parts, which, starts, length, len(split.products), device)


def validation_batch(split: Split, profile: Profile, seed: int, device="cpu") -> Batch:
    """The validation part as one batch: the first segments of its clips and of as many others."""
    rng = np.random.default_rng(seed)
    parts, which = [split.validation, *split.others_validation], [np.arange(len(split.validation))]
    clips = [(part, row) for part in split.others_validation for row in range(len(part))]
    drawn = [clips[k] for k in rng.permutation(len(clips))[: len(split.validation)]]
    for other in split.others_validation:
        which.append(np.array([row for part, row in drawn if part is other], int))
    count, length = profile.validation_segments, profile.segment_frames
    starts = [part.leading_starts(c, length, count) for part, c in zip(parts, which, strict=True)]
    which = [np.repeat(clips, count) for clips in which]
    return Batch.drawn(parts, which, starts, length, len(split.products), device)


def normalise(waves, mean, std) -> torch.Tensor:
    """int16 samples to float32 of mean 0 and variance 1, by a machine type's statistics.

    ``waves`` is an array or a tensor, which stays on its device; ``mean`` and ``std`` are numbers,
    or arrays ``(B, 1)`` where the rows are of several machine types. A tensor that is
    already float32 is scaled in place.
    """
    scaled = torch.as_tensor(waves).to(torch.float32)
    centre, factor = mean * FULL_SCALE, 1 / (std * FULL_SCALE)
    if np.ndim(mean):  # numbers need no copy to the device, and no wait for it
        like = {"dtype": scaled.dtype, "device": scaled.device}
        centre, factor = torch.as_tensor(centre, **like), torch.as_tensor(factor, **like)
    return scaled.sub_(centre).mul_(factor)
