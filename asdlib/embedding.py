"""Embedding: f of the segments of every clip that is fitted on, scored or shown."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from asdlib.batches import Part
from asdlib.encoder import Encoder, device_of
from asdlib.profiles import Profile

ARRAYS = ("embeddings", "logits", "output")


@dataclass(frozen=True)
class Embedded:
    """Clips with the embeddings ``(clips, S, D)`` of their segments, as float32.

    ``clips`` are rows of the corpus index with one more column, ``part``: "train", "validation",
    "test" or "others". ``logits`` ``(clips, S, K)`` of the product IDs and ``output``
    ``(clips, S)``, an anomaly score of the system's own, are None where a system has none.
    """

    clips: pd.DataFrame
    embeddings: np.ndarray
    logits: np.ndarray | None = None
    output: np.ndarray | None = None

    def __getitem__(self, rows: np.ndarray) -> "Embedded":
        """Some of the clips, by bool."""
        arrays = (getattr(self, name) for name in ARRAYS)
        return Embedded(self.clips[rows], *(None if a is None else a[rows] for a in arrays))

    def of_product(self, product: str) -> np.ndarray:
        """Which clips are of a product ID: bool ``(clips,)``."""
        return (self.clips["product"] == product).to_numpy()

    def of_parts(self, *parts: str) -> "Embedded":
        """The clips of some parts only."""
        return self[self.clips.part.isin(parts).to_numpy()]

    def fitted_on(self, inlier_part: str) -> "Embedded":
        """The clips that h is fitted on: the validation part, or all train clips."""
        return self.of_parts("validation", *(["train"] if inlier_part == "train" else []))

    @classmethod
    def joined(cls, several: Sequence["Embedded"]) -> "Embedded":
        """Several as one."""
        columns = ([getattr(one, name) for one in several] for name in ARRAYS)
        return cls(
            pd.concat([one.clips for one in several]),
            *(None if column[0] is None else np.concatenate(column) for column in columns),
        )


def embed_segments(
    encoder: Encoder, part: Part, profile: Profile, progress: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """f and g_product of all S segments of every clip: ``(clips, S, 128)``, ``(clips, S, K)``.

    One clip at a time: the last bits of a network's output depend on the size of the batch, and a
    clip that is scored alone later must get the same score. Overlapping segments mostly start
    between hops, so their log-mels have no frame in common.
    """
    device, clips = device_of(encoder), range(len(part))
    embeddings, logits = [], []
    with torch.inference_mode():
        for clip in tqdm(clips, "embedding", unit="clip", mininterval=2, disable=not progress):
            waves = part.segments(np.array([clip]), profile.segments, profile.segment_frames)
            embedding = encoder(waves[0].to(device))
            embeddings.append(embedding.cpu())
            logits.append(encoder.heads(embedding)[0].cpu())
    return torch.stack(embeddings).numpy(), torch.stack(logits).numpy()
