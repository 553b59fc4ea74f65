"""Training the encoder by outlier exposure (sections III and IV-A)."""

import time
from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
from torch.optim.lr_scheduler import OneCycleLR
from tqdm import tqdm

from asdlib.batches import Batch, Split, balanced_batches, steps_an_epoch, validation_batch
from asdlib.encoder import Encoder
from asdlib.errors import InputError
from asdlib.losses import combined_loss, machine_loss, mixup, mixup_probability, product_loss
from asdlib.profiles import Profile


def losses(embedding, product_logits, machine_logit, batch: Batch, profile: Profile) -> dict:
    """L, L_machine and L_product of a batch (Eqs. 3, 2 and 1), by name; ``loss`` is minimised.

    Another system has a function of its own, which takes the same and may use the embedding.
    """
    rows = profile.product_rows
    if rows == "all-when-mixed":
        rows = "all" if batch.mixed else "included"
    product = product_loss(product_logits, batch.product, batch.machine, rows)
    return with_machine_loss(product, machine_logit, batch, profile)


def with_machine_loss(product: torch.Tensor, machine_logit, batch: Batch, profile: Profile) -> dict:
    """``product``, a loss in the place of Eq. 1, with Eq. 2 and their sum, Eq. 3, by name."""
    machine = machine_loss(machine_logit, batch.machine)
    total = combined_loss(machine, product, profile.machine_weight, profile.product_weight)
    return {"loss": total, "machine_loss": machine, "product_loss": product}


def validate(
    encoder: Encoder, batch: Batch, mels: torch.Tensor, profile: Profile, losses: Callable = losses
) -> dict:
    """``losses`` of the unmixed validation batch, whose log-mels are ``mels``.

    In evaluation mode, 128 rows at a time.
    """
    encoder.eval()
    with torch.inference_mode():
        embedding = torch.cat([encoder.embed(some) for some in mels.split(128)])
        parts = losses(embedding, *encoder.heads(embedding), batch, profile)
    encoder.train()
    return parts


def make_optimiser(encoder: Encoder, profile: Profile, steps: int):
    """AdamW and OneCycleLR, stepped once per batch; the learning rate of Table I is the peak."""
    optimiser = torch.optim.AdamW(
        encoder.parameters(), profile.learning_rate, weight_decay=profile.weight_decay, fused=True
    )
    return optimiser, OneCycleLR(optimiser, profile.learning_rate, total_steps=steps)


def mix(batch: Batch, profile: Profile, rng: np.random.Generator) -> Batch:
    """Mixup of the whole batch, with a share from Beta(alpha, alpha) for each row."""
    rows, on = len(batch.machine), {"device": batch.waves.device, "non_blocking": True}
    share = torch.from_numpy(rng.beta(profile.mixup_alpha, profile.mixup_alpha, rows)).float()
    share, partner = share.to(**on), torch.from_numpy(rng.permutation(rows)).to(**on)
    mixed = mixup(batch.waves, batch.product, batch.machine, share, partner)
    return Batch(*mixed, mixed=True)


def train(
    split: Split,
    profile: Profile,
    seed: int,
    device: str | None = None,
    progress: bool = True,
    checkpoint=None,
    losses: Callable = losses,
    start: Callable | None = None,
) -> tuple[Encoder, pd.DataFrame]:
    """Train f on ``split``; returns the encoder of the smallest validation loss, and the history.

    ``start(backbone)`` gives it other weights to start from than timm's. A ``checkpoint`` of the
    same training, unfinished, is continued: batches, crops and Mixup depend on the seed and the
    step only. The history has one row per epoch, with the columns ``epoch``, the names of
    ``losses``, the same with the prefix ``validation_``, ``learning_rate``, ``clips_per_second``.
    """
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    torch.manual_seed(seed)
    rng = np.random.default_rng([seed, 1])
    state = checkpoint.load() if checkpoint else None
    # a checkpoint has weights of its own, and the pretrained ones may be out of reach
    initial = profile.from_scratch if state or start else profile
    encoder = Encoder(initial, len(split.products)).to(device)
    if start and not state:
        start(encoder.backbone)
    if profile.compile:
        encoder.compile()
    steps = profile.epochs * steps_an_epoch(split, profile)
    optimiser, schedule = make_optimiser(encoder, profile, steps)
    held_out = validation_batch(split, profile, seed, device)
    held_out_mels = encoder.logmel(held_out.waves)
    best, best_loss, history, done = None, np.inf, [], 0
    kept = {"encoder": encoder, "optimiser": optimiser, "schedule": schedule}
    if state:
        for name, part in kept.items():
            part.load_state_dict(state[name])
        best, best_loss, history = state["best"], state["best_loss"], state["history"]
        done = len(history) * steps_an_epoch(split, profile)
        checkpoint.restore_random(state, rng)
    look = {"desc": "training", "mininterval": 2, "disable": not progress}
    with tqdm(total=steps, initial=done, **look) as bar:
        for epoch in range(len(history) + 1, profile.epochs + 1):
            seen, begun = [], time.perf_counter()
            for batch in balanced_batches(split, profile, rng, device):
                likely = mixup_probability(profile.mixup_schedule, done / steps)
                if profile.mixup_alpha > 0 and rng.random() < likely:
                    batch = mix(batch, profile, rng)
                centre = not done and profile.machine_start == "centred"
                parts = train_step(encoder, batch, profile, optimiser, centre, losses)
                seen.append((len(batch.machine), parts))
                rate = schedule.get_last_lr()[0]
                schedule.step()
                done += 1
                bar.update()
            # float waits for the device, which the time must include
            rows = sum(count for count, _ in seen)
            means = {name: sum(n * float(of[name]) for n, of in seen) / rows for name in parts}
            speed = rows / (time.perf_counter() - begun)
            validation = validate(encoder, held_out, held_out_mels, profile, losses)
            validation = {f"validation_{name}": part.item() for name, part in validation.items()}
            loss, unseen = means["loss"], validation["validation_loss"]
            if not np.isfinite(loss):
                raise InputError(
                    f"the loss became {loss} in epoch {epoch}; try a smaller learning_rate than "
                    f"{profile.learning_rate}"
                )
            row = {"epoch": epoch, **means, **validation}
            history.append(row | {"learning_rate": rate, "clips_per_second": speed})
            bar.set_postfix_str(f"loss {loss:.3f}, validation {unseen:.3f}, {speed:.0f} clips/s")
            if unseen < best_loss:  # False for NaN, too
                best_loss = unseen
                best = {name: value.clone() for name, value in encoder.state_dict().items()}
            if checkpoint:
                state = {name: part.state_dict() for name, part in kept.items()}
                state |= {"best": best, "best_loss": best_loss, "history": history}
                checkpoint.save(state, rng)
    if best is None:
        raise InputError(
            f"the validation loss was never a finite number in {profile.epochs} epochs; try a "
            f"smaller learning_rate than {profile.learning_rate}"
        )
    encoder.load_state_dict(best)
    return encoder.eval(), pd.DataFrame(history)


def train_step(
    encoder: Encoder,
    batch: Batch,
    profile: Profile,
    optimiser,
    centre: bool = False,
    losses: Callable = losses,
) -> dict:
    """One optimiser step; returns the ``losses`` of the batch, detached.

    With ``centre``, for the first batch, g_affine starts where its median logit is 0.
    """
    optimiser.zero_grad(set_to_none=True)
    embedding = encoder(batch.waves)
    product_logits, machine_logit = encoder.heads(embedding)
    if centre:
        machine_logit = encoder.centre(machine_logit)
    parts = losses(embedding, product_logits, machine_logit, batch, profile)
    parts["loss"].backward()
    optimiser.step()
    return {name: part.detach() for name, part in parts.items()}
