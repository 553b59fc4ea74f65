"""Training the encoder by outlier exposure (sections III and IV-A)."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from sklearn.model_selection import StratifiedShuffleSplit
from torch.nn.functional import one_hot
from torch.optim.lr_scheduler import OneCycleLR
from tqdm import tqdm

from asdlib.checkpoints import Checkpoint, random_states, set_random_states
from asdlib.encoder import Encoder, autocast, device_of
from asdlib.errors import InputError
from asdlib.losses import (
    centroid_loss,
    combined_loss,
    machine_loss,
    mixup,
    mixup_probability,
    product_loss,
    softmax_product_loss,
)
from asdlib.profiles import Profile
from asdlib.waves import WaveBank, normalise


@dataclass(frozen=True)
class Part:
    """Clips of one bank: rows of ``bank.clips``, and their product ID's number among K, or -1.

    ``mean`` and ``std`` scale their samples; where they come from is the switch ``normalisation``.
    """

    bank: WaveBank
    rows: np.ndarray
    products: np.ndarray
    mean: float
    std: float

    def crops(self, which: np.ndarray, length: int, rng: np.random.Generator) -> np.ndarray:
        """A random crop of each: float32 ``(B, length)``."""
        waves = self.bank.random_crops(self.rows[which], length, rng)
        return normalise(waves, self.mean, self.std)

    def segments(self, which: np.ndarray, count: int, length: int) -> np.ndarray:
        """Evenly spread segments of each: float32 ``(B, count, length)``."""
        return normalise(self.bank.segments(self.rows[which], count, length), self.mean, self.std)

    def first(self, which: np.ndarray, count: int, length: int) -> np.ndarray:
        """The ``count`` leading segments of each: float32 ``(B * count, length)``."""
        clips = np.repeat(self.rows[which], count)
        starts = np.tile(np.arange(count) * length, len(which))
        room = np.maximum(self.bank.frames[clips] - length, 0)
        return normalise(
            self.bank.gather(clips, np.minimum(starts, room), length), self.mean, self.std
        )

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
    """90/10 of every bank's train clips, stratified by product ID and drawn by ``seed``.

    The other machine types are split too, so that the validation loss hears no clip that was
    trained on. Raises :class:`InputError` where a product ID has too few clips, or where
    L_machine is on and there is no other machine type.
    """
    if profile.machine_weight and profile.needs_others and not others:
        raise InputError(
            f"{target.clips.path[0].parent.parent}: no other machine type beside it; "
            "L_machine needs negatives (variant product-only does not)"
        )
    products = tuple(sorted(target.clips["product"][target.clips.split == "train"].unique()))
    number = {product: k for k, product in enumerate(products)}

    def halves(bank: WaveBank, is_target: bool) -> tuple[Part, Part]:
        rows = np.flatnonzero(bank.clips.split == "train")
        names = bank.clips["product"].to_numpy()[rows]
        smallest = pd.Series(names).value_counts()
        if is_target and smallest.min() < 2:
            folder = bank.clips.path[0].parent.parent
            raise InputError(
                f"{folder}: product ID {smallest.idxmin()} has {smallest.min()} train clip; "
                "expected at least 2, one of them for validation"
            )
        validation = max(round(len(rows) * profile.validation_share), len(smallest))
        strata = names if smallest.min() >= 2 else np.zeros(len(rows))
        own = is_target or profile.normalisation == "own"
        scale = (bank.mean, bank.std) if own else (target.mean, target.std)
        if len(rows) < 2:  # a single clip of another machine: train on it, and validate on it
            parts = (np.zeros(len(rows), int),) * 2
        else:
            splitter = StratifiedShuffleSplit(1, test_size=validation, random_state=seed)
            parts = next(splitter.split(rows, strata))
        return tuple(
            Part(
                bank,
                rows[part],
                np.array([number[n] if is_target else -1 for n in names[part]], int),
                *scale,
            )
            for part in (np.sort(part) for part in parts)
        )

    train, validation = halves(target, True)
    pairs = [halves(bank, False) for bank in others] if profile.needs_others else []
    return Split(
        products,
        train,
        validation,
        tuple(pair[0] for pair in pairs),
        tuple(pair[1] for pair in pairs),
    )


@dataclass(frozen=True)
class Batch:
    """Waves ``(N, n)``, y ``(N, K)`` and t ``(N,)`` of one mini-batch, on the device."""

    waves: torch.Tensor
    product: torch.Tensor
    machine: torch.Tensor

    @classmethod
    def of(cls, waves: list[np.ndarray], products: np.ndarray, count: int, device) -> "Batch":
        """Targets first, then the others, whose product is -1 and whose y is all zero."""
        number = torch.from_numpy(np.ascontiguousarray(products))
        machine = (number >= 0).float()
        labels = one_hot(number.clamp_min(0), count).float() * machine[:, None]
        sound = torch.cat([torch.as_tensor(part).to(device, non_blocking=True) for part in waves])
        labels, machine = (part.to(device, non_blocking=True) for part in (labels, machine))
        return cls(sound, labels, machine)


def steps_an_epoch(split: Split, profile: Profile) -> int:
    """An epoch is one pass over the target's clips, the last batch smaller if need be."""
    return -(-len(split.train) // profile.target_rows)


def balanced_batches(
    split: Split, profile: Profile, rng: np.random.Generator, device="cpu"
) -> Iterator[Batch]:
    """One epoch: half target, half other machines (t is 1:1, section III), a random crop of each.

    The others are drawn evenly from all their clips. Without L_machine a batch holds its target
    half alone, so that every variant sees the same target clips in the same number of steps.
    """
    order = rng.permutation(len(split.train))
    sizes = np.array([len(part) for part in split.others_train])
    for batch in np.array_split(order, steps_an_epoch(split, profile)):
        waves = [split.train.crops(batch, profile.segment_frames, rng)]
        products = [split.train.products[batch]]
        if len(sizes):
            owner = rng.choice(len(sizes), len(batch), p=sizes / sizes.sum())
            counts = np.bincount(owner, minlength=len(sizes))
            for part, count in zip(split.others_train, counts, strict=True):
                which = rng.choice(len(part), count, replace=count > len(part))
                waves.append(part.crops(which, profile.segment_frames, rng))
                products.append(part.products[which])
        yield Batch.of(waves, np.concatenate(products), len(split.products), device)


def validation_batch(split: Split, profile: Profile, seed: int, device="cpu") -> Batch:
    """The validation part as one batch: leading segments, and as many of other machines."""
    rng = np.random.default_rng(seed)
    count, length = profile.validation_segments, profile.segment_frames
    others, everything = split.others_validation, np.arange(len(split.validation))
    waves = [split.validation.first(everything, count, length)]
    products = [np.repeat(split.validation.products, count)]
    if others:
        owner = np.repeat(np.arange(len(others)), [len(part) for part in others])
        row = np.concatenate([np.arange(len(part)) for part in others])
        drawn = rng.permutation(len(owner))[: len(everything)]
        for number, part in enumerate(others):
            which = row[drawn[owner[drawn] == number]]
            if len(which):
                waves.append(part.first(which, count, length))
                products.append(np.repeat(part.products[which], count))
    return Batch.of(waves, np.concatenate(products), len(split.products), device)


def outputs(encoder: Encoder, waves: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Embedding ``(N, 128)``, product logits ``(N, K)`` and machine logit ``(N,)`` of a batch."""
    with autocast(waves.device):
        embedding = encoder(waves)
    embedding = embedding.float()
    return embedding, *encoder.heads(embedding)


def loss_names(profile: Profile) -> list[str]:
    """What :func:`losses` returns, in its order."""
    return ["loss", "machine_loss", "product_loss"] + ["centroid_loss"] * bool(
        profile.centroid_weight
    )


def losses(embedding, product_logits, machine_logit, batch: Batch, profile: Profile):
    """L, L_machine and L_product (Eq. 3, 2, 1) of a batch, and DDCSAD's: ``(3,)`` or ``(4,)``."""
    if profile.product_entropy == "softmax":
        product = softmax_product_loss(product_logits, batch.product)
    else:
        product = product_loss(product_logits, batch.product, batch.machine, profile.product_rows)
    machine = machine_loss(machine_logit, batch.machine)
    total = combined_loss(machine, product, profile.machine_weight, profile.product_weight)
    if not profile.centroid_weight:
        return torch.stack([total, machine, product])
    centroid = centroid_loss(embedding, batch.machine)
    return torch.stack([total + profile.centroid_weight * centroid, machine, product, centroid])


def validate(encoder: Encoder, batch: Batch, profile: Profile, rows: int = 128) -> torch.Tensor:
    """:func:`losses` of the unmixed validation batch in evaluation mode, ``rows`` at a time."""
    encoder.eval()
    with torch.inference_mode():
        chunks = [outputs(encoder, waves) for waves in batch.waves.split(rows)]
        result = losses(*(torch.cat(part) for part in zip(*chunks, strict=True)), batch, profile)
    encoder.train()
    return result


def make_optimiser(encoder: Encoder, profile: Profile, steps: int):
    """AdamW and OneCycleLR, stepped once a batch, with the learning rate of Table I at its top."""
    optimiser = torch.optim.AdamW(
        encoder.parameters(), profile.learning_rate, weight_decay=profile.weight_decay, fused=True
    )
    return optimiser, OneCycleLR(optimiser, profile.learning_rate, total_steps=steps)


def mix(batch: Batch, profile: Profile, rng: np.random.Generator) -> Batch:
    """Mixup of the whole batch, one share a row, drawn from Beta(alpha, alpha)."""
    rows = len(batch.machine)
    share = torch.from_numpy(rng.beta(profile.mixup_alpha, profile.mixup_alpha, rows)).float()
    partner = torch.from_numpy(rng.permutation(rows))
    device = batch.waves.device
    mixed = mixup(batch.waves, batch.product, batch.machine, share.to(device), partner.to(device))
    return Batch(*mixed)


def train(
    split: Split,
    profile: Profile,
    seed: int,
    device: str | None = None,
    progress: bool = True,
    checkpoint: Checkpoint | None = None,
) -> tuple[Encoder, pd.DataFrame]:
    """Train f on ``split``; the encoder of the smallest validation loss, and a row an epoch.

    Where ``checkpoint`` holds an unfinished training of the same, it goes on from there: batches,
    crops and Mixup hang on the seed and the step only, there are no workers whose number matters.
    History columns: epoch, those of :func:`loss_names`, the same with ``validation_``,
    learning_rate, clips_per_second.
    """
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    torch.manual_seed(seed)
    rng = np.random.default_rng([seed, 1])
    encoder = Encoder(profile, len(split.products)).to(device)
    if profile.compile:
        encoder.compile()
    steps = profile.epochs * steps_an_epoch(split, profile)
    optimiser, schedule = make_optimiser(encoder, profile, steps)
    held_out = validation_batch(split, profile, seed, device)
    names = loss_names(profile)
    best, best_loss, history, done = None, np.inf, [], 0
    checkpoint = checkpoint or Checkpoint()
    if state := checkpoint.load():
        encoder.load_state_dict(state["encoder"])
        optimiser.load_state_dict(state["optimiser"])
        schedule.load_state_dict(state["schedule"])
        best, best_loss, history = state["best"], state["best_loss"], state["history"]
        done = len(history) * steps_an_epoch(split, profile)
        set_random_states(state["random"], rng)
    look = {"desc": "training", "mininterval": 2, "disable": not progress}
    with tqdm(total=steps, initial=done, **look) as bar:
        for epoch in range(len(history) + 1, profile.epochs + 1):
            sums, rows, begun = torch.zeros(len(names), device=device), 0, time.perf_counter()
            for batch in balanced_batches(split, profile, rng, device):
                likely = mixup_probability(profile.mixup_schedule, done / steps)
                if profile.mixup_alpha > 0 and rng.random() < likely:
                    batch = mix(batch, profile, rng)
                sums += train_step(encoder, batch, profile, optimiser) * len(batch.machine)
                rate = schedule.get_last_lr()[0]
                schedule.step()
                rows, done = rows + len(batch.machine), done + 1
                bar.update()
            seconds = time.perf_counter() - begun
            means = (sums / rows).tolist()
            validation = validate(encoder, held_out, profile).tolist()
            if not np.isfinite(means[0]):
                raise InputError(
                    f"the loss became {means[0]} in epoch {epoch}; try a smaller learning_rate "
                    f"than {profile.learning_rate}"
                )
            history.append([epoch, *means, *validation, rate, rows / seconds])
            bar.set_postfix_str(f"loss {means[0]:.3f}, validation {validation[0]:.3f}, "
                                f"{rows / seconds:.0f} clips/s")  # fmt: skip
            if best is None or validation[0] < best_loss:
                best_loss = validation[0]
                best = {name: value.clone() for name, value in encoder.state_dict().items()}
            checkpoint.save(
                {
                    "encoder": encoder.state_dict(),
                    "optimiser": optimiser.state_dict(),
                    "schedule": schedule.state_dict(),
                    "best": best,
                    "best_loss": best_loss,
                    "history": history,
                    "random": random_states(rng),
                }
            )
    encoder.load_state_dict(best)
    columns = ["epoch", *names, *[f"validation_{name}" for name in names]]
    columns += ["learning_rate", "clips_per_second"]
    return encoder.eval(), pd.DataFrame(history, columns=columns)


def train_step(encoder: Encoder, batch: Batch, profile: Profile, optimiser) -> torch.Tensor:
    """One optimiser step; the losses of :func:`losses`, detached."""
    optimiser.zero_grad(set_to_none=True)
    parts = losses(*outputs(encoder, batch.waves), batch, profile)
    parts[0].backward()
    optimiser.step()
    return parts.detach()


def embed_segments(
    encoder: Encoder, part: Part, profile: Profile, progress: bool = True, rows: int = 128
) -> tuple[np.ndarray, np.ndarray]:
    """f and g_product of all S segments of every clip: ``(clips, S, 128)``, ``(clips, S, K)``.

    Of a softmax over the product IDs the log-odds ``log(p / (1 - p))`` of each ID are returned, so
    that a logit means the same for every system: its logistic function is the probability.
    """
    device, count = device_of(encoder), profile.segments
    clips_at_once = max(rows // count, 1)
    chunks = range(0, len(part), clips_at_once)
    embeddings, logits = [], []
    with torch.inference_mode():
        for first in tqdm(chunks, "embedding", unit="batch", mininterval=2, disable=not progress):
            which = np.arange(first, min(first + clips_at_once, len(part)))
            waves = part.segments(which, count, profile.segment_frames)
            with autocast(device):
                embedding = encoder(torch.as_tensor(waves).flatten(0, 1).to(device)).float()
            embeddings.append(embedding.cpu().view(len(which), count, -1))
            logit = encoder.heads(embedding)[0]
            if profile.product_entropy == "softmax":
                logit = log_odds(logit)
            logits.append(logit.cpu().view(len(which), count, -1))
    return torch.cat(embeddings).numpy(), torch.cat(logits).numpy()


def log_odds(logits: torch.Tensor) -> torch.Tensor:
    """``log(p / (1 - p))`` of each class of a softmax: ``(N, K)`` to ``(N, K)``, K at least 2."""
    count = logits.shape[1]
    rest = logits[:, None].expand(-1, count, -1)[:, ~torch.eye(count, dtype=bool)]  # without itself
    return logits - rest.view(-1, count, count - 1).logsumexp(dim=2)
