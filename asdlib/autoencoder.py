"""The challenge's autoencoder baseline: dense layers on stacked log-mel frames.

As the DCASE 2021 Task 2 baseline describes itself: five stacked frames of 128 log-mel bins, dense
layers 128-128-128-128-8-128-128-128-128, batch normalisation and ReLU after each, mean squared
error, Adam; the score of a clip is the mean over its frames of the squared error. One model serves
all product IDs of a machine type. Its settings are the baseline's own in every profile.
"""

import numpy as np
import pandas as pd
import torch
import torchaudio
from torch import Tensor, nn
from tqdm import tqdm

from asdlib.profiles import SAMPLE_RATE
from asdlib.training import Part
from asdlib.waves import normalise

MEL_BINS, STACKED, BOTTLENECK = 128, 5, 8
WINDOW, HOP = 1024, 512  # samples: 64 ms, 32 ms
EPOCHS, BATCH, LEARNING_RATE = 100, 512, 1e-3


class Autoencoder(nn.Module):
    """640 numbers to 8 and back: ``(N, 640)`` to ``(N, 640)``."""

    def __init__(self, size: int = MEL_BINS * STACKED, hidden: int = 128, code: int = BOTTLENECK):
        super().__init__()

        def dense(*sizes: int) -> list[nn.Module]:
            pairs = zip(sizes, sizes[1:], strict=False)
            layers = [(nn.Linear(a, b), nn.BatchNorm1d(b), nn.ReLU()) for a, b in pairs]
            return [layer for group in layers for layer in group]

        self.encode = nn.Sequential(*dense(size, *[hidden] * 4, code))
        self.decode = nn.Sequential(*dense(code, *[hidden] * 4), nn.Linear(hidden, size))

    def forward(self, frames: Tensor) -> Tensor:
        return self.decode(self.encode(frames))


class StackedFrames(nn.Module):
    """Log-mel in dB, five neighbouring frames side by side: ``(n,)`` to ``(frames - 4, 640)``."""

    def __init__(self):
        super().__init__()
        self.mel = torchaudio.transforms.MelSpectrogram(
            SAMPLE_RATE, n_fft=WINDOW, hop_length=HOP, n_mels=MEL_BINS, power=2.0
        )

    def forward(self, wave: Tensor) -> Tensor:
        decibel = 10 * torch.log10(self.mel(wave).clamp_min(1e-10))  # (128, frames)
        stacked = decibel.T.unfold(0, STACKED, 1)  # (frames - 4, 128, 5)
        return stacked.transpose(1, 2).flatten(1)


def squared_errors(model: Autoencoder, frames: Tensor) -> tuple[Tensor, Tensor]:
    """Mean squared error of each row of ``(N, 640)``, ``(N,)``, and its code ``(N, 8)``."""
    code = model.encode(frames)
    return (model.decode(code) - frames).square().mean(dim=1), code


def clip_frames(part: Part) -> list[Tensor]:
    """The stacked frames of each clip of a part; a clip shorter than five frames is repeated."""
    stack, shortest = StackedFrames(), HOP * STACKED
    found = []
    for row in part.rows:
        length = max(int(part.bank.frames[row]), shortest)
        wave = part.bank.gather(np.array([row]), np.array([0]), length)
        found.append(stack(torch.from_numpy(normalise(wave, part.mean, part.std))[0]))
    return found


def train_autoencoder(
    train: Part, validation: Part, epochs: int, seed: int, device="cpu", progress: bool = True
) -> tuple[Autoencoder, pd.DataFrame]:
    """The autoencoder after ``epochs`` passes over all frames of ``train``; a row an epoch.

    The last epoch is kept, as in the baseline. History columns: epoch, loss, validation_loss.
    """
    torch.manual_seed(seed)
    shuffle = torch.Generator().manual_seed(seed)
    frames, held_out = (torch.cat(clip_frames(part)).to(device) for part in (train, validation))
    model = Autoencoder().to(device)
    optimiser = torch.optim.Adam(model.parameters(), LEARNING_RATE, fused=True)
    history = []
    for epoch in tqdm(range(1, epochs + 1), "autoencoder", mininterval=2, disable=not progress):
        model.train()
        total = torch.zeros((), device=device)
        # a last batch of one row has no variance to normalise by
        batches = torch.randperm(len(frames), generator=shuffle).split(BATCH)
        for rows in (batch for batch in batches if len(batch) > 1):
            optimiser.zero_grad(set_to_none=True)
            loss = squared_errors(model, frames[rows])[0].mean()
            loss.backward()
            optimiser.step()
            total += loss.detach() * len(rows)
        model.eval()
        with torch.inference_mode():
            unseen = [squared_errors(model, part)[0] for part in held_out.split(65536)]
        history.append([epoch, float(total) / len(frames), float(torch.cat(unseen).mean())])
    return model, pd.DataFrame(history, columns=["epoch", "loss", "validation_loss"])


def score(model: Autoencoder, part: Part) -> tuple[np.ndarray, np.ndarray]:
    """The baseline's score of each clip, ``(clips,)``, and the mean code ``(clips, 8)``."""
    device = next(model.parameters()).device
    with torch.inference_mode():
        told = [squared_errors(model, frames.to(device)) for frames in clip_frames(part)]
    scores = [float(errors.mean()) for errors, _ in told]
    return np.array(scores), np.stack([code.mean(dim=0).cpu().numpy() for _, code in told])
