"""The challenge's autoencoder baseline: dense layers on stacked log-mel frames.

As the DCASE 2021 Task 2 baseline describes itself: five stacked frames of 128 log-mel bins in dB
(Slaney's mel scale and norm, raw amplitude), dense layers 128-128-128-128-8-128-128-128-128, batch
normalisation and ReLU after each, mean squared error, Adam; the score of a clip is the mean over
its frames of the squared error. One model serves all product IDs of a machine type, with the
baseline's settings in every profile. Three things differ: weights start as torch starts them, the
10 % for validation are clips and not rows of frames, and a clip that is too short is repeated.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
import torchaudio
from torch import Tensor, nn
from tqdm import tqdm

from asdlib.batches import Part, normalise
from asdlib.embedding import Embedded
from asdlib.encoder import device_of
from asdlib.errors import InputError
from asdlib.profiles import SAMPLE_RATE
from asdstudy.systems.task import Task, Trained, device, size

MEL_BINS, STACKED, BOTTLENECK = 128, 5, 8
WINDOW, HOP = 1024, 512  # samples: 64 ms, 32 ms
BATCH, LEARNING_RATE = 512, 1e-3
SEGMENTED, SAYS, HEARS_OTHERS, BY_PRODUCT = False, ("output",), False, False
FLOOR = np.finfo(float).eps  # of the power, before the logarithm
KERAS = {"eps": 1e-3, "momentum": 0.01}  # of batch normalisation there, momentum counted as here


class Autoencoder(nn.Module):
    """640 numbers to 8 and back: ``(N, 640)`` to ``(N, 640)``."""

    def __init__(self, size: int = MEL_BINS * STACKED, hidden: int = 128, code: int = BOTTLENECK):
        super().__init__()

        def dense(*sizes: int) -> list[nn.Module]:
            pairs = zip(sizes, sizes[1:], strict=False)
            layers = [(nn.Linear(a, b), nn.BatchNorm1d(b, **KERAS), nn.ReLU()) for a, b in pairs]
            return [layer for group in layers for layer in group]

        self.encode = nn.Sequential(*dense(size, *[hidden] * 4, code))
        self.decode = nn.Sequential(*dense(code, *[hidden] * 4), nn.Linear(hidden, size))

    def forward(self, frames: Tensor) -> Tensor:
        return self.decode(self.encode(frames))


@dataclass(frozen=True)
class Frames:
    """Log-mel in dB of some clips, and rows of five neighbouring frames of it.

    ``mel`` ``(all frames, 128)``, clip after clip; ``first`` ``(N,)``, the first frame of each row,
    none of which reaches into the next clip; ``clip`` ``(N,)``, the clip of each row. The rows
    would take five times the memory of ``mel``, so :meth:`rows` makes them when they are needed.
    """

    mel: Tensor
    first: Tensor
    clip: Tensor

    def rows(self, which: Tensor) -> Tensor:
        """Five frames side by side: ``(n, 640)``."""
        frames = self.first[which][:, None] + torch.arange(STACKED, device=which.device)
        return self.mel[frames].flatten(1)

    def __len__(self) -> int:
        return len(self.first)


def squared_errors(model: Autoencoder, frames: Tensor) -> tuple[Tensor, Tensor]:
    """Mean squared error of each row of ``(N, 640)``, ``(N,)``, and its code ``(N, 8)``."""
    code = model.encode(frames)
    return (model.decode(code) - frames).square().mean(dim=1), code


def mel_spectrogram() -> nn.Module:
    """Power mel spectrogram as librosa makes it by default: ``(n,)`` to ``(128, frames)``."""
    return torchaudio.transforms.MelSpectrogram(
        SAMPLE_RATE, WINDOW, hop_length=HOP, n_mels=MEL_BINS, norm="slaney", mel_scale="slaney"
    )


def frames_of(part: Part, on="cpu") -> Frames:
    """The frames of all clips of a part, on a device; a clip of less than five is repeated."""
    mel, clips = mel_spectrogram(), []
    for row in part.rows:
        length = max(int(part.bank.frames[row]), HOP * STACKED)
        wave = part.bank.gather(np.array([row]), np.array([0]), length)
        power = mel(normalise(wave, mean=0.0, std=1.0)[0].cpu())  # full scale is 1, as it is
        clips.append(10 * torch.log10(power.clamp_min(FLOOR)).T)  # (frames, 128)
    lengths = [len(clip) for clip in clips]
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    first = [start + np.arange(n - STACKED + 1) for start, n in zip(starts, lengths, strict=True)]
    clip = np.repeat(np.arange(len(clips)), [len(rows) for rows in first])
    rows = (torch.from_numpy(array).to(on) for array in (np.concatenate(first), clip))
    return Frames(torch.cat(clips).to(on), *rows)


def train(task: Task) -> Trained:
    """The autoencoder, on all train clips of the machine type."""
    parts, checkpoint = (task.split.train, task.split.validation), task.checkpoint("autoencoder")
    setting = task.profile.epochs, task.seed, device(), task.progress, checkpoint
    model, history = train_autoencoder(*parts, *setting)
    return Trained(model.state_dict(), history, 1, size(model))


def embed(task: Task, weights: dict[str, Tensor]) -> Embedded:
    """The mean code of each clip; the output is its mean squared error."""
    return task.embedded(embedder(weights))


def embedder(weights: dict[str, Tensor], *_) -> Callable[[Part], tuple]:
    """What makes clips the arrays of an Embedded, by these weights."""
    model = Autoencoder().to(device())
    model.load_state_dict(weights)

    def embed_part(part: Part) -> tuple:
        scores, codes = score(model, part)
        return codes[:, None], None, scores[:, None]

    return embed_part


def train_autoencoder(
    train: Part, validation: Part, epochs: int, seed: int, on="cpu", progress=True, checkpoint=None
) -> tuple[Autoencoder, pd.DataFrame]:
    """The autoencoder after ``epochs`` passes over all frames of ``train``, and the history.

    The last epoch is kept, as in the baseline. The history has one row per epoch, with columns
    epoch, loss, validation_loss.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng([seed, 1])
    frames, held_out = (frames_of(part, on) for part in (train, validation))
    model = Autoencoder().to(on)
    optimiser = torch.optim.Adam(model.parameters(), LEARNING_RATE, fused=True)
    history = []
    if state := checkpoint.load() if checkpoint else None:
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        history = state["history"]
        checkpoint.restore_random(state, rng)
    epochs_left = range(len(history) + 1, epochs + 1)
    for epoch in tqdm(epochs_left, "autoencoder", mininterval=2, disable=not progress):
        model.train()
        total = torch.zeros((), device=on)
        batches = torch.from_numpy(rng.permutation(len(frames))).to(on).split(BATCH)
        # a last batch of one row has no variance to normalise by
        for which in (batch for batch in batches if len(batch) > 1):
            optimiser.zero_grad(set_to_none=True)
            loss = squared_errors(model, frames.rows(which))[0].mean()
            loss.backward()
            optimiser.step()
            total += loss.detach() * len(which)
        unseen = float(errors_of(model, held_out)[0].mean())
        history.append([epoch, float(total) / len(frames), unseen])
        if not np.isfinite(history[-1]).all():
            raise InputError(f"the autoencoder's loss is {history[-1][1:]} in epoch {epoch}")
        if checkpoint:
            state = {"model": model.state_dict(), "optimiser": optimiser.state_dict()}
            checkpoint.save(state | {"history": history}, rng)
    return model.eval(), pd.DataFrame(history, columns=["epoch", "loss", "validation_loss"])


def errors_of(model: Autoencoder, frames: Frames, at_once: int = 8192) -> tuple[Tensor, Tensor]:
    """:func:`squared_errors` of all rows in evaluation mode, on the CPU."""
    model.eval()
    with torch.inference_mode():
        everything = torch.arange(len(frames), device=frames.mel.device)
        parts = [squared_errors(model, frames.rows(which)) for which in everything.split(at_once)]
    return tuple(torch.cat(part).cpu() for part in zip(*parts, strict=True))


def score(model: Autoencoder, part: Part) -> tuple[np.ndarray, np.ndarray]:
    """The baseline's score of each clip, ``(clips,)``, and the mean code ``(clips, 8)``.

    One clip at a time, so that a clip has the same score in any company.
    """
    scores, mean_codes = [], []
    for row in range(len(part)):
        frames = frames_of(part[[row]], device_of(model))
        errors, codes = errors_of(model, frames)
        scores.append(errors.double().mean())
        mean_codes.append(codes.mean(dim=0))
    return torch.stack(scores).numpy(), torch.stack(mean_codes).numpy()
