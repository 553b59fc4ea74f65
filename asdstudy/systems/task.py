"""The task of a system, and what its training returns."""

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import torch

from asdlib.batches import Part, Split, event_keys, folder_of, split_clips
from asdlib.embedding import Embedded
from asdlib.errors import InputError
from asdlib.profiles import Profile
from asdlib.waves import WaveBank
from asdstudy.systems.weights import load_weights


@dataclass(frozen=True)
class Trained:
    """``weights`` by name; ``history``, one row per epoch and network; the number of ``networks``
    for the machine type, and of ``parameters`` in all of them."""

    weights: dict[str, torch.Tensor]
    history: pd.DataFrame
    networks: int
    parameters: int


@dataclass(frozen=True)
class Task:
    """A target machine type to train on, embed and score, with ``others``, the banks beside it.

    ``checkpoints.of(network)``, if there are any, keeps a network while it is trained.
    """

    split: Split
    others: tuple[WaveBank, ...]
    profile: Profile
    seed: int
    progress: bool = True
    checkpoints: Any = None

    @property
    def bank(self) -> WaveBank:
        """The clips of the target."""
        return self.split.train.bank

    @property
    def train_rows(self) -> np.ndarray:
        """Rows of the bank with its train clips: those of the train and the validation part."""
        return np.sort(np.concatenate([self.split.train.rows, self.split.validation.rows]))

    @property
    def test_rows(self) -> np.ndarray:
        """Rows of the bank with its test clips."""
        return np.flatnonzero(self.bank.clips.split == "test")

    @property
    def split_hash(self) -> str:
        """A short hash of which clips are in which part."""
        split = self.split
        parts = (split.train, split.validation, *split.others_train, *split.others_validation)
        rows = json.dumps([part.rows.tolist() for part in parts])
        return hashlib.sha256(rows.encode()).hexdigest()[:16]

    def checkpoint(self, network: str):
        """The checkpoint of a network, or None."""
        return self.checkpoints.of(network) if self.checkpoints else None

    @property
    def start(self) -> Callable | None:
        """What loads the file that the profile's ``weights`` names into a backbone, if any."""
        return partial(load_weights, self.profile.weights) if self.profile.weights else None

    def part(self, rows: np.ndarray, bank: WaveBank | None = None) -> Part:
        """Clips of the target, or of another machine type's bank, scaled as in training."""
        return Part.of(bank or self.bank, rows, self.bank, self.split.products, self.profile)

    def clips(self, rows: np.ndarray) -> pd.DataFrame:
        """Clips of the target with a column ``part``: "train", "validation" or "test"."""
        clips = self.bank.clips.iloc[rows]
        held_out = np.isin(rows, self.split.validation.rows)
        return clips.assign(part=clips.split.where(~held_out, "validation"))

    def embedded(self, embed: Callable[[Part], tuple]) -> Embedded:
        """Train, then test clips of the target; ``embed`` makes a part the arrays of Embedded."""
        halves = (self.train_rows, self.test_rows)
        several = [Embedded(self.clips(rows), *embed(self.part(rows))) for rows in halves]
        return Embedded.joined(several)


def make_task(
    system: ModuleType, machine_type: str, banks: dict, profile: Profile, seed: int, progress=True
) -> Task:
    """Split the clips, and raise :class:`InputError` for what would fail hours later."""
    others = [bank for name, bank in banks.items() if name != machine_type]
    heard = others if system.HEARS_OTHERS or profile.needs_others else []
    split = split_clips(reduced(banks[machine_type], profile, seed), heard, profile, seed)
    task = Task(split, tuple(others), profile, seed, progress)
    check(task, system)
    return task


def reduced(target: WaveBank, profile: Profile, seed: int) -> WaveBank:
    """The target as somebody has it: ``train_clips`` of each product ID, drawn by ``seed``.

    A share ``contamination`` of them are anomalies that nobody noticed: test clips that are moved
    into training under the label "normal", in place of normal clips. What is not drawn is in no
    part. Fewer clips, or anomalies, are a subset of more. An event is drawn as a whole, so there
    may be a few clips more than asked for. The other machine types keep all their clips, since
    those need not be recorded by the same person; mean and variance of the amplitude stay those of
    the whole bank. Raises :class:`InputError` where a product ID has too few clips of either kind.
    """
    if not (profile.train_clips or profile.contamination):
        return target
    clips = target.clips.copy()
    for number, (product, own) in enumerate(clips.groupby("product")):
        rng = np.random.default_rng([seed, number])
        normal = own[own.split == "train"]
        anomalous = own[(own.split == "test") & (own.label == "anomaly")]
        count = profile.train_clips or len(normal)
        unnoticed = round(profile.contamination * count)
        kept, moved = _drawn(normal, count - unnoticed, rng), _drawn(anomalous, unnoticed, rng)
        where = f"{folder_of(clips)}: product ID {product} has"
        if len(kept) < count - unnoticed:
            raise InputError(f"{where} {len(normal)} train clips; expected {count - unnoticed}")
        if unnoticed and len(moved) == len(anomalous):
            raise InputError(
                f"{where} {len(anomalous)} anomalous test clips; expected more than {unnoticed}, "
                "which a contamination moves into training"
            )
        clips.loc[normal.index.difference(kept), "split"] = "unused"
        clips.loc[moved, ["split", "label"]] = "train", "normal"
    return replace(target, clips=clips)


def _drawn(clips: pd.DataFrame, count: int, rng: np.random.Generator) -> pd.Index:
    """Whole events in random order until there are ``count`` clips, or all that there are."""
    events = clips.groupby(event_keys(clips)).ngroup()
    places = rng.permutation(events.nunique())[events]  # (clips,): when each is drawn
    enough = np.searchsorted(np.bincount(places).cumsum(), count) + (count > 0)
    return clips.index[places < enough]


def check(task: Task, system: ModuleType) -> None:
    """Raise :class:`InputError` for what would fail, or mean nothing, after the training."""
    clips, products, profile = task.bank.clips, task.split.products, task.profile
    folder = folder_of(clips)
    if not len(task.test_rows):
        where = "any" if profile.domain == "both" else f"the {profile.domain}"
        raise InputError(f"{folder}: no test clips to score in {where} domain")
    domains = {*clips.domain.iloc[task.test_rows]}
    if profile.domain == "both" and domains in ({"source"}, {"target"}):
        raise InputError(
            f"{folder}: domain is both, and all test clips are of the domain {domains.pop()}; "
            "expected some of the other"
        )
    if unknown := sorted(set(clips["product"].iloc[task.test_rows]) - set(products)):
        raise InputError(f"{folder}: product IDs {unknown} are tested but have no train clips")
    compiler = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
    if profile.compile and not shutil.which(compiler):
        raise InputError(
            f"compile is True, and {compiler} is not there; expected that C++ compiler"
        )
    name = system.__name__.rpartition(".")[2]
    for inlier in {"none", "output", "centroid"} & {*profile.inliers}:
        if inlier not in system.SAYS:
            raise InputError(
                f"one of inliers is {inlier}, a score that the system {name} does not have; "
                f"expected an h that is fitted{''.join(f', or {n}' for n in system.SAYS)}"
            )
        # "none" beside others is left out then
        if "none" in system.SAYS and not profile.product_weight and inlier != "none":
            raise InputError(
                f"one of inliers is {inlier} and product_weight is 0: g_product is not trained, so "
                "it gives no score; expected another inlier"
            )


def size(network: torch.nn.Module) -> int:
    """The number of trained weights."""
    return sum(weight.numel() for weight in network.parameters())


def device() -> str:
    """The device that networks run on."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def below(prefix: str, weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The weights of one of several networks, without the ``prefix`` of their names."""
    return {n.removeprefix(prefix): w for n, w in weights.items() if n.startswith(prefix)}
