"""Training the encoder by outlier exposure (sections III and IV-A)."""

import json
import math
import time

import numpy as np
import pandas as pd
import torch
from torch.optim.lr_scheduler import OneCycleLR
from tqdm import tqdm

from asdlib.batches import (
    Batch,
    Part,
    Split,
    balanced_batches,
    steps_an_epoch,
    validation_batch,
)
from asdlib.encoder import Encoder, device_of
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


def outputs(encoder: Encoder, waves: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Embedding ``(N, 128)``, product logits ``(N, K)`` and machine logit ``(N,)`` of a batch."""
    embedding = encoder(waves)
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
        rows = profile.product_rows
        if rows == "all-when-mixed":
            rows = "all" if batch.mixed else "included"
        product = product_loss(product_logits, batch.product, batch.machine, rows)
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
    mixed = mixup(
        *(batch.waves, batch.product, batch.machine),
        *(part.to(device, non_blocking=True) for part in (share, partner)),
    )
    return Batch(*mixed, mixed=True)


def train(
    split: Split,
    profile: Profile,
    seed: int,
    device: str | None = None,
    progress: bool = True,
    checkpoint=None,
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
    state = checkpoint.load() if checkpoint else None
    # who goes on brings its own weights, and may be where no others can be fetched
    fresh = profile.replace(pretrained=profile.pretrained and not state)
    encoder = Encoder(fresh, len(split.products)).to(device)
    if profile.compile:
        encoder.compile()
    steps = profile.epochs * steps_an_epoch(split, profile)
    optimiser, schedule = make_optimiser(encoder, profile, steps)
    held_out = validation_batch(split, profile, seed, device)
    names = loss_names(profile)
    best, best_loss, history, done = None, np.inf, [], 0
    if state:
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
                centre = not done and profile.machine_start == "centred"
                step = train_step(encoder, batch, profile, optimiser, centre)
                sums += step * len(batch.machine)
                rate = schedule.get_last_lr()[0]
                schedule.step()
                rows, done = rows + len(batch.machine), done + 1
                bar.update()
            means = (sums / rows).tolist()  # waits for the device, which the time must include
            seconds = time.perf_counter() - begun
            validation = validate(encoder, held_out, profile).tolist()
            if not np.isfinite(means[0]):
                raise InputError(
                    f"the loss became {means[0]} in epoch {epoch}; try a smaller learning_rate "
                    f"than {profile.learning_rate}"
                )
            history.append([epoch, *means, *validation, rate, rows / seconds])
            bar.set_postfix_str(f"loss {means[0]:.3f}, validation {validation[0]:.3f}, "
                                f"{rows / seconds:.0f} clips/s")  # fmt: skip
            if validation[0] < best_loss:  # False of NaN, too
                best_loss = validation[0]
                best = {name: value.clone() for name, value in encoder.state_dict().items()}
            if checkpoint:
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
    if best is None:
        raise InputError(
            f"the validation loss was never a finite number in {profile.epochs} epochs; try a "
            f"smaller learning_rate than {profile.learning_rate}"
        )
    encoder.load_state_dict(best)
    columns = ["epoch", *names, *[f"validation_{name}" for name in names]]
    columns += ["learning_rate", "clips_per_second"]
    return encoder.eval(), pd.DataFrame(history, columns=columns)


def train_step(
    encoder: Encoder, batch: Batch, profile: Profile, optimiser, centre: bool = False
) -> torch.Tensor:
    """One optimiser step; the losses of :func:`losses`, detached.

    ``centre`` on the first batch: g_affine starts where its median logit is 0.
    """
    optimiser.zero_grad(set_to_none=True)
    embedding, product_logits, machine_logit = outputs(encoder, batch.waves)
    if centre:
        machine_logit = encoder.centre(machine_logit)
    parts = losses(embedding, product_logits, machine_logit, batch, profile)
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
            embedding = encoder(waves.flatten(0, 1).to(device))
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


COLLAPSED = 0.01  # of the other side's mean norm: a spread that makes a side one point


def collapses(
    encoder: Encoder, split: Split, profile: Profile, seed: int, rows: int = 128
) -> list[str]:
    """What Eq. 2 has lost by the kept epoch, a sentence each; empty where all is well.

    On the unmixed validation batch: the embeddings of the other machines, or of the target, are one
    point, or L_machine is no better than that of a constant answer.
    """
    if not (profile.machine_weight and split.others_train):
        return []
    batch = validation_batch(split, profile, seed, device_of(encoder))
    with torch.inference_mode():
        embedding = torch.cat([encoder(waves) for waves in batch.waves.split(rows)])
        loss = machine_loss(encoder.heads(embedding)[1], batch.machine).item()
    sides = {
        "the target": embedding[batch.machine == 1],
        "the other machines": embedding[batch.machine == 0],
    }
    sentences = []
    for name, opposite in (tuple(sides), tuple(sides)[::-1]):
        spread = (sides[name] - sides[name].mean(dim=0)).square().sum(dim=1).mean().sqrt().item()
        norm = sides[opposite].norm(dim=1).mean().item()
        if spread < COLLAPSED * norm:
            sentences.append(
                f"collapse: the embeddings of {name} are one point (spread {spread:.2g}, mean norm "
                f"of {opposite} {norm:.2g})"
            )
    share = batch.machine.mean().item()
    constant = -share * math.log(share) - (1 - share) * math.log(1 - share)
    if not loss < constant:
        sentences.append(
            f"collapse: L_machine of the validation part, {loss:.3g}, is no better than that of a "
            f"constant answer, {constant:.3g}"
        )
    return sentences


def random_states(rng: np.random.Generator) -> dict:
    """All random states of a training, as :meth:`Checkpoint.save` takes them."""
    states = {"numpy": json.dumps(rng.bit_generator.state), "torch": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def set_random_states(states: dict, rng: np.random.Generator) -> None:
    """Put back what :func:`random_states` told."""
    rng.bit_generator.state = json.loads(states["numpy"])
    torch.set_rng_state(states["torch"])
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])
